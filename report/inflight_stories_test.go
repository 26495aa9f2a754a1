package report

import (
	"time"

	"github.com/restartbench/restartbench/bench/timeline"
)

// bound says that so many requests might be under way at once, and how many waited for that.
func (s *story) bound(most int, waited uint64) *story {
	s.load.MaxInFlight, s.loadEnd.Waited = most, waited
	return s
}

// sent lets the requests go out at a moment, as those under way have ended.
func (s stretch) sent(at time.Duration) *story {
	return s.each(func(q *timeline.Request, _ time.Duration) { q.Sent = s.on(at); q.Done = max(q.Done, q.Sent+usually) })
}

var inFlightStories = []told{
	{"requests wait for others to end", func() *story { return held().between(2100*ms, 2300*ms).sent(2311*ms).bound(20, 40) },
		want{Inconclusive, [3]uint64{396, 64, 740}, [3]uint64{}, 300 * ms, none, 20,
			[]string{"the service was spared up to 40 connections"}}},
	{"few requests wait for others to end", func() *story { return held().between(2290*ms, 2300*ms).sent(2311*ms).bound(1000, 2) },
		want{Pass, [3]uint64{396, 64, 740}, [3]uint64{}, 300 * ms, none, 56, nil}},
	{"requests wait for others that are dropped", func() *story {
		return refused().between(2*second, 2100*ms).fail(timeline.ResponseTimeout, second).between(2100*ms, 2300*ms).sent(2311*ms).bound(20, 40)
	}, want{Fail, [3]uint64{396, 64, 740}, [3]uint64{0, 60, 0}, 300 * ms, 295 * ms, 0,
		[]string{"60 of 64 exposed requests were dropped", "the service was spared up to 40 connections"}}},
	{"requests wait for others before the restart", func() *story { return held().between(second, 1500*ms).late(100*ms).bound(20, 100) },
		want{Inconclusive, [3]uint64{396, 64, 740}, [3]uint64{}, 300 * ms, none, 15,
			[]string{"100 of 396 requests before the restart went out more than 25.0 ms late", "the service was spared up to 100 connections"}}},
	{"more are late than wait for others", func() *story { return held().between(3*second, 4*second).late(100*ms).bound(200, 150) },
		want{Inconclusive, [3]uint64{396, 64, 740}, [3]uint64{}, 300 * ms, none, 56,
			[]string{"the generator fell behind: 50 requests went out more than 25.0 ms late, beside those", "the service was spared"}}},
	{"some are never sent for others that do not end", func() *story {
		s := held().bound(20, 40)
		s.requests = s.requests[:1100]
		return s
	}, want{Inconclusive, [3]uint64{396, 64, 640}, [3]uint64{}, 300 * ms, none, 56,
		[]string{"the generator fell behind: it sent 1,100 of 1,200 scheduled requests, and 40 requests waited for others to end", "the service was spared"}}},
}
