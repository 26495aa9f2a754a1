package scenarios

import (
	"embed"
	"fmt"
	"os"
	"slices"
	"strings"
)

//go:embed *.yaml
var files embed.FS

// ladder are the names of the embedded scenarios that need nothing but this program: each differs from the one before in one
// thing.
var ladder = []string{"plain", "activated", "graceful"}

// builtins are the names of all embedded scenarios: the ladder, and then those of services that people run.
var builtins = append(slices.Clone(ladder), "proxyd", "node-exporter")

// Builtins are the built-in scenarios: those of Demo, and those that have needs.
func Builtins() []*Scenario { return parsed(builtins) }

// Demo are the built-in scenarios that run wherever this program does: plain, activated, graceful.
func Demo() []*Scenario { return parsed(ladder) }

func parsed(names []string) []*Scenario {
	var all []*Scenario
	for _, name := range names {
		s, _, err := Builtin(name)
		if err != nil {
			panic(err) // a test parses every embedded file
		}
		all = append(all, s)
	}
	return all
}

// Builtin is the built-in scenario of that name, and its YAML with the comments that explain it.
// An unknown name's error is an *UnknownError.
func Builtin(name string) (*Scenario, []byte, error) {
	data, err := builtin(name)
	if err != nil {
		return nil, nil, err
	}
	s, err := Parse(builtinFile(name), data)
	return s, data, err
}

func builtin(name string) ([]byte, error) {
	if !slices.Contains(builtins, name) {
		return nil, &UnknownError{Name: name, Nearest: nearest(name, builtins), Known: slices.Clone(builtins)}
	}
	return files.ReadFile(name + ".yaml")
}

// builtinFile stands for a built-in scenario's file in errors.
func builtinFile(name string) string { return "built-in " + name + ".yaml" }

// Open finds the YAML of a scenario by a built-in one's name, or by a file's path, which has a slash in it or ends in .yaml or
// .yml. It returns the name to use for the file in Decode or Parse. An unknown name's error is an *UnknownError.
func Open(nameOrPath string) (file string, data []byte, err error) {
	if !IsPath(nameOrPath) {
		data, err = builtin(nameOrPath)
		return builtinFile(nameOrPath), data, err
	}
	data, err = os.ReadFile(nameOrPath)
	if err != nil {
		return nameOrPath, nil, fmt.Errorf("reading scenario: %w", err)
	}
	return nameOrPath, data, nil
}

// IsPath reports whether Open takes nameOrPath for a file.
func IsPath(nameOrPath string) bool {
	return strings.ContainsAny(nameOrPath, `/\`) || strings.HasSuffix(nameOrPath, ".yaml") || strings.HasSuffix(nameOrPath, ".yml")
}
