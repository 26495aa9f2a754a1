package timeline

import (
	"fmt"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

const (
	chunkLen   = 4096                   // requests in one line of the file
	maxWaiting = 1 << 16                // requests waiting for the disk: 4.5 MiB
	wakeEvery  = 1 << 10                // requests after which the writer is woken
	flushEvery = 200 * time.Millisecond // the most that a killed run loses
)

// Recorder writes a run file. Its methods may be called from any goroutine, and none of them waits for the disk.
//
// 65,536 requests may wait for the disk, which is 6 s of a load of 10,000 a second. Those that end while so many wait are
// dropped and counted, and the count ends up in the file as a Gap of the observer "load", which makes the run inconclusive.
// Other events are few and never dropped. In all, a Recorder takes about 8 MiB.
type Recorder struct {
	now      func() time.Duration
	requests *ring
	closed   atomic.Bool

	mu     sync.Mutex
	events []Event       // other than requests, waiting to be written
	lost   uint64        // requests dropped for a full ring, not yet in a Gap
	lostAt time.Duration // since when
	err    error         // first failure to write

	wake   chan struct{} // of capacity 1: there is something to write
	failed chan struct{} // closed with err set
	done   chan struct{} // closed when the writer has returned
	end    chan End      // of capacity 1: closes the file
}

// NewRecorder starts a run file on w with its header. Close it in any case.
func NewRecorder(w io.Writer, clock Clock, header Header) (*Recorder, error) {
	return newRecorder(w, clock, header, maxWaiting)
}

func newRecorder(w io.Writer, clock Clock, header Header, waiting int) (*Recorder, error) {
	header.Format, header.Version, header.Clock = Format, Version, clock.Origin()
	file, err := newLineWriter(w)
	if err != nil {
		return nil, fmt.Errorf("starting the run file: %w", err)
	}
	r := &Recorder{
		now:      clock.Now,
		requests: newRing(waiting),
		events:   []Event{{Header: &header}},
		wake:     make(chan struct{}, 1),
		failed:   make(chan struct{}),
		done:     make(chan struct{}),
		end:      make(chan End, 1),
	}
	go r.write(file)
	r.signal()
	return r, nil
}

// Emit records an event other than a request.
func (r *Recorder) Emit(e Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed.Load() {
		return
	}
	r.events = append(r.events, e)
	r.signal()
}

// Request records a request.
func (r *Recorder) Request(q Request) {
	if r.closed.Load() {
		return
	}
	n, ok := r.requests.put(&q)
	switch {
	case !ok:
		r.lose(&q)
	case n%wakeEvery == wakeEvery-1:
		r.signal()
	}
}

func (r *Recorder) lose(q *Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.lost == 0 {
		r.lostAt = q.Sent
	}
	r.lost++
}

// Failed is closed when the file cannot be written any more; Err then says why.
func (r *Recorder) Failed() <-chan struct{} { return r.failed }

// Err is the first failure to write.
func (r *Recorder) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// Close writes what is left, and end after it. Later events are ignored, and so is the end of a second Close.
// It does not close the underlying writer.
func (r *Recorder) Close(end End) error {
	r.mu.Lock()
	first := !r.closed.Swap(true)
	r.mu.Unlock()
	if first {
		r.end <- end
	}
	<-r.done
	return r.Err()
}

func (r *Recorder) signal() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// write owns the file. It writes at once what it is woken for, and every flushEvery whatever there is.
func (r *Recorder) write(file *lineWriter) {
	defer close(r.done)
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case <-r.wake:
			r.writeWaiting(file)
		case <-tick.C:
			r.writeWaiting(file)
			file.flush()
		case end := <-r.end:
			r.writeLast(file, end)
			r.fail(file.err)
			return
		}
		r.fail(file.err)
	}
}

// writeWaiting writes what waits, but keeps requests back that are too few for a line. When the file has failed, it takes and
// forgets: the load must not pile up behind a dead disk.
func (r *Recorder) writeWaiting(file *lineWriter) {
	for _, e := range r.takeEvents() {
		file.event(e)
	}
	for {
		file.rows = r.requests.take(file.rows)
		if len(file.rows) < cap(file.rows) {
			return
		}
		file.requests()
	}
}

// writeLast waits for the requests that are just being put into the ring.
func (r *Recorder) writeLast(file *lineWriter, end End) {
	r.writeWaiting(file)
	for r.requests.filling() {
		runtime.Gosched()
		r.writeWaiting(file)
	}
	file.requests()
	for _, e := range append(r.takeEvents(), Event{End: &end}) {
		file.event(e)
	}
	file.close()
}

// takeEvents takes the events that wait, with a gap for the requests that were lost.
func (r *Recorder) takeEvents() []Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	events := r.events
	r.events = nil
	if r.lost > 0 {
		events = append(events, Event{Gap: &Gap{Observer: "load", From: r.lostAt, To: r.now(), Lost: r.lost,
			Why: "the run file could not be written as fast as requests ended"}})
		r.lost = 0
	}
	return events
}

func (r *Recorder) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil && r.err == nil {
		r.err = fmt.Errorf("writing the run file: %w", err)
		close(r.failed)
	}
}
