package load

import (
	"errors"
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

func TestAConnectionToItselfIsNone(t *testing.T) {
	for _, other := range []bool{false, true} {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		to := unix.Sockaddr(&unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})
		if err := unix.Bind(fd, to); err != nil {
			t.Fatal(err)
		}
		if to, err = unix.Getsockname(fd); err != nil {
			t.Fatal(err)
		}
		if other {
			l := listen(t)
			defer l.Close()
			to = &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: l.Addr().(*net.TCPAddr).Port}
		}
		if err := unix.Connect(fd, to); err != nil && !errors.Is(err, unix.EINPROGRESS) {
			t.Fatal(err)
		}
		if got := toItself(fd); got == other {
			t.Errorf("to another %t: to itself %t", other, got)
		}
	}
}
