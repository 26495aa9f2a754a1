package main

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	lib "github.com/tsenart/vegeta/v12/lib"
)

func TestFromSchedule(t *testing.T) {
	const (
		ms    = time.Millisecond
		began = int64(1_700_000_000_000_000_000)
	)
	at := func(seq uint64, taken, latency time.Duration, ok bool) hit {
		return hit{seq, began + int64(taken), latency, ok}
	}
	for _, tt := range []struct {
		name string
		hits []hit // at 1,000/s: due every millisecond
		want []time.Duration
	}{
		{"none", nil, nil},
		{"on time", []hit{at(0, 0, ms, true), at(1, ms, 2*ms, true)}, []time.Duration{ms, 2 * ms}},
		{"late", []hit{at(0, 0, ms, true), at(1, 11*ms, ms, true), at(2, 11*ms, ms, true)}, []time.Duration{ms, 10 * ms, 11 * ms}},
		{"out of order", []hit{at(2, 2*ms, ms, true), at(0, 0, 3*ms, true), at(1, 2*ms, ms, true)}, []time.Duration{ms, 2 * ms, 3 * ms}},
		{"began by the promptest", []hit{at(0, 5*ms, ms, true), at(1, ms, ms, true)}, []time.Duration{ms, 6 * ms}},
		{"failed ones do not count", []hit{at(0, 0, 9*ms, false), at(1, 3*ms, ms, true)}, []time.Duration{3 * ms}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := fromSchedule(tt.hits, 1000); !slices.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

// vegeta's own codec, its own wall-clock times.
func TestReadResults(t *testing.T) {
	path := filepath.Join(t.TempDir(), "results.gob")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	encode := lib.NewEncoder(file)
	for seq := range uint64(100) {
		r := lib.Result{
			Seq: seq, Code: http.StatusOK, Timestamp: began.Add(time.Duration(seq) * 10 * time.Millisecond), Latency: time.Millisecond,
			Body: []byte("ok"), Headers: http.Header{"Server": {"nginx"}},
		}
		switch {
		case seq == 7:
			r.Code, r.Error = 0, "connection refused"
		case seq == 8:
			r.Code, r.Error = 503, "503 Service Unavailable"
		case seq >= 90:
			r.Timestamp = r.Timestamp.Add(time.Second)
		}
		if err := encode(&r); err != nil {
			t.Fatal(err)
		}
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := readResults(path, 100)
	if err != nil {
		t.Fatal(err)
	}
	if f.sent != 100 || f.ok != 98 || f.p95 != 1001*time.Millisecond || f.p99 != 1001*time.Millisecond {
		t.Errorf("%+v", f)
	}

	if err := os.Truncate(path, 1000); err != nil {
		t.Fatal(err)
	}
	if _, err := readResults(path, 100); err == nil {
		t.Error("a truncated file was read without an error")
	}
}
