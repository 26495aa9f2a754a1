package main

import (
	"bufio"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/restartbench/restartbench/bench/load"
	"github.com/restartbench/restartbench/bench/timeline"
)

const (
	stallRate  = 1000
	stallFirst = stallRate       // the request that the server stalls at
	stallFor   = 2 * time.Second // it reads on, and answers nothing
)

// staller serves one request at a time, and stalls once. It logs when each request came and when it was answered.
type staller struct {
	now   func() time.Duration
	queue chan waiting  // has room for the whole load
	over  chan struct{} // closed when the load has ended

	mu                 sync.Mutex
	arrived, answered  map[uint64]time.Duration
	stalledAt, goingOn time.Duration
}

// waiting is a request that is not answered yet.
type waiting struct {
	seq uint64
	c   *net.TCPConn
}

func (s *staller) talk(c *net.TCPConn) {
	defer c.Close()
	r := bufio.NewReader(c)
	for {
		seq, ok := readSeq(r)
		if !ok {
			return
		}
		s.mu.Lock()
		s.arrived[seq] = s.now()
		s.mu.Unlock()
		s.queue <- waiting{seq, c}
	}
}

// serve answers until all is over. What a stall piled up it works off at 4,000/s at most, so that the client, on the same
// processors, keeps up and the two agree on when an answer came.
func (s *staller) serve() {
	const batch, pause = 20, 5 * time.Millisecond
	stalled := false
	for n := 0; ; n++ {
		var w waiting
		select {
		case w = <-s.queue:
		case <-s.over:
			return
		}
		if w.seq >= stallFirst && !stalled {
			stalled = true
			s.stalledAt = s.now()
			time.Sleep(stallFor)
			s.goingOn = s.now()
		}
		io.WriteString(w.c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		s.mu.Lock()
		s.answered[w.seq] = s.now()
		s.mu.Unlock()
		if n%batch == 0 && len(s.queue) > 0 {
			time.Sleep(pause)
		}
	}
}

// TestStallIsMeasuredFromTheSchedule: what a stalled server's clients wait for is told right, to 1 % at p95, by the
// server's own log. A tool that counts from when it got round to sending, or stops sending, tells less.
func TestStallIsMeasuredFromTheSchedule(t *testing.T) {
	clock := timeline.NewClock()
	s := &staller{now: clock.Now, queue: make(chan waiting, 10*stallRate), over: make(chan struct{}),
		arrived: map[uint64]time.Duration{}, answered: map[uint64]time.Duration{}}
	address := serveRaw(t, s.talk)
	var serving sync.WaitGroup
	serving.Go(s.serve)
	record := newRecording(t, clock, 300*time.Millisecond)
	schedule, err := drive(t, load.Config{
		Targets:     []load.Target{{Method: "GET", URL: "http://" + address + "/"}},
		Rate:        stallRate,
		Duration:    5 * time.Second,
		Connections: load.KeepAlive,
		Timeout:     10 * time.Second,
	}, clock, record, func(timeline.Load) []timeline.Restart { return nil })
	close(s.over)
	serving.Wait()
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []timeline.Restart{
		{N: 1, Step: timeline.Requested, At: s.stalledAt},
		{N: 1, Step: timeline.Completed, At: s.goingOn, Result: timeline.Done},
	} {
		record.Emit(timeline.Event{Restart: &step})
	}
	rep := record.report(t)
	if len(rep.Restarts) != 1 || rep.Restarts[0].Recovery == nil {
		t.Fatalf("restarts %+v, want 1 that things recovered from", rep.Restarts)
	}
	settled := schedule.Began + time.Duration(rep.Restarts[0].Requested) + time.Duration(*rep.Restarts[0].Recovery)
	truth := s.latencies(schedule, settled)
	want := truth[(len(truth)*95+99)/100-1]
	during := rep.Phases[1]
	if during.OK != during.Requests || during.Latency.P95 == nil {
		t.Fatalf("during %+v, want every request to be ok", during)
	}
	got := time.Duration(*during.Latency.P95)
	if off := float64((got - want).Abs()) / float64(want); off > 0.01 {
		t.Errorf("p95 %v is reported, the server knows of %v: %.2f %% off", got, want, 100*off)
	}
	if want < stallFor/2 {
		t.Errorf("the true p95 is %v: the stall was not met", want)
	}
	t.Logf("p95 reported %v, true %v, of %d requests; lag p99 %v", got, want, len(truth), rep.Load.LagP99)
}

// latencies are the true ones of the requests that overlap the stall, in order: from when each was due to its answer.
func (s *staller) latencies(schedule timeline.Load, settled time.Duration) (all []time.Duration) {
	for seq, answered := range s.answered {
		if due := schedule.Due(seq); due < settled && answered >= s.stalledAt {
			all = append(all, answered-due)
		}
	}
	slices.Sort(all)
	return all
}
