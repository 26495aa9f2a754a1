package accuracy

import (
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/restartbench/restartbench/bench/load"
	"github.com/restartbench/restartbench/bench/timeline"
	"github.com/restartbench/restartbench/report"
)

const (
	stallRate   = 1000
	stallBegins = 500 * time.Millisecond // after the load
	stallFor    = 2 * time.Second        // the server reads on, and answers nothing
	stallLeast  = stallFor / 4           // that the quantiles must be, or else the stall was not met
	stallError  = 0.01                   // of each quantile
	stallSettle = 300 * time.Millisecond
	stallQuiet  = 5 * time.Millisecond // lateness up to which a measurement counts as undisturbed
	stallTries  = 5
)

// TestStall: what a stalled server's clients wait for is told right, by the server's own log. A tool that counts from when
// it got round to sending, or stops sending, tells less.
//
// It measures anew where the machine was late, for the client then learns of an answer later than the server. A machine
// that always is gets its lateness allowed.
func TestStall(t *testing.T) {
	t.Parallel()
	rate := scale(t, "RESTARTBENCH_TEST_STALL_RATE", stallRate)
	allowed := stallError
	for try := 1; ; try++ {
		off, late := stall(t, rate)
		if try == stallTries {
			allowed += float64(late) / float64(stallLeast)
		}
		switch {
		case off <= allowed:
			return
		case late <= stallQuiet || try == stallTries:
			t.Fatalf("a quantile is %.2f %% off, over %.2f %%; the machine was up to %v late", 100*off, 100*allowed, late)
		}
		t.Logf("again, because the machine was up to %v late", late)
	}
}

// stall sends a load at a server that stalls. It returns the largest error of a quantile, as a share, and how late a
// sleeper of the test's own was woken up at worst.
func stall(t *testing.T, rate uint64) (off float64, late time.Duration) {
	t.Helper()
	clock := timeline.NewClock()
	n := uint64((stallBegins + stallFor + 2*catchUp(rate) + stallSettle).Seconds() * float64(rate))
	address, end := startStaller(t, rate, n)
	record := newRecording(t, clock, timeline.Scenario{Action: "command", Settle: stallSettle}, n)
	over := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() { late = latest(over) })
	schedule, err := drive(t, load.Config{
		Targets:     []load.Target{{Method: "GET", URL: "http://" + address + "/"}},
		Rate:        float64(rate),
		Duration:    lasting(n, rate),
		Connections: load.KeepAlive,
		Timeout:     10 * time.Second,
	}, clock, record, func(timeline.Load) {})
	close(over)
	watching.Wait()
	log := end()
	record.restarted(1, clock.FromMonotonic(log.Stalled), clock.FromMonotonic(log.GoingOn))
	rep := record.report(t)
	if err != nil {
		t.Fatal(err)
	}
	record.checkComplete(t)
	restarts := windows(schedule, rep.Restarts)
	checkQuantiles(t, record.file.Bytes(), rep, restarts)
	return compareStall(t, trueLatencies(schedule, clock, log, restarts[0]), rep), late
}

// trueLatencies are those of the requests that overlap the stall, in order: from when each was due to its answer.
func trueLatencies(schedule timeline.Load, clock timeline.Clock, log stallLog, w window) (all []time.Duration) {
	for seq, answered := range log.Answered {
		if due := schedule.Due(uint64(seq)); due < w.to && answered >= log.Stalled {
			all = append(all, clock.FromMonotonic(answered)-due)
		}
	}
	slices.Sort(all)
	return all
}

// latest sleeps by the millisecond until over and returns by how much it was woken up too late at worst.
func latest(over <-chan struct{}) (worst time.Duration) {
	const nap = time.Millisecond
	for {
		began := time.Now()
		select {
		case <-over:
			return worst
		case <-time.After(nap):
			worst = max(worst, time.Since(began)-nap)
		}
	}
}

// compareStall returns the largest error of a quantile as a share.
func compareStall(t *testing.T, truth []time.Duration, rep *report.Report) (worst float64) {
	t.Helper()
	during := rep.Phases[1]
	if during.OK != during.Requests || during.Latency.P50 == nil {
		t.Fatalf("during %+v, want every request to be ok", during)
	}
	line := ""
	for _, q := range []struct {
		percent  float64
		reported *report.Duration
	}{{50, during.Latency.P50}, {95, during.Latency.P95}, {99, during.Latency.P99}} {
		got, want := time.Duration(*q.reported), nearestRank(truth, q.percent)
		off := math.Abs(float64(got-want)) / float64(want)
		worst = max(worst, off)
		line += fmt.Sprintf("p%g %v, true %v (%.3f %% off); ", q.percent, got, want, 100*off)
		if want < stallLeast {
			t.Errorf("the true p%g is %v: the stall was not met", q.percent, want)
		}
	}
	t.Logf("%s%d requests at %g/s, lag p99 %v, max %v", line, len(truth), rep.Scenario.Rate, rep.Load.LagP99, rep.Load.LagMax)
	return worst
}
