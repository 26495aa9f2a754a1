package load

import (
	"bufio"
	"crypto/tls"
	"errors"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// target is one endpoint.
type target struct {
	tls        bool
	host, port string
}

// conn is a client's connection. One request at a time uses it.
type conn struct {
	net.Conn                // what to speak HTTP on: socket, or TLS over it
	socket         net.Conn // the kernel's socket
	to             target
	r              *bufio.Reader
	w              *bufio.Writer
	received       int64 // bytes since begin
	failure        error // of the first Read since begin that failed
	headerLeft     int64 // bytes that an answer's header may still have; negative: no limit
	synRetransmits int
}

// maxHeader bounds an answer's header. net/http's client stops at 10 MiB, nginx writes at most some KiB.
const maxHeader = 1 << 20

var errHeaderTooLong = errors.New("the answer's header is longer than 1 MiB")

func (c *conn) begin() { c.received, c.failure = 0, nil }

func (c *conn) limitHeader() { c.headerLeft = maxHeader }

func (c *conn) unlimit() { c.headerLeft = -1 }

// Read counts what the answer brings, so that "nothing came" can be told from "something came". It notes the first
// failure, because the parser above it may not pass it on: package textproto takes the rest of a line that was cut off for a
// whole one, and the kernel tells of a reset only once.
func (c *conn) Read(p []byte) (int, error) {
	if c.headerLeft == 0 {
		return 0, errHeaderTooLong
	}
	if c.headerLeft > 0 && int64(len(p)) > c.headerLeft {
		p = p[:c.headerLeft]
	}
	n, err := c.Conn.Read(p)
	c.received += int64(n)
	if c.failure == nil {
		c.failure = err
	}
	if c.headerLeft > 0 {
		c.headerLeft -= int64(n)
	}
	return n, err
}

func (c *conn) handshake() error {
	if t, ok := c.Conn.(*tls.Conn); ok {
		return t.Handshake()
	}
	return nil
}

// alive reports whether the server has left an idle connection alone. A client that finds it closed does not use it;
// a server that closes it a moment later cuts off a request, and that is what a keep-alive collision is.
// The deadline must be that of the next request: Go's netpoller refuses to touch a connection whose deadline is past.
func (c *conn) alive() bool {
	raw, err := c.socket.(syscall.Conn).SyscallConn()
	if err != nil {
		return false
	}
	alive := false
	err = raw.Read(func(fd uintptr) bool {
		alive = untouched(int(fd))
		return true
	})
	return err == nil && alive
}

// untouched says that nothing has come on an idle connection. What comes unasked is a goodbye (FIN, 408, close_notify) or out
// of step.
func untouched(fd int) bool {
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
	return n == 0 && err == nil
}
