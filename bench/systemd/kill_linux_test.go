package systemd

import (
	"fmt"
	"os"
	"strconv"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// dieAtEnv names the variable with the number of the system call at which a run dies.
const dieAtEnv = "DIE_AT"

// TestCleanAfterKillAt has runs die at given steps. The kernel ends them in place of the system call: the step before it is
// done, this one is not.
func TestCleanAfterKillAt(t *testing.T) {
	h := boot(t, pairOfUnits())
	h.job(jobStart, "app.socket", "app.service")
	if err := os.MkdirAll(h.state(), 0o755); err != nil { // or mkdirat would always be this one
		t.Fatal(err)
	}
	before := h.trace("app.socket", "app.service")
	for _, test := range []struct {
		name string
		call int
	}{
		{"the record is there, and nobody holds its lock", unix.SYS_FLOCK},
		{"it is written, and nothing is done yet", unix.SYS_FSYNC},
		{"a drop-in's directory is about to be made", unix.SYS_MKDIRAT},
		{"a drop-in has its temporary name only", unix.SYS_LINKAT},
		{"a drop-in has both names", unix.SYS_UNLINKAT},
	} {
		t.Run(test.name, func(t *testing.T) {
			h.dies(t, test.call)
			if _, err := Clean(t.Context(), h.bus, h.state()); err != nil {
				t.Error(err)
			}
			if after := h.trace("app.socket", "app.service"); after != before {
				t.Errorf("before:\n%s\nafter:\n%s", before, after)
			}
		})
	}
}

// dies makes a run that ends at its first system call of that kind.
func (h *host) dies(t *testing.T, call int) {
	t.Helper()
	cmd, _ := h.run(h.override(), dieAtEnv+"="+strconv.Itoa(call))
	cmd.Wait()
	if status := cmd.ProcessState.Sys().(syscall.WaitStatus); status.Signal() != syscall.SIGSYS {
		t.Fatalf("it never came to that: %v", cmd.ProcessState)
	}
}

// dieAt has the kernel end this process instead of doing a system call, as seccomp(2) allows.
func dieAt(call string) error {
	number, err := strconv.ParseUint(call, 10, 32)
	if err != nil {
		return err
	}
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS}, // the call's number, see struct seccomp_data
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: uint32(number), Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_KILL_PROCESS},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&program)))
	if errno != 0 {
		return fmt.Errorf("seccomp: %w", errno)
	}
	return nil
}
