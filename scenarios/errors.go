package scenarios

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Error is one mistake in a scenario.
//
// It prints as file:line:column: key: what is wrong; what to write instead. A mistake in a value that came from a flag
// has no position, and its Key tells the command line which flag to name.
type Error struct {
	File   string // "" when no file is to blame
	Line   int    // counts from 1; 0 when unknown
	Column int    // counts characters from 1; 0 when unknown
	Key    string // dotted, as load.rate or restart.command[0]; "" when the mistake is not in a key's value
	Msg    string
}

// Error prints the position as far as it is known, the key, and the message.
func (e *Error) Error() string {
	text := e.Msg
	if e.Key != "" {
		text = e.Key + ": " + text
	}
	switch {
	case e.Line > 0 && e.File == "":
		return fmt.Sprintf("%d:%d: %s", e.Line, e.Column, text)
	case e.Line > 0:
		return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Column, text)
	case e.File != "":
		return e.File + ": " + text
	}
	return text
}

// Errors is every mistake found, in order of position; those without a position come last.
type Errors []*Error

// Error prints one mistake a line.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, one := range e {
		lines[i] = one.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap lets errors.As find the first *Error.
func (e Errors) Unwrap() []error {
	all := make([]error, len(e))
	for i, one := range e {
		all[i] = one
	}
	return all
}

// errorsMax is how many mistakes are worth printing. A file with more of them is likely no scenario at all.
const errorsMax = 100

// add appends a mistake, up to errorsMax and a note that there are more.
func (e *Errors) add(one *Error) {
	switch {
	case len(*e) < errorsMax:
		*e = append(*e, one)
	case len(*e) == errorsMax:
		*e = append(*e, &Error{File: one.File, Msg: "there are more mistakes; correct these first"})
	}
}

// full reports whether there is no use in looking for more.
func (e Errors) full() bool { return len(e) > errorsMax }

// err is e in order, or a nil error when there is none.
func (e Errors) err() error {
	if len(e) == 0 {
		return nil
	}
	sorted := slices.Clone(e)
	slices.SortStableFunc(sorted, byPosition)
	return sorted
}

func byPosition(a, b *Error) int {
	if (a.Line == 0) != (b.Line == 0) {
		return cmp.Compare(b.Line, a.Line)
	}
	return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
}

// UnknownError says that no built-in scenario has that name.
type UnknownError struct {
	Name    string
	Nearest string   // "" when none is near
	Known   []string // all built-in names
}

// Error suggests the nearest name, and how to name a file.
func (e *UnknownError) Error() string {
	text := fmt.Sprintf("no built-in scenario is called %q", e.Name)
	if e.Nearest != "" {
		text += fmt.Sprintf("; did you mean %q?", e.Nearest)
	}
	return text + fmt.Sprintf(" (built in: %s; a file's name needs a slash or .yaml, as ./%s)",
		strings.Join(e.Known, ", "), e.Name)
}
