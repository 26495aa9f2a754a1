package report

import (
	"time"

	"github.com/restartbench/restartbench/bench/timeline"
)

// firstAnswer finds each new process's first answer. The old process is gone when the new one is born, so that a request
// sent from then on was answered by the new one. One sent earlier may have got its answer from the old process at its last
// moment: a client notes the end of an answer a little late, but no later than the lag that is allowed it.
func firstAnswer(restarts []restart, q *timeline.Request) {
	if q.Outcome != timeline.OK {
		return
	}
	i := at(restarts, q.Done)
	if i < 0 {
		return
	}
	a := &restarts[i]
	a.answered = a.answered || q.Sent >= a.completed
	if q.Done >= a.born && (q.Sent >= a.born || q.Done-a.born >= LagBound) {
		a.first = min(a.first, q.Done)
	}
}

// serve tells when each new process began to serve: a typical response time before its first answer.
func serve(restarts []restart, typical time.Duration) {
	for i := range restarts {
		if a := &restarts[i]; a.first != forever {
			a.NewAnswer = ref(Duration(a.first - a.from))
			a.serving = max(a.born, a.first-typical)
		}
	}
}

// newHeld returns nil where no new process was seen to answer, or nothing says what is usual: then waiting cannot be told from
// working.
func newHeld(restarts []restart, base baseline) (held *Held) {
	for i := range restarts {
		if restarts[i].first != forever && base.ok > 0 {
			restarts[i].Held = new(uint64)
			held = &Held{}
		}
	}
	return held
}

// hold counts q if it waited for a restart and was answered: ok, sent before the new process had begun to serve, answered by it,
// and slower than before.
//
// The bound on the time is the one that settling goes by. Without it, a request that merely began a moment before the new
// process served would count. A hold is reckoned from when the request was sent: what went out late did not wait.
func (h *Held) hold(restarts []restart, base baseline, q *timeline.Request, due time.Duration) {
	if q.Outcome != timeline.OK || q.Done-q.Sent <= base.tolerable {
		return
	}
	if a := heldBy(restarts, q, due); a != nil {
		*a.Held++
		h.Requests++
		h.Longest = max(h.Longest, Duration(q.Done-q.Sent))
	}
}

// heldBy is the restart that q waited for: the last one, if there are several.
func heldBy(restarts []restart, q *timeline.Request, due time.Duration) *restart {
	for i := at(restarts, q.Done); i >= 0 && restarts[i].to > due; i-- {
		if a := &restarts[i]; a.Held != nil && q.Sent < a.serving && q.Done >= a.first {
			return a
		}
	}
	return nil
}
