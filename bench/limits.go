package bench

import (
	"net"
	"net/url"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/restartbench/restartbench/bench/load"
)

// limits finds out what this machine grants a client of the targets.
func limits(targets []load.Target) load.Limits {
	var l load.Limits
	var files unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &files) == nil {
		l.Descriptors = int(min(files.Cur, 1<<30))
	}
	if low, high := localPorts(); high > 0 {
		l.Ports = high - low + 1
	}
	switch sysctl("net/ipv4/tcp_tw_reuse") { // ip-sysctl.rst: 1 for all, 2 for loopback alone
	case "1":
		l.Reuse = true
	case "2":
		l.Reuse = allLoopback(targets)
	}
	return l
}

// sysctl reads a kernel parameter, "" where there is none.
func sysctl(name string) string {
	text, _ := os.ReadFile("/proc/sys/" + name)
	return strings.TrimSpace(string(text))
}

func allLoopback(targets []load.Target) bool {
	for _, t := range targets {
		u, err := url.Parse(t.URL)
		if err != nil {
			return false
		}
		if ip := net.ParseIP(u.Hostname()); u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return false
		}
	}
	return true
}
