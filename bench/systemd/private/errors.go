package private

import (
	"fmt"
	"strings"
)

// UnsupportedError names what this machine lacks.
type UnsupportedError struct {
	Missing string // "Linux", "root", "systemd", "dbus", "cgroup2", "namespaces", "overlay", "kernel", "CAP_NET_ADMIN"
	Hint    string // what to do about it
	Err     error  // what the kernel said, or nil
}

func (e *UnsupportedError) Error() string {
	text := "a private systemd cannot boot here: no " + e.Missing
	if e.Err != nil {
		text += fmt.Sprintf(" (%v)", e.Err)
	}
	if e.Hint != "" {
		text += ": " + e.Hint
	}
	return text
}

func (e *UnsupportedError) Unwrap() error { return e.Err }

// hints says what to do about what is missing.
var hints = map[string]string{
	"Linux":      "systemd runs on Linux alone; choose another manager",
	"root":       "run as root, in a container with --privileged",
	"systemd":    "install the package systemd",
	"dbus":       "install the package dbus",
	"cgroup2":    "the kernel needs control groups version 2",
	"namespaces": "run as root with CAP_SYS_ADMIN, in a container with --privileged",
	"overlay":    "the kernel needs the overlay file system: try modprobe overlay",
	"kernel":     "it needs Linux 5.14 or later",

	"CAP_NET_ADMIN": "a network of its own needs it; share this one, or use a container with --privileged",
}

func missing(what string, err error) *UnsupportedError {
	return &UnsupportedError{Missing: what, Hint: hints[what], Err: err}
}

// BootError is a boot that did not come to its end.
type BootError struct {
	Err   error
	Lines []string // the last that systemd wrote to its console
}

func (e *BootError) Error() string {
	text := fmt.Sprintf("boot a private systemd: %v", e.Err)
	if len(e.Lines) > 0 {
		text += "; its last lines:\n  " + strings.Join(e.Lines, "\n  ")
	}
	return text
}

func (e *BootError) Unwrap() error { return e.Err }

// lastLines are the last n lines of text.
func lastLines(text []byte, n int) string {
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
