package accuracy

import (
	"bufio"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/restartbench/restartbench/bench/load"
	"github.com/restartbench/restartbench/bench/timeline"
	"github.com/restartbench/restartbench/report"
)

const (
	dropRate     = 200 // requests a second
	dropLoad     = 1500 * time.Millisecond
	dropRestart  = 500 * time.Millisecond // when the restart seems to be requested
	dropComplete = 700 * time.Millisecond // and completed
	dropSettle   = 250 * time.Millisecond // 50 requests
	dropsAtOnce  = 10
	dropTries    = 5
)

// dropper answers every request but one.
type dropper struct {
	victim uint64
	fate   timeline.Outcome
	reused atomic.Bool // the victim came on a connection that had served before
}

// newDropper drops one of the requests that are due while the restart goes on, in a way that no answer can follow.
func newDropper(random *rand.Rand) *dropper {
	from, to := uint64(dropRestart.Seconds()*dropRate), uint64(dropComplete.Seconds()*dropRate)
	fates := []timeline.Outcome{timeline.Reset, timeline.EOF, timeline.Truncated, timeline.Malformed}
	return &dropper{victim: from + 1 + random.Uint64N(to-from-1), fate: fates[random.IntN(len(fates))]}
}

func (d *dropper) talk(c *net.TCPConn) {
	defer c.Close()
	r := bufio.NewReader(c)
	for nth := 0; ; nth++ {
		seq, ok := readSeq(r)
		if !ok {
			return
		}
		if seq == d.victim {
			d.reused.Store(nth > 0)
			d.drop(c)
			return
		}
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	}
}

func (d *dropper) drop(c *net.TCPConn) {
	switch d.fate {
	case timeline.Reset:
		c.SetLinger(0) // close with RST (socket(7))
	case timeline.Truncated:
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
	case timeline.Malformed:
		io.WriteString(c, "garbage\r\n\r\n")
	}
}

// TestSingleDrops: one dropped request fails a run, whatever the way in which it was dropped.
func TestSingleDrops(t *testing.T) {
	t.Parallel()
	n := scale(t, "RESTARTBENCH_TEST_DROPS", 10)
	random := seeded(t)
	var all sync.WaitGroup
	var mu sync.Mutex
	dropped := map[string]int{}
	places := make(chan struct{}, dropsAtOnce)
	for range n {
		own := rand.New(rand.NewPCG(random.Uint64(), random.Uint64()))
		places <- struct{}{}
		all.Go(func() {
			defer func() { <-places }()
			class := proveDrop(t, own)
			mu.Lock()
			defer mu.Unlock()
			dropped[class]++
		})
	}
	all.Wait()
	t.Logf("%d runs, by what was dropped: %v", n, dropped)
}

// proveDrop measures anew where the machine was so late that the tool rightly says nothing about the service. On a machine
// that always is, the drop must still be counted and held against the service.
func proveDrop(t *testing.T, random *rand.Rand) (class string) {
	for try := 1; ; try++ {
		d := newDropper(random)
		rep, err := d.run(t)
		late := err != nil || rep.Load.LagP99 > report.Duration(report.LagBound)
		if late && try < dropTries {
			t.Logf("again, because the machine was late: 1 %% of the requests by %v or more", rep.Load.LagP99)
			continue
		}
		found := rep.Verdict.Result == report.Fail || late && blamed(rep)
		if !found || rep.Proof.Dropped != 1 || len(rep.Drops) != 1 || rep.Drops[0].Outcome != d.fate.String() {
			t.Errorf("request %d was dropped as %s (reused connection: %t); verdict %+v, %d of %d exposed requests dropped: %+v", d.victim, d.fate, d.reused.Load(),
				rep.Verdict, rep.Proof.Dropped, rep.Proof.Exposed, rep.Drops)
		}
		if d.reused.Load() {
			return d.fate.String() + " reused"
		}
		return d.fate.String() + " fresh"
	}
}

// blamed tells whether the drop is among the findings, whatever outweighs it.
func blamed(rep *report.Report) bool {
	return slices.ContainsFunc(rep.Verdict.Reasons, func(r report.Reason) bool {
		return r.Result == report.Fail && strings.Contains(r.Text, "dropped")
	})
}

// run is a run of which everything else went well. Its error says that the machine is too slow.
func (d *dropper) run(t *testing.T) (*report.Report, error) {
	clock := timeline.NewClock()
	scenario := timeline.Scenario{Action: "restart", Unit: "app.service", Restarts: 1, Settle: dropSettle}
	n := uint64(dropLoad.Seconds() * dropRate)
	record := newRecording(t, clock, scenario, n)
	_, err := drive(t, load.Config{
		Targets:     []load.Target{{Method: "GET", URL: "http://" + serveRaw(t, d.talk) + "/"}},
		Rate:        dropRate,
		Duration:    lasting(n, dropRate),
		Connections: load.Mixed,
		Timeout:     time.Second,
	}, clock, record, func(schedule timeline.Load) {
		record.restartedUnit(schedule.Began, schedule.Began+dropRestart, schedule.Began+dropComplete)
	})
	return record.report(t), err
}

// restartedUnit records the restart of app.service with its proof: another process runs after it.
func (r *recording) restartedUnit(began, requested, completed time.Duration) {
	for _, u := range []timeline.Unit{
		{At: began, Active: "active", Sub: "running", MainPID: 100, InvocationID: "a"},
		{At: requested, Active: "deactivating", Sub: "stop-sigterm", MainPID: 100, InvocationID: "a"},
		{At: requested + (completed-requested)/2, Active: "active", Sub: "running", MainPID: 200, InvocationID: "b"},
	} {
		u.Name = "app.service"
		r.Emit(timeline.Event{Unit: &u})
	}
	r.restarted(1, requested, completed)
}
