package load

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// poller waits for what happens to descriptors, and for moments.
//
// Moments are timer descriptors (timerfd_create(2)) and no time limit of epoll_wait(2): they are exact to the nanosecond and
// not the millisecond, and they need not be set again each time an answer comes first. Setting the hardware's timer is among
// the dearest things that a virtual machine does.
type poller struct {
	epoll, event int
	timers       [ahead + 1]timer
	events       [128]unix.EpollEvent
	spare        bool // there is more than one P
}

type timer struct {
	fd int
	at time.Duration // what it was set to last
}

func newPoller() (*poller, error) {
	p := &poller{epoll: -1, event: -1, spare: runtime.GOMAXPROCS(0) > 1}
	for i := range p.timers {
		p.timers[i].fd = -1
	}
	if err := p.open(); err != nil {
		p.close()
		return nil, fmt.Errorf("preparing to send: %w", err)
	}
	return p, nil
}

func (p *poller) open() (err error) {
	if p.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return err
	}
	if p.event, err = unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC); err == nil {
		err = p.add(p.event, false)
	}
	for i := 0; i < len(p.timers) && err == nil; i++ {
		t := &p.timers[i]
		if t.fd, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC); err == nil {
			err = p.add(t.fd, false)
		}
	}
	return err
}

// add has changes of a descriptor told, each of them once.
func (p *poller) add(fd int, connecting bool) error {
	events := uint32(unix.EPOLLIN | unix.EPOLLRDHUP | edgeTriggered)
	if connecting {
		events |= unix.EPOLLOUT
	}
	return unix.EpollCtl(p.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)})
}

// again has what is ready now told once more.
func (p *poller) again(fd int) {
	_ = unix.EpollCtl(p.epoll, unix.EPOLL_CTL_MOD, fd, &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLRDHUP | edgeTriggered, Fd: int32(fd)})
}

const edgeTriggered = 1 << 31 // EPOLLET, which x/sys has as a negative number

// remove takes a descriptor back that stays open elsewhere.
func (p *poller) remove(fd int) { _ = unix.EpollCtl(p.epoll, unix.EPOLL_CTL_DEL, fd, nil) }

// set sets a timer, which ends a wait.
func (p *poller) set(i int, at, now time.Duration) {
	t := &p.timers[i]
	if t.at == at {
		return
	}
	t.at = at
	rawSetTimer(t.fd, unix.ItimerSpec{Value: unix.NsecToTimespec(int64(max(1, at-now)))})
}

// wait waits until something has happened, a timer among it; with a limit of 0 it only looks. It tells of each
// descriptor, and whether its peer may have ended its side. The limit says how long it may take; a timer has to be set to it.
func (p *poller) wait(limit time.Duration, happened func(fd int, ended bool)) {
	ms := -1
	if limit <= 0 {
		ms = 0
	}
	n, err := p.epollWait(ms, limit)
	if err != nil {
		if !errors.Is(err, unix.EINTR) {
			panic(fmt.Sprintf("epoll_wait: %v", err)) // it has no other error for arguments like ours
		}
		return
	}
	for _, e := range p.events[:n] {
		happened(int(e.Fd), e.Events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0)
	}
}

// brief is for how long a lane may keep its processor of Go's scheduler (its P) while it waits.
const brief = time.Millisecond

// epollWait waits in one of two ways. Before a wait that may be long the scheduler is told, and gives the P to others. Doing
// that thousands of times a second wakes more threads than the requests do, so a wait that is brief keeps the P, if there
// is another one; what else wants to run there, and the garbage collector, wait as long.
func (p *poller) epollWait(ms int, limit time.Duration) (int, error) {
	if limit > brief || !p.spare {
		return unix.EpollWait(p.epoll, p.events[:], ms)
	}
	return rawWait(p.epoll, p.events[:], ms)
}

// poke ends a wait. Any goroutine may call it.
func (p *poller) poke() { _, _ = unix.Write(p.event, binary.NativeEndian.AppendUint64(nil, 1)) }

func (p *poller) close() {
	fds := []int{p.epoll, p.event}
	for _, t := range p.timers {
		fds = append(fds, t.fd)
	}
	for _, fd := range fds {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}
