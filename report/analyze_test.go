package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"pgregory.net/rapid"

	"github.com/restartbench/restartbench/bench/timeline"
)

// TestBoundaries moves one dropped request past each end of a phase by a nanosecond. At 128/s every due time is exact.
func TestBoundaries(t *testing.T) {
	const settled = 2*second + 250*ms // requested at 2 s; a request is due then, and all are well
	due := func(q *timeline.Request) time.Duration { return time.Duration(q.Seq) * second / 128 }
	for _, tc := range []struct {
		name  string
		due   time.Duration
		took  time.Duration
		phase int
	}{
		{"ends just before the request", 2*second - second/128, second/128 - 1, 0},
		{"ends at the request", 2*second - second/128, second / 128, 1},
		{"due at the request", 2 * second, 1, 1},
		{"due last before settled", settled - second/128, 1, 1},
		{"due when settled", settled, 1, 2},
		{"lasts from before until after", second, 2 * second, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := tell(128, 6*second).at(2 * second).restart(250 * ms)
			found := false
			s.between(0, 6*second).each(func(q *timeline.Request, _ time.Duration) {
				if due(q) == tc.due {
					found, q.Outcome, q.Done = true, timeline.ClientLimit, s.on(due(q)+tc.took)
				}
			})
			if !found {
				t.Fatal("no request is due then")
			}
			// client_limit leaves the settled moment where it is, which a drop might move.
			for i, p := range s.report(t).Phases {
				if got := p.ClientLimit == 1; got != (i == tc.phase) {
					t.Errorf("in phase %s: %v", p.Name, got)
				}
			}
		})
	}
}

func TestDamagedRunsAreErrors(t *testing.T) {
	for name, spoil := range map[string]func(*story){
		"no rate":       func(s *story) { s.load.Rate = 0 },
		"negative rate": func(s *story) { s.load.Rate = -1 },
		"endless":       func(s *story) { s.load.Rate = 1e-12 },
		"two loads":     func(s *story) { s.event(timeline.Event{Load: &s.load}) },
		"two ends":      func(s *story) { s.event(timeline.Event{End: s.end}) },
		"far sequence":  func(s *story) { s.requests[0].Seq = 1 << 62 },
		"bad columns":   func(s *story) { s.event(timeline.Event{Requests: &timeline.Requests{N: 3, Seq: []int64{1, 2}}}) },
	} {
		t.Run(name, func(t *testing.T) {
			s := held()
			spoil(s)
			if _, err := Analyze(s.header, s.source()); err == nil || !strings.Contains(err.Error(), "damaged") {
				t.Errorf("got %v", err)
			}
		})
	}
	broken := errors.New("broken disk")
	if _, err := Analyze(timeline.Header{}, newEvents(nil, broken)); !errors.Is(err, broken) {
		t.Errorf("the source's error became %v", err)
	}
}

// drawStory draws a run in which about everything can go wrong. No two of its events share a moment.
func drawStory(t *rapid.T) *story {
	s := tell(rapid.SampledFrom([]float64{7, 50, 200}).Draw(t, "rate"), time.Duration(rapid.IntRange(1, 12).Draw(t, "length"))*second)
	s.warmup(rapid.Uint64Range(0, 20).Draw(t, "warmup")).settle(time.Duration(rapid.IntRange(1, 1500).Draw(t, "settle")) * ms)
	if rapid.Bool().Draw(t, "command") {
		s.by("deploy").identity(3*time.Microsecond, "1")
	}
	moment := func(name string) time.Duration { return time.Duration(rapid.IntRange(0, 12000).Draw(t, name)) * ms }
	begin := time.Duration(0)
	for i := range rapid.IntRange(0, 3).Draw(t, "restarts") {
		begin += moment("gap") / 4
		apart := time.Duration(i) * 10 * time.Microsecond
		a := s.at(begin + time.Duration(i+1)*time.Microsecond).request()
		if rapid.IntRange(0, 5).Draw(t, "completes") > 0 {
			a.completes(time.Duration(rapid.IntRange(0, 2000).Draw(t, "job"))*ms+time.Duration(i)*time.Nanosecond,
				rapid.SampledFrom([]string{timeline.Done, timeline.Done, "failed"}).Draw(t, "result"), "")
		}
		switch rapid.IntRange(0, 3).Draw(t, "process") {
		case 0:
			s.state(begin+ms+apart, "inactive", "dead", 0)
		case 1:
			s.process(begin+2*ms+apart, "active", "running")
		case 2:
			s.identity(begin+3*ms+apart, fmt.Sprint("process ", i))
		}
	}
	for range rapid.IntRange(0, 4).Draw(t, "changes") {
		from := moment("from")
		some := s.between(from, from+moment("for")/8)
		switch rapid.IntRange(0, 3).Draw(t, "change") {
		case 0:
			some.fail(rapid.SampledFrom(timeline.Outcomes()).Draw(t, "outcome"), moment("after")/3)
		case 1:
			some.waits(from + moment("wait")/4)
		case 2:
			some.takes(moment("took") / 8)
		case 3:
			some.late(moment("late") / 20)
		}
	}
	for i, state := range rapid.SliceOfN(rapid.SampledFrom([]string{"listening", "running", "failed"}), 0, 3).Draw(t, "socket") {
		active := "active"
		if state == "failed" {
			active = state
		}
		s.socket(moment("socket at")+time.Duration(100+i)*time.Nanosecond, active, state, "")
		s.line(moment("line at")+time.Duration(200+i)*time.Nanosecond, "err", state)
	}
	if rapid.Bool().Draw(t, "crashes") {
		s.service(moment("crash at")+300, "activating", "auto-restart", "signal", 0, 1)
	}
	if rapid.IntRange(0, 3).Draw(t, "blind") == 0 {
		from := s.on(moment("blind from"))
		s.event(timeline.Event{Gap: &timeline.Gap{Observer: "units", From: from, To: from + second/2, Why: "blind"}})
	}
	if rapid.Bool().Draw(t, "watched") {
		s.watched("private", rapid.SampledFrom([]timeline.Armed{stillArmed, closedByLimit}).Draw(t, "armed"), fewStarts)
	}
	if rapid.IntRange(0, 3).Draw(t, "cut") == 0 {
		s.cut(moment("cut at"))
	}
	return s
}

func counted(s *story) (n uint64) {
	for _, q := range s.requests {
		if q.Seq >= s.load.Warmup && q.Outcome != timeline.Aborted {
			n++
		}
	}
	return n
}

func TestEveryRequestIsInOnePhase(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := drawStory(rt)
		rep := s.report(t)
		total := uint64(0)
		for _, p := range rep.Phases {
			sum, statuses := uint64(0), uint64(0)
			for _, n := range p.Outcomes {
				sum += n
			}
			for _, n := range p.Statuses {
				statuses += n
			}
			if sum != p.Requests || statuses != p.OK+p.HTTP5xx+p.Unexpected ||
				p.Fresh.Requests+p.Reused.Requests != p.Requests || p.Fresh.Dropped+p.Reused.Dropped != p.Dropped {
				rt.Fatalf("%s does not add up: %+v", p.Name, p)
			}
			total += p.Requests
		}
		if total != counted(s) {
			rt.Fatalf("%d requests in phases, of %d", total, counted(s))
		}
	})
}

func TestAnalyzeIsDeterministicAndOrderDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := drawStory(rt)
		want := s.report(t)
		lines := s.lines(rapid.IntRange(1, 500).Draw(rt, "pack"))
		for i, j := range rapid.Permutation(indexes(len(lines))).Draw(rt, "order")[:len(lines)/2] {
			lines[i], lines[j] = lines[j], lines[i]
		}
		got, err := Analyze(s.header, newEvents(lines, io.EOF))
		if err != nil {
			rt.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			rt.Fatalf("in another order (-want +got):\n%s", diff)
		}
	})
}

func indexes(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

func TestADropNeverHelps(t *testing.T) {
	dropped := slices.DeleteFunc(timeline.Outcomes(), func(o timeline.Outcome) bool { return !o.Dropped() })
	rapid.Check(t, func(rt *rapid.T) {
		s := drawStory(rt)
		if len(s.requests) == 0 {
			return
		}
		was := s.report(t).Verdict.Result
		q := &s.requests[rapid.IntRange(0, len(s.requests)-1).Draw(rt, "which")]
		if q.Outcome == timeline.Aborted {
			return // an aborted request that becomes another is one more, not one worse
		}
		q.Outcome = rapid.SampledFrom(dropped).Draw(rt, "drop")
		rep := s.report(t)
		if was != Pass && rep.Verdict.Result == Pass {
			rt.Fatalf("one drop more turned %s into pass", was)
		}
		if rep.Phases[0].Dropped+rep.Phases[1].Dropped+rep.Phases[2].Dropped > 0 && rep.Verdict.Result == Pass {
			rt.Fatal("passed with a drop")
		}
	})
}

func TestEveryDropIsUnderAStepOrUnexplained(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		rep := drawStory(rt).report(t)
		if rep.Unexplained == nil {
			return
		}
		sum := *rep.Unexplained
		for _, step := range rep.Transitions {
			outcomes := uint64(0)
			for _, n := range step.Outcomes {
				outcomes += n
			}
			if outcomes != step.Dropped {
				rt.Fatalf("%+v does not add up", step)
			}
			sum += step.Dropped
		}
		if want := rep.Phases[1].Dropped + rep.Phases[2].Dropped; sum != want {
			rt.Fatalf("%d are under a step or unexplained, of %d", sum, want)
		}
	})
}

func TestHeldIsPartOfWhatWasExposed(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		rep := drawStory(rt).report(t)
		if rep.Held == nil {
			return
		}
		sum := uint64(0)
		for _, a := range rep.Restarts {
			if a.Held != nil {
				sum += *a.Held
			}
		}
		if sum != rep.Held.Requests || sum > rep.Phases[1].OK {
			rt.Fatalf("%d held, %d by restart, %d ok during", rep.Held.Requests, sum, rep.Phases[1].OK)
		}
	})
}

// distributions draw response times, from 1 ns on.
var distributions = []struct {
	name string
	draw func(t *rapid.T) int64
}{
	{"any", func(t *rapid.T) int64 { return rapid.Int64Range(1, int64(longest)).Draw(t, "value") }},
	{"usual", func(t *rapid.T) int64 { return rapid.Int64Range(100_000, 5_000_000).Draw(t, "value") }},
	{"two modes", func(t *rapid.T) int64 {
		typical := rapid.SampledFrom([]int64{300_000, 2_000_000_000}).Draw(t, "mode")
		return typical + rapid.Int64Range(0, typical/10).Draw(t, "more")
	}},
	{"heavy tail", func(t *rapid.T) int64 { // Pareto's, of infinite variance
		return int64(min(100_000*math.Pow(1-rapid.Float64Range(0, 0.999999).Draw(t, "rank"), -1/0.8), 1e16))
	}},
	{"few values", func(t *rapid.T) int64 {
		return rapid.SampledFrom([]int64{1, 2047, 2048, 2049, 1 << 30, 1<<30 + 1}).Draw(t, "value")
	}},
	{"bucket ends", func(t *rapid.T) int64 {
		return int64(1)<<rapid.IntRange(1, 57).Draw(t, "power") + rapid.Int64Range(-1, 1).Draw(t, "beside")
	}},
}

// quantilesWithin fails where a quantile is not within 0.1 % of the exact one by nearest rank.
func quantilesWithin(t *rapid.T, values []int64) {
	rec := newRecorder()
	for _, v := range values {
		rec.add(time.Duration(v))
	}
	slices.Sort(values)
	for _, q := range []int{500, 950, 990, 999, 1000} { // per mille
		exact := float64(values[(q*len(values)+999)/1000-1])
		if got := float64(rec.quantile(float64(q) / 10)); math.Abs(got-exact) > exact/1000 {
			t.Errorf("%d per mille of %v is %v, want %v", q, values, got, exact)
		}
	}
	if got := int64(*rec.latency().Max); got != values[len(values)-1] {
		t.Errorf("max is %d, want %d", got, values[len(values)-1])
	}
}

func TestQuantiles(t *testing.T) {
	for _, d := range distributions {
		t.Run(d.name, func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) {
				quantilesWithin(rt, rapid.SliceOfN(rapid.Custom(d.draw), 1, 2000).Draw(rt, "values"))
			})
		})
	}
	t.Run("all equal", func(t *testing.T) {
		rapid.Check(t, func(rt *rapid.T) {
			value := rapid.Int64Range(1, int64(longest)).Draw(rt, "value")
			quantilesWithin(rt, slices.Repeat([]int64{value}, rapid.IntRange(1, 2000).Draw(rt, "times")))
		})
	})
}

func TestLongestAndShortestTimes(t *testing.T) {
	rec := newRecorder()
	rec.add(-5)
	rec.add(2 * longest)
	if l := rec.latency(); *l.Max != Duration(2*longest) || *l.P50 != 1 {
		t.Errorf("got %v and %v", *l.P50, *l.Max)
	}
}

// TestUpper95 compares with published values, and with the definition: the p at which k or fewer of n have 5 % chance.
func TestUpper95(t *testing.T) {
	for _, tc := range []struct {
		k, n uint64
		want float64
	}{
		{0, 1, 0.95}, {0, 10, 0.2589}, {0, 20, 0.1391}, {0, 59, 0.0495}, {0, 5000, 0.000599}, {0, 1_000_000, 2.9957e-6},
		{1, 10, 0.3942}, {3, 100, 0.0757}, {5, 50, 0.1988}, {9, 10, 0.9949}, {10, 10, 1}, {500, 1000, 0.5265}, {1000, 1_000_000, 0.0010539},
	} {
		got := *upper95(tc.k, tc.n)
		if math.Abs(got-tc.want) > tc.want*2e-3 {
			t.Errorf("%d of %d: %v, want %v", tc.k, tc.n, got, tc.want)
		}
		if tc.k < tc.n && math.Abs(binomial(tc.k, tc.n, got)-0.05) > 1e-6 {
			t.Errorf("%d of %d: at %v the chance is %v", tc.k, tc.n, got, binomial(tc.k, tc.n, got))
		}
	}
	if upper95(0, 0) != nil {
		t.Error("nothing exposed proves something")
	}
}

// binomial is the chance of at most k in n, term by term.
func binomial(k, n uint64, p float64) (sum float64) {
	lg := func(x uint64) float64 { v, _ := math.Lgamma(float64(x) + 1); return v }
	for i := range k + 1 {
		sum += math.Exp(lg(n) - lg(i) - lg(n-i) + float64(i)*math.Log(p) + float64(n-i)*math.Log1p(-p))
	}
	return sum
}

// million is the run file of a million requests and n restarts.
func million(b *testing.B, n int) *timeline.Reader {
	b.Helper()
	s := tell(10_000, 100*second)
	s.between(0, 100*second).each(func(q *timeline.Request, _ time.Duration) {
		q.Sent += time.Duration(rand.IntN(100_000))
		q.Done += time.Duration(rand.IntN(2_000_000))
	})
	every := 90 * second / time.Duration(n)
	for i := range n {
		from := 5*second + time.Duration(i)*every
		s.at(from).restart(every/10).between(from, from+every/10).waits(from + every/10)
		for j := range 20 {
			s.log(from+time.Duration(j)*time.Microsecond, "line")
		}
	}
	var file bytes.Buffer
	z, err := zstd.NewWriter(&file)
	if err != nil {
		b.Fatal(err)
	}
	s.header.Format, s.header.Version = timeline.Format, timeline.Version
	lines := json.NewEncoder(z)
	for _, e := range append([]timeline.Event{{Header: &s.settle(every / 4).header}}, s.lines(4096)...) {
		if err := lines.Encode(e); err != nil {
			b.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		b.Fatal(err)
	}
	rd, err := timeline.NewReader(bytes.NewReader(file.Bytes()))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(rd.Close)
	return rd
}

// heapWatch is a Source that notes how large the heap grows while it is read.
type heapWatch struct {
	*timeline.Reader
	events int
	most   uint64
}

func (w *heapWatch) Next() (*timeline.Event, error) {
	if w.events++; w.events%16 == 0 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		w.most = max(w.most, m.HeapAlloc)
	}
	return w.Reader.Next()
}

func BenchmarkAnalyzeMillion(b *testing.B) {
	for _, n := range []int{1, 20, 1000} {
		b.Run(fmt.Sprintf("restarts=%d", n), func(b *testing.B) {
			rd := million(b, n)
			b.ReportAllocs()
			for b.Loop() {
				rep, err := Analyze(rd.Header, rd)
				if err != nil || rep.Restarts[n-1].Recovery == nil {
					b.Fatal(err, rep.Restarts[n-1])
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1e6, "ns/request")
			b.ReportMetric(peakHeap(b, rd), "heap-MiB")
		})
	}
}

// peakHeap is how far the heap grows in an analysis, in MiB.
func peakHeap(b *testing.B, rd *timeline.Reader) float64 {
	var before runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	w := &heapWatch{Reader: rd}
	if _, err := Analyze(rd.Header, w); err != nil {
		b.Fatal(err)
	}
	return float64(w.most-min(w.most, before.HeapAlloc)) / (1 << 20)
}

// FuzzAnalyze reads any lines of events. Whatever they are, a report adds up, can be rendered, and keeps its promises.
func FuzzAnalyze(f *testing.F) {
	for _, s := range []*story{held().cut(2100 * ms), refused(), three()} {
		s.requests = s.requests[:20]
		var lines bytes.Buffer
		for _, e := range s.lines(10) {
			line, err := json.Marshal(e)
			if err != nil {
				f.Fatal(err)
			}
			lines.Write(append(line, '\n'))
		}
		f.Add(lines.Bytes())
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		lines, requests := parseLines(data)
		if requests > 20_000 {
			return
		}
		rep, err := Analyze(tell(1, 0).header, newEvents(lines, io.EOF))
		if err != nil {
			return
		}
		if rep.Verdict.Result == Pass && (len(rep.Restarts) == 0 || rep.Phases[1].Dropped+rep.Phases[2].Dropped > 0) {
			t.Error("passed")
		}
		if n := rep.Load.Sent - rep.Load.Warmup - rep.Load.Aborted - rep.Load.Lost; n != rep.Phases[0].Requests+rep.Phases[1].Requests+rep.Phases[2].Requests {
			t.Error("requests are missing in the phases")
		}
		for _, format := range Formats() {
			var out bytes.Buffer
			if err := Render(&out, format, Style{}, rep); err != nil {
				t.Error(err)
			}
			checkInert(t, format, out.String())
		}
	})
}

func parseLines(data []byte) (lines []timeline.Event, requests int) {
	for line := range bytes.Lines(data) {
		var e timeline.Event
		if json.Unmarshal(line, &e) != nil {
			continue
		}
		if e.Requests != nil {
			requests += e.Requests.N
		}
		lines = append(lines, e)
	}
	return lines, requests
}
