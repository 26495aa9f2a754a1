package report

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/restartbench/restartbench/bench/timeline"
)

// Source is a run file's events after its header. timeline.Reader is one.
type Source interface {
	// Next returns the next event, io.EOF after the last, or timeline.ErrTruncated where the file was cut short.
	Next() (*timeline.Event, error)
}

// The names under which observers report their gaps.
const (
	loadObserver    = "load"
	unitsObserver   = "units"
	journalObserver = "journal"
)

// forever is later than every moment of a run.
const forever = time.Duration(1<<63 - 1)

// longestRun bounds what a schedule can be without being damaged. Beyond it, moments overflow.
const longestRun = 10 * 365 * 24 * time.Hour

// run is a run file's events, sorted by kind and by their moments. Those of the same moment keep the file's order.
type run struct {
	header     timeline.Header
	load       *timeline.Load
	loadEnd    *timeline.LoadEnd
	requests   []timeline.Request // by due time, warm-up and aborted ones left out
	warmup     uint64             // requests left out as warm-up
	aborted    uint64
	lag        *recorder
	units      []timeline.Unit // events of the unit that is restarted
	sockets    []timeline.Unit // events of socket units
	armed      []timeline.Armed
	limits     []timeline.StartLimit
	identities []timeline.Identity
	steps      []timeline.Restart
	logs       []timeline.Log
	warnings   []timeline.Warning
	gaps       []timeline.Gap
	end        *timeline.End // nil: truncated
}

// collect reads all events.
func collect(header timeline.Header, source Source) (*run, error) {
	r := &run{header: header, lag: newRecorder()}
	for {
		e, err := source.Next()
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, timeline.ErrTruncated):
			if err := r.check(); err != nil {
				return nil, fmt.Errorf("the run file is damaged: %w", err)
			}
			r.sort()
			return r, nil
		case err != nil:
			return nil, err
		}
		if err := r.add(e); err != nil {
			return nil, fmt.Errorf("the run file is damaged: %w", err)
		}
	}
}

func (r *run) add(e *timeline.Event) (err error) {
	switch {
	case e.Requests != nil:
		r.requests, err = e.Requests.Unpack(r.requests)
	case e.Load != nil:
		err = once(&r.load, e.Load, "load")
	case e.LoadEnd != nil:
		err = once(&r.loadEnd, e.LoadEnd, "load_end")
	case e.Restart != nil:
		r.steps = append(r.steps, *e.Restart)
	case e.Unit != nil:
		r.addUnit(e.Unit)
	case e.Armed != nil:
		r.armed = append(r.armed, *e.Armed)
	case e.StartLimit != nil:
		r.limits = append(r.limits, *e.StartLimit)
	case e.Identity != nil:
		r.identities = append(r.identities, *e.Identity)
	case e.Log != nil:
		r.logs = append(r.logs, *e.Log)
	case e.Warning != nil:
		r.warnings = append(r.warnings, *e.Warning)
	case e.Gap != nil:
		r.gaps = append(r.gaps, *e.Gap)
	case e.End != nil:
		err = once(&r.end, e.End, "end")
	}
	return err
}

func (r *run) addUnit(u *timeline.Unit) {
	switch {
	case u.Name == r.header.Scenario.Unit:
		r.units = append(r.units, *u)
	case isSocket(u.Name):
		r.sockets = append(r.sockets, *u)
	}
}

func once[T any](to **T, event *T, name string) error {
	if *to != nil {
		return fmt.Errorf("it has two %s events", name)
	}
	*to = event
	return nil
}

// check refuses schedules that cannot be reckoned with.
func (r *run) check() error {
	if r.load == nil {
		return nil
	}
	if !(r.load.Rate > 0) {
		return fmt.Errorf("its load has the rate %v", r.load.Rate)
	}
	last := uint64(0)
	if r.loadEnd != nil {
		last = r.loadEnd.Scheduled
	}
	for i := range r.requests {
		last = max(last, r.requests[i].Seq)
	}
	if r.load.Began.Abs() > longestRun || float64(last)/r.load.Rate > longestRun.Seconds() {
		return fmt.Errorf("its load has %d requests at %v a second, which is longer than any run", last, r.load.Rate)
	}
	return nil
}

func (r *run) sort() {
	slices.SortStableFunc(r.units, func(a, b timeline.Unit) int { return cmp.Compare(a.At, b.At) })
	slices.SortStableFunc(r.sockets, func(a, b timeline.Unit) int { return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.Name, b.Name)) })
	slices.SortStableFunc(r.armed, func(a, b timeline.Armed) int {
		return cmp.Or(cmp.Compare(a.Socket, b.Socket), cmp.Compare(a.Service, b.Service), cmp.Compare(a.At, b.At))
	})
	slices.SortStableFunc(r.limits, func(a, b timeline.StartLimit) int {
		return cmp.Or(cmp.Compare(a.Unit, b.Unit), cmp.Compare(a.At, b.At))
	})
	slices.SortStableFunc(r.identities, func(a, b timeline.Identity) int { return cmp.Compare(a.At, b.At) })
	slices.SortStableFunc(r.logs, func(a, b timeline.Log) int { return cmp.Compare(a.At, b.At) })
	slices.SortStableFunc(r.warnings, func(a, b timeline.Warning) int { return cmp.Compare(a.At, b.At) })
	slices.SortStableFunc(r.gaps, func(a, b timeline.Gap) int { return cmp.Compare(a.From, b.From) })
	// A restart that completes at the moment of its request still completes after it.
	slices.SortStableFunc(r.steps, func(a, b timeline.Restart) int {
		return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.N, b.N), -cmp.Compare(a.Step, b.Step))
	})
	r.sortRequests()
}

// sortRequests keeps the requests that count, in the order they were due.
func (r *run) sortRequests() {
	if r.load == nil {
		r.requests = nil
		return
	}
	kept := r.requests[:0]
	for i := range r.requests {
		q := &r.requests[i]
		switch {
		case q.Outcome == timeline.Aborted:
			r.aborted++
		case q.Seq < r.load.Warmup:
			r.warmup++
		default:
			r.lag.add(q.Sent - r.due(q))
			kept = append(kept, *q)
		}
	}
	r.requests = kept
	inOrder := func(a, b timeline.Request) int {
		return cmp.Or(cmp.Compare(a.Seq, b.Seq), cmp.Compare(a.Sent, b.Sent), cmp.Compare(a.Done, b.Done), cmp.Compare(a.Outcome, b.Outcome))
	}
	if !slices.IsSortedFunc(r.requests, inOrder) {
		slices.SortFunc(r.requests, inOrder)
	}
}

func (r *run) due(q *timeline.Request) time.Duration { return r.load.Due(q.Seq) }

// latency is the response time, from schedule. A request that went out a little early took no less than its service time.
func (r *run) latency(q *timeline.Request) time.Duration { return q.Done - min(r.due(q), q.Sent) }

// began is the moment that the report's own times count from.
func (r *run) began() time.Duration {
	if r.load == nil {
		return 0
	}
	return r.load.Began
}

// scheduleEnd is when the schedule ended, or as much of it as was recorded.
func (r *run) scheduleEnd() time.Duration {
	switch {
	case r.load == nil:
		return 0
	case r.loadEnd != nil:
		return r.load.Due(r.loadEnd.Scheduled)
	case len(r.requests) == 0:
		return r.load.Began
	}
	return r.due(&r.requests[len(r.requests)-1])
}

// drained is when the last request had ended. What units do after it is being taken down.
func (r *run) drained() time.Duration {
	if r.loadEnd == nil {
		return forever
	}
	return r.loadEnd.At
}

// complete tells whether the run came to its end in the way it was meant to.
func (r *run) complete() bool {
	return r.end != nil && r.end.Reason == timeline.Complete && r.loadEnd != nil
}
