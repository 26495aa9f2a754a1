package scenarios

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
)

// NeedError says that a scenario needs a file that cannot be used.
type NeedError struct {
	Scenario string
	Path     string
	Get      string // how to get it; "" when the scenario does not say
	Err      error  // fs.ErrNotExist, mostly
}

// Error names the scenario, the file, and how to get it.
func (e *NeedError) Error() string {
	text := e.Scenario + " needs " + e.Path
	if !errors.Is(e.Err, fs.ErrNotExist) {
		text += fmt.Sprintf(" (%s)", e.Err)
	}
	if e.Get != "" {
		text += ": " + e.Get
	}
	return text
}

// Unwrap is why the file cannot be used.
func (e *NeedError) Unwrap() error { return e.Err }

var errDirectory = errors.New("it is a directory")

// CheckNeeds looks for the files that the scenario needs. Its error joins a *NeedError for each that is not there.
func (s *Scenario) CheckNeeds() error {
	var all []error
	for _, path := range slices.Sorted(maps.Keys(s.Needs)) {
		if err := usable(path); err != nil {
			all = append(all, &NeedError{Scenario: s.Name, Path: path, Get: s.Needs[path], Err: err})
		}
	}
	return errors.Join(all...)
}

func usable(path string) error {
	info, err := os.Stat(path)
	var reason *fs.PathError
	switch {
	case errors.As(err, &reason):
		return reason.Err
	case err == nil && info.IsDir():
		return errDirectory
	}
	return err
}
