package accuracy

import (
	"bufio"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/restartbench/restartbench/bench/load"
	"github.com/restartbench/restartbench/bench/timeline"
	"github.com/restartbench/restartbench/report"
)

const (
	outageRate   = 2000 // fresh connections a second, half a millisecond apart
	outageLength = 100 * time.Millisecond
	outageError  = 2 * time.Millisecond   // the load's spacing at both ends is part of it
	outageQuiet  = 500 * time.Microsecond // lateness up to which a measurement counts as undisturbed
	outageEdge   = 10 * time.Millisecond  // around the moments of closing and opening, where lateness counts
	outageBegins = 250 * time.Millisecond // after the load, and
	outageAhead  = 50 * time.Millisecond  // after the restart seems to be requested
	outageLoad   = 700 * time.Millisecond // in all
	outageSettle = 100 * time.Millisecond // long after the opening there is no fault
	outageTries  = 5
)

// door is a port that can be closed and opened again. It answers every request.
type door struct {
	now  func() time.Duration
	addr *net.TCPAddr
	l    *net.TCPListener
	all  sync.WaitGroup
}

// span is when something happened: after from, before to.
type span struct{ from, to time.Duration }

func (s span) length() time.Duration { return s.to - s.from }

func (d *door) open() (s span, err error) {
	s.from = d.now()
	// Package net sets SO_REUSEADDR, so that what is left of closed connections is no hindrance.
	d.l, err = net.ListenTCP("tcp", d.addr)
	s.to = d.now()
	if err != nil {
		return s, err
	}
	d.addr = d.l.Addr().(*net.TCPAddr)
	l := d.l
	d.all.Go(func() { acceptAll(l, &d.all, answerOnce) })
	return s, nil
}

// close returns when close(2) has.
func (d *door) close() (s span, err error) {
	s.from = d.now()
	err = d.l.Close()
	s.to = d.now()
	return s, err
}

func answerOnce(c *net.TCPConn) {
	defer c.Close()
	if _, ok := readSeq(bufio.NewReader(c)); ok {
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
	}
}

// outage is one measurement.
type outage struct {
	closed, opened span          // the truth
	reported       time.Duration // by the tool
	lateness       time.Duration // near its edges: the test's own, the generator's or the server's
	dropped        uint64
}

// off is by how much the report misses the truth.
func (o outage) off() time.Duration {
	least, most := o.opened.from-o.closed.to, o.opened.to-o.closed.from
	return max(least-o.reported, o.reported-most, 0)
}

// TestOutage: the outage of a port that was closed for 100 ms is reported to 2 ms, by the moments of close(2) and listen(2).
func TestOutage(t *testing.T) {
	for range scale(t, "RESTARTBENCH_TEST_OUTAGES", 1) {
		proveOutage(t)
	}
}

// proveOutage measures anew where the machine was late just when the port closed or opened. A machine that always is gets
// its lateness allowed, against the clock; against the requests it is told exactly every time.
func proveOutage(t *testing.T) {
	t.Helper()
	allowed := outageError
	for try := 1; ; try++ {
		o := measureOutage(t)
		if try == outageTries {
			allowed += o.lateness
		}
		t.Logf("the port was closed for %v to %v; the outage reported is %v, of %d requests; near its edges the machine was up to %v late",
			o.opened.from-o.closed.to, o.opened.to-o.closed.from, o.reported, o.dropped, o.lateness)
		switch off := o.off(); {
		case off <= allowed:
			return
		case o.lateness <= outageQuiet || try == outageTries:
			t.Fatalf("the outage reported is %v off the truth, over %v", off, allowed)
		}
		t.Logf("again, because the machine was late")
	}
}

// measureOutage sends a load at a port that is closed for a while.
func measureOutage(t *testing.T) (o outage) {
	t.Helper()
	clock := timeline.NewClock()
	d := &door{now: clock.Now, addr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}}
	if _, err := d.open(); err != nil {
		t.Fatal(err)
	}
	n := uint64(outageLoad.Seconds() * outageRate)
	record := newRecording(t, clock, timeline.Scenario{Action: "command", Settle: outageSettle}, n)
	schedule, err := drive(t, outageConfig(d.addr, n), clock, record, func(schedule timeline.Load) {
		var err error
		if o.closed, o.opened, err = d.closeFor(outageLength, schedule.Began+outageBegins); err != nil {
			t.Error(err)
		}
		record.restarted(1, o.closed.from-outageAhead, o.opened.to)
	})
	_, closeErr := d.close()
	d.all.Wait()
	rep := record.report(t)
	if err := errors.Join(err, closeErr); err != nil {
		t.Fatal(err)
	}
	o.dropped, o.reported = outageOf(t, rep)
	o.checkEach(t, record.requests)
	if want := outageIn(schedule, record.requests, o.closed.from-outageAhead); o.reported != want {
		t.Errorf("the outage reported is %v, the requests in the run file make it %v", o.reported, want)
	}
	o.lateness = max(o.closed.length(), o.opened.length(),
		latenessAt(schedule, record.requests, o.closed), latenessAt(schedule, record.requests, o.opened))
	return o
}

func outageConfig(addr *net.TCPAddr, n uint64) load.Config {
	return load.Config{
		Targets:     []load.Target{{Method: "GET", URL: "http://" + addr.String() + "/"}},
		Rate:        outageRate,
		Duration:    lasting(n, outageRate),
		Connections: load.Fresh,
		Timeout:     10 * time.Second,
	}
}

// closeFor closes the port at a moment and opens it again when it was closed for length.
func (d *door) closeFor(length, at time.Duration) (closed, opened span, err error) {
	d.await(at)
	if closed, err = d.close(); err != nil {
		return closed, opened, err
	}
	d.await(closed.to + length)
	opened, err = d.open()
	return closed, opened, err
}

// await sleeps, and for the last bit, which a timer may miss by more than a millisecond, watches the clock.
func (d *door) await(at time.Duration) {
	const last = 3 * time.Millisecond
	time.Sleep(at - last - d.now())
	for d.now() < at {
	}
}

func outageOf(t *testing.T, rep *report.Report) (dropped uint64, length time.Duration) {
	t.Helper()
	if len(rep.Restarts) != 1 || rep.Restarts[0].Outage == nil {
		t.Fatalf("restarts %+v, want 1 with an outage", rep.Restarts)
	}
	return rep.Restarts[0].Dropped, time.Duration(*rep.Restarts[0].Outage)
}

// checkEach: whatever the machine did, a request that began and ended while the port was closed was dropped, and one that ended
// before it or began after it was answered.
func (o outage) checkEach(t *testing.T, requests []timeline.Request) {
	t.Helper()
	for _, r := range requests {
		inside := r.Sent >= o.closed.to && r.Done <= o.opened.from
		outside := r.Done < o.closed.from || r.Sent >= o.opened.to
		if ok := r.Outcome == timeline.OK; inside && ok || outside && !ok {
			t.Errorf("request %d, sent at %v and done at %v, was %s: the port was closed at %v and opened at %v",
				r.Seq, r.Sent, r.Done, r.Outcome, o.closed, o.opened)
		}
	}
}

// outageIn is from the first to the last dropped request, and begins no earlier than the restart.
func outageIn(schedule timeline.Load, requests []timeline.Request, requested time.Duration) time.Duration {
	first, last := forever, time.Duration(0)
	for _, r := range requests {
		if r.Outcome.Dropped() {
			due := schedule.Due(r.Seq)
			first, last = min(first, due), max(last, due)
		}
	}
	return last - max(first, requested)
}

// latenessAt is the most that requests under way around an edge took, from when they were due: each of them is either
// answered or refused at once, unless the generator sends it late, or it waits to be accepted until the port closes.
func latenessAt(schedule timeline.Load, requests []timeline.Request, edge span) (most time.Duration) {
	for _, r := range requests {
		if due := schedule.Due(r.Seq); due <= edge.to+outageEdge && r.Done >= edge.from-outageEdge {
			most = max(most, r.Done-due)
		}
	}
	return most
}
