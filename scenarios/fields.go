package scenarios

import (
	"iter"
	"reflect"
	"strings"
)

var durationType = reflect.TypeFor[Duration]()

// fields yields a struct's keys and their values, in the order of declaration.
func fields(v reflect.Value) iter.Seq2[string, reflect.Value] {
	return func(yield func(string, reflect.Value) bool) {
		for i := range v.NumField() {
			name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ",")
			if name != "" && !yield(name, v.Field(i)) {
				return
			}
		}
	}
}

// leaves yields the path and the value of every key below v that is not itself a section.
func leaves(prefix string, v reflect.Value) iter.Seq2[string, reflect.Value] {
	return func(yield func(string, reflect.Value) bool) {
		for name, f := range fields(v) {
			path := join(prefix, name)
			if f.Kind() != reflect.Struct {
				if !yield(path, f) {
					return
				}
				continue
			}
			for below, leaf := range leaves(path, f) {
				if !yield(below, leaf) {
					return
				}
			}
		}
	}
}

// find is the value of the key at path below v.
func find(v reflect.Value, path string) (reflect.Value, bool) {
	head, rest, nested := strings.Cut(path, ".")
	for name, f := range fields(v) {
		switch {
		case name != head:
		case !nested:
			return f, true
		case f.Kind() == reflect.Struct:
			return find(f, rest)
		}
	}
	return reflect.Value{}, false
}

// has reports whether the section v has a key of that name.
func has(v reflect.Value, name string) bool {
	for own := range fields(v) {
		if own == name {
			return true
		}
	}
	return false
}

// join is the path of name inside section.
func join(section, name string) string {
	if section == "" {
		return name
	}
	return section + "." + name
}

// parent is the path that path lies in: "" for the top level.
func parent(path string) string {
	if i := strings.LastIndexAny(path, ".["); i >= 0 {
		return path[:i]
	}
	return ""
}

// within reports whether path is outer or lies inside it.
func within(path, outer string) bool {
	return outer == "" || path == outer || strings.HasPrefix(path, outer+".") || strings.HasPrefix(path, outer+"[")
}
