package main

import (
	"context"
	"fmt"
	"os"
	"time"
)

// takeSize compares what the two record of the same load. vegeta's other encodings are for information.
func takeSize(ctx context.Context, b *bout) ([]Row, error) {
	x := load{rate: 5000, duration: b.plan.recorded}
	other := map[string][]float64{}
	theirs := func() (figures, error) {
		f, err := b.runAndKeep(ctx, b.vegeta, x, nil)
		defer os.Remove(f.file)
		for _, format := range []string{"csv", "json"} {
			if err != nil {
				return f, err
			}
			var bytes int64
			bytes, err = b.vegeta.encodedSize(ctx, f.file, format)
			other[format] = append(other[format], float64(bytes)/float64(f.sent))
		}
		return f, err
	}
	ours := func() (figures, error) { return b.runOnce(ctx, b.ours, x, nil) }
	pairs, err := alternate(b.plan.pairs, ours, theirs)
	if err != nil {
		return nil, err
	}
	gob := row(pairs, "recorded run, per request", inBytes, func(f figures) float64 { return float64(f.bytes) / float64(f.sent) })
	gob.Goal = atMost(12)
	return []Row{
		gob,
		{Measure: "recorded run, per request, beside vegeta's csv", Unit: inBytes, Ours: gob.Ours, Peer: other["csv"]},
		{Measure: "recorded run, per request, beside vegeta's json", Unit: inBytes, Ours: gob.Ours, Peer: other["json"]},
	}, nil
}

// reportRate is the rate at which the runs to report are made: both sustain it.
const reportRate = 5000

// takeReport lets each report a real run of its own, made once, of as many requests.
func takeReport(ctx context.Context, b *bout) ([]Row, error) {
	x := load{rate: reportRate, duration: time.Duration(b.plan.requests) * time.Second / reportRate}
	files := map[string]string{}
	for _, g := range []generator{b.ours, b.vegeta} {
		f, err := b.runAndKeep(ctx, g, x, nil)
		if err != nil {
			return nil, err
		}
		defer os.Remove(f.file)
		files[g.name()] = f.file
		b.note("the run that %s reports has %s requests", g.name(), count(f.sent))
	}
	pairs, err := alternate(b.plan.pairs,
		func() (usage, error) { return b.ours.report(ctx, files[b.ours.name()]) },
		func() (usage, error) { return b.vegeta.report(ctx, files[b.vegeta.name()]) })
	if err != nil {
		return nil, err
	}
	name := fmt.Sprintf("report of %s requests: ", count(b.plan.requests))
	wall := row(pairs, name+"time", inSeconds, func(u usage) float64 { return u.Wall.Seconds() })
	wall.Goal = ratioAtMost(0.5)
	memory := row(pairs, name+"peak memory", inBytes, func(u usage) float64 { return float64(u.MaxRSS) })
	memory.Goal = atMost(128 << 20)
	return []Row{wall, row(pairs, name+"CPU", inSeconds, func(u usage) float64 { return u.CPU.Seconds() }), memory}, nil
}
