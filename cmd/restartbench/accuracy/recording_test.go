package accuracy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/restartbench/restartbench/bench/load"
	"github.com/restartbench/restartbench/bench/timeline"
	"github.com/restartbench/restartbench/report"
)

// tooLate is a lag by which a machine cannot be asked at this rate.
const tooLate = time.Second

// recording is a run file in memory that also shows what was put into it.
type recording struct {
	*timeline.Recorder
	file     bytes.Buffer
	mu       sync.Mutex
	requests []timeline.Request // by number
	times    []uint8            // how often each was recorded
	excess   []uint64           // numbers that no request should have
	each     func(timeline.Request)
}

// newRecording has room for n requests.
func newRecording(t *testing.T, clock timeline.Clock, scenario timeline.Scenario, n uint64) *recording {
	t.Helper()
	r := &recording{requests: make([]timeline.Request, n), times: make([]uint8, n), each: func(timeline.Request) {}}
	scenario.Name = t.Name()
	var err error
	if r.Recorder, err = timeline.NewRecorder(&r.file, clock, timeline.Header{Tool: "test", Scenario: scenario}); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *recording) Request(q timeline.Request) {
	r.Recorder.Request(q)
	r.mu.Lock()
	defer r.mu.Unlock()
	if q.Seq >= uint64(len(r.requests)) {
		r.excess = append(r.excess, q.Seq)
		return
	}
	r.requests[q.Seq] = q
	r.times[q.Seq]++
	r.each(q)
}

// checkComplete makes sure that each request was recorded once.
func (r *recording) checkComplete(t *testing.T) {
	t.Helper()
	if len(r.excess) > 0 {
		t.Fatalf("%d requests have numbers of %d or more, the first %d", len(r.excess), len(r.requests), r.excess[0])
	}
	for seq, times := range r.times {
		if times != 1 {
			t.Fatalf("request %d was recorded %d times, want 1", seq, times)
		}
	}
}

// report closes the file, reads it back and analyzes it.
func (r *recording) report(t *testing.T) *report.Report {
	t.Helper()
	if err := r.Close(timeline.End{Reason: timeline.Complete}); err != nil {
		t.Fatal(err)
	}
	return analyze(t, r.file.Bytes())
}

// analyze reports on a run file.
func analyze(t *testing.T, file []byte) *report.Report {
	t.Helper()
	rd := read(t, file)
	rep, err := report.Analyze(rd.Header, rd)
	if err != nil {
		t.Fatal(err)
	}
	return rep
}

// read opens a run file until the end of the test.
func read(t *testing.T, file []byte) *timeline.Reader {
	t.Helper()
	rd, err := timeline.NewReader(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(rd.Close)
	return rd
}

// requestsOf are the requests in a run file, in the file's order, and their schedule.
func requestsOf(t *testing.T, file []byte) (schedule timeline.Load, all []timeline.Request) {
	t.Helper()
	for rd := read(t, file); ; {
		e, err := rd.Next()
		switch {
		case errors.Is(err, io.EOF):
			return schedule, all
		case err != nil:
			t.Fatal(err)
		case e.Load != nil:
			schedule = *e.Load
		case e.Requests != nil:
			if all, err = e.Requests.Unpack(all); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// drive sends a load and records it with its schedule, and with what begun adds. The error says that the machine could not
// keep to the schedule.
func drive(t *testing.T, cfg load.Config, clock timeline.Clock, record *recording, begun func(timeline.Load)) (timeline.Load, error) {
	t.Helper()
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	traffic := load.New(cfg, clock, record)
	ended := make(chan error, 1)
	go func() { ended <- traffic.Run(ctx) }()
	schedule, err := traffic.Began(ctx)
	if err != nil {
		t.Fatal(errors.Join(err, <-ended))
	}
	record.mu.Lock()
	record.each = func(q timeline.Request) {
		if lag := q.Sent - schedule.Due(q.Seq); lag > tooLate {
			cancel(fmt.Errorf("request %d went out %v late: the machine is too slow", q.Seq, lag))
		}
	}
	record.mu.Unlock()
	record.Emit(timeline.Event{Load: &schedule})
	begun(schedule)
	<-ended // with an error only if it was cancelled
	return schedule, context.Cause(ctx)
}

// lasting is how long n requests take at a rate.
func lasting(n, rate uint64) time.Duration {
	return time.Duration(float64(n) / float64(rate) * float64(time.Second))
}

// restarted records a restart, which the load shall seem to have met.
func (r *recording) restarted(n int, requested, completed time.Duration) {
	r.Emit(timeline.Event{Restart: &timeline.Restart{N: n, Step: timeline.Requested, At: requested}})
	r.Emit(timeline.Event{Restart: &timeline.Restart{N: n, Step: timeline.Completed, At: completed, Result: timeline.Done}})
}

// window is a restart's [requested, settled) on the run's clock.
type window struct{ from, to time.Duration }

// forever is later than every moment of a run.
const forever = time.Duration(1<<63 - 1)

// windows are the restarts' that a report tells of. One that did not settle lasts until the next.
func windows(schedule timeline.Load, restarts []report.Restart) (all []window) {
	for i, r := range restarts {
		from := schedule.Began + time.Duration(r.Requested)
		w := window{from, forever}
		switch {
		case r.Recovery != nil:
			w.to = from + time.Duration(*r.Recovery)
		case i+1 < len(restarts):
			w.to = schedule.Began + time.Duration(restarts[i+1].Requested)
		}
		all = append(all, w)
	}
	return all
}

// phase is a request's, and the restarts, counted from 0, that it touches.
func phase(all []window, due, done time.Duration) (name string, touched []int) {
	for i, w := range all {
		if due < w.to && max(due, done) >= w.from {
			touched = append(touched, i)
		}
	}
	switch {
	case len(touched) > 0:
		return "during", touched
	case len(all) == 0 || max(due, done) < all[0].from:
		return "before", nil
	}
	return "after", nil
}
