package supervisor

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// dieWithParent asks the kernel to kill this process when the thread that forked it ends.
func dieWithParent() error {
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(syscall.SIGKILL), 0, 0, 0); err != nil {
		return fmt.Errorf("ask for SIGKILL at the parent's death: %w", err)
	}
	return nil
}
