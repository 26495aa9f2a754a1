package supervisor

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// checksSenders says whether this system names the senders of notifications and kills children of a dead parent.
const checksSenders = true

func TestSocketOptions(t *testing.T) {
	units := pair(t, freeAddr(t), "serve")
	units["a.socket"] += "Backlog=7\nNoDelay=yes\nReusePort=yes\n"
	s, _ := start(t, units)
	opened, guard := make(chan int, 1), make(chan int, 1)
	s.post(func() {
		opened <- int(s.sockets["a.socket"].files[0].Fd())
		guard <- s.guard.process.Pid
	})
	fd := <-opened
	for _, c := range []struct {
		name             string
		level, opt, want int
	}{
		{"NoDelay", unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
		{"ReusePort", unix.SOL_SOCKET, unix.SO_REUSEPORT, 1},
		{"protocol", unix.SOL_SOCKET, unix.SO_PROTOCOL, unix.IPPROTO_TCP},
	} {
		if got, err := unix.GetsockoptInt(fd, c.level, c.opt); err != nil || got != c.want {
			t.Errorf("%s is %d, not %d: %v", c.name, got, c.want, err)
		}
	}
	// Of a listener, tcpi_sacked is the backlog (net/ipv4/tcp.c, tcp_get_info).
	if info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO); err != nil || info.Sacked != 7 {
		t.Errorf("backlog is %d: %v", info.Sacked, err)
	}
	if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("not close-on-exec: %v", err)
	}
	fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", <-guard))
	if err != nil || len(fds) < 3 {
		t.Fatalf("the guard's descriptors: %v, %v", fds, err)
	}
	for _, fd := range fds {
		if target, _ := os.Readlink(fd); strings.HasPrefix(target, "socket:") {
			t.Errorf("the guard holds %s", target)
		}
	}
}
