package scenarios

import (
	"fmt"
	"maps"
	"math"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// checker collects the mistakes in a scenario's values.
type checker struct {
	*Scenario
	errs Errors
}

// fail records a mistake in the value of the key at path.
func (c *checker) fail(path, format string, args ...any) { c.failAt(path, 0, format, args...) }

// failAt is fail for the byte at offset of a text.
func (c *checker) failAt(path string, offset int, format string, args ...any) {
	if c.errs.full() {
		return
	}
	file, line, column := c.source.locate(path, offset)
	c.errs.add(&Error{File: file, Line: line, Column: column, Key: path, Msg: fmt.Sprintf(format, args...)})
}

// sound reports whether no mistake is known yet in the values at paths. Rules about several values ask this first, so
// that one mistake is reported once.
func (c *checker) sound(paths ...string) bool {
	return !slices.ContainsFunc(paths, func(path string) bool {
		return c.source.spoils(path) || slices.ContainsFunc(c.errs, func(e *Error) bool {
			return e.Key != "" && (within(e.Key, path) || within(path, e.Key))
		})
	})
}

// omissions is the check that has to come before defaults hide what was left out.
func (c *checker) omissions() {
	if c.Load.Body != "" && c.Load.Method == "" && c.Load.Targets == "" && c.sound("load.method") {
		c.fail("load.body", "is given, but load.method is not; a GET rarely has a body: write load.method as well, such as POST")
	}
}

// ranges checks each value by itself against the table of keys.
func (c *checker) ranges() {
	for path, v := range leaves("", reflect.ValueOf(c.Scenario).Elem()) {
		k, _ := describe(path)
		switch {
		case !c.sound(path) || !c.uses(path):
		case v.IsZero() && !c.source.gives(path) && !k.required:
		case v.Kind() == reflect.Slice:
			for i := range v.Len() {
				c.one(fmt.Sprintf("%s[%d]", path, i), k, v.Index(i))
			}
		case v.Kind() == reflect.Map:
			c.table(path, k, v)
		default:
			c.one(path, k, v)
		}
	}
}

// table checks the names and the texts of a map.
func (c *checker) table(path string, k key, v reflect.Value) {
	pattern := regexp.MustCompile(k.pattern)
	for _, name := range slices.Sorted(maps.Keys(v.Interface().(map[string]string))) {
		at := join(path, name)
		if !pattern.MatchString(name) {
			c.fail(at, "%s", misnamed(path, name))
		}
		c.one(at, key{path: path}, v.MapIndex(reflect.ValueOf(name)))
		if text := v.MapIndex(reflect.ValueOf(name)).String(); k.anyText && !oneLine(text) && c.sound(at) {
			c.fail(at, "is no one line of a unit file: it has a line break in it, or ends in a backslash")
		}
	}
}

// misnamed says what is wrong with a name that its map's pattern refuses.
func misnamed(path, name string) string {
	switch {
	case path == "load.headers":
		return fmt.Sprintf("%q is no header's name; write letters, digits and dashes, without the colon", name)
	case path == "needs":
		return fmt.Sprintf("%q is not absolute; write the whole path, such as /usr/sbin/nginx", name)
	case path != "units":
		return fmt.Sprintf("%q is no directive of a unit file; write one such as TimeoutStopSec", name)
	case strings.Contains(name, "/"):
		return fmt.Sprintf("%q is a path; write the unit's name, %s, and its text", name, name[strings.LastIndex(name, "/")+1:])
	case strings.Contains(name, "@."):
		return fmt.Sprintf("%q is a template, and only instances run; write a name such as app@1.service", name)
	}
	if kind := foreignKind(name); kind != "" {
		return fmt.Sprintf("%s units are not supervised; only .service and .socket units are", kind)
	}
	return fmt.Sprintf("%q is no unit's name; it ends in .service or .socket, as %s.service does", name, strings.TrimSuffix(name, "."))
}

// foreignKind is the extension of a unit's name, if it has one of systemd's other ones.
func foreignKind(name string) string {
	others := []string{".target", ".timer", ".mount", ".automount", ".path", ".slice", ".scope", ".device", ".swap"}
	if ext := path.Ext(name); slices.Contains(others, ext) {
		return ext
	}
	return ""
}

// one checks a single value.
func (c *checker) one(path string, k key, v reflect.Value) {
	if number, ok := asNumber(v); ok {
		if (k.low != "" || k.high != "") && !k.allows(number) {
			c.fail(path, "%s is out of range; it must be %s", asText(v), k.interval())
		}
		return
	}
	if v.Kind() != reflect.String {
		return
	}
	switch text := v.String(); {
	case !utf8.ValidString(text) || strings.ContainsRune(text, 0):
		c.fail(path, "is not a text: it has bytes that are no UTF-8, or NUL")
	case text == "" && k.required:
		c.fail(path, "is missing; write a name such as my-app")
	case k.enum != nil && !slices.Contains(k.enum, text):
		c.fail(path, "%q is not allowed%s", text, suggest(text, k.enum))
	case path == "name" && !regexp.MustCompile(k.pattern).MatchString(text):
		c.fail(path, "%q is no name; write at most 64 of a-z, 0-9, . _ and -, such as %s", text, cleanName(text))
	}
}

// cleanName is a valid name like text.
func cleanName(text string) string {
	clean := regexp.MustCompile(`[^a-z0-9._-]+`).ReplaceAllString(strings.ToLower(text), "-")
	clean = strings.Trim(clean[:min(len(clean), 64)], "._-")
	if clean == "" {
		return "my-app"
	}
	return clean
}

// allows reports whether number lies in the key's range. NaN does not.
func (k key) allows(number float64) bool {
	low, high := bound(k.low, math.Inf(-1)), bound(k.high, math.Inf(1))
	return number >= low && number <= high
}

// bound reads a bound of the table; durations count in nanoseconds, as in Go.
func bound(text string, none float64) float64 {
	if text == "" {
		return none
	}
	if f, err := strconv.ParseFloat(text, 64); err == nil {
		return f
	}
	d, _ := ParseDuration(text) // a test reads every bound
	return float64(d)
}

// interval is the key's range in words.
func (k key) interval() string {
	return fmt.Sprintf("from %s to %s", k.low, k.high)
}

func asNumber(v reflect.Value) (float64, bool) {
	switch {
	case v.CanInt():
		return float64(v.Int()), true
	case v.CanFloat():
		return v.Float(), true
	}
	return 0, false
}

// asText writes a single value as YAML would have it.
func asText(v reflect.Value) string {
	switch {
	case v.Type() == durationType:
		return Duration(v.Int()).String()
	case v.CanFloat():
		return plain(v.Float())
	}
	return fmt.Sprint(v.Interface())
}

// plain writes a number without an exponent.
func plain(number float64) string { return strconv.FormatFloat(number, 'f', -1, 64) }

// unitNames are the names of the scenario's own units, sorted.
func (s *Scenario) unitNames() []string { return slices.Sorted(maps.Keys(s.Units)) }

// services are the names of the units that are services, sorted.
func (s *Scenario) services() []string {
	var names []string
	for _, name := range s.unitNames() {
		if strings.HasSuffix(name, ".service") {
			names = append(names, name)
		}
	}
	return names
}
