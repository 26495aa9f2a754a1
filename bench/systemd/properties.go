package systemd

import (
	"encoding/hex"
	"strings"

	"github.com/godbus/dbus/v5"
)

// properties are a unit's, by name, of the interfaces Unit and Service or Socket alike: no name is in two of them.
type properties map[string]any

func (p properties) text(name string) string {
	s, _ := p[name].(string)
	return s
}

func (p properties) texts(name string) []string {
	s, _ := p[name].([]string)
	return s
}

func (p properties) yes(name string) bool {
	b, _ := p[name].(bool)
	return b
}

// number reads any of D-Bus's integers.
func (p properties) number(name string) uint64 {
	switch n := p[name].(type) {
	case uint64:
		return n
	case uint32:
		return uint64(n)
	case int32:
		return uint64(max(n, 0))
	case int64:
		return uint64(max(n, 0))
	}
	return 0
}

func (p properties) invocation() string {
	id, _ := p["InvocationID"].([]byte)
	return hex.EncodeToString(id)
}

// loadError is what LoadError says: a D-Bus error's name and text, or two empty strings.
func (p properties) loadError() string {
	pair, _ := p["LoadError"].([]any)
	if len(pair) != 2 {
		return ""
	}
	text, _ := pair[1].(string)
	return strings.TrimSuffix(text, ".")
}

// pairs reads a property of the type a(ss), such as Listen.
func (p properties) pairs(name string) [][2]string {
	rows, _ := p[name].([][]any)
	var all [][2]string
	for _, row := range rows {
		if len(row) == 2 {
			first, _ := row[0].(string)
			second, _ := row[1].(string)
			all = append(all, [2]string{first, second})
		}
	}
	return all
}

// merge takes over what a PropertiesChanged signal says.
func (p properties) merge(changed map[string]dbus.Variant) {
	for name, v := range changed {
		p[name] = v.Value()
	}
}
