package main

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Row is one line of the table: what was measured, a value for each pair.
type Row struct {
	Measure string
	Unit    unit
	Ours    []float64 // empty: only the peer was measured
	Peer    []float64
	Goal    *goal // nil: for information
}

// ratios are ours to the peer's, pair by pair.
func (r Row) ratios() []float64 {
	var all []float64
	for i := range min(len(r.Ours), len(r.Peer)) {
		all = append(all, r.Ours[i]/r.Peer[i])
	}
	return all
}

// goal is a bound on the median, of the ratios or of our own values.
type goal struct {
	Limit    float64 // of our own values: in their unit
	AtLeast  bool    // else at most
	Absolute bool    // of our own values; else of the ratios
}

func ratioAtLeast(limit float64) *goal { return &goal{Limit: limit, AtLeast: true} }
func ratioAtMost(limit float64) *goal  { return &goal{Limit: limit} }
func atMost(limit float64) *goal       { return &goal{Limit: limit, Absolute: true} }

// met tells whether the row reaches its goal. A row without values does not.
func (r Row) met() bool {
	value := median(r.ratios())
	if r.Goal.Absolute {
		value = median(r.Ours)
	}
	if r.Goal.AtLeast {
		return value >= r.Goal.Limit
	}
	return value <= r.Goal.Limit
}

// target is the goal in words, without whether it is met.
func (r Row) target() string {
	if r.Goal == nil {
		return ""
	}
	sign := "≤ "
	if r.Goal.AtLeast {
		sign = "≥ "
	}
	if r.Goal.Absolute {
		return sign + r.Unit.format(r.Goal.Limit)
	}
	return sign + strconv.FormatFloat(r.Goal.Limit, 'f', -1, 64) + "×"
}

// unit is what the values of a row are in.
type unit string

const (
	perSecond unit = "1/s"
	inSeconds unit = "s"
	inBytes   unit = "B"
)

// format writes a value for people, with three digits.
func (u unit) format(v float64) string {
	switch u {
	case perSecond:
		return count(int(v)) + "/s"
	case inSeconds:
		return scaled(v, 1000, []string{"ns", "µs", "ms", "s"}, 1e-9)
	default:
		return scaled(v, 1024, []string{"B", "KiB", "MiB", "GiB"}, 1)
	}
}

// scaled writes v in the largest of the units that it reaches; each is step times the one before, the first is first.
func scaled(v, step float64, units []string, first float64) string {
	v /= first
	i := 0
	for ; v >= step && i < len(units)-1; i++ {
		v /= step
	}
	return threeDigits(v) + " " + units[i]
}

func threeDigits(v float64) string {
	switch {
	case v == math.Trunc(v):
		return strconv.FormatFloat(v, 'f', -1, 64)
	case v >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case v >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}

// count writes a number with commas between the thousands.
func count(n int) string {
	digits := strconv.Itoa(n)
	var groups []string
	for ; len(digits) > 3; digits = digits[:len(digits)-3] {
		groups = append(groups, digits[len(digits)-3:])
	}
	groups = append(groups, digits)
	slices.Reverse(groups)
	return strings.Join(groups, ",")
}

// span writes a length of time to the millisecond, such as 2.003s or 1m.
func span(d time.Duration) string {
	text := d.Round(time.Millisecond).String()
	if strings.HasSuffix(text, "m0s") {
		return strings.TrimSuffix(text, "0s")
	}
	return text
}
