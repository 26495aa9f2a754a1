package report

import (
	"sort"
	"time"

	"github.com/restartbench/restartbench/bench/timeline"
)

const (
	settleLeast   = 50                    // requests that a settle window must hold
	slackFactor   = 2                     // a request is as fast as before within this factor of the baseline's p95,
	slackAtLeast  = 10 * time.Millisecond // or within this much of it
	slowShare     = 0.05                  // of a window may be slower: that is what a p95 within the bound means
	baselineLeast = 20                    // requests without which a p95 is only the maximum
	tailLeast     = 20                    // good requests at the very end that may have been the beginning of a settle window
)

// baseline is what was usual before the first restart.
type baseline struct {
	ok        uint64        // requests it rests on
	p50, p95  time.Duration // 0 without any
	tolerable time.Duration // the longest response time that is as fast as before; forever without a baseline
}

// baseline bounds the phases, so it is taken before they are known.
func (r *run) baseline(restarts []restart) baseline {
	rec, until := newRecorder(), forever
	if len(restarts) > 0 {
		until = restarts[0].from
	}
	for i := range r.requests {
		if q := &r.requests[i]; q.Outcome == timeline.OK && r.ended(q) < until {
			rec.add(r.latency(q))
		}
	}
	if rec.count() == 0 {
		return baseline{tolerable: forever}
	}
	p95 := rec.quantile(95)
	return baseline{rec.count(), rec.quantile(50), p95, max(slackFactor*p95, p95+slackAtLeast)}
}

// unsettled says why no recovery can be reported.
type unsettled uint8

const (
	settled    unsettled = iota
	cutOff               // the run did not come to its end
	tooShort             // no settle window fits between the restart and the end of the load, or the next restart
	late                 // it was well at the end, but not for long enough
	unmeasured           // it was slower than a baseline too small to tell
	slower               // every request was ok, and too many were slow
	failing              // requests failed in every window
)

// settle finds for each restart when things had settled, which is where its part of `during` ends.
func (r *run) settle(restarts []restart, base baseline) {
	for i := range restarts {
		a := &restarts[i]
		a.to = a.until
		if at, ok := r.findSettled(a, base.tolerable); ok {
			a.to, a.Recovery, a.Recovered = at, ref(Duration(at-a.from)), ref(true)
			continue
		}
		a.unsettled = r.whyNot(a, base)
		if a.unsettled == slower || a.unsettled == failing {
			a.Recovered = ref(false)
		}
	}
}

func (r *run) whyNot(a *restart, base baseline) unsettled {
	_, okAtLeast := r.findSettled(a, forever)
	well, _ := r.tail(a, base.tolerable)
	switch {
	case a.until == forever && !r.complete():
		return cutOff
	case !r.fits(a, r.firstDue(r.settleFrom(a))):
		return tooShort
	case well >= tailLeast:
		return late
	case okAtLeast && base.ok < baselineLeast:
		return unmeasured
	case okAtLeast:
		return slower
	}
	return failing
}

// settleFrom is the earliest moment at which things can have settled: when the restart had completed, and when the new
// process was there, where that was seen. A command, a kill or a stop may return long before the old process is gone, and
// the good answers of an old process are no recovery. The identity URL is asked only now and then, so that its change
// must only come before a settle window ends.
func (r *run) settleFrom(a *restart) time.Duration {
	from := max(a.from, a.completed)
	if a.born != forever {
		from = max(from, a.born)
	}
	if a.changed != forever {
		from = max(from, a.changed-r.header.Scenario.Settle)
	}
	return from
}

// settleUntil is where the time ends in which a settle window must lie.
func (r *run) settleUntil(a *restart) time.Duration { return min(a.until, r.scheduleEnd()) }

// settleTakes is how long a settle window is at this load.
func (r *run) settleTakes() time.Duration {
	return max(r.header.Scenario.Settle, time.Duration(settleLeast/r.load.Rate*float64(time.Second)))
}

// fits tells whether a whole settle window that begins with request i lies before the load or the next restart ends it.
func (r *run) fits(a *restart, i int) bool {
	until, last := r.settleUntil(a), i+settleLeast-1
	return last < len(r.requests) && r.due(&r.requests[last]) < until && r.due(&r.requests[i])+r.header.Scenario.Settle <= until
}

// findSettled finds the first moment from which every request that is due over the settle window is ok and their p95 is
// tolerable.
//
// The first request of the window must itself be fast, or the last held ones could hide among the 5 % that a p95 allows.
func (r *run) findSettled(a *restart, tolerable time.Duration) (time.Duration, bool) {
	first := r.firstDue(r.settleFrom(a))
	var in [3]int // fates in the window, which is [i, end)
	for i, end := first, first; i < len(r.requests) && r.fits(a, i); i++ {
		for end < len(r.requests) && (end-i < settleLeast || r.due(&r.requests[end]) < r.due(&r.requests[i])+r.header.Scenario.Settle) {
			in[r.fate(a, &r.requests[end], tolerable)]++
			end++
		}
		begins := r.fate(a, &r.requests[i], tolerable)
		if begins == fast && in[bad] == 0 && float64(in[slow]) <= slowShare*float64(end-i) {
			if i == first {
				return r.settleFrom(a), true
			}
			return r.due(&r.requests[i]), true
		}
		in[begins]--
	}
	return 0, false
}

// fate is what a request says about whether things have settled.
type fate uint8

const (
	fast fate = iota
	slow
	bad
)

// fate judges q by what was known when the next restart was requested: what became of it then is that one's doing. A
// request that the generator could not send says nothing about the service, and one that it sent late is not slow for it.
func (r *run) fate(a *restart, q *timeline.Request, tolerable time.Duration) fate {
	switch {
	case q.Outcome == timeline.ClientLimit:
		return fast
	case q.Outcome != timeline.OK && q.Done < a.until:
		return bad
	case min(q.Done, a.until)-q.Sent > tolerable:
		return slow
	}
	return fast
}

// tail counts the good requests at the very end of a's time, and tells for how long there were only such.
func (r *run) tail(a *restart, tolerable time.Duration) (n int, lasted time.Duration) {
	until, least := r.settleUntil(a), r.firstDue(r.settleFrom(a))
	for i := r.firstDue(until) - 1; i >= least && r.fate(a, &r.requests[i], tolerable) == fast; i-- {
		n, lasted = n+1, until-r.due(&r.requests[i])
	}
	return n, lasted
}

// firstDue is the position of the first request due at or after a moment.
func (r *run) firstDue(at time.Duration) int {
	return sort.Search(len(r.requests), func(i int) bool { return r.due(&r.requests[i]) >= at })
}
