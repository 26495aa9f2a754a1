package main

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/restartbench/restartbench/bench"
)

// meter shows how a run gets on: a live bar on a terminal, a line for each step elsewhere, nothing when quiet.
type meter struct {
	stop chan struct{}
	wg   sync.WaitGroup
}

const meterEvery = 100 * time.Millisecond

func newMeter(w io.Writer, quiet bool, name string, b *bench.Bench) *meter {
	m := &meter{stop: make(chan struct{})}
	show := func(bench.Progress) {}
	finish := func() {}
	switch {
	case quiet:
		return m
	case isTerminal(w):
		show, finish = bar(w, name, b.Length())
	default:
		show = lines(w, name)
	}
	m.wg.Go(func() {
		defer finish()
		tick := time.NewTicker(meterEvery)
		defer tick.Stop()
		for {
			show(b.Progress())
			select {
			case <-tick.C:
			case <-m.stop:
				show(b.Progress())
				return
			}
		}
	})
	return m
}

func (m *meter) done() {
	close(m.stop)
	m.wg.Wait()
}

// lines prints a line when the step changes.
func lines(w io.Writer, name string) func(bench.Progress) {
	last := ""
	return func(p bench.Progress) {
		if p.Step == last || p.Step == "" {
			return
		}
		last = p.Step
		fmt.Fprintf(w, "%s: %s (%d ok, %d dropped so far)\n", name, p.Step, p.OK, p.Dropped)
	}
}

// bar draws the time that the load takes, the step, the rate achieved, and what has ended how.
func bar(w io.Writer, name string, length time.Duration) (show func(bench.Progress), finish func()) {
	var mu sync.Mutex // the decorators run in mpb's goroutine
	var now bench.Progress
	var began time.Time
	status := func(decor.Statistics) string {
		mu.Lock()
		defer mu.Unlock()
		rate := 0.0
		if !began.IsZero() {
			rate = float64(now.Sent) / max(time.Since(began).Seconds(), 0.1)
		}
		return fmt.Sprintf(" %-20s %4.0f/s  %d ok  %d dropped", now.Step, rate, now.OK, now.Dropped)
	}
	container := mpb.New(mpb.WithOutput(w), mpb.WithWidth(72), mpb.WithRefreshRate(meterEvery))
	b := container.New(length.Milliseconds(), mpb.BarStyle(), mpb.BarRemoveOnComplete(),
		mpb.PrependDecorators(decor.Name(name+" ")), mpb.AppendDecorators(decor.Any(status)))
	show = func(p bench.Progress) {
		mu.Lock()
		if now = p; began.IsZero() && p.Sent > 0 {
			began = time.Now()
		}
		begun := began
		mu.Unlock() // before the bar is touched: its goroutine may be waiting in status
		if !begun.IsZero() {
			b.SetCurrent(min(time.Since(begun), length-time.Millisecond).Milliseconds())
		}
	}
	return show, func() {
		b.Abort(true)
		container.Wait()
	}
}
