package main

import (
	"slices"
	"time"
)

// hit is one of vegeta's results.
type hit struct {
	seq     uint64
	taken   int64         // when a worker took it up, in ns of the wall clock's origin: vegeta's Timestamp
	latency time.Duration // from then on
	ok      bool
}

// fromSchedule returns the response times of the ok hits, sorted, from when each was due at a steady rate to when it was
// done. vegeta's own latency begins when a worker took the request up, which forgives it all lateness before.
//
// due = began + seq/rate, as in the report's own measure. vegeta does not record when it began; here it is the least of
// taken − seq/rate, so that the promptest request of the run counts as not late at all. That can only flatter vegeta, by
// the lateness of that request.
func fromSchedule(hits []hit, rate int) []time.Duration {
	if len(hits) == 0 {
		return nil
	}
	offset := func(h hit) int64 { return int64(float64(h.seq) / float64(rate) * float64(time.Second)) }
	began := hits[0].taken - offset(hits[0])
	for _, h := range hits {
		began = min(began, h.taken-offset(h))
	}
	var times []time.Duration
	for _, h := range hits {
		if h.ok {
			times = append(times, time.Duration(h.taken-began-offset(h))+h.latency)
		}
	}
	slices.Sort(times)
	return times
}
