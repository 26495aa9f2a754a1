package scenarios

import (
	"fmt"
	"maps"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// source remembers where a scenario's values came from: which key stands where in which file, and which a caller set.
// It is what lets Finish, which sees values only, point at lines, and tell a zero that was written from one left out.
type source struct {
	file     string
	lines    []string         // of the file
	places   map[string]place // by path: the keys that the file gives
	assigned map[string]bool  // by path: the keys that Set or Assigned gave
	bad      map[string]bool  // by path: keys whose mistake is already in errs
	errs     Errors
}

// place is where a key stands, and its value.
type place struct{ key, value *yaml.Node }

func newSource(file string, data []byte) *source {
	return &source{
		file:     file,
		lines:    strings.Split(string(data), "\n"),
		places:   map[string]place{},
		assigned: map[string]bool{},
		bad:      map[string]bool{},
	}
}

func (src *source) clone() *source {
	if src == nil {
		return nil
	}
	c := *src
	c.assigned, c.bad = maps.Clone(src.assigned), maps.Clone(src.bad)
	return &c
}

// gives reports whether the file or the caller gave the key at path, be it a zero.
func (src *source) gives(path string) bool {
	if src == nil {
		return false
	}
	_, written := src.places[path]
	return written || src.overrides(path)
}

// overrides reports whether the caller gave the key at path or the section around it.
func (src *source) overrides(path string) bool {
	if src == nil {
		return false
	}
	for ; path != ""; path = parent(path) {
		if src.assigned[path] {
			return true
		}
	}
	return false
}

// spoils reports whether a mistake is already known that path's value depends on, so that another complaint about it
// would only repeat the first.
func (src *source) spoils(path string) bool {
	if src == nil {
		return false
	}
	for bad := range src.bad {
		if within(path, bad) || within(bad, path) {
			return true
		}
	}
	return false
}

// fail records a mistake in what stands at n.
func (src *source) fail(n *yaml.Node, path, format string, args ...any) {
	src.errs.add(&Error{File: src.file, Line: n.Line, Column: n.Column, Key: path, Msg: fmt.Sprintf(format, args...)})
}

// locate is the position of path's value, or of the innermost section around it that the file has.
// offset counts bytes into the value's text, for mistakes deep inside a unit's text.
func (src *source) locate(path string, offset int) (file string, line, column int) {
	if src == nil || src.overrides(path) {
		return "", 0, 0
	}
	if at, ok := src.places[path]; ok {
		line, column = src.inside(at.value, offset)
		return src.file, line, column
	}
	for path != "" {
		path = parent(path)
		if at, ok := src.places[path]; ok {
			return src.file, at.key.Line, at.key.Column
		}
	}
	return src.file, 0, 0
}

// inside is the position of the byte at offset in n's text. Where YAML's folding and escapes make that unclear, it is the
// position of n.
func (src *source) inside(n *yaml.Node, offset int) (line, column int) {
	if offset == 0 || n.Kind != yaml.ScalarNode || offset > len(n.Value) {
		return n.Line, n.Column
	}
	start := strings.LastIndexByte(n.Value[:offset], '\n') + 1
	text, _, _ := strings.Cut(n.Value[start:], "\n")
	line = n.Line
	if n.Style&yaml.LiteralStyle != 0 {
		line += 1 + strings.Count(n.Value[:offset], "\n")
	}
	indent := -1
	if line <= len(src.lines) {
		indent = strings.Index(src.lines[line-1], text)
	}
	if indent < 0 {
		return n.Line, n.Column
	}
	return line, utf8.RuneCountInString(src.lines[line-1][:indent+offset-start]) + 1
}

// rest is what stands in the file from n on, to the end of the line.
func (src *source) rest(n *yaml.Node) string {
	if n.Line < 1 || n.Line > len(src.lines) {
		return ""
	}
	line := []rune(src.lines[n.Line-1])
	return string(line[min(max(n.Column-1, 0), len(line)):])
}
