package report

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"github.com/restartbench/restartbench/bench/timeline"
)

// phase gathers what becomes a Phase.
type phase struct {
	Phase
	outcomes               []uint64 // by timeline.Outcome
	reusedDrops            []uint64
	statuses               map[int]uint64
	hidden, late           uint64
	latency, fresh, reused *recorder
}

func newPhase(name string) *phase {
	return &phase{
		Phase:    Phase{Name: name, Outcomes: map[string]uint64{}, Statuses: map[string]uint64{}},
		outcomes: make([]uint64, len(timeline.Outcomes())), reusedDrops: make([]uint64, len(timeline.Outcomes())),
		statuses: map[int]uint64{},
		latency:  newRecorder(), fresh: newRecorder(), reused: newRecorder(),
	}
}

func (p *phase) add(q *timeline.Request, due time.Duration) {
	kind, kindLatency := &p.Fresh, p.fresh
	if q.Reused {
		kind, kindLatency = &p.Reused, p.reused
	}
	p.Requests++
	kind.Requests++
	p.outcomes[q.Outcome]++
	p.SYN += uint64(max(0, q.Retransmits))
	if q.Sent-due > LagBound {
		p.late++
	}
	if answered(q.Outcome) {
		p.statuses[q.Status]++
	}
	switch {
	case q.Outcome == timeline.OK:
		kind.OK++
		took := latency(q, due)
		p.latency.add(took)
		kindLatency.add(took)
	case q.Outcome.Dropped():
		p.drop(q, kind)
	}
}

func (p *phase) drop(q *timeline.Request, kind *Kind) {
	p.Dropped++
	kind.Dropped++
	if q.Reused {
		p.reusedDrops[q.Outcome]++
	}
	if q.Hidden {
		p.hidden++
	}
}

func answered(o timeline.Outcome) bool {
	return o == timeline.OK || o == timeline.HTTP5xx || o == timeline.HTTPUnexpected
}

func (p *phase) finish() Phase {
	p.OK, p.HTTP5xx = p.outcomes[timeline.OK], p.outcomes[timeline.HTTP5xx]
	p.Unexpected, p.ClientLimit = p.outcomes[timeline.HTTPUnexpected], p.outcomes[timeline.ClientLimit]
	for o, n := range p.outcomes {
		if n > 0 {
			p.Outcomes[timeline.Outcome(o).String()] = n
		}
	}
	for status, n := range p.statuses {
		p.Statuses[strconv.Itoa(status)] = n
	}
	p.Latency = p.latency.latency()
	p.Fresh.Latency = p.fresh.latency()
	p.Reused.Latency = p.reused.latency()
	return p.Phase
}

// phases counts requests by phase, as they come.
type phases struct {
	restarts []restart
	all      [3]*phase
	open     int // the first restart whose window had not ended when the latest request was due
}

func newPhases(restarts []restart) *phases {
	return &phases{restarts: restarts, all: [3]*phase{newPhase("before"), newPhase("during"), newPhase("after")}}
}

// add puts q in one phase: during where its time from due to done touches a restart's [requested, settled), else before or
// after. The restarts' windows are in order and do not overlap. A request that touches several restarts counts once in the
// phase, and for each of the restarts.
func (p *phases) add(q *timeline.Request, due time.Duration) {
	ended := ended(q, due)
	p.seek(due)
	touched := p.open
	for ; touched < len(p.restarts) && p.restarts[touched].from <= ended; touched++ {
		p.restarts[touched].count(q, due)
	}
	switch {
	case touched > p.open:
		p.all[1].add(q, due)
	case len(p.restarts) == 0 || ended < p.restarts[0].from:
		p.all[0].add(q, due)
	default:
		p.all[2].add(q, due)
	}
}

// seek is short, since requests come in about the order in which they were due.
func (p *phases) seek(due time.Duration) {
	for p.open > 0 && p.restarts[p.open-1].to > due {
		p.open--
	}
	for p.open < len(p.restarts) && p.restarts[p.open].to <= due {
		p.open++
	}
}

func (a *restart) count(q *timeline.Request, due time.Duration) {
	a.Exposed++
	switch {
	case q.Outcome.Dropped():
		a.Dropped++
		a.firstDrop, a.lastDrop = min(a.firstDrop, due), max(a.lastDrop, due)
	case q.Outcome == timeline.HTTP5xx:
		a.HTTP5xx++
	}
}

// measureOutage: an outage lasts from the first dropped request to the last. When they were due is what bounds it, because
// a request may take its whole timeout to be dropped; and it begins no earlier than the restart, which cut off requests
// that were under way.
func (a *restart) measureOutage() {
	if a.Dropped > 0 {
		a.Outage = ref(Duration(max(0, a.lastDrop-max(a.firstDrop, a.from))))
	}
}

// classes lists what was dropped during and after the restarts, most first.
func classes(phases ...*phase) []Class {
	all := []Class{}
	for _, o := range timeline.Outcomes() {
		c := Class{Outcome: o.String(), Meaning: Meaning(o)}
		for _, p := range phases {
			c.Count += p.outcomes[o]
			c.Reused += p.reusedDrops[o]
		}
		c.Fresh = c.Count - c.Reused
		if o.Dropped() && c.Count > 0 {
			all = append(all, c)
		}
	}
	slices.SortStableFunc(all, func(a, b Class) int { return cmp.Compare(b.Count, a.Count) })
	return all
}
