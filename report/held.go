package report

import (
	"time"

	"github.com/restartbench/restartbench/bench/timeline"
)

// hold counts the requests that waited for a restart and were answered: ok, sent before the new process had begun to serve,
// answered by it, and slower than before. It returns nil where no new process was seen to answer, or nothing says what is
// usual: then waiting cannot be told from working.
//
// The bound on the time is the one that settling goes by. Without it, a request that merely began a moment before the new
// process served would count. A hold is reckoned from when the request was sent: what went out late did not wait.
func (r *run) hold(restarts []restart, base baseline) *Held {
	r.firstAnswers(restarts, base.p50)
	held := &Held{}
	observed := false
	for i := range restarts {
		if restarts[i].first != forever && base.ok > 0 {
			restarts[i].Held = new(uint64)
			observed = true
		}
	}
	if !observed {
		return nil
	}
	for i := range r.requests {
		q := &r.requests[i]
		if q.Outcome != timeline.OK || q.Done-q.Sent <= base.tolerable {
			continue
		}
		if a := r.heldBy(restarts, q); a != nil {
			*a.Held++
			held.Requests++
			held.Longest = max(held.Longest, Duration(q.Done-q.Sent))
		}
	}
	return held
}

// heldBy is the restart that q waited for: the last one, if there are several.
func (r *run) heldBy(restarts []restart, q *timeline.Request) *restart {
	due := r.due(q)
	for i := at(restarts, q.Done); i >= 0 && restarts[i].to > due; i-- {
		if a := &restarts[i]; a.Held != nil && q.Sent < a.serving && q.Done >= a.first {
			return a
		}
	}
	return nil
}

// firstAnswers finds each new process's first answer. The old process is gone when the new one is born, so that a request
// sent from then on was answered by the new one. One sent earlier may have got its answer from the old process at its last
// moment: a client notes the end of an answer a little late, but no later than the lag that is allowed it.
//
// The new process began to serve a typical response time before its first answer.
func (r *run) firstAnswers(restarts []restart, typical time.Duration) {
	for i := range r.requests {
		q := &r.requests[i]
		if q.Outcome != timeline.OK {
			continue
		}
		j := at(restarts, q.Done)
		if j < 0 {
			continue
		}
		a := &restarts[j]
		a.answered = a.answered || q.Sent >= a.completed
		if q.Done >= a.born && (q.Sent >= a.born || q.Done-a.born >= LagBound) {
			a.first = min(a.first, q.Done)
		}
	}
	for i := range restarts {
		if a := &restarts[i]; a.first != forever {
			a.NewAnswer = ref(Duration(a.first - a.from))
			a.serving = max(a.born, a.first-typical)
		}
	}
}
