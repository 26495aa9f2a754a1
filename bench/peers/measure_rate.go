package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// takeRate searches the highest clean rate of each, and lets wrk's closed loop run once a pair.
func takeRate(ctx context.Context, b *bout) ([]Row, error) {
	search := func(g generator) func() (float64, error) {
		return func() (float64, error) {
			rate, err := highest(b.plan.start, b.plan.tolerance, func(rate int) (bool, error) { return b.clean(ctx, g, rate) })
			if err != nil {
				return 0, fmt.Errorf("searching %s's highest rate: %w", g.name(), err)
			}
			b.detail("%s's highest clean rate is %s/s", g.name(), count(rate))
			return float64(rate), nil
		}
	}
	pairs, err := alternate(b.plan.pairs, search(b.ours), search(b.vegeta))
	if err != nil {
		return nil, err
	}
	itself := func(v float64) float64 { return v }
	best := row(pairs, "highest clean rate", perSecond, itself)
	best.Goal = ratioAtLeast(2)
	beside := Row{Measure: "highest clean rate, beside wrk's closed loop", Unit: perSecond, Ours: best.Ours}
	for range pairs {
		rate, err := b.closedLoop(ctx)
		if err != nil {
			return nil, err
		}
		beside.Peer = append(beside.Peer, rate)
	}
	return []Row{best, beside}, nil
}

// clean tells whether a rate is: in the first run, or in a second one, so that one hiccup of the machine does not end the
// search far too low.
func (b *bout) clean(ctx context.Context, g generator, rate int) (bool, error) {
	x := load{rate: rate, duration: b.plan.probe}
	for range 2 {
		f, err := b.runOnce(ctx, g, x, nil)
		if err != nil {
			return false, err
		}
		fault := f.fault(x)
		if fault == "" {
			return true, nil
		}
		b.detail("not clean: %s", fault)
	}
	return false, nil
}

// closedLoop returns wrk's requests a second: one thread and 64 connections, each of which sends when it is answered. It
// has no schedule to keep, and so measures the target as much as itself.
func (b *bout) closedLoop(ctx context.Context) (float64, error) {
	_, out, err := b.do(ctx, b.plan.probe+grace, []int{0}, b.wrk, "-t1", "-c64",
		fmt.Sprintf("-d%ds", int(b.plan.probe/time.Second)), b.target.url)
	if err != nil {
		return 0, err
	}
	return readWrk(out)
}

// readWrk takes the rate from what wrk prints.
func readWrk(out []byte) (float64, error) {
	_, rest, found := bytes.Cut(out, []byte("Requests/sec:"))
	fields := bytes.Fields(rest)
	if !found || len(fields) == 0 {
		return 0, errors.New("reading wrk's output: no line Requests/sec")
	}
	rate, err := strconv.ParseFloat(string(fields[0]), 64)
	if err != nil {
		return 0, fmt.Errorf("reading wrk's output: Requests/sec: %w", err)
	}
	return rate, nil
}
