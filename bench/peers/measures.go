package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// measure is one thing that is measured. It makes one row or several.
type measure struct {
	name  string
	about string
	needs []string // programs, beside nginx
	take  func(ctx context.Context, b *bout) ([]Row, error)
}

// measures are all of them, in the order in which they are taken.
func measures() []measure {
	return []measure{
		{"rate", "the highest rate that is clean; beside it wrk's closed loop", []string{"wrk"}, takeRate},
		{"start", "CPU of a run of one request: what it costs to start and to end", nil, takeStart},
		{"steady", "CPU per request, p95 and p99 at steady rates on kept-alive connections", nil, takeSteady},
		{"fresh", "the same on new connections", nil, takeFresh},
		{"memory", "peak memory of a long run", nil, takeMemory},
		{"stall", "peak memory while the target stands still", nil, takeStall},
		{"size", "size of the recorded run per request", nil, takeSize},
		{"report", "time and memory to report a large run", nil, takeReport},
	}
}

// bout is one measure under way: where it is taken, how much of it, and what must be said with it.
type bout struct {
	*lab
	plan  plan
	notes []string
}

func (b *bout) note(format string, args ...any) {
	b.notes = append(b.notes, fmt.Sprintf(format, args...))
}

// runOnce sends a load once, says when it was not clean, and leaves no file.
func (b *bout) runOnce(ctx context.Context, g generator, x load, meanwhile func() error) (figures, error) {
	f, err := b.runAndKeep(ctx, g, x, meanwhile)
	os.Remove(f.file)
	return f, err
}

func (b *bout) runAndKeep(ctx context.Context, g generator, x load, meanwhile func() error) (figures, error) {
	f, err := g.attack(ctx, x, meanwhile)
	if err != nil {
		return f, fmt.Errorf("%s at %v: %w", g.name(), x, err)
	}
	if f.ok == 0 {
		return f, fmt.Errorf("%s at %v: none of %d requests was answered", g.name(), x, f.sent)
	}
	b.detail("%s at %v for %v: %v CPU, peak %s, p95 %v, p99 %v, %d sent, %d ok", g.name(), x, x.duration,
		f.usage.CPU, inBytes.format(float64(f.usage.MaxRSS)), f.p95, f.p99, f.sent, f.ok)
	return f, nil
}

// pairsAt measures pairs of a load, and notes those runs that were not clean.
func (b *bout) pairsAt(ctx context.Context, x load) ([]pair[figures], error) {
	once := func(g generator) func() (figures, error) {
		return func() (figures, error) { return b.runOnce(ctx, g, x, nil) }
	}
	pairs, err := alternate(b.plan.pairs, once(b.ours), once(b.vegeta))
	if err != nil {
		return nil, err
	}
	b.noteFaults(x, "", pairs)
	return pairs, nil
}

// noteFaults notes how many runs of each were not clean, and why.
func (b *bout) noteFaults(x load, under string, pairs []pair[figures]) {
	var ours, peer []string
	for _, p := range pairs {
		ours, peer = append(ours, p.ours.fault(x)), append(peer, p.peer.fault(x))
	}
	b.noteRuns(b.ours, x, under, ours)
	b.noteRuns(b.vegeta, x, under, peer)
}

func (b *bout) noteRuns(g generator, x load, under string, faults []string) {
	runs := len(faults)
	faults = slices.DeleteFunc(faults, func(fault string) bool { return fault == "" })
	if len(faults) > 0 {
		b.note("%s at %v for %s%s: %d of %d runs not clean: %s",
			g.name(), x, span(x.duration), under, len(faults), runs, strings.Join(faults, ", "))
	}
}

// takeStart costs a run of a single request, which lasts a second.
func takeStart(ctx context.Context, b *bout) ([]Row, error) {
	pairs, err := b.pairsAt(ctx, load{rate: 1, duration: time.Second})
	return []Row{row(pairs, "CPU of a run of one request", inSeconds, cpu)}, err
}

func takeSteady(ctx context.Context, b *bout) ([]Row, error) {
	var rows []Row
	for _, rate := range []int{1000, 5000, 10_000} {
		more, err := b.steadyRows(ctx, load{rate: rate, duration: b.plan.steady})
		if err != nil {
			return nil, err
		}
		if rate == 5000 {
			more[0].Goal, more[1].Goal = ratioAtMost(0.5), ratioAtMost(0.5)
		}
		rows = append(rows, more...)
	}
	return rows, nil
}

func takeFresh(ctx context.Context, b *bout) ([]Row, error) {
	return b.steadyRows(ctx, load{rate: 2000, duration: b.plan.steady, fresh: true})
}

// steadyRows are CPU per request, p95 and p99, in that order.
func (b *bout) steadyRows(ctx context.Context, x load) ([]Row, error) {
	pairs, err := b.pairsAt(ctx, x)
	return []Row{
		row(pairs, fmt.Sprintf("CPU per request at %v", x), inSeconds, cpuPerRequest),
		row(pairs, fmt.Sprintf("p95 response time at %v", x), inSeconds, func(f figures) float64 { return f.p95.Seconds() }),
		row(pairs, fmt.Sprintf("p99 response time at %v", x), inSeconds, func(f figures) float64 { return f.p99.Seconds() }),
	}, err
}

func cpu(f figures) float64           { return f.usage.CPU.Seconds() }
func cpuPerRequest(f figures) float64 { return f.usage.CPU.Seconds() / float64(f.sent) }
func peak(f figures) float64          { return float64(f.usage.MaxRSS) }

func takeMemory(ctx context.Context, b *bout) ([]Row, error) {
	x := load{rate: 5000, duration: b.plan.hold}
	pairs, err := b.pairsAt(ctx, x)
	return []Row{row(pairs, fmt.Sprintf("peak memory at %v for %s", x, span(x.duration)), inBytes, peak)}, err
}

// takeStall stops the target in the middle of a run.
func takeStall(ctx context.Context, b *bout) ([]Row, error) {
	x := load{rate: 5000, duration: b.plan.stalled}
	var stood []time.Duration
	once := func(g generator) func() (figures, error) {
		return func() (figures, error) {
			f, err := b.runOnce(ctx, g, x, func() error {
				if err := rest(ctx, x.duration/4); err != nil {
					return err
				}
				d, err := b.target.stall(ctx, b.plan.stall)
				stood = append(stood, d)
				return err
			})
			f.p99 = 0 // what is due meanwhile is late, and that is no fault
			return f, err
		}
	}
	pairs, err := alternate(b.plan.pairs, once(b.ours), once(b.vegeta))
	if err != nil {
		return nil, err
	}
	b.noteFaults(x, " through the stall", pairs)
	b.note("the target stood still for %s", stretch(stood))
	r := row(pairs, fmt.Sprintf("peak memory at %v through a stall of %s", x, span(b.plan.stall)), inBytes, peak)
	r.Goal = ratioAtMost(0.5)
	return []Row{r}, nil
}
