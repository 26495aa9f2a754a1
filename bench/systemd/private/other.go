//go:build !linux

package private

import (
	"context"
	"net"
)

func supported(Config) error        { return missing("Linux", nil) }
func start(Config) (*System, error) { return nil, missing("Linux", nil) }

// Shim is the body of the hidden subcommand that Config.Shim names. It needs Linux.
func Shim([]string) error { return missing("Linux", nil) }

// InNetwork runs f in the system's network. It needs Linux.
func (s *System) InNetwork(func() error) error { return missing("Linux", nil) }

// Dial connects to an address in the system's network. It needs Linux.
func (s *System) Dial(context.Context, string, string) (net.Conn, error) {
	return nil, missing("Linux", nil)
}

func (s *System) dialAs(context.Context, int, string) (net.Conn, error) {
	return nil, missing("Linux", nil)
}
