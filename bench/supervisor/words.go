package supervisor

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

const blanks = " \t\n\r"

// splitWords splits a value into words as systemd does (src/basic/extract-word.c): at blanks, with single and double
// quotes anywhere in a word, and C-style escapes inside and outside of both. An unknown escape stays as it is.
func splitWords(text string) ([]string, error) {
	var words []string
	for {
		word, rest, found, err := nextWord(text)
		if err != nil || !found {
			return words, err
		}
		words, text = append(words, word), rest
	}
}

// nextWord takes one word off the front of text.
func nextWord(text string) (word, rest string, found bool, err error) {
	text = strings.TrimLeft(text, blanks)
	if text == "" {
		return "", "", false, nil
	}
	var out strings.Builder
	var quote byte // the quote we are inside of, 0 when outside
	for i := 0; i < len(text); {
		c := text[i]
		switch {
		case c == '\\':
			char, size, err := unescape(text[i:])
			if err != nil {
				return "", "", false, err
			}
			out.WriteString(char)
			i += size
			continue
		case quote == 0 && strings.IndexByte(blanks, c) >= 0:
			return out.String(), text[i:], true, nil
		case quote == 0 && (c == '\'' || c == '"'):
			quote = c
		case quote != 0 && c == quote:
			quote = 0
		default:
			out.WriteByte(c)
		}
		i++
	}
	if quote != 0 {
		return "", "", false, fmt.Errorf("the quote %c is not closed", quote)
	}
	return out.String(), "", true, nil
}

var simpleEscapes = map[byte]string{
	'a': "\a", 'b': "\b", 'f': "\f", 'n': "\n", 'r': "\r", 't': "\t", 'v': "\v", '\\': "\\", '"': "\"", '\'': "'", 's': " ",
}

// unescape reads the escape at the front of text, and returns what it stands for and its length.
func unescape(text string) (string, int, error) {
	if len(text) < 2 {
		return "", 0, errors.New("a backslash at the end escapes nothing")
	}
	if char, ok := simpleEscapes[text[1]]; ok {
		return char, 2, nil
	}
	switch text[1] {
	case 'x':
		return numeric(text, 2, 2, 16, false)
	case 'u':
		return numeric(text, 2, 4, 16, true)
	case 'U':
		return numeric(text, 2, 8, 16, true)
	case '0', '1', '2', '3':
		return numeric(text, 1, 3, 8, false)
	}
	return text[:1], 1, nil // unknown: the backslash is itself
}

// numeric reads digits of an escape: a byte, or a code point.
func numeric(text string, from, digits, base int, point bool) (string, int, error) {
	if len(text) < from+digits {
		return text[:1], 1, nil
	}
	n, err := strconv.ParseUint(text[from:from+digits], base, 32)
	switch {
	case err != nil:
		return text[:1], 1, nil
	case n == 0:
		return "", 0, errors.New("an escape stands for the zero byte, which no argument can hold")
	case !point:
		return string([]byte{byte(n)}), from + digits, nil
	case n > utf8.MaxRune || !utf8.ValidRune(rune(n)):
		return text[:1], 1, nil
	}
	return string(rune(n)), from + digits, nil
}

// specifiers replaces the specifiers of systemd.unit(5) that mean something here.
func specifiers(text, unit string) (string, error) {
	if !strings.Contains(text, "%") {
		return text, nil
	}
	stem := strings.TrimSuffix(strings.TrimSuffix(unit, ".service"), ".socket")
	prefix, instance, _ := strings.Cut(stem, "@")
	values := map[byte]string{'%': "%", 'n': unit, 'N': stem, 'p': prefix, 'i': instance}
	var out strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != '%' || i+1 == len(text) {
			out.WriteByte(text[i])
			continue
		}
		i++
		value, ok := values[text[i]]
		if !ok {
			return "", fmt.Errorf("specifier %%%c is not supported by the embedded manager; it knows %%%% %%n %%N %%p %%i", text[i])
		}
		out.WriteString(value)
	}
	return out.String(), nil
}

// command is an ExecStart= line.
type command struct {
	words         []string
	ignoreFailure bool // the prefix "-"
}

// parseCommand reads an ExecStart= line.
func parseCommand(text, unit string) (command, error) {
	words, err := commandWords(text)
	if err != nil {
		return command{}, err
	}
	if len(words) == 0 {
		return command{}, errors.New("names no program")
	}
	var c command
	words[0], c.ignoreFailure = strings.CutPrefix(words[0], "-")
	if program := words[0]; program != "" && strings.ContainsRune("-@:+!|", rune(program[0])) {
		return command{}, fmt.Errorf("prefix %q is not supported by the embedded manager; only - is", program[:1])
	}
	for _, word := range words {
		if word, err = specifiers(word, unit); err != nil {
			return command{}, err
		}
		c.words = append(c.words, word)
	}
	if program := c.words[0]; program == "" || strings.Contains(program, "/") && !strings.HasPrefix(program, "/") {
		return command{}, fmt.Errorf("program %q is neither an absolute path nor a plain name", program)
	}
	return c, nil
}

// commandWords splits a command line. A bare semicolon would begin a further command; an escaped or quoted one is an argument.
func commandWords(text string) ([]string, error) {
	var words []string
	for {
		text = strings.TrimLeft(text, blanks)
		switch bare, _, _ := strings.Cut(text, " "); bare {
		case ";":
			return nil, errors.New("more than one command; this Type= takes one")
		case `\;`:
			words, text = append(words, ";"), text[2:]
			continue
		}
		word, rest, found, err := nextWord(text)
		if err != nil || !found {
			return words, err
		}
		words, text = append(words, word), rest
	}
}

// expand replaces ${VAR} anywhere in an argument, and $VAR where it is a whole argument; the latter then splits into words,
// perhaps none. $$ is a dollar sign. The program itself is left alone.
func (c command) expand(env map[string]string) []string {
	out := []string{c.words[0]}
	for _, word := range c.words[1:] {
		name, whole := strings.CutPrefix(word, "$")
		if !whole || !validName(name) {
			out = append(out, braces(word, env))
			continue
		}
		words, err := splitWords(env[name])
		if err != nil { // systemd passes a value it cannot split on as it is
			words = []string{env[name]}
		}
		out = append(out, words...)
	}
	return out
}

// braces replaces ${VAR} and $$ in a word.
func braces(word string, env map[string]string) string {
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(word, "$")
		out.WriteString(before)
		if !found {
			return out.String()
		}
		name, after, closed := strings.Cut(rest, "}")
		switch {
		case strings.HasPrefix(rest, "$"):
			rest = rest[1:]
			out.WriteByte('$')
		case strings.HasPrefix(rest, "{") && closed && validName(name[1:]):
			rest = after
			out.WriteString(env[name[1:]])
		default:
			out.WriteByte('$')
		}
		word = rest
	}
}

// validName says whether name can name an environment variable.
func validName(name string) bool {
	for i := range len(name) {
		c := name[i]
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return name != ""
}

// environ is env as execve(2) wants it, sorted so that a run can be repeated.
func environ(env map[string]string) []string {
	list := make([]string, 0, len(env))
	for _, name := range slices.Sorted(maps.Keys(env)) {
		list = append(list, name+"="+env[name])
	}
	return list
}
