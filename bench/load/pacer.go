package load

import (
	"math"
	"sync"
	"time"

	"github.com/restartbench/restartbench/bench/timeline"
)

// pacer keeps the schedule, which others can know: request n is due at began + n/rate. Its end may move.
type pacer struct {
	clock    timeline.Clock
	schedule timeline.Load // Began is set when started is closed
	length   time.Duration // of the load at least, since began
	started  chan struct{}

	mu      sync.Mutex
	held    bool
	until   time.Duration // the load goes on until this moment at least, whatever its length
	stopped bool
	due     uint64 // requests, once the load is over
}

func newPacer(clock timeline.Clock, rate float64, warmup, duration time.Duration) *pacer {
	p := &pacer{
		clock:    clock,
		schedule: timeline.Load{Rate: rate},
		length:   warmup + duration,
		started:  make(chan struct{}),
	}
	p.schedule.Warmup = p.dueBefore(warmup)
	return p
}

// overrun is how long past the end of the load the requests that were due before it may still be sent.
const overrun = 2 * time.Second

// next returns when request number n is due, or says that the load ends without it.
func (p *pacer) next(n uint64, now time.Duration) (due time.Duration, over bool) {
	offset := p.offset(n)
	return p.schedule.Began + offset, p.over(now-p.schedule.Began, offset)
}

// begin fixes the schedule when it is first called.
func (p *pacer) begin(elapsed time.Duration) {
	select {
	case <-p.started:
		return
	default:
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.schedule.Began = p.clock.Now() - elapsed
	close(p.started)
}

// over says whether the load ends without the request that is due.
func (p *pacer) over(elapsed, due time.Duration) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held || p.stopped {
		return p.stopped
	}
	end := max(p.length, p.until-p.schedule.Began)
	if due < end && elapsed-end <= overrun {
		return false
	}
	p.due = p.dueBefore(end)
	return true
}

// offset is when request number n is due, since began.
func (p *pacer) offset(n uint64) time.Duration { return p.schedule.Due(n) - p.schedule.Began }

// dueBefore is how many requests are due before end, by the very numbers that Due gives: 0.07 s × 100/s is more than 7 in
// floating point.
func (p *pacer) dueBefore(end time.Duration) uint64 {
	if !(p.schedule.Rate > 0) {
		return 0
	}
	n := uint64(math.Ceil(max(0, end.Seconds()*p.schedule.Rate)))
	for n > 0 && p.offset(n-1) >= end {
		n--
	}
	for p.offset(n) < end {
		n++
	}
	return n
}

func (p *pacer) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped = true
}

func (p *pacer) hold() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held = true
}

// release ends the load at the moment given or after its length, whichever is later.
func (p *pacer) release(at time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held, p.until = false, at
}

// scheduled is how many requests were due, once the load has ended. When it was stopped, those that were sent were due.
func (p *pacer) scheduled(sent uint64) uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped {
		return sent
	}
	return p.due
}
