package scenarios

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Duration is a time.Duration written as 1.5s or 200ms.
type Duration time.Duration

// String is the shortest text that ParseDuration reads back: 1m, not 1m0s.
func (d Duration) String() string {
	text := time.Duration(d).String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// MarshalText writes d as String does.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads what ParseDuration reads.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := ParseDuration(string(text))
	*d = parsed
	return err
}

// ParseDuration reads a duration of zero or more, with its unit: 1.5s, 200ms, 1m30s. The error says what to write instead.
func ParseDuration(text string) (Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("%s", explainDuration(text))
	}
	if d < 0 {
		return 0, fmt.Errorf("%q is negative; write how long, such as %s", text, Duration(d.Abs()))
	}
	return Duration(d), nil
}

var measure = regexp.MustCompile(`^([0-9]+\.?[0-9]*|\.[0-9]+)\s*([A-Za-zµ]*)$`)

// explainDuration says what is wrong with a text that time.ParseDuration refuses.
func explainDuration(text string) string {
	parts := measure.FindStringSubmatch(strings.TrimSpace(text))
	if parts == nil {
		return fmt.Sprintf("%q is no duration; write a number and its unit, such as 1.5s, 200ms or 2m", text)
	}
	number, word := parts[1], strings.ToLower(parts[2])
	if word == "" {
		return fmt.Sprintf("%q has no unit; write %ss", text, number)
	}
	if days, err := strconv.ParseFloat(number, 64); err == nil && unitOf(word) == "d" {
		return fmt.Sprintf("%q is in days; write %sh", text, strconv.FormatFloat(days*24, 'f', -1, 64))
	}
	if unit := unitOf(word); unit != "" {
		return fmt.Sprintf("%q is no duration; write %s%s", text, number, unit)
	}
	return fmt.Sprintf("%q has an unknown unit; write ms, s, m or h, as in %ss", text, number)
}

// unitOf is the unit that people mean by word, or "".
func unitOf(word string) string {
	switch strings.TrimSuffix(word, "s") {
	case "", "sec", "second":
		return "s"
	case "m", "milli", "msec", "millisecond":
		if word == "m" {
			return "m"
		}
		return "ms"
	case "min", "minute":
		return "m"
	case "h", "hr", "hour":
		return "h"
	case "d", "day":
		return "d"
	case "u", "µ", "usec", "micro", "microsecond":
		return "us"
	}
	return ""
}
