package private

import (
	"context"
	"fmt"
	"net"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// InNetwork runs f in the system's network. f keeps to its own goroutine: what it starts in others happens outside. Sockets
// stay in the network that they were made in, so f may hand them out.
func (s *System) InNetwork(f func() error) error {
	done := make(chan error, 1)
	go func() {
		defer close(done)      // also when f ends the goroutine, as t.FailNow does
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine, and nobody inherits its network
		done <- s.inNetwork(f)
	}()
	return <-done
}

func (s *System) inNetwork(f func() error) error {
	ns, err := os.Open(s.NetworkPath())
	if err != nil {
		return fmt.Errorf("enter the private systemd's network: %w", err)
	}
	defer ns.Close()
	if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter the private systemd's network: %w", err)
	}
	return f()
}

// Dial connects to an address in the system's network. A host must be an IP address: names are looked up in other goroutines.
func (s *System) Dial(ctx context.Context, network, address string) (conn net.Conn, err error) {
	err = s.InNetwork(func() error {
		var d net.Dialer
		conn, err = d.DialContext(ctx, network, address)
		return err
	})
	return conn, err
}
