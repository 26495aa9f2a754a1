package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/restartbench/restartbench/bench/load"
	"github.com/restartbench/restartbench/bench/timeline"
	"github.com/restartbench/restartbench/report"
)

// The oracle is a server that knows how every request must end, because it ends them: a load is sent at it, recorded to a
// run file, read back and analyzed, and every count in the report must be what was injected.
//
// Each second of the load is a cycle. In a part of it the server injects faults, by the requests' numbers; all other
// requests are well, so that things can settle. In that part of every other cycle it also ends each connection after its
// answer, so that faults hit fresh and reused connections alike.
type oracle struct {
	rate    uint64          // requests a second, and so in a cycle
	arrived []atomic.Uint32 // by number: how often
	reused  []atomic.Bool   // by number: on a connection that had served before
}

const (
	oracleCycles  = 10
	oracleTimeout = 3 * time.Second        // so long that only what is stalled reaches it
	oracleSettle  = 300 * time.Millisecond // fits between the faults of two cycles
	oracleLate    = time.Second            // a machine that is too slow by as much cannot be asked at this rate
)

func newOracle(rate uint64) *oracle {
	n := rate * oracleCycles
	return &oracle{rate, make([]atomic.Uint32, n), make([]atomic.Bool, n)}
}

// requests is how many the load sends.
func (o *oracle) requests() uint64 { return uint64(len(o.arrived)) }

// within tells whether request seq lies in a part of its cycle, given in hundredths.
func (o *oracle) within(seq, from, to uint64) bool {
	return seq%o.rate >= o.rate*from/100 && seq%o.rate < o.rate*to/100
}

// injected is how request seq ends.
func (o *oracle) injected(seq uint64) timeline.Outcome {
	if !o.within(seq, 20, 30) {
		return timeline.OK
	}
	switch at := seq%o.rate - o.rate*20/100; {
	case (at == 1 || at == o.rate*8/100/3*3+1) && slices.Contains([]uint64{0, 5, 6, 7}, seq/o.rate): // few, as each waits for its timeout
		return timeline.ResponseTimeout
	case at%3 == 0:
		return []timeline.Outcome{timeline.Refused, timeline.Reset, timeline.EOF, timeline.Truncated, timeline.HTTP5xx,
			timeline.HTTPUnexpected, timeline.Malformed}[at/3%7]
	}
	return timeline.OK
}

// closing tells whether the server ends the connection with its answer to request seq.
func (o *oracle) closing(seq uint64) bool { return seq/o.rate%2 == 0 && o.within(seq, 15, 30) }

// restarts puts one restart into the faults of a cycle with reused connections and one into those of a cycle with fresh
// ones. Each is completed while faults still come, so that things settle only after the last.
func (o *oracle) restarts(schedule timeline.Load) (all []timeline.Restart) {
	for i, cycle := range []uint64{5, 6} {
		all = append(all,
			timeline.Restart{N: i + 1, Step: timeline.Requested, At: schedule.Due(cycle*o.rate + o.rate*22/100)},
			timeline.Restart{N: i + 1, Step: timeline.Completed, At: schedule.Due(cycle*o.rate + o.rate*25/100), Result: timeline.Done})
	}
	return all
}

// targets has one for each request of a cycle. Clients do not repeat a POST of their own accord, so nothing hides its fate.
func (o *oracle) targets(open, closed string) (all []load.Target) {
	for at := range o.rate {
		t := load.Target{Method: o.method(at), URL: "http://" + open + "/"}
		if o.injected(at) == timeline.Refused {
			t.URL = "http://" + closed + "/"
		}
		all = append(all, t)
	}
	return all
}

func (o *oracle) method(seq uint64) string {
	if seq%o.rate%5 == 0 {
		return http.MethodPost
	}
	return http.MethodGet
}

// talk serves one connection until a request's fate ends it.
func (o *oracle) talk(c *net.TCPConn) {
	defer c.Close()
	r := bufio.NewReader(c)
	for nth := 0; ; nth++ {
		seq, ok := readSeq(r)
		if !ok || seq >= o.requests() {
			return
		}
		o.arrived[seq].Add(1)
		o.reused[seq].Store(nth > 0)
		if !o.end(c, r, seq) {
			return
		}
	}
}

// end ends request seq as it must, and says whether the connection goes on.
func (o *oracle) end(c *net.TCPConn, r io.Reader, seq uint64) bool {
	header := "Content-Length: 2\r\n"
	closing := o.closing(seq)
	if closing {
		header += "Connection: close\r\n"
	}
	switch o.injected(seq) {
	case timeline.OK:
		io.WriteString(c, "HTTP/1.1 200 OK\r\n"+header+"\r\nok")
		return !closing
	case timeline.HTTP5xx:
		io.WriteString(c, "HTTP/1.1 503 Service Unavailable\r\n"+header+"\r\nno")
		return !closing
	case timeline.HTTPUnexpected:
		io.WriteString(c, "HTTP/1.1 404 Not Found\r\n"+header+"\r\nno")
		return !closing
	case timeline.Truncated:
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
	case timeline.Malformed:
		io.WriteString(c, "garbage\r\n\r\n")
	case timeline.Reset:
		c.SetLinger(0) // close with RST (socket(7))
	case timeline.ResponseTimeout:
		io.Copy(io.Discard, r) // until the client has had enough
	}
	return false
}

// readSeq reads a request without a body and returns its number.
func readSeq(r *bufio.Reader) (seq uint64, ok bool) {
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return 0, false
		}
		line = bytes.TrimSuffix(line, []byte("\r\n"))
		if number, found := bytes.CutPrefix(line, []byte("X-Vegeta-Seq: ")); found {
			seq, err = strconv.ParseUint(string(number), 10, 64)
			ok = err == nil
		}
		if len(line) == 0 {
			return seq, ok
		}
	}
}

// serveRaw gives every connection to talk, in a goroutine of its own, until the test ends. It returns the address.
func serveRaw(t *testing.T, talk func(*net.TCPConn)) string {
	t.Helper()
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.AcceptTCP()
			if err != nil {
				return
			}
			all.Go(func() { talk(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		all.Wait() // the load is over by then, and has closed its connections
	})
	return l.Addr().String()
}

// closedPort holds a port on which nobody listens, so that nobody else can begin to.
func closedPort(t *testing.T) string {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	unix.CloseOnExec(fd)
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("127.0.0.1:%d", name.(*unix.SockaddrInet4).Port)
}

// recording is a run file in memory that also shows what was put into it.
type recording struct {
	*timeline.Recorder
	file     bytes.Buffer
	mu       sync.Mutex
	requests map[uint64]timeline.Request
	late     func(timeline.Request) // called for each request
}

func newRecording(t *testing.T, clock timeline.Clock, settle time.Duration) *recording {
	t.Helper()
	r := &recording{requests: map[uint64]timeline.Request{}, late: func(timeline.Request) {}}
	var err error
	header := timeline.Header{Tool: "test", Scenario: timeline.Scenario{Name: t.Name(), Action: "command", Settle: settle}}
	if r.Recorder, err = timeline.NewRecorder(&r.file, clock, header); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *recording) Request(q timeline.Request) {
	r.Recorder.Request(q)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests[q.Seq] = q
	r.late(q)
}

// report closes the file, reads it back and analyzes it.
func (r *recording) report(t *testing.T) *report.Report {
	t.Helper()
	if err := r.Close(timeline.End{Reason: timeline.Complete}); err != nil {
		t.Fatal(err)
	}
	rd, err := timeline.NewReader(&r.file)
	if err != nil {
		t.Fatal(err)
	}
	defer rd.Close()
	rep, err := report.Analyze(rd.Header, rd)
	if err != nil {
		t.Fatal(err)
	}
	return rep
}

// drive sends a load and records it with its schedule. Restarts tells of those that the load shall seem to have met. The
// error says that the machine could not keep to the schedule.
func drive(t *testing.T, cfg load.Config, clock timeline.Clock, record *recording, restarts func(timeline.Load) []timeline.Restart) (timeline.Load, error) {
	t.Helper()
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	traffic := load.New(cfg, clock, record)
	ended := make(chan error, 1)
	go func() { ended <- traffic.Run(ctx) }()
	schedule, err := traffic.Began(ctx)
	if err != nil {
		t.Fatal(errors.Join(err, <-ended))
	}
	record.mu.Lock()
	record.late = func(q timeline.Request) {
		if lag := q.Sent - schedule.Due(q.Seq); lag > oracleLate {
			cancel(fmt.Errorf("request %d went out %v late: the machine is too slow", q.Seq, lag))
		}
	}
	record.mu.Unlock()
	record.Emit(timeline.Event{Load: &schedule})
	for _, r := range restarts(schedule) {
		record.Emit(timeline.Event{Restart: &r})
	}
	<-ended // with an error only if it was cancelled
	return schedule, context.Cause(ctx)
}

func TestOracle(t *testing.T) {
	for rate := uint64(oracleRate); ; rate /= 2 {
		server, clock := newOracle(rate), timeline.NewClock()
		record := newRecording(t, clock, oracleSettle)
		schedule, err := drive(t, load.Config{
			Targets:     server.targets(serveRaw(t, server.talk), closedPort(t)),
			Rate:        float64(rate),
			Duration:    oracleCycles * time.Second,
			Connections: load.KeepAlive,
			Timeout:     oracleTimeout,
			Expect:      []int{200},
		}, clock, record, server.restarts)
		rep := record.report(t)
		if err == nil {
			server.check(t, schedule, record.requests, rep)
			return
		}
		t.Logf("%d requests a second: %v", rate, err)
		if rate/2 < 200 {
			t.Fatal("this machine is too slow for any rate")
		}
	}
}

// check compares what is reported with what was injected.
func (o *oracle) check(t *testing.T, schedule timeline.Load, recorded map[uint64]timeline.Request, rep *report.Report) {
	t.Helper()
	n := o.requests()
	if l := rep.Load; l.Scheduled != n || l.Sent != n || l.Lost != 0 || l.Aborted != 0 || len(rep.Gaps) > 0 || uint64(len(recorded)) != n {
		t.Fatalf("load %+v, gaps %+v, %d recorded, want %d of each", l, rep.Gaps, len(recorded), n)
	}
	o.checkArrivals(t)
	o.checkEach(t, schedule, recorded)
	want := o.expect(t, schedule, recorded, rep.Restarts)
	if diff := cmp.Diff(want, countsOf(rep)); diff != "" {
		t.Errorf("injected (-) and reported (+) differ:\n%s", diff)
	}
	if rep.Load.LagMax < report.Duration(100*time.Millisecond) { // else a burst left so many idle connections that fresh ones are rare
		checkVariety(t, want)
	}
	t.Logf("%d requests, %d dropped in restarts, lag p99 %v, recovery %v and %v", n, rep.Proof.Dropped, rep.Load.LagP99,
		rep.Restarts[0].Recovery, rep.Restarts[1].Recovery)
}

// checkArrivals makes sure that nothing was sent twice, and nothing left out.
func (o *oracle) checkArrivals(t *testing.T) {
	t.Helper()
	for seq := range o.arrived {
		want := uint32(1)
		if o.injected(uint64(seq)) == timeline.Refused {
			want = 0
		}
		if got := o.arrived[seq].Load(); got != want {
			t.Fatalf("request %d, to end as %s, arrived %d times, want %d", seq, o.injected(uint64(seq)), got, want)
		}
	}
}

// checkEach shows the first requests that did not end as they had to. A busy machine can make one time out, which this tells
// apart from a wrong count.
func (o *oracle) checkEach(t *testing.T, schedule timeline.Load, recorded map[uint64]timeline.Request) {
	t.Helper()
	wrong := 0
	for seq := range o.requests() {
		r := recorded[seq]
		if r.Outcome == o.injected(seq) && r.Reused == o.reused[seq].Load() {
			continue
		}
		if wrong++; wrong <= 10 {
			t.Errorf("request %d, to end as %s, reused %t: %s, reused %t; lag %v, connected after %v with %d retransmits, done after %v", seq,
				o.injected(seq), o.reused[seq].Load(), r.Outcome, r.Reused, r.Sent-schedule.Due(seq), r.Connect, r.Retransmits, r.Done-r.Sent)
		}
	}
	if wrong > 0 {
		t.Fatalf("%d requests of %d did not end as they had to", wrong, len(o.arrived))
	}
}

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
func (o *oracle) expect(t *testing.T, schedule timeline.Load, recorded map[uint64]timeline.Request, restarts []report.Restart) counts {
	t.Helper()
	windows := o.settledWindows(t, schedule, restarts)
	c := newCounts()
	for seq := range o.requests() {
		due, done := schedule.Due(seq), recorded[seq].Done
		phase := "after"
		if done < windows[0][0] {
			phase = "before"
		}
		for i, w := range windows {
			if due < w[1] && done >= w[0] {
				phase = "during"
				c.expose(i+1, o.injected(seq))
			}
		}
		c.add(phase, o.injected(seq), o.reused[seq].Load(), o.method(seq) == http.MethodGet)
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

// settledWindows are the restarts' [requested, settled). Things can only have settled where no fault is near.
func (o *oracle) settledWindows(t *testing.T, schedule timeline.Load, restarts []report.Restart) (windows [][2]time.Duration) {
	t.Helper()
	if len(restarts) != 2 || restarts[0].Recovery == nil || restarts[1].Recovery == nil {
		t.Fatalf("restarts %+v, want 2 that things recovered from", restarts)
	}
	for _, r := range restarts {
		from := schedule.Began + time.Duration(r.Requested)
		settled := from + time.Duration(*r.Recovery)
		for seq := range o.requests() {
			due := schedule.Due(seq)
			if due >= settled && due < settled+oracleSettle && o.injected(seq) != timeline.OK {
				t.Errorf("restart %d settled at %v, though request %d, due at %v, was to end as %s", r.N, settled, seq, due, o.injected(seq))
			}
		}
		windows = append(windows, [2]time.Duration{from, settled})
	}
	return windows
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

// checkVariety makes sure that the oracle asked everything it means to ask.
func checkVariety(t *testing.T, c counts) {
	t.Helper()
	for _, phase := range []string{"before", "during", "after"} {
		for _, o := range []timeline.Outcome{timeline.OK, timeline.HTTP5xx, timeline.HTTPUnexpected, timeline.Refused, timeline.Reset,
			timeline.EOF, timeline.Truncated, timeline.Malformed, timeline.ResponseTimeout} {
			if c.Outcomes[phase+" "+o.String()] == 0 {
				t.Errorf("no %s %s", o, phase)
			}
		}
	}
	for _, class := range []string{"reset fresh", "reset reused", "eof fresh", "eof reused", "truncated fresh", "truncated reused",
		"malformed fresh", "malformed reused", "refused fresh"} {
		if c.Classes[class] == 0 {
			t.Errorf("no %s during or after the restarts", class)
		}
	}
	if c.Hidden == 0 {
		t.Error("no collision")
	}
	// They are too few for both kinds to be sure: a request that is late finds its connection kept or closed by chance.
	if c.Classes["response_timeout fresh"]+c.Classes["response_timeout reused"] == 0 {
		t.Error("no response_timeout during or after the restarts")
	}
}
