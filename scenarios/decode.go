package scenarios

import (
	"fmt"
	"iter"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Parse reads a scenario from YAML: Decode, then Finish. file is named in errors, which are Errors.
func Parse(file string, data []byte) (*Scenario, error) {
	s, _ := Decode(file, data) // Finish reports its mistakes again, beside its own
	if err := s.Finish(); err != nil {
		return nil, err
	}
	return s, nil
}

// Decode reads YAML as it stands: keys, types, and nothing else is checked, and what is left out stays zero. The error is
// Errors, with every mistake found.
//
// The scenario is never nil. It remembers positions and mistakes, so that a caller may go on to Set flags over it and
// call Finish, whose error holds Decode's mistakes as well.
func Decode(file string, data []byte) (*Scenario, error) {
	d := decoder{newSource(file, data)}
	s := &Scenario{source: d.source}
	if root := d.document(data); root != nil {
		d.places[""] = place{root, root}
		d.value("", root, reflect.ValueOf(s).Elem())
	} else {
		d.bad[""] = true
	}
	return s, d.errs.err()
}

// decoder walks a YAML document and a Go value side by side.
type decoder struct{ *source }

// value reads n, the value of the key at path, into v.
func (d decoder) value(path string, n *yaml.Node, v reflect.Value) {
	n = resolve(n)
	switch {
	case n.ShortTag() == "!!null":
		d.mistake(path, n, "has no value; write %s, or remove the key", expected(v.Type()))
	case v.Kind() == reflect.Struct:
		d.section(path, n, v)
	case v.Kind() == reflect.Map:
		d.table(path, n, v)
	case v.Kind() == reflect.Slice:
		d.list(path, n, v)
	default:
		d.scalar(path, n, v)
	}
}

// section reads a mapping whose keys are known.
func (d decoder) section(path string, n *yaml.Node, v reflect.Value) {
	if n.Kind != yaml.MappingNode {
		d.mismatch(path, n, v.Type())
		return
	}
	for k, val := range d.pairs(path, n) {
		name := k.Value
		if !has(v, name) {
			name = d.unknown(path, k)
		}
		if f, ok := find(v, name); ok {
			below := join(path, name)
			d.places[below] = place{k, resolve(val)}
			d.value(below, val, f)
		}
	}
}

// table reads a mapping whose keys are the user's own.
func (d decoder) table(path string, n *yaml.Node, v reflect.Value) {
	if n.Kind != yaml.MappingNode {
		d.mismatch(path, n, v.Type())
		return
	}
	for k, val := range d.pairs(path, n) {
		below := join(path, k.Value)
		d.places[below] = place{k, resolve(val)}
		element := reflect.New(v.Type().Elem()).Elem()
		d.value(below, val, element)
		if v.IsNil() {
			v.Set(reflect.MakeMap(v.Type()))
		}
		v.SetMapIndex(reflect.ValueOf(k.Value), element)
	}
}

// list reads a sequence.
func (d decoder) list(path string, n *yaml.Node, v reflect.Value) {
	if n.Kind != yaml.SequenceNode {
		d.mismatch(path, n, v.Type())
		return
	}
	for i, item := range n.Content {
		if d.errs.full() {
			return
		}
		below := fmt.Sprintf("%s[%d]", path, i)
		d.places[below] = place{item, resolve(item)}
		element := reflect.New(v.Type().Elem()).Elem()
		d.value(below, item, element)
		v.Set(reflect.Append(v, element))
	}
}

// scalar reads a single value.
func (d decoder) scalar(path string, n *yaml.Node, v reflect.Value) {
	if n.Kind != yaml.ScalarNode || !slices.Contains(tags(v.Type()), n.ShortTag()) && !asWritten(path, n) {
		d.mismatch(path, n, v.Type())
		return
	}
	read, err := readText(v.Type(), n.Value)
	if err != nil {
		d.mistake(path, n, "%s", err)
		return
	}
	v.Set(read)
}

// asWritten reports whether n, a number or a truth value, is as good as a text for the key at path.
func asWritten(path string, n *yaml.Node) bool {
	k, _ := describe(parent(path))
	return k.anyText && slices.Contains([]string{"!!int", "!!float", "!!bool"}, n.ShortTag())
}

// pairs yields the keys and values of a mapping, and reports those that cannot be used.
func (d decoder) pairs(path string, n *yaml.Node) iter.Seq2[*yaml.Node, *yaml.Node] {
	return func(yield func(*yaml.Node, *yaml.Node) bool) {
		seen := map[string]int{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			k := resolve(n.Content[i])
			if d.errs.full() || d.usable(path, k, seen) && !yield(k, n.Content[i+1]) {
				return
			}
		}
	}
}

// usable reports whether k can be a key, given the lines on which earlier keys of the same mapping stand.
func (d decoder) usable(path string, k *yaml.Node, seen map[string]int) bool {
	first, again := seen[k.Value]
	switch {
	case k.ShortTag() == "!!merge":
		d.fail(k, "", "merge keys (<<) are not supported%s; write the keys out", inside(path))
	case k.Kind != yaml.ScalarNode && strings.HasPrefix(d.rest(k), "{"):
		d.fail(k, "", "a key cannot be a mapping%s%s", inside(path), d.quoteHint(k))
	case k.Kind != yaml.ScalarNode || k.Value == "":
		d.fail(k, "", "a key must be a word%s", inside(path))
	case again:
		d.fail(k, "", "duplicate key %q%s; it is on line %d already", k.Value, inside(path), first)
	default:
		seen[k.Value] = k.Line
		return true
	}
	return false
}

// unknown reports a key that its section does not have. It returns the section's key that was likely meant, for the value to
// be read as that key's: a misspelled load: should not hide the mistakes in it.
func (d decoder) unknown(section string, k *yaml.Node) (meant string) {
	path, hint := guess(section, k.Value)
	d.fail(k, "", "unknown key %q%s%s", k.Value, inside(section), hint)
	if path == "" {
		return ""
	}
	if parent(path) != section {
		d.bad[path] = true // it is not missing, it stands in the wrong place
		return ""
	}
	return path[strings.LastIndex(path, ".")+1:]
}

// guess finds the key that name was meant to be, and words it as the end of a message.
func guess(section, name string) (meant, hint string) {
	var names []string
	for _, k := range members(section) {
		if slices.ContainsFunc(k.aka, func(aka string) bool { return fold(aka) == fold(name) }) {
			return k.path, fmt.Sprintf("; did you mean %q?", k.name())
		}
		names = append(names, k.name())
	}
	if elsewhere := homes(name); len(elsewhere) > 0 {
		return elsewhere[0], "; it belongs " + strings.Join(sections(elsewhere), " or ")
	}
	if near := nearest(name, names); near != "" {
		return join(section, near), suggest(name, names)
	}
	return "", suggest(name, names)
}

// sections are the places of the keys at paths, in words.
func sections(paths []string) []string {
	var words []string
	for _, path := range paths {
		if section := parent(path); section != "" {
			words = append(words, "under "+section)
		} else {
			words = append(words, "at the top level")
		}
	}
	return words
}

// homes are the keys called name, wherever they are.
func homes(name string) []string {
	var paths []string
	for _, k := range keys {
		if k.name() == name {
			paths = append(paths, k.path)
		}
	}
	return paths
}

// mistake reports a wrong value and keeps later checks from complaining about it once more.
func (d decoder) mistake(path string, n *yaml.Node, format string, args ...any) {
	d.bad[path] = true
	d.fail(n, path, format, args...)
}

// mismatch reports a value of the wrong kind.
func (d decoder) mismatch(path string, n *yaml.Node, t reflect.Type) {
	if hint := d.quoteHint(n); hint != "" {
		d.mistake(path, n, "expects %s, got a mapping%s", expected(t), hint)
		return
	}
	subject := ""
	if path == "" {
		subject = "a scenario "
	}
	d.mistake(path, n, "%sexpects %s, got %s%s", subject, expected(t), given(n), rewrite(t, n))
}

// resolve follows an alias to what it stands for.
func resolve(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

// inside ends "duplicate key" with the section's name.
func inside(section string) string {
	if section == "" {
		return ""
	}
	return " in " + section
}

// tags are the YAML types that can be read as t.
func tags(t reflect.Type) []string {
	switch {
	case t == durationType:
		return []string{"!!str", "!!int", "!!float"}
	case t.Kind() == reflect.Float64:
		return []string{"!!int", "!!float"}
	case t.Kind() == reflect.Int:
		return []string{"!!int"}
	case t.Kind() == reflect.Bool:
		return []string{"!!bool"}
	}
	return []string{"!!str", "!!timestamp"}
}

// readText reads a value of type t from its text. The error says what is expected.
func readText(t reflect.Type, text string) (reflect.Value, error) {
	v := reflect.New(t).Elem()
	var err error
	switch {
	case t == durationType:
		var d Duration
		d, err = ParseDuration(text)
		v.SetInt(int64(d))
		return v, err
	case t.Kind() == reflect.Float64:
		var f float64
		f, err = strconv.ParseFloat(text, 64)
		v.SetFloat(f)
	case t.Kind() == reflect.Int:
		var i int64
		i, err = strconv.ParseInt(text, 0, 64)
		v.SetInt(i)
	case t.Kind() == reflect.Bool:
		var b bool
		b, err = strconv.ParseBool(strings.ToLower(text))
		v.SetBool(b)
	default:
		v.SetString(text)
	}
	if err != nil {
		return v, fmt.Errorf("expects %s, got %q", expected(t), text)
	}
	return v, nil
}
