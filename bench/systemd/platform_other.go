//go:build !linux

package systemd

import "errors"

// supported is an error where there can be no systemd.
func supported() error { return errors.New("systemd runs on Linux alone") }
