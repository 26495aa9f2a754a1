package supervisor

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// killGroup signals a process group, and says whether there was anything to signal. Group 0 is none.
func killGroup(group int, sig syscall.Signal) bool {
	return group > 1 && unix.Kill(-group, sig) == nil
}

// groupAlive says whether a process of the group runs. Ones that have ended and wait to be reaped do not count: on a machine
// whose PID 1 does not reap, they stay for ever.
func groupAlive(group int) bool {
	return killGroup(group, 0) && !onlyZombies(group)
}
