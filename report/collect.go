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
	// Next returns the next event, io.EOF after the last, or timeline.ErrTruncated where the file was cut short. The Requests
	// of an event need only be good until the next call.
	Next() (*timeline.Event, error)
	// Rewind begins again with the first event. Events that skip names may be left out from then on.
	Rewind(skip timeline.Skip) error
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

// run is what a run file says, its requests and log lines apart: its events, sorted by kind and by their moments, those of the
// same moment in the file's order; and what the survey found of the requests.
type run struct {
	header     timeline.Header
	load       *timeline.Load
	loadEnd    *timeline.LoadEnd
	units      []timeline.Unit // events of the unit that is restarted
	sockets    []timeline.Unit // events of socket units
	armed      []timeline.Armed
	limits     []timeline.StartLimit
	identities []timeline.Identity
	steps      []timeline.Restart
	warnings   []timeline.Warning
	gaps       []timeline.Gap
	end        *timeline.End // nil: truncated
	survey
}

// collect reads all events but requests and log lines, of which there are many.
func collect(header timeline.Header, source Source) (*run, error) {
	r := &run{header: header}
	if err := each(source, timeline.SkipRequests|timeline.SkipLogs, r.add); err != nil {
		return nil, err
	}
	if r.load != nil && !(r.load.Rate > 0) {
		return nil, damaged(fmt.Errorf("its load has the rate %v", r.load.Rate))
	}
	r.sort()
	return r, nil
}

// each reads a source from its beginning to its end, or to where it was cut short.
func each(source Source, skip timeline.Skip, see func(*timeline.Event) error) error {
	if err := source.Rewind(skip); err != nil {
		return err
	}
	for {
		e, err := source.Next()
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, timeline.ErrTruncated):
			return nil
		case err != nil:
			return err
		}
		if err := see(e); err != nil {
			return damaged(err)
		}
	}
}

func damaged(err error) error { return fmt.Errorf("the run file is damaged: %w", err) }

func (r *run) add(e *timeline.Event) (err error) {
	switch {
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
	slices.SortStableFunc(r.warnings, func(a, b timeline.Warning) int { return cmp.Compare(a.At, b.At) })
	slices.SortStableFunc(r.gaps, func(a, b timeline.Gap) int { return cmp.Compare(a.From, b.From) })
	// A restart that completes at the moment of its request still completes after it.
	slices.SortStableFunc(r.steps, func(a, b timeline.Restart) int {
		return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.N, b.N), -cmp.Compare(a.Step, b.Step))
	})
}

func (r *run) due(q *timeline.Request) time.Duration { return r.load.Due(q.Seq) }

// latency is the response time, from schedule. A request that went out a little early took no less than its service time.
func latency(q *timeline.Request, due time.Duration) time.Duration { return q.Done - min(due, q.Sent) }

// ended is when q ended, and not before it was due, should it have gone out early.
func ended(q *timeline.Request, due time.Duration) time.Duration { return max(q.Done, due) }

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
	case r.counted == 0:
		return r.load.Began
	}
	return r.load.Due(r.last)
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
