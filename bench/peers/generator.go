package main

import (
	"context"
	"fmt"
	"os"
	"time"
)

// load is one steady stream of requests to the target.
type load struct {
	rate     int // requests a second
	duration time.Duration
	fresh    bool // every request on a connection of its own; else on kept-alive ones
}

func (l load) String() string {
	if l.fresh {
		return fmt.Sprintf("%s/s on new connections", count(l.rate))
	}
	return fmt.Sprintf("%s/s", count(l.rate))
}

// planned is how many requests the load has.
func (l load) planned() float64 { return float64(l.rate) * l.duration.Seconds() }

// figures is what came of a load.
type figures struct {
	usage    usage
	sent, ok int
	p95, p99 time.Duration // of the ok ones' response times, from when they were due
	file     string        // what was recorded; the caller's to remove
	bytes    int64         // its size
}

// generator is a program that sends a load. Both of them measure from the schedule; see docs/peers.md.
type generator interface {
	name() string
	// attack sends the load and returns what came of it. While it is under way, meanwhile is called, which may be nil.
	attack(ctx context.Context, x load, meanwhile func() error) (figures, error)
}

// grace is how long a generator may take beyond its load.
const grace = time.Minute

// send runs a generator's command line, with what is to happen meanwhile, and returns what it cost and printed.
func (l *lab) send(ctx context.Context, x load, meanwhile func() error, codes []int, args ...string) (usage, []byte, error) {
	p, err := l.start(ctx, x.duration+grace, args...)
	if err != nil {
		return usage{}, nil, err
	}
	var failed error
	if meanwhile != nil {
		failed = meanwhile()
	}
	u, out, err := p.wait(codes...)
	if failed != nil {
		return usage{}, nil, failed
	}
	return u, out, err
}

// size is the size in bytes of a file.
func size(path string) (int64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, fmt.Errorf("reading the size of what was recorded: %w", err)
	}
	return info.Size(), nil
}

// Bounds of a clean load.
const (
	leastAchieved = 0.99
	longestP99    = 10 * time.Millisecond
)

// fault says what keeps a run from being clean; empty: nothing does.
func (f figures) fault(x load) string {
	switch {
	case f.sent == 0:
		return "sent nothing"
	case f.ok < f.sent:
		return fmt.Sprintf("%s of %s requests failed", count(f.sent-f.ok), count(f.sent))
	case float64(f.sent) < leastAchieved*x.planned():
		return fmt.Sprintf("achieved %.1f %% of the rate", 100*float64(f.sent)/x.planned())
	case f.p99 > longestP99:
		return fmt.Sprintf("p99 %v", f.p99.Round(10*time.Microsecond))
	}
	return ""
}
