package timeline

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"
)

const (
	chunkLen   = 4096                   // requests in one line of the file
	maxQueued  = 64                     // chunks waiting for the disk: a quarter of a million requests, 23 MiB
	flushEvery = 200 * time.Millisecond // the most that a killed run loses
)

// Recorder writes a run file. Its methods may be called from any goroutine, and none of them waits for the disk.
//
// Requests that the disk is too slow for are dropped and counted, and the count ends up in the file as a Gap; other
// events are few and never dropped.
type Recorder struct {
	now   func() time.Duration
	limit int // of queued chunks

	mu     sync.Mutex
	chunk  []Request
	queued int           // chunks in queue
	queue  []Event       // waits to be written
	free   [][]Request   // chunks to use again
	lost   uint64        // requests dropped for a full queue, not yet in a Gap
	lostAt time.Duration // since when
	err    error         // first failure to write
	closed bool

	wake   chan struct{} // of capacity 1: there is something to write
	failed chan struct{} // closed with err set
	done   chan struct{} // closed when the writer has returned
	close  chan struct{}
}

// NewRecorder starts a run file on w with its header. Close it in any case.
func NewRecorder(w io.Writer, clock Clock, header Header) (*Recorder, error) {
	return newRecorder(w, clock, header, maxQueued)
}

func newRecorder(w io.Writer, clock Clock, header Header, limit int) (*Recorder, error) {
	header.Format, header.Version, header.Clock = Format, Version, clock.Origin()
	z, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithWindowSize(1<<20))
	if err != nil {
		return nil, fmt.Errorf("starting the run file: %w", err)
	}
	r := &Recorder{
		now:    clock.Now,
		limit:  limit,
		wake:   make(chan struct{}, 1),
		failed: make(chan struct{}),
		done:   make(chan struct{}),
		close:  make(chan struct{}),
	}
	r.queue = append(r.queue, Event{Header: &header})
	go r.write(z)
	r.signal()
	return r, nil
}

// Emit records an event other than a request.
func (r *Recorder) Emit(e Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	r.queue = append(r.queue, e)
	r.signal()
}

// Request records a request.
func (r *Recorder) Request(q Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	if len(r.chunk) == chunkLen {
		if r.queued >= r.limit {
			r.lose(q)
			return
		}
		r.enqueueChunk()
		r.signal()
	}
	if r.chunk == nil {
		r.chunk = r.newChunk()
	}
	r.chunk = append(r.chunk, q)
}

func (r *Recorder) lose(q Request) {
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
	first := !r.closed
	if first {
		r.enqueueChunk()
		r.enqueueGap()
		r.queue = append(r.queue, Event{End: &end})
		r.closed = true
	}
	r.mu.Unlock()
	if first {
		close(r.close)
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

func (r *Recorder) newChunk() []Request {
	if n := len(r.free); n > 0 {
		c := r.free[n-1]
		r.free = r.free[:n-1]
		return c
	}
	return make([]Request, 0, chunkLen)
}

// enqueueChunk moves the open chunk to the queue, still as rows: packing is the writer's work, not the load's.
func (r *Recorder) enqueueChunk() {
	if len(r.chunk) == 0 {
		return
	}
	r.queue = append(r.queue, Event{Requests: &Requests{rows: r.chunk}})
	r.queued++
	r.chunk = nil
}

// write owns the encoder. It writes at once what it is woken for, and flushes the open chunk every flushEvery.
func (r *Recorder) write(z *zstd.Encoder) {
	defer close(r.done)
	buffered := bufio.NewWriterSize(z, 1<<16)
	lines := json.NewEncoder(buffered)
	lines.SetEscapeHTML(false)
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for open := true; open; {
		chunks := false
		select {
		case <-r.wake:
		case <-tick.C:
			chunks = true
		case <-r.close:
			chunks, open = true, false
		}
		if err := r.writeQueue(lines, chunks); err != nil {
			r.fail(err)
			continue
		}
		if chunks {
			if err := flush(buffered, z); err != nil {
				r.fail(err)
			}
		}
	}
	if r.Err() == nil {
		if err := z.Close(); err != nil {
			r.fail(err)
		}
	}
}

func flush(b *bufio.Writer, z *zstd.Encoder) error {
	if err := b.Flush(); err != nil {
		return err
	}
	return z.Flush()
}

func (r *Recorder) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil {
		r.err = fmt.Errorf("writing the run file: %w", err)
		close(r.failed)
	}
}

// writeQueue encodes what is queued, and the open chunk too if asked.
func (r *Recorder) writeQueue(lines *json.Encoder, openChunk bool) error {
	for {
		events := r.take(openChunk)
		if len(events) == 0 {
			return nil
		}
		if r.Err() != nil {
			continue // take and forget: the load must not pile up behind a dead disk
		}
		for _, e := range events {
			if e.Requests != nil {
				rows := e.Requests.rows
				e.Requests = Pack(rows)
				r.recycle(rows)
			}
			if err := lines.Encode(e); err != nil {
				return err
			}
		}
		openChunk = false
	}
}

func (r *Recorder) take(openChunk bool) []Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	if openChunk {
		r.enqueueChunk()
	}
	r.enqueueGap()
	events := r.queue
	r.queue, r.queued = nil, 0
	return events
}

func (r *Recorder) enqueueGap() {
	if r.lost == 0 {
		return
	}
	r.queue = append(r.queue, Event{Gap: &Gap{Observer: "load", From: r.lostAt, To: r.now(), Lost: r.lost,
		Why: "the run file could not be written as fast as requests ended"}})
	r.lost = 0
}

func (r *Recorder) recycle(rows []Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.free = append(r.free, rows[:0])
}
