package accuracy

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/restartbench/restartbench/bench/systemd/private"
	"github.com/restartbench/restartbench/bench/systemd/private/privatetest"
	"github.com/restartbench/restartbench/bench/timeline"
	"github.com/restartbench/restartbench/report"
)

const (
	// One boot bears four restarts in quick succession: systemd allows five starts in ten seconds, the first included
	// (DefaultLimitBurst= and DefaultLimitIntervalSec= in systemd-system.conf(5)).
	restartsEach   = 4
	restartsEvery  = 1200 * time.Millisecond // restart and drain take 600 ms, settling 300 ms
	restartsAtOnce = 2
	restartTries   = 5
)

// proveRestarts: restarts of the built-in scenario that loses nothing, on a real systemd, never fail a run.
func proveRestarts(t *testing.T, path string) {
	privatetest.Boot(t, private.Config{}) // or skip
	n := scale(t, "RESTARTBENCH_TEST_RESTARTS", 5)
	began := time.Now()
	var all sync.WaitGroup
	places := make(chan struct{}, restartsAtOnce)
	runs := (n + restartsEach - 1) / restartsEach
	for i := range runs {
		times := n*(i+1)/runs - n*i/runs
		places <- struct{}{}
		all.Go(func() {
			defer func() { <-places }()
			restartCleanly(t, path, times)
		})
	}
	all.Wait()
	t.Logf("%d restarts in %v", n, time.Since(began).Round(time.Millisecond))
}

// restartCleanly restarts times times in one run. It measures anew where the tool could not tell, for which the report
// says why.
func restartCleanly(t *testing.T, path string, times uint64) {
	file := filepath.Join(t.TempDir(), "clean.run.zst")
	for try := 1; ; try++ {
		code, out, errs := program(t, path, "run", "graceful", "--manager", "private", "--times", fmt.Sprint(times), "--every", restartsEvery.String(),
			"--at", "500ms", "--warmup", "200ms", "--settle", "300ms", "--duration", (time.Duration(times)*restartsEvery + time.Second).String(),
			"--quiet", "--format", "json", "--record", file)
		var rep report.Report
		if err := json.Unmarshal([]byte(out), &rep); err != nil {
			t.Errorf("exit code %d: %s%s", code, out, errs)
			return
		}
		if rep.Verdict.Result == report.Fail || rep.Phases[0].Dropped+rep.Phases[1].Dropped+rep.Phases[2].Dropped > 0 {
			t.Errorf("%d clean restarts are reported as lossy (exit code %d):\n%s", times, code, evidence(t, file, &rep))
			return
		}
		if rep.Verdict.Result == report.Pass && rep.Proof.Restarts == times {
			return
		}
		if try == restartTries {
			t.Errorf("%d restarts of %d were proved (exit code %d): %+v", rep.Proof.Restarts, times, code, rep.Verdict)
			return
		}
		t.Logf("again, because nothing could be told: %+v", rep.Verdict.Reasons)
	}
}

// evidence is what tells whether a failure was real: the report, the requests that were not ok, and on the same clock what the
// units did and every line that they wrote.
func evidence(t *testing.T, file string, rep *report.Report) string {
	run, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	var b strings.Builder
	report.Render(&b, report.Text, report.Style{}, rep)
	schedule, requests := requestsOf(t, run)
	since := func(at time.Duration) time.Duration { return at - schedule.Began }
	for _, r := range requests {
		if r.Outcome != timeline.OK {
			fmt.Fprintf(&b, "request %d: %s, hidden %t, reused %t, status %d; due %v, sent %v, connected after %v with %d retransmits, done %v\n",
				r.Seq, r.Outcome, r.Hidden, r.Reused, r.Status, since(schedule.Due(r.Seq)), since(r.Sent), r.Connect, r.Retransmits, since(r.Done))
		}
	}
	for rd := read(t, run); ; {
		e, err := rd.Next()
		switch {
		case err != nil:
			return b.String()
		case e.Log != nil:
			fmt.Fprintf(&b, "%v %s: %s\n", since(e.Log.At), e.Log.Source, e.Log.Text)
		case e.Unit != nil:
			fmt.Fprintf(&b, "%v %s is %s (%s), main process %d\n", since(e.Unit.At), e.Unit.Name, e.Unit.Active, e.Unit.Sub, e.Unit.MainPID)
		}
	}
}
