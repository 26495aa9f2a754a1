package supervisor

import "time"

// ratelimit is systemd's (src/basic/ratelimit.c): at most burst events in an interval that begins with its first event.
// An interval or a burst of 0 means no limit.
type ratelimit struct {
	interval time.Duration
	burst    uint64
	began    time.Time
	seen     uint64
}

// below counts one event, and says whether it is within the limit.
func (r *ratelimit) below(now time.Time) bool {
	if r.interval <= 0 || r.burst == 0 {
		return true
	}
	if r.began.IsZero() || now.Sub(r.began) > r.interval {
		r.began, r.seen = now, 0
	}
	if r.seen >= r.burst {
		return false
	}
	r.seen++
	return true
}
