package report

import (
	"fmt"
	"time"

	"github.com/restartbench/restartbench/bench/timeline"
)

// survey is what a first look at all requests tells. Requests that count are those of a phase.
type survey struct {
	warmup  uint64 // do not count
	aborted uint64 // likewise
	counted uint64
	last    uint64 // the greatest sequence number of those that count
	lag     *recorder
	late    uint64 // how many that count went out more than LagBound late
	usual   *recorder
}

// look surveys the requests. What is usual is told by those that were ok and had ended before the first restart was requested.
func (r *run) look(source Source) error {
	r.survey = survey{lag: newRecorder(), usual: newRecorder()}
	until, highest := r.firstRequested(), uint64(0)
	if r.loadEnd != nil {
		highest = r.loadEnd.Scheduled
	}
	err := r.eachRequest(source, timeline.SkipLogs, func(q *timeline.Request) {
		highest = max(highest, q.Seq)
		switch {
		case q.Outcome == timeline.Aborted:
			r.aborted++
		case q.Seq < r.load.Warmup:
			r.warmup++
		default:
			r.lookAt(q, until)
		}
	}, nil)
	if err != nil {
		return err
	}
	return r.check(highest)
}

func (r *run) lookAt(q *timeline.Request, until time.Duration) {
	due := r.due(q)
	r.counted++
	r.last = max(r.last, q.Seq)
	r.lag.add(q.Sent - due)
	if q.Sent-due > LagBound {
		r.late++
	}
	if q.Outcome == timeline.OK && ended(q, due) < until {
		r.usual.add(latency(q, due))
	}
}

// firstRequested is when the first restart was requested, or forever.
func (r *run) firstRequested() time.Duration {
	for _, s := range r.steps {
		if s.Step == timeline.Requested {
			return s.At
		}
	}
	return forever
}

// check refuses schedules that cannot be reckoned with. highest is the greatest sequence number.
func (r *run) check(highest uint64) error {
	if r.load == nil {
		return nil
	}
	if r.load.Began.Abs() > longestRun || float64(highest)/r.load.Rate > longestRun.Seconds() {
		return damaged(fmt.Errorf("its load has %d requests at %v a second, which is longer than any run", highest, r.load.Rate))
	}
	return nil
}

// eachRequest reads the source once and shows its requests, in any order, and its log lines, if they are not skipped. Without a
// schedule, requests have no meaning and are not shown.
func (r *run) eachRequest(source Source, skip timeline.Skip, see func(*timeline.Request), log func(*timeline.Log)) error {
	var rows []timeline.Request
	return each(source, skip, func(e *timeline.Event) (err error) {
		switch {
		case e.Log != nil && skip&timeline.SkipLogs == 0:
			log(e.Log)
		case e.Requests != nil:
			if rows, err = e.Requests.Unpack(rows[:0]); err != nil || r.load == nil {
				return err
			}
			for i := range rows {
				see(&rows[i])
			}
		}
		return nil
	})
}

// eachCounted shows the requests that count, with the moments at which they were due.
func (r *run) eachCounted(source Source, skip timeline.Skip, see func(q *timeline.Request, due time.Duration), log func(*timeline.Log)) error {
	return r.eachRequest(source, skip, func(q *timeline.Request) {
		if q.Outcome != timeline.Aborted && q.Seq >= r.load.Warmup {
			see(q, r.due(q))
		}
	}, log)
}
