package load

import (
	"math"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/restartbench/restartbench/bench/timeline"
)

// pace drives p as a lane does, and returns how long after its due time each request went out.
// before is called ahead of every request, on the load's time.
func pace(p *pacer, before func(elapsed time.Duration)) (late []time.Duration) {
	p.begin(0)
	began := p.schedule.Began
	for {
		n := uint64(len(late))
		before(p.clock.Now() - began)
		for {
			due, over := p.next(n, p.clock.Now())
			if over {
				return late
			}
			wait := due - p.clock.Now()
			if wait <= 0 {
				late = append(late, -wait)
				break
			}
			time.Sleep(min(wait, time.Millisecond)) // the end may move meanwhile
		}
	}
}

func nothing(time.Duration) {}

func newTestPacer(rate float64, warmup, duration time.Duration) *pacer {
	return newPacer(timeline.NewClock(), rate, warmup, duration)
}

func TestEveryRequestGoesOutWhenItIsDue(t *testing.T) {
	for _, tt := range []struct {
		rate     float64
		duration time.Duration
		want     int
	}{
		{1000, time.Second, 1000},
		{100, 70 * time.Millisecond, 7}, // 0.07 × 100 is 7.000000000000001
		{10, 1100 * time.Millisecond, 11},
		{3, time.Second, 3},
		{3, time.Second + 1, 4},
		{0.1, 25 * time.Second, 3},
		{7.5, 2 * time.Second, 15},
		{1, 0, 0},
		{10_000, 2 * time.Second, 20_000},
		{1, time.Nanosecond, 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := newTestPacer(tt.rate, 0, tt.duration)
			late := pace(p, nothing)
			if len(late) != tt.want || p.scheduled(uint64(len(late))) != uint64(tt.want) {
				t.Errorf("%v/s for %v: %d sent, %d scheduled, want %d", tt.rate, tt.duration, len(late), p.scheduled(uint64(len(late))), tt.want)
			}
			if len(late) > 0 && (slices.Min(late) < 0 || slices.Max(late) > 0) {
				t.Errorf("%v/s for %v: late by %v to %v", tt.rate, tt.duration, slices.Min(late), slices.Max(late))
			}
		})
	}
}

func TestAsManyRequestsAsFitAreDueBeforeAnEnd(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := rapid.Float64Range(0.01, 1e5).Draw(t, "rate")
		if rapid.Bool().Draw(t, "round") {
			rate = math.Ceil(rate)
		}
		end := time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "end"))
		if rapid.Bool().Draw(t, "even") {
			end = end.Round(10 * time.Millisecond)
		}
		p := newTestPacer(rate, end, 0)
		n := p.dueBefore(end)
		if n > 0 && p.offset(n-1) >= end || p.offset(n) < end {
			t.Fatalf("%d requests before %v: number %d is due at %v, number %d at %v", n, end, n-1, p.offset(n-1), n, p.offset(n))
		}
		if p.schedule.Warmup != n {
			t.Fatalf("%d requests are warm-up, want %d", p.schedule.Warmup, n)
		}
		if exact := end.Seconds() * rate; math.Abs(float64(n)-exact) > 1+exact*1e-9 {
			t.Fatalf("%d requests for %v", n, exact)
		}
	})
}

func TestPacerKeepsToAnyScheduleInABubble(t *testing.T) {
	type schedule struct {
		rate             float64
		warmup, duration time.Duration
	}
	draw := rapid.Custom(func(t *rapid.T) schedule {
		return schedule{rapid.Float64Range(0.5, 2000).Draw(t, "rate"), time.Duration(rapid.Int64Range(0, 2e9).Draw(t, "warmup")),
			time.Duration(rapid.Int64Range(0, 3e9).Draw(t, "duration"))}
	})
	for i := range 50 {
		s := draw.Example(i)
		synctest.Test(t, func(t *testing.T) {
			p := newTestPacer(s.rate, s.warmup, s.duration)
			late := pace(p, nothing)
			if want := p.dueBefore(s.warmup + s.duration); uint64(len(late)) != want || p.scheduled(uint64(len(late))) != want {
				t.Errorf("%+v: %d sent, %d scheduled, want %d", s, len(late), p.scheduled(uint64(len(late))), want)
			}
			for n, by := range late {
				if by != 0 {
					t.Fatalf("%+v: request %d is late by %v", s, n, by)
				}
			}
		})
	}
}

func TestHoldAndRelease(t *testing.T) {
	for _, tt := range []struct {
		name     string
		releases time.Duration // since began
		more     time.Duration
		want     int // requests at 10/s, of a load that is 1 s long
	}{
		{"before its end, to its end", 300 * time.Millisecond, 0, 10},
		{"before its end, past its end", 300 * time.Millisecond, 2 * time.Second, 23},
		{"past its end, at once", 4950 * time.Millisecond, 0, 50},
		{"past its end, with more", 4990 * time.Millisecond, 260 * time.Millisecond, 53},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := newTestPacer(10, 0, time.Second)
			p.hold()
			time.AfterFunc(tt.releases, func() { p.release(p.clock.Now() + tt.more) })
			late := pace(p, nothing)
			if len(late) != tt.want || p.scheduled(uint64(len(late))) != uint64(tt.want) || slices.Max(late) != 0 {
				t.Errorf("%s: %d sent, %d scheduled, want %d; late by up to %v", tt.name, len(late), p.scheduled(uint64(len(late))), tt.want, slices.Max(late))
			}
		})
	}
}

func TestReleaseBeforeTheBeginning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newTestPacer(10, 0, time.Second)
		p.hold()
		time.Sleep(time.Hour)
		p.release(p.clock.Now() + 2*time.Second)
		if late := pace(p, nothing); len(late) != 20 {
			t.Errorf("%d sent, want 20: 2 s from the release on", len(late))
		}
	})
}

func TestStop(t *testing.T) {
	for _, at := range []time.Duration{0, 250 * time.Millisecond, 99 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			p := newTestPacer(10, 0, time.Hour)
			began := time.Now()
			time.AfterFunc(at, p.stop)
			late := pace(p, nothing)
			if took := time.Since(began); took > at+2*time.Millisecond {
				t.Errorf("stopped after %v, took until %v", at, took)
			}
			if uint64(len(late)) != p.scheduled(uint64(len(late))) {
				t.Errorf("%d sent, %d scheduled", len(late), p.scheduled(uint64(len(late))))
			}
			p.stop() // again is no fault
		})
	}
}

func TestLateRequestsAreSentUntilTheOverrunEnds(t *testing.T) {
	for _, tt := range []struct {
		stall time.Duration // of vegeta, before the request due at 0.5 s
		sent  int           // of 10
	}{
		{2 * time.Second, 10},
		{2*time.Second + 500*time.Millisecond, 10},
		{2*time.Second + 501*time.Millisecond, 5},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := newTestPacer(10, 0, time.Second)
			n := 0
			late := pace(p, func(time.Duration) {
				if n++; n == 6 {
					time.Sleep(tt.stall + 100*time.Millisecond) // the fifth went out at 0.4 s
				}
			})
			if len(late) != tt.sent || p.scheduled(uint64(len(late))) != 10 {
				t.Errorf("stalled %v: %d sent, %d scheduled, want %d of 10", tt.stall, len(late), p.scheduled(uint64(len(late))), tt.sent)
			}
		})
	}
}

func TestWarmupComesOnTop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newTestPacer(100, time.Second, 2*time.Second)
		if late := pace(p, nothing); len(late) != 300 || p.schedule.Warmup != 100 {
			t.Errorf("%d sent, of which %d to warm up; want 300 and 100", len(late), p.schedule.Warmup)
		}
	})
}
