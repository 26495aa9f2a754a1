package accuracy

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// readSeq reads a request without a body and returns its number.
func readSeq(r *bufio.Reader) (seq uint64, ok bool) {
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return 0, false
		}
		line = bytes.TrimSuffix(line, []byte("\r\n"))
		if number, found := bytes.CutPrefix(line, []byte("X-Vegeta-Seq: ")); found {
			seq, err = strconv.ParseUint(string(number), 10, 64)
			ok = err == nil
		}
		if len(line) == 0 {
			return seq, ok
		}
	}
}

// serveRaw gives every connection to talk, in a goroutine of its own, until the test ends. It returns the address.
func serveRaw(t *testing.T, talk func(*net.TCPConn)) string {
	t.Helper()
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() { acceptAll(l, &all, talk) })
	t.Cleanup(func() {
		l.Close()
		all.Wait() // the load is over by then, and has closed its connections
	})
	return l.Addr().String()
}

func acceptAll(l *net.TCPListener, all *sync.WaitGroup, talk func(*net.TCPConn)) {
	for {
		c, err := l.AcceptTCP()
		if err != nil {
			return
		}
		all.Go(func() { talk(c) })
	}
}

// boundSocket is a TCP socket with a port of its own, and does nothing with it.
func boundSocket(t *testing.T) (fd int, address string) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	unix.CloseOnExec(fd)
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return fd, fmt.Sprintf("127.0.0.1:%d", name.(*unix.SockaddrInet4).Port)
}

// closedPort holds a port on which nobody listens, so that nobody else can begin to.
func closedPort(t *testing.T) string {
	t.Helper()
	_, address := boundSocket(t)
	return address
}

// fullPort is listened on, and its accept queue is full: Linux drops every further SYN (tcp_conn_request in
// net/ipv4/tcp_input.c).
func fullPort(t *testing.T) string {
	t.Helper()
	fd, address := boundSocket(t)
	if err := unix.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	const most = 10 // a queue of length 0 holds one
	for range most {
		c, err := net.DialTimeout("tcp", address, 100*time.Millisecond)
		var failure net.Error
		if errors.As(err, &failure) && failure.Timeout() {
			return address
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
	}
	t.Fatalf("%s took %d connections that nobody accepts", address, most)
	return ""
}

// fullSocket is a unix socket whose queue is full: connect(2) on a non-blocking socket fails with EAGAIN (unix(7)).
func fullSocket(t *testing.T) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "full.sock")
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	unix.CloseOnExec(fd)
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrUnix{Name: path}), unix.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	const most = 10 // a queue of length 0 holds one
	for range most {
		c, err := net.Dial("unix", path)
		if errors.Is(err, unix.EAGAIN) {
			return path
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
	}
	t.Fatalf("%s took %d connections that nobody accepts", path, most)
	return ""
}
