package scenarios

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v4"
)

// YAML writes the scenario in its canonical form: keys in the order of the reference, what was left out left out. Parse
// reads back the same scenario.
func (s *Scenario) YAML() ([]byte, error) {
	root := s.section("", reflect.ValueOf(s).Elem())
	text, err := yaml.Dump(root, yaml.WithLineWidth(-1))
	if err != nil {
		return nil, fmt.Errorf("writing scenario %s as YAML: %w", s.Name, err)
	}
	return text, nil
}

func (s *Scenario) section(path string, v reflect.Value) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode}
	for name, f := range fields(v) {
		below := join(path, name)
		if f.Kind() == reflect.Struct {
			if section := s.section(below, f); len(section.Content) > 0 {
				n.Content = append(n.Content, textNode(name), section)
			}
			continue
		}
		if !f.IsZero() || s.emptied(below, f) {
			n.Content = append(n.Content, textNode(name), valueNode(f))
		}
	}
	return n
}

// emptied reports whether v is a zero that was written, such as warmup: 0s or patterns: [], which is not the same as one left out.
func (s *Scenario) emptied(path string, v reflect.Value) bool {
	number, ok := asNumber(v)
	k, _ := describe(path)
	return (ok && number == 0 || k.defs != nil) && s.source.gives(path) && s.uses(path)
}

func valueNode(v reflect.Value) *yaml.Node {
	switch v.Kind() {
	case reflect.Slice:
		n := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
		for i := range v.Len() {
			n.Content = append(n.Content, valueNode(v.Index(i)))
		}
		return n
	case reflect.Map:
		n := &yaml.Node{Kind: yaml.MappingNode}
		texts := v.Interface().(map[string]string)
		for _, name := range slices.Sorted(maps.Keys(texts)) {
			n.Content = append(n.Content, textNode(name), textNode(texts[name]))
		}
		return n
	case reflect.String:
		return textNode(v.String())
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Value: asText(v)}
}

func textNode(text string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text}
	switch {
	case strings.ContainsFunc(text, needsEscape) || strings.HasPrefix(text, "\n") || strings.HasPrefix(text, " "):
		n.Style = yaml.DoubleQuotedStyle
	case strings.Contains(text, "\n"):
		n.Style = yaml.LiteralStyle
	}
	return n
}

// needsEscape reports whether a literal block would not keep r as it is.
func needsEscape(r rune) bool {
	return r != '\n' && r != '\t' && !unicode.IsPrint(r) || r == '\uFEFF'
}
