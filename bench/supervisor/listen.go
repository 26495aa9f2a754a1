package supervisor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// listen opens one address of a socket unit. The file is in blocking mode and close-on-exec.
func listen(u *socketUnit, a address) (*os.File, error) {
	if err := makeWay(a); err != nil {
		return nil, err
	}
	config := net.ListenConfig{Control: func(network, _ string, raw syscall.RawConn) error { return u.options(network, raw) }}
	config.SetMultipathTCP(false) // Go's default would open another kind of socket than systemd's
	listener, err := config.Listen(context.Background(), a.network, a.text)
	if err != nil {
		return nil, err
	}
	defer listener.Close()
	if l, ok := listener.(*net.UnixListener); ok {
		l.SetUnlinkOnClose(false)
	}
	if path := a.path(); path != "" {
		if err := os.Chmod(path, fs.FileMode(u.mode)); err != nil {
			return nil, err
		}
	}
	file, err := detach(listener.(syscall.Conn), a.text)
	if err != nil || u.backlog < 0 {
		return file, err
	}
	// net.Listen has asked for the largest backlog. A second listen(2) changes it.
	if err := unix.Listen(int(file.Fd()), u.backlog); err != nil {
		file.Close()
		return nil, fmt.Errorf("set the backlog to %d: %w", u.backlog, err)
	}
	return file, nil
}

// options sets options of TCP sockets before bind(2).
func (u *socketUnit) options(network string, raw syscall.RawConn) error {
	if network == "unix" {
		return nil
	}
	var problems []error
	err := raw.Control(func(fd uintptr) {
		if u.reusePort {
			problems = append(problems, unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1))
		}
		// Accepted connections inherit it.
		if u.noDelay {
			problems = append(problems, unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NODELAY, 1))
		}
	})
	return errors.Join(append(problems, err)...)
}

// makeWay makes the directory of a unix socket and removes a stale socket there. Unlike systemd, which unlinks whatever
// lies there, it leaves files of other kinds and sockets that something still listens on.
func makeWay(a address) error {
	path := a.path()
	if path == "" {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("%s exists and is not a socket: %w", path, syscall.EADDRINUSE)
	}
	if conn, err := net.Dial("unix", path); err == nil {
		conn.Close()
		return fmt.Errorf("something listens on %s: %w", path, syscall.EADDRINUSE)
	}
	return os.Remove(path)
}

// detach takes a socket out of the hands of package net: a duplicate, close-on-exec, in blocking mode, on no poller.
func detach(conn syscall.Conn, name string) (*os.File, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	fd := -1
	var dup error
	if err := raw.Control(func(old uintptr) {
		fd, dup = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0)
	}); err != nil || dup != nil {
		return nil, errors.Join(err, dup)
	}
	if err := unix.SetNonblock(fd, false); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}
