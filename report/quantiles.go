package report

import (
	"math"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// longest is the longest time a histogram tells apart, and no run is longer; those of a damaged file count as this long. The
// maximum is kept exactly.
const longest = longestRun

// recorder holds a distribution of times.
type recorder struct {
	h   *hdrhistogram.Histogram // nil until there is something to hold: it is large
	max time.Duration
}

func newRecorder() *recorder { return &recorder{} }

// add counts in nanoseconds: three digits of a microsecond would be too few for fast services.
func (r *recorder) add(d time.Duration) {
	if r.h == nil {
		r.h = hdrhistogram.New(1, int64(longest), 3)
	}
	r.max = max(r.max, d)
	// Clamped to what the histogram takes, it never fails.
	_ = r.h.RecordValue(int64(min(max(d, 1), longest)))
}

func (r *recorder) count() uint64 {
	if r.h == nil {
		return 0
	}
	return uint64(r.h.TotalCount())
}

// quantile is the q-th percentile by nearest rank, q above 0 and at most 100: the least value that q % of all values do not
// exceed, within 0.1 %. It is 0 without values.
//
// With three digits the histogram has at least 1,024 buckets from any value to its double, and answers with a bucket's upper end.
// That is less than 1/1,024 above any value in it, whatever the distribution.
func (r *recorder) quantile(q float64) time.Duration {
	if r.count() == 0 {
		return 0
	}
	// The histogram rounds to the nearest rank either way; asked for the very rank, it has nothing to round.
	n := float64(r.count())
	rank := math.Ceil(q*n/100 - 1e-9)
	return min(time.Duration(r.h.ValueAtPercentile(100*rank/n)), r.max)
}

func (r *recorder) latency() Latency {
	if r.count() == 0 {
		return Latency{}
	}
	at := func(q float64) *Duration { return ref(Duration(r.quantile(q))) }
	return Latency{P50: at(50), P95: at(95), P99: at(99), P999: at(99.9), Max: ref(Duration(r.max))}
}

func ref[T any](v T) *T { return &v }
