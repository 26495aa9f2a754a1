package load

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// newNap returns a sleep for one goroutine. Go's timers wait in epoll_wait(2), which counts whole milliseconds, so with them
// a request goes out half a millisecond late on average. This one is late by what it takes to wake a thread.
//
// Its first call locks the goroutine to a thread for good: both end together, and with them the thread's timer slack, which
// is 50 µs otherwise (prctl(2), PR_SET_TIMERSLACK).
func newNap() func(time.Duration) {
	locked := false
	return func(d time.Duration) {
		if !locked {
			locked = true
			runtime.LockOSThread()
			_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0) // without it naps are a little longer
		}
		ts := unix.NsecToTimespec(int64(d))
		_ = unix.ClockNanosleep(unix.CLOCK_MONOTONIC, 0, &ts, nil) // a signal ends it early, and Pace asks again
	}
}
