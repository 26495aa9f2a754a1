package supervisor

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
)

// infinity is the time span that never ends.
const infinity = time.Duration(math.MaxInt64)

const day = 24 * time.Hour

// timeUnits are the units of systemd.time(7), each with all its spellings. A month is 30.44 days and a year 365.25, as there.
var timeUnits = map[string]time.Duration{
	"usec": time.Microsecond, "us": time.Microsecond, "µs": time.Microsecond, "μs": time.Microsecond,
	"msec": time.Millisecond, "ms": time.Millisecond,
	"seconds": time.Second, "second": time.Second, "sec": time.Second, "s": time.Second, "": time.Second,
	"minutes": time.Minute, "minute": time.Minute, "min": time.Minute, "m": time.Minute,
	"hours": time.Hour, "hour": time.Hour, "hr": time.Hour, "h": time.Hour,
	"days": day, "day": day, "d": day,
	"weeks": 7 * day, "week": 7 * day, "w": 7 * day,
	"months": 2629800 * time.Second, "month": 2629800 * time.Second, "M": 2629800 * time.Second,
	"years": 31557600 * time.Second, "year": 31557600 * time.Second, "y": 31557600 * time.Second,
}

var errTimespan = errors.New(`not a time span such as "2", "500ms", "1min 30s" or "infinity"`)

// parseTimespan reads a time span as systemd does: numbers with units, added up. A number without a unit is in seconds.
// What exceeds about 292 years is infinity.
func parseTimespan(text string) (time.Duration, error) {
	rest := strings.TrimSpace(text)
	if rest == "infinity" {
		return infinity, nil
	}
	if rest == "" {
		return 0, errTimespan
	}
	var sum float64
	for rest != "" {
		var term float64
		var err error
		if term, rest, err = timeTerm(rest); err != nil {
			return 0, err
		}
		sum += term
	}
	if sum >= float64(infinity) {
		return infinity, nil
	}
	return time.Duration(math.Round(sum)), nil
}

// timeTerm takes one number with its unit off the front of text, and returns it in nanoseconds.
func timeTerm(text string) (ns float64, rest string, err error) {
	value, rest, err := decimal(text)
	if err != nil {
		return 0, "", err
	}
	rest = strings.TrimLeft(rest, " \t")
	end := strings.IndexAny(rest, " \t0123456789.")
	if end < 0 {
		end = len(rest)
	}
	unit, ok := timeUnits[rest[:end]]
	if !ok {
		return 0, "", fmt.Errorf("unknown unit %q; %w", rest[:end], errTimespan)
	}
	return value * float64(unit), strings.TrimLeft(rest[end:], " \t"), nil
}

// decimal takes digits, perhaps with a fraction, off the front of text. strconv would also take signs, exponents and hex.
func decimal(text string) (value float64, rest string, err error) {
	i, scale := 0, 1.0
	for ; i < len(text) && '0' <= text[i] && text[i] <= '9'; i++ {
		value = value*10 + float64(text[i]-'0')
	}
	if i == 0 {
		return 0, "", errTimespan
	}
	if i < len(text) && text[i] == '.' {
		first := i + 1
		for i = first; i < len(text) && '0' <= text[i] && text[i] <= '9'; i++ {
			scale /= 10
			value += float64(text[i]-'0') * scale
		}
		if i == first {
			return 0, "", errTimespan
		}
	}
	return value, text[i:], nil
}
