package load

import (
	"math"
	"sync"
	"time"

	"github.com/restartbench/restartbench/bench/timeline"
)

// pacer is a vegeta.Pacer that keeps to a schedule others can know: request n is due at began + n/rate.
//
// It does all the waiting itself and tells vegeta to wait no more: a wait here ends early when the end of the load moves.
type pacer struct {
	clock    timeline.Clock
	schedule timeline.Load       // Began is set when started is closed
	length   time.Duration       // of the load at least, since began
	nap      func(time.Duration) // a short and precise sleep, which may end early
	started  chan struct{}
	quit     chan struct{} // closed by stop
	moved    chan struct{} // of capacity 1: the end has moved

	mu      sync.Mutex
	held    bool
	until   time.Duration // the load goes on until this moment at least, whatever its length
	stopped bool
	due     uint64 // requests due so far
}

func newPacer(clock timeline.Clock, rate float64, warmup, duration time.Duration) *pacer {
	p := &pacer{
		clock:    clock,
		schedule: timeline.Load{Rate: rate},
		length:   warmup + duration,
		nap:      newNap(),
		started:  make(chan struct{}),
		quit:     make(chan struct{}),
		moved:    make(chan struct{}, 1),
	}
	p.schedule.Warmup = p.dueBefore(warmup)
	return p
}

// overrun is how long past the end of the load the requests that were due before it may still be sent.
const overrun = 2 * time.Second

// Pace returns when request number hits is due, or says that it is not to be sent. vegeta calls it from one goroutine.
func (p *pacer) Pace(elapsed time.Duration, hits uint64) (wait time.Duration, stop bool) {
	p.begin(elapsed)
	due := p.offset(hits)
	for {
		elapsed := p.clock.Now() - p.schedule.Began
		if p.over(elapsed, due, hits) {
			return 0, true
		}
		if elapsed >= due {
			return 0, false
		}
		p.doze(due - elapsed)
	}
}

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

// over says whether the load ends without request number hits.
func (p *pacer) over(elapsed, due time.Duration, hits uint64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.due = hits
	if p.stopped {
		return true
	}
	if p.held {
		return false
	}
	end := max(p.length, p.until-p.schedule.Began)
	if due < end && elapsed-end > overrun {
		p.due = p.dueBefore(end)
		return true
	}
	return due >= end
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

// doze waits, but not past a change of the end. Only the last bit, which nothing interrupts, is precise.
func (p *pacer) doze(wait time.Duration) {
	const most = 2 * time.Millisecond
	if wait <= most {
		p.nap(wait)
		return
	}
	timer := time.NewTimer(wait - most)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-p.moved:
	case <-p.quit:
	}
}

// Rate is the rate at elapsed, for vegeta.
func (p *pacer) Rate(time.Duration) float64 { return p.schedule.Rate }

func (p *pacer) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.stopped {
		p.stopped = true
		close(p.quit)
	}
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
	select {
	case p.moved <- struct{}{}:
	default:
	}
}

// scheduled is how many requests were due, once the load has ended.
func (p *pacer) scheduled() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.due
}
