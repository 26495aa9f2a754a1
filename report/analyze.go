package report

import (
	"time"

	"github.com/restartbench/restartbench/bench/timeline"
)

// Analyze reads a run, four times over, and tells what it proves. What it keeps in memory does not grow with the number of
// requests, save a quarter of a byte for each that follows a restart. Its errors are those of the source, or say how the run file
// is damaged; a run that is truncated is no error, and its verdict is inconclusive.
func Analyze(header timeline.Header, source Source) (*Report, error) {
	r, m, err := measure(header, source)
	if err != nil {
		return nil, err
	}
	return r.report(m), nil
}

// measures are what the requests and the log lines of a run tell of its restarts.
type measures struct {
	restarts []restart
	base     baseline
	phases   [3]*phase
	held     *Held
	steps    *attribution
	logs     *logs
	bad      []Note // patterns that match nothing
}

// measure reads the source once for each step that needs the outcome of the one before.
func measure(header timeline.Header, source Source) (*run, *measures, error) {
	r, err := collect(header, source)
	if err != nil {
		return nil, nil, err
	}
	if err := r.look(source); err != nil {
		return nil, nil, err
	}
	m := &measures{restarts: r.restarts(), base: newBaseline(r.usual)}
	fates, err := r.follow(source, m.restarts, m.base)
	if err != nil {
		return nil, nil, err
	}
	r.settle(m.restarts, m.base, fates)
	serve(m.restarts, m.base.p50)
	return r, m, r.count(source, m)
}

// count counts the requests, now that it is known when things had settled.
func (r *run) count(source Source, m *measures) error {
	phases := newPhases(m.restarts)
	patterns, bad := r.patterns()
	m.phases, m.held, m.steps, m.logs, m.bad = phases.all, newHeld(m.restarts, m.base), r.newAttribution(m.restarts), r.newLogs(m.restarts, patterns), bad
	err := r.eachCounted(source, 0, func(q *timeline.Request, due time.Duration) {
		phases.add(q, due)
		if m.held != nil {
			m.held.hold(m.restarts, m.base, q, due)
		}
		m.steps.add(q, due)
		noteWaiting(m.restarts, q, due)
	}, m.logs.add)
	for i := range m.restarts {
		m.restarts[i].measureOutage()
	}
	return err
}

// noteWaiting notes that q waited for a service that did not answer yet, though its restart had completed.
func noteWaiting(restarts []restart, q *timeline.Request, due time.Duration) {
	i := at(restarts, due)
	if i < 0 || restarts[i].first == forever {
		return
	}
	a := &restarts[i]
	until := a.serving - readyLate
	a.waiting = a.waiting || due <= until && q.Sent <= until && q.Done >= a.completed
}

func (r *run) report(m *measures) *Report {
	restarts, phases := m.restarts, m.phases
	r.prove(restarts)
	rep := &Report{
		Schema:           Schema,
		Tool:             r.header.Tool,
		Host:             r.header.Host,
		Clock:            r.header.Clock,
		Scenario:         r.scenario(),
		Load:             r.generator(),
		Restarts:         []Restart{},
		Held:             m.held,
		Drops:            classes(phases[1], phases[2]),
		Hidden:           phases[1].hidden + phases[2].hidden,
		Sockets:          r.arming(),
		StartLimits:      r.startLimits(),
		AutoRestarts:     r.automatic(),
		Transitions:      m.steps.all,
		Unexplained:      m.steps.unexplained,
		Gaps:             r.gapNotes(),
		Warnings:         append(r.warningNotes(), m.bad...),
		Logs:             m.logs.near,
		LogFindings:      m.logs.telling,
		LogFindingsTotal: m.logs.total,
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
	verdict, warnings := judge(r, rep, m)
	rep.Verdict, rep.Warnings = verdict, append(rep.Warnings, warnings...)
	return rep
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
		Sent:    r.counted + r.warmup + r.aborted + r.lost(),
		Warmup:  r.warmup,
		Aborted: r.aborted,
		Lost:    r.lost(),
		LagMax:  Duration(r.lag.max),
	}
	if r.lag.count() > 0 {
		l.LagP99 = Duration(r.lag.quantile(99))
	}
	if r.load != nil {
		l.MaxInFlight = uint64(max(0, r.load.MaxInFlight))
	}
	if r.loadEnd != nil {
		l.Scheduled, l.Waited = r.loadEnd.Scheduled, r.loadEnd.Waited
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
