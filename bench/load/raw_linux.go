package load

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// System calls that never block, for which Go's scheduler is not told (unix.RawSyscall). When it is told, and finds a lane in
// one just as the lane has run for 10 ms, its monitor takes the lane's processor away and then looks again every 20 µs for a
// while (runtime.sysmon, runtime.retake): at some thousand requests a second that takes as much CPU as the requests do.

func rawRead(fd int, p []byte) (int, error) {
	return result(unix.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p))))
}

func rawWrite(fd int, p []byte) (int, error) {
	return result(unix.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p))))
}

// rawClose is for sockets without SO_LINGER, which close at once.
func rawClose(fd int) { _, _, _ = unix.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0) }

// rawWait is epoll_wait(2), in milliseconds.
func rawWait(epoll int, events []unix.EpollEvent, ms int) (int, error) {
	return result(unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(epoll), uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), uintptr(ms), 0, 0))
}

func rawSetTimer(fd int, in unix.ItimerSpec) {
	_, _, _ = unix.RawSyscall6(unix.SYS_TIMERFD_SETTIME, uintptr(fd), 0, uintptr(unsafe.Pointer(&in)), 0, 0, 0)
}

// rawUntouched is untouched.
func rawUntouched(fd int) bool {
	poll := unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}
	var now unix.Timespec
	n, err := result(unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&poll)), 1, uintptr(unsafe.Pointer(&now)), 0, 0, 0))
	return n == 0 && err == nil
}

func result(n, _ uintptr, errno unix.Errno) (int, error) {
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
