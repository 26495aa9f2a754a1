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

// newBaseline tells what was usual. It bounds the phases, so that it is taken before they are known.
func newBaseline(usual *recorder) baseline {
	if usual.count() == 0 {
		return baseline{tolerable: forever}
	}
	p95 := usual.quantile(95)
	return baseline{usual.count(), usual.quantile(50), p95, max(slackFactor*p95, p95+slackAtLeast)}
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

// follow reads the fates of the requests among which things may have settled, and finds each new process's first answer.
func (r *run) follow(source Source, restarts []restart, base baseline) (*fates, error) {
	f := newFates()
	err := r.eachCounted(source, timeline.SkipLogs, func(q *timeline.Request, due time.Duration) {
		firstAnswer(restarts, q)
		if i := at(restarts, due); i >= 0 && due >= r.settleFrom(&restarts[i]) {
			f.set(q.Seq, judgeFate(&restarts[i], q, base.tolerable))
		}
	}, nil)
	f.sort()
	return f, err
}

// settle finds for each restart when things had settled, which is where its part of `during` ends.
func (r *run) settle(restarts []restart, base baseline, f *fates) {
	for i := range restarts {
		a := &restarts[i]
		a.to = a.until
		if at, ok := r.findSettled(a, f, false); ok {
			a.to, a.Recovery, a.Recovered = at, ref(Duration(at-a.from)), ref(true)
			continue
		}
		a.unsettled = r.whyNot(a, base, f)
		if a.unsettled == slower || a.unsettled == failing {
			a.Recovered = ref(false)
		}
	}
}

func (r *run) whyNot(a *restart, base baseline, f *fates) unsettled {
	_, okAtLeast := r.findSettled(a, f, true)
	well := 0
	well, a.well = r.tail(a, f)
	first := f.from(r.firstDue(r.settleFrom(a)))
	switch {
	case a.until == forever && !r.complete():
		return cutOff
	case !r.fits(a, first, settleEnd(first)):
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

// settleEnd is at the last of the fewest requests that a settle window from first on must hold.
func settleEnd(first cursor) cursor {
	for range settleLeast - 1 {
		first.next()
	}
	return first
}

// fits tells whether a whole settle window, of which two requests are the first and the last needed, lies before the load or the
// next restart ends it.
func (r *run) fits(a *restart, first, last cursor) bool {
	until := r.settleUntil(a)
	return last.valid() && r.load.Due(last.seq()) < until && r.load.Due(first.seq())+r.header.Scenario.Settle <= until
}

// findSettled finds the first moment from which every request that is due over the settle window is ok and their p95 is
// tolerable, or may be anything.
//
// The first request of the window must itself be fast, or the last held ones could hide among the 5 % that a p95 allows.
func (r *run) findSettled(a *restart, f *fates, anyTime bool) (time.Duration, bool) {
	first := f.from(r.firstDue(r.settleFrom(a)))
	end, n := first, 0 // the window is [i, end), and so many requests
	var in [bad + 1]int
	fateAt := func(c cursor) fate {
		if got := c.fate(); got != slow || !anyTime {
			return got
		}
		return fast
	}
	for i, last := first, settleEnd(first); r.fits(a, i, last); {
		due := r.load.Due(i.seq())
		for end.valid() && (n < settleLeast || r.load.Due(end.seq()) < due+r.header.Scenario.Settle) {
			in[fateAt(end)]++
			n++
			end.next()
		}
		begins := fateAt(i)
		if begins == fast && in[bad] == 0 && float64(in[slow]) <= slowShare*float64(n) {
			if i == first {
				return r.settleFrom(a), true
			}
			return due, true
		}
		in[begins]--
		n--
		i.next()
		last.next()
	}
	return 0, false
}

// judgeFate judges q by what was known when the next restart was requested: what became of it then is that one's doing. A
// request that the generator could not send says nothing about the service, and one that it sent late is not slow for it.
func judgeFate(a *restart, q *timeline.Request, tolerable time.Duration) fate {
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
func (r *run) tail(a *restart, f *fates) (n int, lasted time.Duration) {
	until := r.settleUntil(a)
	least := r.firstDue(r.settleFrom(a))
	for c := f.from(r.firstDue(until)); c.back() && c.seq() >= least && c.fate() == fast; {
		n, lasted = n+1, until-r.load.Due(c.seq())
	}
	return n, lasted
}

// firstDue is the first sequence number that is due at or after a moment. Without requests, it may be any.
func (r *run) firstDue(at time.Duration) uint64 {
	if r.counted == 0 {
		return 0
	}
	return uint64(sort.Search(int(r.last+1), func(i int) bool { return r.load.Due(uint64(i)) >= at }))
}
