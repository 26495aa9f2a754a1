package supervisor

import (
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// poller tells the loop which of a set of descriptors can be read, with one goroutine in poll(2). After it has told of some it
// is idle until it is given a set again. Package net's own poller cannot do this: the services share the listening sockets.
type poller struct {
	ready chan []int // the readable ones, to the loop
	sets  chan []int
	wake  *os.File // a byte gets the goroutine out of poll(2)
	last  []int    // the loop's: the set that the goroutine has, nil when it is idle
}

// startPoller starts the goroutine; done is called when it ends.
func startPoller(done func()) (*poller, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make the poller's pipe: %w", err)
	}
	p := &poller{ready: make(chan []int), sets: make(chan []int), wake: w}
	go func() {
		defer done()
		defer r.Close()
		p.run(int(r.Fd()))
	}()
	return p, nil
}

// watch replaces the set. When it returns, the goroutine touches no descriptor outside of the new set: only then may one
// be closed. The loop alone calls it.
func (p *poller) watch(set []int) {
	if slices.Equal(set, p.last) {
		return
	}
	p.last = set
	p.send(set)
}

// fired notes that the goroutine has told of descriptors, and is idle. The loop alone calls it.
func (p *poller) fired() { p.last = nil }

// close ends the goroutine.
func (p *poller) close() {
	p.wake.Write([]byte{0})
	close(p.sets)
	p.wake.Close()
}

func (p *poller) send(set []int) {
	p.wake.Write([]byte{0}) // cannot fail nor fill the pipe: each byte is read before the set is taken
	p.sets <- set
}

func (p *poller) run(wake int) {
	var set []int
	for {
		woken, readable := poll(wake, set)
		if woken {
			var ok bool
			if set, ok = p.next(wake); !ok {
				return
			}
			continue
		}
		set = nil
		select {
		case p.ready <- readable:
		case next, ok := <-p.sets: // what was readable may be closed by now; it will show again if not
			if !ok {
				return
			}
			unix.Read(wake, make([]byte, 1))
			set = next
		}
	}
}

// next takes the byte that woke the goroutine, and the set that comes with it.
func (p *poller) next(wake int) ([]int, bool) {
	unix.Read(wake, make([]byte, 1))
	set, ok := <-p.sets
	return set, ok
}

// poll waits until wake or one of set can be read.
func poll(wake int, set []int) (woken bool, readable []int) {
	fds := []unix.PollFd{{Fd: int32(wake), Events: unix.POLLIN}}
	for _, fd := range set {
		fds = append(fds, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
	}
	for {
		// Besides EINTR poll(2) can only run out of memory here; either passes.
		if _, err := unix.Poll(fds, -1); err == nil {
			break
		}
	}
	for _, fd := range fds[1:] {
		if fd.Revents != 0 {
			readable = append(readable, int(fd.Fd))
		}
	}
	return fds[0].Revents != 0, readable
}
