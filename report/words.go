package report

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// String shows a duration with three digits, which is what the histograms know.
func (d Duration) String() string {
	t := time.Duration(d)
	switch {
	case t < 0:
		return "-" + (-max(d, -Duration(forever))).String()
	case t == 0:
		return "0 s"
	case t < time.Microsecond:
		return fmt.Sprintf("%d ns", t.Nanoseconds())
	case t < 999_500*time.Nanosecond:
		return digits(float64(t)/1e3) + " µs"
	case t < 999_500*time.Microsecond:
		return digits(float64(t)/1e6) + " ms"
	case t < time.Minute-50*time.Millisecond:
		return digits(t.Seconds()) + " s"
	}
	return t.Round(time.Second).String()
}

func digits(v float64) string {
	switch {
	case v < 9.995:
		return fmt.Sprintf("%.2f", v)
	case v < 99.95:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.0f", v)
}

func plural(n uint64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return number(n) + " " + noun + "s"
}

// were is a subject and its verb: "1 request was", "2 requests were".
func were(n uint64, noun string) string { return verb(n, plural(n, noun)) }

func verb(n uint64, subject string) string {
	if n == 1 {
		return subject + " was"
	}
	return subject + " were"
}

// had is a subject and its verb.
func had(n uint64, noun string) string { return plural(n, noun) + " had" }

// onlyWere begins a complaint about too few.
func onlyWere(n uint64, noun string) string {
	if n == 0 {
		return "no " + noun + " was"
	}
	return "only " + were(n, noun)
}

func of(k, n uint64, noun string) string { return number(k) + " of " + plural(n, noun) }

// wereOf agrees with what it counts out of: "0 of 1 request was", "1 of 2 requests was", "2 of 2 requests were".
func wereOf(k, n uint64, noun string) string {
	subject := of(k, n, noun)
	if n == 1 {
		return verb(1, subject)
	}
	return verb(k, subject)
}

// number groups digits by threes.
func number(n uint64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func times(n int) string {
	switch n {
	case 1:
		return "once"
	case 2:
		return "twice"
	}
	return number(uint64(n)) + " times"
}

// deed is what an action is called.
func deed(action string) string {
	switch action {
	case "restart-socket":
		return "restart of the socket"
	case "crash-loop":
		return "crash loop"
	case "daemon-reexec":
		return "re-execution of systemd"
	case "stop", "kill", "reload", "reload-or-restart":
		return action
	}
	return "restart"
}

// meanwhile is what went on during an action.
func meanwhile(action string) string {
	switch action {
	case "restart-socket":
		return "while the socket restarted"
	case "reload":
		return "while the service reloaded"
	case "daemon-reexec":
		return "while systemd re-executed itself"
	}
	return "while the service restarted"
}

// span shows a time that somebody set: 10s is "10 s", and not "10.0 s".
func span(d Duration) string {
	t := time.Duration(d)
	if t > 0 && t < time.Minute && t%time.Second == 0 {
		return fmt.Sprintf("%d s", t/time.Second)
	}
	return d.String()
}

// restartNumbers names restarts, ascending, and shortens what follows on: "restarts 1–3 and 7".
func restartNumbers(ns []int) string {
	var parts []string
	for i := 0; i < len(ns); {
		first := i
		for i++; i < len(ns) && ns[i] == ns[i-1]+1; i++ {
		}
		switch i - first {
		case 1:
			parts = append(parts, fmt.Sprint(ns[first]))
		case 2:
			parts = append(parts, fmt.Sprint(ns[first]), fmt.Sprint(ns[i-1]))
		default:
			parts = append(parts, fmt.Sprintf("%d–%d", ns[first], ns[i-1]))
		}
	}
	const most = 10
	if more := len(parts) - most; more > 1 {
		parts = append(parts[:most], fmt.Sprintf("%d more stretches", more))
	}
	if len(parts) == 1 && len(ns) == 1 {
		return "restart " + parts[0]
	}
	return "restarts " + list(parts)
}

func list(parts []string) string {
	if len(parts) == 1 {
		return parts[0]
	}
	return strings.Join(parts[:len(parts)-1], ", ") + " and " + parts[len(parts)-1]
}

func join(parts ...string) string {
	var kept []string
	for _, p := range parts {
		if p != "" {
			kept = append(kept, p)
		}
	}
	return strings.Join(kept, ": ")
}

// percent shows a probability that is an upper bound, rounded up to two digits.
func percent(p float64) string {
	v := p * 100
	if !(v > 0) {
		return "0 %"
	}
	decimals := max(0, 1-int(math.Floor(math.Log10(v))))
	scale := math.Pow10(decimals)
	return strconv.FormatFloat(min(100, math.Ceil(v*scale-1e-9)/scale), 'f', decimals, 64) + " %"
}
