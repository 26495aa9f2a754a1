package report

import (
	"sort"
	"time"

	"github.com/restartbench/restartbench/bench/timeline"
)

// restart is a Restart under analysis. All moments are on the run's clock.
type restart struct {
	Restart
	from      time.Duration // requested
	completed time.Duration // the job or the command had ended
	until     time.Duration // the next restart was requested; forever for the last
	to        time.Duration // settled, or else until
	born      time.Duration // a new main process was there; forever: none was seen
	changed   time.Duration // the identity URL answered differently; forever: it did not
	first     time.Duration // the new process's first answer; forever: none
	serving   time.Duration // the new process had begun to serve

	gone     bool // the old main process ended
	unseen   bool // no main process was seen before it
	answered bool // some request sent after completion was ok

	unsettled                         // why there is no recovery to report
	well                time.Duration // for so long all was well at the very end, though it had not settled
	waiting             bool          // some request waited for the service, completed as the restart was
	firstDrop, lastDrop time.Duration // when they were due; forever and 0: none
}

// restarts finds each restart, in the order of their requests, and what units and the identity URL show of it.
func (r *run) restarts() []restart {
	var all []restart
	latest := map[int]int{} // position of restart N
	for _, s := range r.steps {
		i, known := latest[s.N]
		switch {
		case s.Step == timeline.Requested:
			latest[s.N] = len(all)
			all = append(all, r.newRestart(s))
		case known && all[i].Job == nil:
			a := &all[i]
			a.completed, a.Result, a.Detail = s.At, s.Result, s.Detail
			a.Job = ref(Duration(s.At - a.from))
		}
	}
	fickle := len(all) > 0 && r.fickle(all[0].from)
	for i := range all {
		a := &all[i]
		if i+1 < len(all) {
			a.until = all[i+1].from
		}
		r.watchUnit(a)
		if !fickle {
			r.watchIdentity(a)
		}
	}
	return all
}

func (r *run) newRestart(s timeline.Restart) restart {
	return restart{
		Restart:   Restart{N: s.N, Requested: r.since(s.At), Result: "did not complete"},
		from:      s.At,
		completed: max(s.At, r.scheduleEnd()),
		until:     forever,
		born:      forever,
		changed:   forever,
		first:     forever,
		firstDrop: forever,
	}
}

// watchUnit finds when the restarted unit had a main process that it did not have before a, and whether the old one ended.
func (r *run) watchUnit(a *restart) {
	next := sort.Search(len(r.units), func(i int) bool { return r.units[i].At >= a.from })
	old := next - 1
	for old >= 0 && r.units[old].MainPID == 0 {
		old--
	}
	if a.unseen = old < 0; a.unseen {
		return // that it runs now says nothing
	}
	for _, u := range r.units[next:] {
		if u.At >= min(a.until, r.drained()) {
			return
		}
		switch {
		case u.MainPID == 0:
			a.gone = true
		case otherProcess(r.units[old], u):
			a.gone, a.born = true, u.At
			return
		}
	}
}

// otherProcess tells two main processes of a unit apart. The invocation is what a manager never gives twice; the kernel
// does use process ids again.
func otherProcess(old, u timeline.Unit) bool {
	if old.InvocationID != "" && u.InvocationID != "" {
		return old.InvocationID != u.InvocationID
	}
	return old.MainPID != u.MainPID
}

// fickle tells whether the identity URL's answer changed before any restart: then a change proves nothing.
func (r *run) fickle(first time.Duration) bool {
	return len(r.identities) > 1 && r.identities[1].At < first
}

func (r *run) watchIdentity(a *restart) {
	next := sort.Search(len(r.identities), func(i int) bool { return r.identities[i].At >= a.from })
	if next == 0 {
		return
	}
	old := r.identities[next-1].Text
	for _, id := range r.identities[next:] {
		if id.At >= a.until {
			return
		}
		if id.Text != old {
			a.changed = id.At
			return
		}
	}
}

// at is the position of the last restart requested by a moment, or -1.
func at(restarts []restart, moment time.Duration) int {
	return sort.Search(len(restarts), func(i int) bool { return restarts[i].from > moment }) - 1
}
