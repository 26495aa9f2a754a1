package report

import (
	"time"

	"github.com/restartbench/restartbench/bench/timeline"
)

// Analyze reads a run to its end and tells what it proves. Its errors are those of the source, or say how the run file is
// damaged; a run that is truncated is no error, and its verdict is inconclusive.
func Analyze(header timeline.Header, source Source) (*Report, error) {
	r, err := collect(header, source)
	if err != nil {
		return nil, err
	}
	restarts := r.restarts()
	base := r.baseline(restarts)
	r.settle(restarts, base)
	phases := r.count(restarts)
	held := r.hold(restarts, base)
	r.prove(restarts)
	transitions, unexplained := r.attribute(restarts)
	patterns, bad := r.patterns()
	telling, total := r.tellingLines(patterns)

	rep := &Report{
		Schema:           Schema,
		Tool:             header.Tool,
		Host:             header.Host,
		Clock:            header.Clock,
		Scenario:         r.scenario(),
		Load:             r.generator(),
		Restarts:         []Restart{},
		Held:             held,
		Drops:            classes(phases[1], phases[2]),
		Hidden:           phases[1].hidden + phases[2].hidden,
		Sockets:          r.arming(),
		StartLimits:      r.startLimits(),
		AutoRestarts:     r.automatic(),
		Transitions:      transitions,
		Unexplained:      unexplained,
		Gaps:             r.gapNotes(),
		Warnings:         append(r.warningNotes(), bad...),
		Logs:             r.near(restarts),
		LogFindings:      telling,
		LogFindingsTotal: total,
	}
	for _, p := range phases {
		rep.Phases = append(rep.Phases, p.finish())
		rep.SYN += p.SYN
	}
	for _, a := range restarts {
		rep.Restarts = append(rep.Restarts, a.Restart)
	}
	rep.Proof = weigh(rep.Phases[1], restarts)
	rep.Summary = summarise(rep)
	verdict, warnings := judge(r, rep, restarts, base, phases[1].late)
	rep.Verdict, rep.Warnings = verdict, append(rep.Warnings, warnings...)
	return rep, nil
}

func (r *run) scenario() Scenario {
	s := r.header.Scenario
	out := Scenario{Name: s.Name, Description: s.Description, Manager: s.Manager, ManagerVersion: s.ManagerVersion, Why: s.Why,
		Action: s.Action, Unit: s.Unit, Type: s.Type,
		Command: s.Command, Target: s.Target, Connections: s.Connections, Settle: Duration(s.Settle)}
	if r.load != nil {
		out.Rate, out.Address = r.load.Rate, r.load.Address
	}
	return out
}

func (r *run) generator() Load {
	l := Load{
		Sent:    uint64(len(r.requests)) + r.warmup + r.aborted + r.lost(),
		Warmup:  r.warmup,
		Aborted: r.aborted,
		Lost:    r.lost(),
		LagMax:  Duration(r.lag.max),
	}
	if r.lag.count() > 0 {
		l.LagP99 = Duration(r.lag.quantile(99))
	}
	if r.loadEnd != nil {
		l.Scheduled = r.loadEnd.Scheduled
	}
	return l
}

// lost is how many requests are known to be missing in the file.
func (r *run) lost() (n uint64) {
	for _, g := range r.gaps {
		if g.Observer == loadObserver {
			n += g.Lost
		}
	}
	return n
}

func (r *run) since(at time.Duration) Duration { return Duration(at - r.began()) }

func (r *run) gapNotes() []Gap {
	all := []Gap{}
	for _, g := range r.gaps {
		all = append(all, Gap{g.Observer, r.since(g.From), r.since(g.To), g.Lost, g.Why})
	}
	return all
}

func (r *run) warningNotes() []Note {
	all := []Note{}
	for _, w := range r.warnings {
		all = append(all, Note{At: r.since(w.At), Source: w.Source, Text: w.Text})
	}
	return all
}
