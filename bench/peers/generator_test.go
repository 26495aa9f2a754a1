package main

import (
	"strings"
	"testing"
	"time"
)

func TestFault(t *testing.T) {
	x := load{rate: 1000, duration: 2 * time.Second}
	for _, tt := range []struct {
		name string
		f    figures
		want string
	}{
		{"clean", figures{sent: 2000, ok: 2000, p99: time.Millisecond}, ""},
		{"just clean", figures{sent: 1980, ok: 1980, p99: 10 * time.Millisecond}, ""},
		{"one failed", figures{sent: 2000, ok: 1999}, "1 of 2,000 requests failed"},
		{"fell behind", figures{sent: 1979, ok: 1979}, "achieved 99.0 % of the rate"},
		{"slow", figures{sent: 2000, ok: 2000, p99: 12345 * time.Microsecond}, "p99 12.35ms"},
		{"nothing", figures{}, "sent nothing"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.f.fault(x); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestReadReport(t *testing.T) {
	const latency = `"latency": {"p50_s": 0.1, "p95_s": 0.25, "p99_s": 0.5}`
	const none = `"latency": {"p50_s": null, "p95_s": null, "p99_s": null}`
	for _, tt := range []struct {
		name, text string
		want       figures
		err        string
	}{
		{"a run", `{"phases": [{"name": "before", "requests": 9, "ok": 8, ` + latency + `}, {"name": "after", "requests": 0, "ok": 0, ` + none + `}]}`,
			figures{sent: 9, ok: 8, p95: 250 * time.Millisecond, p99: 500 * time.Millisecond}, ""},
		{"none ok", `{"phases": [{"name": "before", "requests": 9, "ok": 0, ` + none + `}]}`, figures{sent: 9}, ""},
		{"a restart", `{"phases": [{"name": "during", "requests": 9, "ok": 9, ` + latency + `}]}`, figures{}, "9 requests in the phase during, without a restart"},
		{"empty", `{"phases": []}`, figures{}, "it has no requests"},
		{"no report", ``, figures{}, "unexpected end of JSON input"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := readReport([]byte(tt.text))
			if got != tt.want || (err == nil) != (tt.err == "") || err != nil && !strings.HasSuffix(err.Error(), tt.err) {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

func TestReadWrk(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       float64
		err        string
	}{
		{"output", "Running 1s test\n  1 threads and 64 connections\nRequests/sec:  67728.31\nTransfer/sec:     10.4MB\n", 67728.31, ""},
		{"nothing", "", 0, "reading wrk's output: no line Requests/sec"},
		{"no value", "Requests/sec:", 0, "reading wrk's output: no line Requests/sec"},
		{"no number", "Requests/sec: many", 0, `reading wrk's output: Requests/sec: strconv.ParseFloat: parsing "many": invalid syntax`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := readWrk([]byte(tt.text))
			if got != tt.want || (err == nil) != (tt.err == "") || err != nil && err.Error() != tt.err {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}

func TestNoteFaults(t *testing.T) {
	good, bad := figures{sent: 2000, ok: 2000}, figures{sent: 1000, ok: 1000}
	b := &bout{lab: &lab{}}
	b.noteFaults(load{rate: 1000, duration: 2 * time.Second}, " through the stall", []pair[figures]{{good, bad}, {good, good}, {good, bad}})
	want := "vegeta at 1,000/s for 2s through the stall: 2 of 3 runs not clean: achieved 50.0 % of the rate, achieved 50.0 % of the rate"
	if len(b.notes) != 1 || b.notes[0] != want {
		t.Errorf("got %q", b.notes)
	}
}
