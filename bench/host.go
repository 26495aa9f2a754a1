package bench

import (
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/restartbench/restartbench/bench/timeline"
)

// host describes this machine. What cannot be found out stays empty.
func host() timeline.Host {
	h := timeline.Host{OS: runtime.GOOS, Arch: runtime.GOARCH, CPUs: runtime.NumCPU()}
	h.Name, _ = os.Hostname()
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		h.Kernel = unix.ByteSliceToString(u.Release[:])
	}
	if id, err := os.ReadFile("/proc/sys/kernel/random/boot_id"); err == nil {
		h.BootID = strings.TrimSpace(string(id))
	}
	return h
}
