package report

import (
	"cmp"
	"slices"
	"sort"
	"time"

	"github.com/restartbench/restartbench/bench/timeline"
)

// noticeWithin is how much later than its clients a manager may learn that a process has ended.
const noticeWithin = 25 * time.Millisecond

// track is the steps of one unit, by their moments, and their positions among all transitions.
type track struct {
	steps []timeline.Unit
	rows  []int
}

// last is the position of the latest step at a moment, or -1.
func (t *track) last(moment time.Duration) int {
	return sort.Search(len(t.steps), func(i int) bool { return t.steps[i].At > moment }) - 1
}

// attribution joins dropped requests to the steps of the units: those since the first restart was requested.
type attribution struct {
	*run
	restarts    []restart
	all         []Transition
	unexplained *uint64 // the dropped requests that fell under no step; nil: the unit was not watched
	service     track
	sockets     map[string]*track
	names       []string // of the sockets
}

func (r *run) newAttribution(restarts []restart) *attribution {
	t := &attribution{run: r, restarts: restarts, all: []Transition{}, sockets: map[string]*track{}}
	if len(restarts) > 0 && len(r.units) > 0 {
		t.unexplained = new(uint64)
		t.lay()
	}
	return t
}

// add counts q, if it was dropped since the first restart was requested, under the step that it fell under.
func (t *attribution) add(q *timeline.Request, due time.Duration) {
	if t.unexplained == nil || !q.Outcome.Dropped() || ended(q, due) < t.restarts[0].from {
		return
	}
	row := t.under(q)
	if row < 0 {
		*t.unexplained++
		return
	}
	t.all[row].Dropped++
	t.all[row].Outcomes[q.Outcome.String()]++
}

// lay puts the steps of all units in order; of the same moment, the service's come first.
func (t *attribution) lay() {
	steps := slices.Concat(t.units, t.run.sockets)
	slices.SortStableFunc(steps, func(a, b timeline.Unit) int { return cmp.Compare(a.At, b.At) })
	for _, u := range steps {
		if u.At < t.restarts[0].from || u.At >= t.drained() {
			continue
		}
		on := &t.service
		if isSocket(u.Name) {
			on = t.socket(u.Name)
		}
		if n := len(on.steps); n > 0 && sameState(on.steps[n-1], u) {
			continue // something else changed
		}
		on.steps, on.rows = append(on.steps, u), append(on.rows, len(t.all))
		a := &t.restarts[at(t.restarts, u.At)]
		t.all = append(t.all, Transition{At: t.since(u.At), Restart: a.N, After: Duration(u.At - a.from), Unit: u.Name,
			Active: u.Active, Sub: u.Sub, Result: u.Result, Outcomes: map[string]uint64{}})
	}
}

func sameState(a, b timeline.Unit) bool {
	return a.Active == b.Active && a.Sub == b.Sub && a.Result == b.Result && a.MainPID == b.MainPID
}

func (t *attribution) socket(name string) *track {
	if t.sockets[name] == nil {
		t.sockets[name] = &track{}
		t.names = append(t.names, name)
	}
	return t.sockets[name]
}

// under is the step under which q was dropped, or -1.
//
// What counts is the state when the client learned that it was dropped: the kernel tells it at once of a closed port or a
// connection that is cut off. Only a timeout is told by the client's own clock, long after its cause, so that for one it is the
// state when it was sent, or the first step down while it waited. A connection is refused by the socket where there is one and it
// is closed; all else is the service's doing.
func (t *attribution) under(q *timeline.Request) int {
	moment, notice := q.Done, noticeWithin
	if q.Outcome == timeline.ConnectTimeout || q.Outcome == timeline.ResponseTimeout {
		moment, notice = q.Sent, max(noticeWithin, q.Done-q.Sent)
	}
	if t.unwatched(moment) {
		return -1
	}
	if q.Outcome == timeline.Refused {
		for _, name := range t.names {
			k := t.sockets[name]
			if i := k.last(moment); i >= 0 && !open(k.steps[i].Active, k.steps[i].Sub) {
				return k.rows[i]
			}
		}
	}
	i := t.service.last(moment)
	if i >= 0 && t.explains(t.service.steps[i], moment) {
		return t.service.rows[i]
	}
	// A process that ends is missed by its clients first, and by its manager a moment later.
	if next := i + 1; next < len(t.service.steps) && !up(t.service.steps[next]) && t.service.steps[next].At-moment <= notice {
		return t.service.rows[next]
	}
	return -1
}

// explains tells whether a drop at a moment can be laid to the state that the service was in. A service that is up and was so
// before the restart, or that had settled, has no excuse.
func (t *attribution) explains(u timeline.Unit, moment time.Duration) bool {
	i := at(t.restarts, moment)
	if i < 0 {
		return false
	}
	switch a := &t.restarts[i]; {
	case u.At < a.from:
		return !up(u)
	case u.At < a.to:
		return moment < a.to
	}
	return !up(u) || moment < u.At+t.settleTakes() // it ended and came back by itself
}

// up tells whether a service in that state should answer.
func up(u timeline.Unit) bool {
	return u.Active == "active" || u.Active == "reloading" || u.Active == "refreshing"
}

// unwatched tells whether nobody saw the units at a moment.
func (r *run) unwatched(moment time.Duration) bool {
	return slices.ContainsFunc(r.gaps, func(g timeline.Gap) bool {
		return g.Observer == unitsObserver && g.From <= moment && moment <= g.To
	})
}
