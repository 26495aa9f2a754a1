package report

import (
	"cmp"
	"errors"
	"io"
	"slices"
	"sort"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/restartbench/restartbench/bench/timeline"
)

// inMemory is a run of which all requests and log lines are in memory, in the order of their moments. On it the measures are
// taken step by step, as the definitions in docs/report.md say. Analyze must find the same as it reads.
type inMemory struct {
	*run
	requests []timeline.Request
	logs     []timeline.Log
}

// measureInMemory is measure by the definitions.
func measureInMemory(t testing.TB, header timeline.Header, source Source) (*run, *measures) {
	t.Helper()
	collected, err := collect(header, source)
	if err != nil {
		t.Fatal(err)
	}
	r := &inMemory{run: collected}
	r.survey = survey{lag: newRecorder(), usual: newRecorder()}
	r.read(t, source)
	r.sortRequests()
	restarts := r.restarts()
	m := &measures{restarts: restarts, base: r.baseline(restarts)}
	r.settle(restarts, m.base)
	m.phases = r.count(restarts)
	m.held = r.hold(restarts, m.base)
	r.early(restarts)
	m.steps = r.newAttribution(restarts)
	r.attribute(m.steps)
	patterns, bad := r.patterns()
	m.logs, m.bad = &logs{near: r.near(restarts)}, bad
	m.logs.telling, m.logs.total = r.tellingLines(patterns)
	return collected, m
}

func (r *inMemory) read(t testing.TB, source Source) {
	t.Helper()
	if err := source.Rewind(0); err != nil {
		t.Fatal(err)
	}
	for {
		e, err := source.Next()
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, timeline.ErrTruncated):
			slices.SortStableFunc(r.logs, func(a, b timeline.Log) int { return cmp.Compare(a.At, b.At) })
			return
		case err != nil:
			t.Fatal(err)
		case e.Log != nil:
			r.logs = append(r.logs, *e.Log)
		case e.Requests != nil:
			if r.requests, err = e.Requests.Unpack(r.requests); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// early notes the restarts that had completed while requests went on waiting.
func (r *inMemory) early(restarts []restart) {
	for i := range restarts {
		a := &restarts[i]
		if a.first == forever {
			continue
		}
		until := a.serving - readyLate
		for i := r.firstDue(a.from); i < len(r.requests) && r.due(&r.requests[i]) <= until; i++ {
			if q := &r.requests[i]; q.Sent <= until && q.Done >= a.completed {
				a.waiting = true
			}
		}
	}
}

func (r *inMemory) baseline(restarts []restart) baseline {
	rec, until := newRecorder(), forever
	if len(restarts) > 0 {
		until = restarts[0].from
	}
	for i := range r.requests {
		if q := &r.requests[i]; q.Outcome == timeline.OK && ended(q, r.due(q)) < until {
			rec.add(latency(q, r.due(q)))
		}
	}
	if rec.count() == 0 {
		return baseline{tolerable: forever}
	}
	p95 := rec.quantile(95)
	return baseline{rec.count(), rec.quantile(50), p95, max(slackFactor*p95, p95+slackAtLeast)}
}

func (r *inMemory) settle(restarts []restart, base baseline) {
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

func (r *inMemory) whyNot(a *restart, base baseline) unsettled {
	_, okAtLeast := r.findSettled(a, forever)
	well := 0
	well, a.well = r.tail(a, base.tolerable)
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

func (r *inMemory) fits(a *restart, i int) bool {
	until, last := r.settleUntil(a), i+settleLeast-1
	return last < len(r.requests) && r.due(&r.requests[last]) < until && r.due(&r.requests[i])+r.header.Scenario.Settle <= until
}

func (r *inMemory) findSettled(a *restart, tolerable time.Duration) (time.Duration, bool) {
	first := r.firstDue(r.settleFrom(a))
	var in [bad + 1]int // fates in the window, which is [i, end)
	for i, end := first, first; i < len(r.requests) && r.fits(a, i); i++ {
		for end < len(r.requests) && (end-i < settleLeast || r.due(&r.requests[end]) < r.due(&r.requests[i])+r.header.Scenario.Settle) {
			in[judgeFate(a, &r.requests[end], tolerable)]++
			end++
		}
		begins := judgeFate(a, &r.requests[i], tolerable)
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

func (r *inMemory) tail(a *restart, tolerable time.Duration) (n int, lasted time.Duration) {
	until, least := r.settleUntil(a), r.firstDue(r.settleFrom(a))
	for i := r.firstDue(until) - 1; i >= least && judgeFate(a, &r.requests[i], tolerable) == fast; i-- {
		n, lasted = n+1, until-r.due(&r.requests[i])
	}
	return n, lasted
}

func (r *inMemory) firstDue(at time.Duration) int {
	return sort.Search(len(r.requests), func(i int) bool { return r.due(&r.requests[i]) >= at })
}

func (r *inMemory) count(restarts []restart) [3]*phase {
	all := [3]*phase{newPhase("before"), newPhase("during"), newPhase("after")}
	open := 0 // the first restart whose window may still be touched
	for i := range r.requests {
		q := &r.requests[i]
		due, ended := r.due(q), ended(q, r.due(q))
		for open < len(restarts) && restarts[open].to <= due {
			open++
		}
		touched := open
		for ; touched < len(restarts) && restarts[touched].from <= ended; touched++ {
			restarts[touched].count(q, due)
		}
		switch {
		case touched > open:
			all[1].add(q, due)
		case len(restarts) == 0 || ended < restarts[0].from:
			all[0].add(q, due)
		default:
			all[2].add(q, due)
		}
	}
	for i := range restarts {
		restarts[i].measureOutage()
	}
	return all
}

func (r *inMemory) hold(restarts []restart, base baseline) *Held {
	r.firstAnswers(restarts, base.p50)
	held := &Held{}
	observed := false
	for i := range restarts {
		if restarts[i].first != forever && base.ok > 0 {
			restarts[i].Held = new(uint64)
			observed = true
		}
	}
	if !observed {
		return nil
	}
	for i := range r.requests {
		q := &r.requests[i]
		if q.Outcome != timeline.OK || q.Done-q.Sent <= base.tolerable {
			continue
		}
		if a := heldBy(restarts, q, r.due(q)); a != nil {
			*a.Held++
			held.Requests++
			held.Longest = max(held.Longest, Duration(q.Done-q.Sent))
		}
	}
	return held
}

func (r *inMemory) firstAnswers(restarts []restart, typical time.Duration) {
	for i := range r.requests {
		q := &r.requests[i]
		if q.Outcome != timeline.OK {
			continue
		}
		j := at(restarts, q.Done)
		if j < 0 {
			continue
		}
		a := &restarts[j]
		a.answered = a.answered || q.Sent >= a.completed
		if q.Done >= a.born && (q.Sent >= a.born || q.Done-a.born >= LagBound) {
			a.first = min(a.first, q.Done)
		}
	}
	for i := range restarts {
		if a := &restarts[i]; a.first != forever {
			a.NewAnswer = ref(Duration(a.first - a.from))
			a.serving = max(a.born, a.first-typical)
		}
	}
}

func (r *inMemory) attribute(t *attribution) {
	for i := range r.requests {
		t.add(&r.requests[i], r.due(&r.requests[i]))
	}
}

func (r *inMemory) sortRequests() {
	if r.load == nil {
		r.requests = nil
		return
	}
	kept := r.requests[:0]
	for i := range r.requests {
		q := &r.requests[i]
		switch {
		case q.Outcome == timeline.Aborted:
			r.aborted++
		case q.Seq < r.load.Warmup:
			r.warmup++
		default:
			r.lag.add(q.Sent - r.due(q))
			r.counted++
			r.last = max(r.last, q.Seq)
			if q.Sent-r.due(q) > LagBound {
				r.late++
			}
			kept = append(kept, *q)
		}
	}
	r.requests = kept
	inOrder := func(a, b timeline.Request) int {
		return cmp.Or(cmp.Compare(a.Seq, b.Seq), cmp.Compare(a.Sent, b.Sent), cmp.Compare(a.Done, b.Done), cmp.Compare(a.Outcome, b.Outcome))
	}
	if !slices.IsSortedFunc(r.requests, inOrder) {
		slices.SortFunc(r.requests, inOrder)
	}
}

func (r *inMemory) tellingLines(p patterns) (lines []Note, total uint64) {
	lines = []Note{}
	for _, l := range r.logs {
		if l.At < r.began() || l.At >= r.drained() {
			continue
		}
		n := r.logNote(&l)
		n.Pattern = p.matching(l.Text)
		if n.Pattern == "" && !slices.Contains(severe, l.Priority) {
			continue
		}
		if total++; total <= telling {
			lines = append(lines, n)
		}
	}
	return lines, total
}

func (r *inMemory) near(restarts []restart) []Note {
	const most = 20
	notes := []Note{}
	for _, l := range r.logs {
		if i := at(restarts, l.At); i >= 0 && l.At < min(restarts[i].to, r.drained()) {
			notes = append(notes, r.logNote(&l))
		}
	}
	return notes[max(0, len(notes)-most):]
}

// inDisorder are a story's events as a file might have them: requests in the order in which they ended, some of them lost, and in
// lines of any length.
func inDisorder(t *rapid.T, s *story) []timeline.Event {
	slices.SortStableFunc(s.requests, func(a, b timeline.Request) int { return cmp.Compare(a.Done, b.Done) })
	if lost := rapid.SliceOfN(rapid.IntRange(0, 99), 0, 3).Draw(t, "lost"); len(lost) > 0 {
		s.requests = slices.DeleteFunc(s.requests, func(q timeline.Request) bool { return slices.Contains(lost, int(q.Seq%100)) })
	}
	lines := s.lines(rapid.IntRange(1, 500).Draw(t, "pack"))
	if rapid.Bool().Draw(t, "shuffled") {
		for i, j := range rapid.Permutation(indexes(len(lines))).Draw(t, "order")[:len(lines)/2] {
			lines[i], lines[j] = lines[j], lines[i]
		}
	}
	return lines
}

func TestReadingFindsWhatTheDefinitionsSay(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := drawStory(rt)
		if rapid.Bool().Draw(rt, "bounded") {
			s.load.MaxInFlight = rapid.IntRange(0, 2000).Draw(rt, "max in flight")
			if s.loadEnd != nil {
				s.loadEnd.Waited = rapid.Uint64Range(0, 100).Draw(rt, "waited")
			}
		}
		last := rapid.SampledFrom([]error{io.EOF, timeline.ErrTruncated}).Draw(rt, "ends with")
		source := newEvents(inDisorder(rt, s), last)
		run, measures := measureInMemory(t, s.header, source)
		want := run.report(measures)
		got, err := Analyze(s.header, source)
		if err != nil {
			rt.Fatal(err)
		}
		if diff := gocmp.Diff(want, got); diff != "" {
			rt.Fatalf("(-by definition +read):\n%s", diff)
		}
	})
}

func TestReadingStoriesFindsWhatTheDefinitionsSay(t *testing.T) {
	for _, told := range stories {
		t.Run(told.name, func(t *testing.T) {
			s := told.story()
			run, measures := measureInMemory(t, s.header, s.source())
			if diff := gocmp.Diff(run.report(measures), s.report(t)); diff != "" {
				t.Errorf("(-by definition +read):\n%s", diff)
			}
		})
	}
}
