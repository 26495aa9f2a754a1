package report

import "fmt"

// What became of requests that found as many under way as load.max_in_flight allows, and so went out late.
//
// They are late because the service stalled, not because the generator did, so that their lateness is not held against the
// generator. Nor does it hide anything: response times count from when they were due. What is missing is their connections. At
// this rate clients would have opened one each, and the accept queue, a connection limit or the descriptors of the service might
// not have held out. So a loss that was seen stands, but a run without one has not shown that there is none.
//
// Before the restart it is otherwise: a service that reaches the bound in peace is not up to the load, and what is usual, with
// which the restart is compared, is not.

// spared tells how many connections at most the service did not see at once, and the bound; few do not matter.
func (j *judgement) spared() (n, bound uint64, matters bool) {
	l := j.rep.Load
	return l.Waited, l.MaxInFlight, float64(l.Waited) > WaitedBound*float64(l.MaxInFlight)
}

const raiseBound = "raise load.max_in_flight"

// inFlight looks at whether the bound kept requests back.
func (j *judgement) inFlight() {
	n, bound, matters := j.spared()
	if n == 0 {
		return
	}
	allowed := "as many as load.max_in_flight allows"
	if bound > 0 {
		allowed = fmt.Sprintf("%s, which is as many as load.max_in_flight allows,", number(bound))
	}
	j.warn(0, "load", fmt.Sprintf("%s due while %s were under way, and went out late: response times count from when a request was due, "+
		"but the service saw fewer connections than this rate makes", were(n, "request"), allowed), raiseBound)
	if matters && len(j.restarts) > 0 {
		j.find(doubts, raiseBound, "the service was spared up to %s, with which it might have failed: so many requests waited for others to end",
			plural(n, "connection"))
	}
}

// unexcused is how many of the late requests were not kept back by the bound, at least.
func (j *judgement) unexcused(late uint64) uint64 { return late - min(late, j.rep.Load.Waited) }

// crowded tells whether the bound made more requests of a phase late than can be overlooked.
func (j *judgement) crowded(p *phase) bool {
	return j.rep.Load.Waited > 0 && float64(p.late) > LateBound*float64(p.Requests)
}
