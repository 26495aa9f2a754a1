package accuracy

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/restartbench/restartbench/bench/timeline"
	"github.com/restartbench/restartbench/report"
)

// quantileError is the share by which a reported quantile may be off: that of an HDR histogram of three digits.
const quantileError = 0.001

// maxError is what seconds in JSON may lose of a maximum, which is exact otherwise.
const maxError = time.Nanosecond

// checkQuantiles computes every quantile of a report anew from its run file, exactly.
func checkQuantiles(t *testing.T, file []byte, rep *report.Report, restarts []window) {
	t.Helper()
	exact := latencies(t, file, restarts)
	worst := 0.0
	for _, p := range rep.Phases {
		for kind, reported := range map[string]report.Latency{"": p.Latency, " fresh": p.Fresh.Latency, " reused": p.Reused.Latency} {
			worst = max(worst, compareQuantiles(t, p.Name+kind, exact[p.Name+kind], reported))
		}
	}
	t.Logf("quantiles are off by %.4f %% at most", 100*worst)
}

// latencies are the response times of the ok requests, in order, by phase, and by phase and kind of connection.
func latencies(t *testing.T, file []byte, restarts []window) map[string][]time.Duration {
	t.Helper()
	all := map[string][]time.Duration{}
	schedule, requests := requestsOf(t, file)
	for _, r := range requests {
		if r.Outcome != timeline.OK || r.Seq < schedule.Warmup {
			continue
		}
		due := schedule.Due(r.Seq)
		name, _ := phase(restarts, due, r.Done)
		kind := " fresh"
		if r.Reused {
			kind = " reused"
		}
		took := r.Done - min(due, r.Sent)
		all[name], all[name+kind] = append(all[name], took), append(all[name+kind], took)
	}
	for _, times := range all {
		slices.Sort(times)
	}
	return all
}

// compareQuantiles returns the largest error as a share.
func compareQuantiles(t *testing.T, what string, exact []time.Duration, reported report.Latency) (worst float64) {
	t.Helper()
	for _, q := range []struct {
		percent  float64
		reported *report.Duration
	}{{50, reported.P50}, {95, reported.P95}, {99, reported.P99}, {99.9, reported.P999}} {
		if len(exact) == 0 || q.reported == nil {
			if len(exact) > 0 || q.reported != nil {
				t.Errorf("%s p%g: %v is reported, of %d requests", what, q.percent, q.reported, len(exact))
			}
			continue
		}
		want := nearestRank(exact, q.percent)
		off := math.Abs(float64(*q.reported)-float64(want)) / float64(want)
		if worst = max(worst, off); off > quantileError {
			t.Errorf("%s p%g: %v is reported, %v is exact: %.3f %% off", what, q.percent, *q.reported, want, 100*off)
		}
	}
	if len(exact) > 0 && (reported.Max == nil || (time.Duration(*reported.Max)-exact[len(exact)-1]).Abs() > maxError) {
		t.Errorf("%s max: %v is reported, %v is exact", what, reported.Max, exact[len(exact)-1])
	}
	return worst
}

// nearestRank is the least of the sorted values that percent of all do not exceed. Tenths of a percent are exact in it.
func nearestRank(sorted []time.Duration, percent float64) time.Duration {
	tenths := int(math.Round(10 * percent))
	return sorted[(len(sorted)*tenths+999)/1000-1]
}

// proveQuantiles is for a run of the program.
func proveQuantiles(t *testing.T, path string) {
	file := filepath.Join(t.TempDir(), "quantiles.run.zst")
	// What the run's verdict is does not matter here.
	program(t, path, "run", "graceful", "--manager", "embedded", "--rate", "1000", "--duration", "2s", "--at", "600ms", "--settle", "300ms",
		"--warmup", "200ms", "--quiet", "--record", file)
	run, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	code, out, errs := program(t, path, "report", file, "--format", "json")
	var printed report.Report
	if err := json.Unmarshal([]byte(out), &printed); err != nil {
		t.Fatalf("exit code %d: %v: %s", code, err, errs)
	}
	schedule, _ := requestsOf(t, run)
	// Phases begin and end to the nanosecond, which seconds in JSON may lose.
	checkQuantiles(t, run, &printed, windows(schedule, analyze(t, run).Restarts))
}
