package accuracy

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/restartbench/restartbench/bench/load"
	"github.com/restartbench/restartbench/bench/timeline"
	"github.com/restartbench/restartbench/report"
)

const (
	oracleTimeout = 2 * time.Second       // so long that only what is stalled reaches it
	oracleSettle  = 20 * time.Millisecond // fits between faults here and there
	oracleSlowest = 200                   // requests a second: a machine that cannot do that can do nothing
)

// oracle is a server that knows how every request must end, because it ends them as planned. It also knows what it saw.
type oracle struct {
	*plan
	arrived    []atomic.Uint32 // by number: how often
	reused     []atomic.Bool   // by number: on a connection that had served before
	handshakes atomic.Uint64   // that it refused
}

func newOracle(p *plan) *oracle {
	return &oracle{plan: p, arrived: make([]atomic.Uint32, p.requests()), reused: make([]atomic.Bool, p.requests())}
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
	closing := o.closing[seq]
	if closing {
		header += "Connection: close\r\n"
	}
	switch o.fates[seq] {
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

// refuseHandshake reads a ClientHello, which is one record, and answers with the alert handshake_failure (RFC 8446,
// sections 5.1 and 6).
func (o *oracle) refuseHandshake(c *net.TCPConn) {
	defer c.Close()
	o.handshakes.Add(1)
	var record [5]byte
	if _, err := io.ReadFull(c, record[:]); err != nil {
		return
	}
	io.CopyN(io.Discard, c, int64(binary.BigEndian.Uint16(record[3:])))
	c.Write([]byte{21, 3, 3, 0, 2, 2, 40})
}

// config is a load that meets every fate.
func (o *oracle) config(t *testing.T, rate uint64) load.Config {
	return load.Config{
		Targets: o.targets("http://"+serveRaw(t, o.talk)+"/", map[timeline.Outcome]string{
			timeline.Refused:        "http://" + closedPort(t) + "/",
			timeline.ConnectTimeout: "http://" + fullPort(t) + "/",
			timeline.TLS:            "https://" + serveRaw(t, o.refuseHandshake) + "/",
		}),
		Rate:        float64(rate),
		Duration:    lasting(o.requests(), rate),
		Connections: load.KeepAlive,
		Timeout:     oracleTimeout,
		Expect:      []int{200},
	}
}

// restart records two restarts. Each is completed long after it was requested, so that every class of fault falls into it.
func (o *oracle) restart(record *recording) func(timeline.Load) {
	return func(schedule timeline.Load) {
		due := func(hundredth uint64) time.Duration { return schedule.Due(o.requests() * hundredth / 100) }
		record.restarted(1, due(30), due(45))
		record.restarted(2, due(50), due(65))
	}
}

// TestOracle: faults of every class at random places, on fresh and reused connections, and every count in the report is
// what was injected.
func TestOracle(t *testing.T) {
	t.Parallel()
	n := scale(t, "RESTARTBENCH_TEST_ORACLE", oracleRequests)
	rate := uint64(oracleRate)
	if n > oracleRequests {
		rate /= 2 // the longer the run, the likelier the machine has something else to do at some moment of it
	}
	random := seeded(t)
	for ; rate >= oracleSlowest; rate /= 2 {
		err := askOracle(t, n, rate, random)
		if err == nil {
			return
		}
		t.Logf("%d requests a second: %v", rate, err)
	}
	t.Fatal("the machine is too slow for any rate")
}

// askOracle's error says that the machine is too slow for the rate.
func askOracle(t *testing.T, n, rate uint64, random *rand.Rand) error {
	t.Helper()
	o, clock := newOracle(newPlan(n, random)), timeline.NewClock()
	record := newRecording(t, clock, timeline.Scenario{Action: "command", Settle: oracleSettle}, o.requests())
	schedule, err := drive(t, o.config(t, rate), clock, record, o.restart(record))
	rep := record.report(t)
	if err = errors.Join(err, o.starved(record.requests)); err != nil {
		return err
	}
	record.checkComplete(t)
	o.check(t, schedule, record.requests, rep)
	checkQuantiles(t, record.file.Bytes(), rep, windows(schedule, rep.Restarts))
	return nil
}

// starved tells whether the machine held requests up for the whole of their timeout that the server was to answer.
func (o *oracle) starved(requests []timeline.Request) error {
	for seq, r := range requests {
		timedOut := r.Outcome == timeline.ResponseTimeout || r.Outcome == timeline.ConnectTimeout
		if timedOut && r.Outcome != o.fates[seq] && r.Done-r.Sent >= oracleTimeout {
			return fmt.Errorf("request %d, to end as %s, took %v: the machine is too slow", seq, o.fates[seq], r.Done-r.Sent)
		}
	}
	return nil
}

// check compares what is reported with what was injected.
func (o *oracle) check(t *testing.T, schedule timeline.Load, recorded []timeline.Request, rep *report.Report) {
	t.Helper()
	n := o.requests()
	if l := rep.Load; l.Scheduled != n || l.Sent != n || l.Lost != 0 || l.Aborted != 0 || len(rep.Gaps) > 0 {
		t.Fatalf("load %+v, gaps %+v, want %d of each", l, rep.Gaps, n)
	}
	o.checkArrivals(t)
	o.checkEach(t, schedule, recorded)
	o.checkSettled(t, schedule, recorded, windows(schedule, rep.Restarts))
	want := o.expect(schedule, recorded, windows(schedule, rep.Restarts))
	if diff := cmp.Diff(want, countsOf(rep)); diff != "" {
		t.Errorf("injected (-) and reported (+) differ:\n%s", diff)
	}
	o.checkVariety(t, want, rep)
	t.Logf("%d requests at %g/s, %d of each of %d classes of fault; %d dropped in restarts, %d hidden, lag p99 %v", n, schedule.Rate,
		n/planBlock*planEach, len(byAddress)+len(byServer), rep.Proof.Dropped, rep.Hidden, rep.Load.LagP99)
}

// checkArrivals makes sure that nothing was sent twice, and nothing left out.
func (o *oracle) checkArrivals(t *testing.T) {
	t.Helper()
	for seq := range o.requests() {
		want := uint32(1)
		if !o.arrives(seq) {
			want = 0
		}
		if got := o.arrived[seq].Load(); got != want {
			t.Fatalf("request %d, to end as %s, arrived %d times, want %d", seq, o.fates[seq], got, want)
		}
	}
	if got, want := o.handshakes.Load(), o.count(timeline.TLS); got != want {
		t.Fatalf("%d TLS handshakes were begun, want %d", got, want)
	}
}

// checkEach shows the first requests that did not end as they had to.
func (o *oracle) checkEach(t *testing.T, schedule timeline.Load, recorded []timeline.Request) {
	t.Helper()
	wrong := 0
	for seq, r := range recorded {
		if r.Outcome == o.fates[seq] && r.Reused == o.reused[seq].Load() {
			continue
		}
		if wrong++; wrong <= 10 {
			t.Errorf("request %d, to end as %s, reused %t: %s, reused %t; lag %v, connected after %v with %d retransmits, done after %v", seq,
				o.fates[seq], o.reused[seq].Load(), r.Outcome, r.Reused, r.Sent-schedule.Due(uint64(seq)), r.Connect, r.Retransmits, r.Done-r.Sent)
		}
	}
	if wrong > 0 {
		t.Fatalf("%d requests of %d did not end as they had to", wrong, len(recorded))
	}
}

// checkSettled: things can only have settled where no fault is near. What ends after the next restart was requested is that
// one's doing.
func (o *oracle) checkSettled(t *testing.T, schedule timeline.Load, recorded []timeline.Request, restarts []window) {
	t.Helper()
	if len(restarts) != 2 {
		t.Fatalf("%d restarts are reported, want 2", len(restarts))
	}
	for i, w := range restarts {
		next := forever
		if i+1 < len(restarts) {
			next = restarts[i+1].from
		}
		for seq, r := range recorded {
			due := schedule.Due(uint64(seq))
			if due >= w.to && due < min(w.to+oracleSettle, next) && r.Done < next && o.fates[seq] != timeline.OK {
				t.Errorf("restart %d settled at %v, though request %d, due at %v, was to end as %s", i+1, w.to, seq, due, o.fates[seq])
			}
		}
	}
}

// checkVariety makes sure that the oracle asked everything it means to ask.
func (o *oracle) checkVariety(t *testing.T, c counts, rep *report.Report) {
	t.Helper()
	for _, class := range append(byAddress, byServer...) {
		if got, want := o.count(class), o.requests()/planBlock*planEach; got != want {
			t.Errorf("%d requests were to end as %s, want %d", got, class, want)
		}
		if c.Outcomes["during "+class.String()] == 0 {
			t.Errorf("no %s during the restarts", class)
		}
	}
	if rep.Load.LagMax > report.Duration(100*time.Millisecond) {
		return // a burst left so many idle connections that fresh ones are rare
	}
	for _, kind := range []string{"fresh", "reused"} {
		if faults := c.Kinds["during "+kind+" dropped"]; faults == 0 {
			t.Errorf("nothing was dropped on %s connections during the restarts", kind)
		}
	}
	if c.Hidden == 0 {
		t.Error("no collision")
	}
}

// TestFullSocket is the oracle for the class that is a matter of the whole load: a unix socket whose queue is full refuses
// every request.
func TestFullSocket(t *testing.T) {
	const n, rate = 500, 2000
	clock := timeline.NewClock()
	record := newRecording(t, clock, timeline.Scenario{Action: "none", Settle: oracleSettle}, n)
	_, err := drive(t, load.Config{
		Targets:     []load.Target{{Method: "GET", URL: "http://unix/"}},
		UnixSocket:  fullSocket(t),
		Rate:        rate,
		Duration:    lasting(n, rate),
		Connections: load.KeepAlive,
		Timeout:     oracleTimeout,
	}, clock, record, func(timeline.Load) {})
	rep := record.report(t)
	if err != nil {
		t.Fatal(err)
	}
	record.checkComplete(t)
	if diff := cmp.Diff(map[string]uint64{timeline.BacklogFull.String(): n}, rep.Phases[0].Outcomes); diff != "" {
		t.Errorf("injected (-) and reported (+) differ:\n%s", diff)
	}
}
