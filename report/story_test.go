package report

import (
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/restartbench/restartbench/bench/timeline"
)

const (
	ms      = time.Millisecond
	second  = time.Second
	usually = 20 * ms // what an answer takes
	unit    = "app.service"
)

// A story is a synthetic run, told in moments since its load began: every request ok after 20 ms, unless told otherwise.
type story struct {
	header     timeline.Header
	load       timeline.Load
	requests   []timeline.Request
	events     []timeline.Event
	loadEnd    *timeline.LoadEnd
	end        *timeline.End
	restarts   int
	pid        int
	invocation string
}

// tell begins the story of a run of app.service behind app.socket, at rate requests a second for length.
func tell(rate float64, length time.Duration) *story {
	s := &story{load: timeline.Load{Began: second, Rate: rate, Address: "127.0.0.1:8080"}}
	s.header = timeline.Header{Tool: "test", Host: timeline.Host{Name: "host", OS: "linux", Arch: "amd64", CPUs: 2},
		Clock: timeline.Origin{Wall: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Monotonic: 1}}
	s.header.Scenario = timeline.Scenario{Name: "story", Manager: "embedded", Action: "restart", Unit: unit,
		Units: []string{unit, "app.socket"}, Target: "http://127.0.0.1:8080/", Connections: "mixed", Settle: second, Timeout: 5 * second}
	n := uint64(length.Seconds() * rate)
	for seq := range n {
		due := s.load.Due(seq)
		s.requests = append(s.requests, timeline.Request{Seq: seq, Sent: due, Done: due + usually, Status: 200, Bytes: 10, Reused: seq%2 == 1})
	}
	s.loadEnd = &timeline.LoadEnd{At: s.on(length + second), Scheduled: n}
	s.end = &timeline.End{At: s.on(length + 2*second), Reason: timeline.Complete}
	s.process(0, "active", "running")
	return s.socket(0, "active", "running", "success")
}

// on is a moment of the story on the run's clock.
func (s *story) on(t time.Duration) time.Duration { return s.load.Began + t }

// process puts a new main process on the timeline.
func (s *story) process(t time.Duration, active, sub string) *story {
	s.pid++
	s.invocation = fmt.Sprintf("invocation-%d", s.pid)
	return s.state(t, active, sub, 1000+s.pid)
}

func (s *story) state(t time.Duration, active, sub string, pid int) *story {
	return s.event(timeline.Event{Unit: &timeline.Unit{At: s.on(t), Name: unit, Active: active, Sub: sub, MainPID: pid, InvocationID: s.invocation}})
}

// socket puts a state of app.socket on the timeline.
func (s *story) socket(t time.Duration, active, sub, result string) *story {
	return s.event(timeline.Event{Unit: &timeline.Unit{At: s.on(t), Name: "app.socket", Active: active, Sub: sub, Result: result}})
}

// watched says that systemd restarts, and what it says at the end of the socket and of the start limit.
func (s *story) watched(manager string, armed timeline.Armed, limit timeline.StartLimit) *story {
	sc := &s.header.Scenario
	sc.Manager, sc.ManagerVersion, sc.Why = manager, "252", "no systemd runs on this machine"
	armed.At, armed.Service, armed.Socket = s.loadEnd.At+ms, unit, "app.socket"
	limit.At, limit.Unit = s.loadEnd.At+2*ms, unit
	return s.event(timeline.Event{Armed: &armed}).event(timeline.Event{StartLimit: &limit})
}

func (s *story) event(e timeline.Event) *story {
	s.events = append(s.events, e)
	return s
}

// by says that a command restarts, and that no unit is known.
func (s *story) by(command ...string) *story {
	s.header.Scenario.Action, s.header.Scenario.Command = "command", command
	s.header.Scenario.Manager, s.header.Scenario.Unit, s.header.Scenario.Units = "none", "", nil
	s.events = nil
	return s
}

func (s *story) warmup(n uint64) *story { s.load.Warmup = n; return s }

func (s *story) settle(d time.Duration) *story { s.header.Scenario.Settle = d; return s }

func (s *story) identity(t time.Duration, text string) *story {
	return s.event(timeline.Event{Identity: &timeline.Identity{At: s.on(t), Text: text}})
}

// resends lets each request's connect take that many SYNs more.
func (s stretch) resends(n int) *story {
	return s.each(func(q *timeline.Request, _ time.Duration) { q.Retransmits = n })
}

// line is a line of the journal.
func (s *story) line(t time.Duration, priority, text string) *story {
	return s.event(timeline.Event{Log: &timeline.Log{At: s.on(t), Source: unit, Text: text, Priority: priority}})
}

func (s *story) log(t time.Duration, text string) *story {
	return s.event(timeline.Event{Log: &timeline.Log{At: s.on(t), Source: unit, Text: text}})
}

func (s *story) gap(observer string, lost uint64, why string) *story {
	return s.event(timeline.Event{Gap: &timeline.Gap{Observer: observer, From: s.on(0), To: s.on(second), Why: why, Lost: lost}})
}

// moment is where something happens.
type moment struct {
	*story
	t time.Duration
}

func (s *story) at(t time.Duration) moment { return moment{s, t} }

// request asks for the next restart, which ends the old process a millisecond later.
func (m moment) request() attempt {
	m.restarts++
	m.event(timeline.Event{Restart: &timeline.Restart{N: m.restarts, Step: timeline.Requested, At: m.on(m.t)}})
	return attempt(m)
}

// attempt is a restart that was requested.
type attempt moment

func (a attempt) completes(after time.Duration, result, detail string) *story {
	return a.event(timeline.Event{Restart: &timeline.Restart{N: a.restarts, Step: timeline.Completed, At: a.on(a.t + after), Result: result, Detail: detail}})
}

// job is a restart by a job that takes that long: the new process is there at once, and ready at the job's end.
func (m moment) restart(job time.Duration) *story {
	m.request().completes(job, timeline.Done, "")
	m.state(m.t+ms, "inactive", "dead", 0).process(m.t+2*ms, "activating", "start")
	return m.state(m.t+max(job, 3*ms), "active", "running", 1000+m.pid)
}

// command is a restart of which nothing but the command is known.
func (m moment) command(took time.Duration) *story {
	return m.request().completes(took, timeline.Done, "")
}

// stretch is the requests due within some time.
type stretch struct {
	*story
	from, to time.Duration
}

func (s *story) between(from, to time.Duration) stretch { return stretch{s, from, to} }

func (s stretch) each(change func(q *timeline.Request, due time.Duration)) *story {
	for i := range s.requests {
		q := &s.requests[i]
		if due := s.load.Due(q.Seq) - s.load.Began; due >= s.from && due < s.to {
			change(q, due)
		}
	}
	return s.story
}

// end gives the requests an outcome that they have after that long.
func (s stretch) fail(o timeline.Outcome, after time.Duration) *story {
	return s.each(func(q *timeline.Request, due time.Duration) {
		q.Outcome, q.Status, q.Bytes, q.Done = o, 0, 0, s.on(due+after)
		switch o {
		case timeline.HTTP5xx:
			q.Status = 503
		case timeline.HTTPUnexpected:
			q.Status = 404
		}
		q.Hidden = q.Reused && (o == timeline.Reset || o == timeline.EOF)
	})
}

// waits lets the requests be answered at a moment, each a little after the one before.
func (s stretch) waits(until time.Duration) *story {
	n := time.Duration(0)
	return s.each(func(q *timeline.Request, due time.Duration) {
		q.Done = s.on(max(until+n*100*time.Microsecond, due+usually))
		n++
	})
}

// takes lets the requests take that long.
func (s stretch) takes(d time.Duration) *story {
	return s.each(func(q *timeline.Request, due time.Duration) { q.Done = s.on(due + d) })
}

// late lets the requests go out that late.
func (s stretch) late(d time.Duration) *story {
	return s.each(func(q *timeline.Request, due time.Duration) { q.Sent, q.Done = q.Sent+d, q.Done+d })
}

// cut ends the recording: what had not happened by then is missing.
func (s *story) cut(t time.Duration) *story {
	s.loadEnd, s.end = nil, nil
	s.requests = slices.DeleteFunc(s.requests, func(q timeline.Request) bool { return q.Done > s.on(t) })
	s.events = slices.DeleteFunc(s.events, func(e timeline.Event) bool {
		return e.Restart != nil && e.Restart.At > s.on(t) || e.Unit != nil && e.Unit.At > s.on(t)
	})
	return s
}

// interrupt ends the run: requests under way are aborted, and no more are sent.
func (s *story) interrupt(t time.Duration) *story {
	s.requests = slices.DeleteFunc(s.requests, func(q timeline.Request) bool { return q.Sent > s.on(t) })
	for i := range s.requests {
		if q := &s.requests[i]; q.Done > s.on(t) {
			q.Outcome, q.Status, q.Done = timeline.Aborted, 0, s.on(t)
		}
	}
	s.loadEnd = &timeline.LoadEnd{At: s.on(t), Scheduled: uint64(len(s.requests))}
	s.end = &timeline.End{At: s.on(t), Reason: timeline.Interrupted}
	return s
}

// lines are the story's events, requests in packs of some size.
func (s *story) lines(pack int) []timeline.Event {
	all := append([]timeline.Event{{Load: &s.load}}, s.events...)
	for chunk := range slices.Chunk(s.requests, pack) {
		all = append(all, timeline.Event{Requests: timeline.Pack(chunk)})
	}
	if s.loadEnd != nil {
		all = append(all, timeline.Event{LoadEnd: s.loadEnd})
	}
	if s.end != nil {
		all = append(all, timeline.Event{End: s.end})
	}
	return all
}

// events is a Source.
type events struct {
	all  []timeline.Event
	last error // behind them
	rest []timeline.Event
	skip timeline.Skip
}

func newEvents(all []timeline.Event, last error) *events { return &events{all: all, last: last} }

func (e *events) Rewind(skip timeline.Skip) error {
	e.rest, e.skip = e.all, skip
	return nil
}

func (e *events) Next() (*timeline.Event, error) {
	for len(e.rest) > 0 {
		first := &e.rest[0]
		e.rest = e.rest[1:]
		if first.Requests != nil && e.skip&timeline.SkipRequests != 0 || first.Log != nil && e.skip&timeline.SkipLogs != 0 {
			continue
		}
		return first, nil
	}
	return nil, e.last
}

func (s *story) source() Source {
	last := io.EOF
	if s.end == nil {
		last = timeline.ErrTruncated
	}
	return newEvents(s.lines(1000), last)
}

func (s *story) report(t testing.TB) *Report {
	t.Helper()
	rep, err := Analyze(s.header, s.source())
	if err != nil {
		t.Fatal(err)
	}
	return rep
}
