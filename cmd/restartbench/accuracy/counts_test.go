package accuracy

import (
	"fmt"
	"net/http"

	"github.com/restartbench/restartbench/bench/timeline"
	"github.com/restartbench/restartbench/report"
)

// counts is what a report says in numbers of requests.
type counts struct {
	Outcomes map[string]uint64 // "phase outcome"
	Statuses map[string]uint64 // "phase status"
	Kinds    map[string]uint64 // "phase kind": requests, ok, dropped
	Dropped  map[string]uint64 // "phase"
	Classes  map[string]uint64 // "outcome kind" of what was dropped during and after
	Restarts map[string]uint64 // "n exposed" and so on
	Hidden   uint64            // during and after
}

func newCounts() counts {
	return counts{Outcomes: map[string]uint64{}, Statuses: map[string]uint64{}, Kinds: map[string]uint64{},
		Dropped: map[string]uint64{}, Classes: map[string]uint64{}, Restarts: map[string]uint64{}}
}

// expect counts by what the server did and saw. Of the client it takes alone when each request was done, and of the report
// when things had settled: these two bound the phases.
func (o *oracle) expect(schedule timeline.Load, recorded []timeline.Request, restarts []window) counts {
	c := newCounts()
	for seq := range o.requests() {
		name, touched := phase(restarts, schedule.Due(seq), recorded[seq].Done)
		for _, i := range touched {
			c.expose(i+1, o.fates[seq])
		}
		c.add(name, o.fates[seq], o.reused[seq].Load(), o.method(seq) == http.MethodGet)
	}
	return c
}

func (c *counts) expose(n int, outcome timeline.Outcome) {
	c.Restarts[fmt.Sprint(n, " exposed")]++
	if outcome.Dropped() {
		c.Restarts[fmt.Sprint(n, " dropped")]++
	}
	if outcome == timeline.HTTP5xx {
		c.Restarts[fmt.Sprint(n, " 5xx")]++
	}
}

func (c *counts) add(phase string, outcome timeline.Outcome, reused, replayable bool) {
	kind := "fresh"
	if reused {
		kind = "reused"
	}
	c.Outcomes[phase+" "+outcome.String()]++
	c.Kinds[phase+" "+kind+" requests"]++
	if status, ok := map[timeline.Outcome]string{timeline.OK: "200", timeline.HTTP5xx: "503", timeline.HTTPUnexpected: "404"}[outcome]; ok {
		c.Statuses[phase+" "+status]++
	}
	if outcome == timeline.OK {
		c.Kinds[phase+" "+kind+" ok"]++
	}
	if !outcome.Dropped() {
		return
	}
	c.Kinds[phase+" "+kind+" dropped"]++
	c.Dropped[phase]++
	if phase == "before" {
		return
	}
	c.Classes[outcome.String()+" "+kind]++
	if reused && replayable && (outcome == timeline.Reset || outcome == timeline.EOF) {
		c.Hidden++
	}
}

// countsOf takes the counts out of a report.
func countsOf(rep *report.Report) counts {
	c := newCounts()
	put := func(m map[string]uint64, key string, n uint64) {
		if n > 0 {
			m[key] = n
		}
	}
	for _, p := range rep.Phases {
		for outcome, n := range p.Outcomes {
			put(c.Outcomes, p.Name+" "+outcome, n)
		}
		for status, n := range p.Statuses {
			put(c.Statuses, p.Name+" "+status, n)
		}
		put(c.Dropped, p.Name, p.Dropped)
		for kind, k := range map[string]report.Kind{"fresh": p.Fresh, "reused": p.Reused} {
			put(c.Kinds, p.Name+" "+kind+" requests", k.Requests)
			put(c.Kinds, p.Name+" "+kind+" ok", k.OK)
			put(c.Kinds, p.Name+" "+kind+" dropped", k.Dropped)
		}
	}
	for _, d := range rep.Drops {
		put(c.Classes, d.Outcome+" fresh", d.Fresh)
		put(c.Classes, d.Outcome+" reused", d.Reused)
	}
	for _, r := range rep.Restarts {
		put(c.Restarts, fmt.Sprint(r.N, " exposed"), r.Exposed)
		put(c.Restarts, fmt.Sprint(r.N, " dropped"), r.Dropped)
		put(c.Restarts, fmt.Sprint(r.N, " 5xx"), r.HTTP5xx)
	}
	c.Hidden = rep.Hidden
	return c
}
