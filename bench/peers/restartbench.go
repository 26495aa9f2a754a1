package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// restartbench is the program built from the tree.
type restartbench struct {
	lab     *lab
	program string
}

func (r restartbench) name() string { return "restartbench" }

// inconclusive is its exit code of a run in which nothing was restarted: all of them here.
const inconclusive = 3

// attack lets it send without a restart, and takes the figures from its report, which is part of what it costs.
func (r restartbench) attack(ctx context.Context, x load, meanwhile func() error) (figures, error) {
	file := r.lab.file("restartbench.run")
	connections := "keepalive"
	if x.fresh {
		connections = "fresh"
	}
	u, out, err := r.lab.send(ctx, x, meanwhile, []int{0, inconclusive}, r.program, "run",
		"--target", r.lab.target.url, "--action", "none", "--rate", strconv.Itoa(x.rate), "--warmup", "0s",
		"--duration", x.duration.String(), "--connections", connections,
		"--record", file, "--format", "json", "--quiet")
	if err != nil {
		return figures{}, err
	}
	f, err := readReport(out)
	if err != nil {
		return figures{}, err
	}
	f.usage, f.file = u, file
	f.bytes, err = size(file)
	return f, err
}

// readReport takes the figures from a report in JSON. A run without a restart has its requests in the phase before.
func readReport(text []byte) (figures, error) {
	var report struct {
		Phases []struct {
			Name     string
			Requests int
			OK       int
			Latency  struct {
				P95 *float64 `json:"p95_s"`
				P99 *float64 `json:"p99_s"`
			}
		}
	}
	if err := json.Unmarshal(text, &report); err != nil {
		return figures{}, fmt.Errorf("reading restartbench's report: %w", err)
	}
	var f figures
	for _, p := range report.Phases {
		if p.Requests == 0 {
			continue
		}
		if p.Name != "before" {
			return figures{}, fmt.Errorf("reading restartbench's report: %d requests in the phase %s, without a restart", p.Requests, p.Name)
		}
		f.sent, f.ok = p.Requests, p.OK
		if p.Latency.P95 != nil && p.Latency.P99 != nil {
			f.p95, f.p99 = seconds(*p.Latency.P95), seconds(*p.Latency.P99)
		}
	}
	if f.sent == 0 {
		return figures{}, errors.New("reading restartbench's report: it has no requests")
	}
	return f, nil
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// report lets it report a run file and returns what that cost.
func (r restartbench) report(ctx context.Context, file string) (usage, error) {
	u, out, err := r.lab.do(ctx, 10*time.Minute, []int{0, inconclusive}, r.program, "report", file)
	if err == nil && len(out) == 0 {
		err = errors.New("restartbench printed no report")
	}
	return u, err
}
