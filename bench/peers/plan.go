package main

import "time"

// plan says how much is measured.
type plan struct {
	pairs     int
	probe     time.Duration // of one rate in the search, and of wrk
	start     int           // where the search begins, requests a second
	tolerance float64       // of the search, as a share of the rate
	steady    time.Duration // at one rate
	hold      time.Duration // for peak memory
	stalled   time.Duration // with a stall in it
	stall     time.Duration
	recorded  time.Duration // for the size of what is recorded
	requests  int           // to report
}

func (o options) plan() plan {
	if o.short {
		return plan{
			pairs: o.pairs, probe: time.Second, start: 5000, tolerance: 0.2, steady: time.Second,
			hold: 2 * time.Second, stalled: 3 * time.Second, stall: time.Second,
			recorded: time.Second, requests: 10_000,
		}
	}
	return plan{
		pairs: o.pairs, probe: 5 * time.Second, start: 5000, tolerance: 0.1, steady: 5 * time.Second,
		hold: time.Minute, stalled: 8 * time.Second, stall: 2 * time.Second,
		recorded: 10 * time.Second, requests: 1_000_000,
	}
}
