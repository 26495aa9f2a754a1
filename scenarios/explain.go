package scenarios

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v4"
)

// expected says in words what a key of type t takes.
func expected(t reflect.Type) string {
	switch {
	case t == durationType:
		return "a duration such as 1.5s or 200ms"
	case t.Kind() == reflect.Struct:
		return "keys and values"
	case t.Kind() == reflect.Map:
		return "names and values (name: value)"
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Int:
		return "a list of numbers"
	case t.Kind() == reflect.Slice:
		return "a list of words"
	case t.Kind() == reflect.Float64:
		return "a number"
	case t.Kind() == reflect.Int:
		return "a whole number"
	case t.Kind() == reflect.Bool:
		return "true or false"
	}
	return "text"
}

// given says in words what was written instead.
func given(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Style&yaml.TaggedStyle != 0:
		return fmt.Sprintf("%q with the tag %s", n.Value, n.ShortTag())
	case n.Value == "":
		return "an empty text"
	case n.ShortTag() == "!!int" || n.ShortTag() == "!!float":
		return "the number " + n.Value
	case n.ShortTag() == "!!bool":
		return n.Value
	case strings.Contains(n.Value, "\n"):
		return "a text of several lines"
	}
	return fmt.Sprintf("%q", n.Value)
}

var numberWithUnit = regexp.MustCompile(`^([0-9]+(?:\.[0-9]+)?) ?(?:/s|/sec|rps|qps|req/s|x|times)?$`)

// rewrite says how n can be written as a t, where that is clear.
func rewrite(t reflect.Type, n *yaml.Node) string {
	word := n.Kind == yaml.ScalarNode && n.Value != "" && !strings.Contains(n.Value, "\n")
	switch {
	case !word:
		return ""
	case n.Style&yaml.TaggedStyle != 0:
		return "; remove the tag"
	case t.Kind() == reflect.Slice:
		return "; write [" + strings.Join(strings.Fields(strings.ReplaceAll(n.Value, ",", " ")), ", ") + "]"
	case t.Kind() == reflect.String && n.ShortTag() != "!!null":
		return fmt.Sprintf("; write it in quotes: %q", n.Value)
	case t.Kind() == reflect.Float64 || t.Kind() == reflect.Int:
		if m := numberWithUnit.FindStringSubmatch(n.Value); m != nil && (t.Kind() == reflect.Float64 || !strings.Contains(m[1], ".")) {
			return "; write " + m[1]
		}
	case t.Kind() == reflect.Bool:
		return rewriteBool(n.Value)
	}
	return ""
}

func rewriteBool(text string) string {
	switch strings.ToLower(text) {
	case "yes", "on", "y", "1", "true":
		return "; write true"
	case "no", "off", "n", "0", "false":
		return "; write false"
	}
	return ""
}

var leadingPlaceholder = regexp.MustCompile(`^\{\{[^{}]*\}\}[^\s,\]}#]*`)

// quoteHint explains a value that YAML took for a mapping because it starts with a placeholder's braces.
func (src *source) quoteHint(n *yaml.Node) string {
	text := leadingPlaceholder.FindString(src.rest(n))
	if text == "" {
		return ""
	}
	return fmt.Sprintf("; a value that starts with {{ needs quotes: %q", text)
}

// sizeMax bounds what a file given by mistake, such as a list of targets, can cost.
const sizeMax = 256 << 10

// document is the root of the only document in data, or nil when there is a mistake so grave that nothing can be read.
func (d decoder) document(data []byte) *yaml.Node {
	if len(data) > sizeMax {
		d.fail(&yaml.Node{Line: 1, Column: 1}, "", "has %d bytes, and no scenario needs more than %d; is this the right file?",
			len(data), sizeMax)
		return nil
	}
	var root, second yaml.Node
	loader, err := yaml.NewLoader(strings.NewReader(string(data)))
	if err == nil {
		err = loader.Load(&root)
	}
	switch {
	case errors.Is(err, io.EOF):
		d.fail(&yaml.Node{Line: 1, Column: 1}, "", "the scenario is empty; `restartbench scenarios show plain` prints one to start from")
		return nil
	case err != nil:
		d.syntax(err)
		return nil
	}
	switch err := loader.Load(&second); {
	case err == nil:
		d.fail(&second, "", "a second document begins here; a file holds one scenario")
	case !errors.Is(err, io.EOF):
		d.syntax(err)
	}
	return root.Content[0]
}

// syntax reports what the YAML parser found, in its words, and guesses at the cause.
func (d decoder) syntax(err error) {
	load := &yaml.LoadError{Message: err.Error()}
	errors.As(err, &load)
	at := &yaml.Node{Line: load.Mark.Line, Column: load.Mark.Column}
	if at.Line == 0 {
		at.Line, at.Column = d.unprintable()
	}
	context := ""
	if from := load.ContextMark.Line; load.ContextMsg != "" && from > 0 && from < at.Line {
		context = fmt.Sprintf(" %s from line %d on", load.ContextMsg, from)
	}
	d.fail(at, "", "not valid YAML: %s%s%s", load.Message, context, d.cause(at.Line))
}

var (
	bareBraces = regexp.MustCompile(`(?:[:,\[-]\s+|\[)(\{\{[^{}]*\}\}[^\s,\]}#]*)`)
	tabIndent  = regexp.MustCompile(`^ *\t`)
	twoColons  = regexp.MustCompile(`^\s*(?:- )?[\w-]+: +([^"'|>{\[\s].*: .*)$`)
)

// cause guesses why the YAML parser stopped at a line: the mistakes that people make in scenarios. The parser may notice
// a line late, so the line before is looked at too.
func (d decoder) cause(line int) string {
	for _, i := range []int{line - 1, line - 2} {
		if i < 0 || i >= len(d.lines) {
			continue
		}
		if m := bareBraces.FindStringSubmatch(d.lines[i]); m != nil {
			return fmt.Sprintf("; a value that starts with {{ needs quotes: %q", m[1])
		}
		if tabIndent.MatchString(d.lines[i]) {
			return "; YAML is indented with spaces, not with tabs"
		}
		if m := twoColons.FindStringSubmatch(d.lines[i]); m != nil {
			return fmt.Sprintf("; a value with a colon and a space in it needs quotes: %q", m[1])
		}
	}
	return ""
}

// unprintable is the position of the first character that YAML does not allow, for which the parser gives none.
func (d decoder) unprintable() (line, column int) {
	for i, text := range d.lines {
		for j, r := range []rune(text) {
			if r < ' ' && r != '\t' && r != '\r' || r == 0x7f || r == '\uFFFD' {
				return i + 1, j + 1
			}
		}
	}
	return 1, 1
}
