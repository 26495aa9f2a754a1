package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestTable(t *testing.T) {
	rows := []Row{
		{"highest clean rate", perSecond, []float64{20_000, 24_000, 22_000}, []float64{10_000, 8000, 10_000}, ratioAtLeast(2)},
		{"CPU per request", inSeconds, []float64{20e-6}, []float64{32e-6}, ratioAtMost(0.5)},
		{"recorded run, per request", inBytes, []float64{6.5}, []float64{195}, atMost(12)},
		{"peak memory", inBytes, []float64{300 << 20}, []float64{600 << 20}, atMost(128 << 20)},
		{"the peer alone", inSeconds, nil, []float64{1.5}, nil},
	}
	const want = `
| measure                   | restartbench |     peer | ratio (median) |  range of ratio | target             |
| ------------------------- | -----------: | -------: | -------------: | --------------: | ------------------ |
| highest clean rate        |     22,000/s | 10,000/s |          2.20× |   2.00× … 3.00× | ≥ 2×: met          |
| CPU per request           |        20 µs |  32.0 µs |          0.63× |   0.63× … 0.63× | ≤ 0.5×: not met    |
| recorded run, per request |       6.50 B |    195 B |         0.033× | 0.033× … 0.033× | ≤ 12 B: met        |
| peak memory               |      300 MiB |  600 MiB |          0.50× |   0.50× … 0.50× | ≤ 128 MiB: not met |
| the peer alone            |            – |   1.50 s |              – |               – |                    |
`
	if got := table(rows); got != want[1:] {
		t.Errorf("got\n%s\nwant%s", got, want)
	}
}

func TestFormat(t *testing.T) {
	for _, tt := range []struct {
		unit  unit
		value float64
		want  string
	}{
		{perSecond, 999, "999/s"},
		{perSecond, 1_234_567.8, "1,234,567/s"},
		{inSeconds, 0, "0 ns"},
		{inSeconds, 1.5e-9, "1.50 ns"},
		{inSeconds, 0.01234, "12.3 ms"},
		{inSeconds, 90, "90 s"},
		{inBytes, 7.93, "7.93 B"},
		{inBytes, 12, "12 B"},
		{inBytes, 1536, "1.50 KiB"},
		{inBytes, 5 << 40, "5120 GiB"},
	} {
		if got := tt.unit.format(tt.value); got != tt.want {
			t.Errorf("%v in %s: %q, want %q", tt.value, tt.unit, got, tt.want)
		}
	}
	for d, want := range map[time.Duration]string{2 * time.Second: "2s", time.Minute: "1m", 2*time.Second + 1_234_567: "2.001s"} {
		if got := span(d); got != want {
			t.Errorf("%v is written %s, want %s", int64(d), got, want)
		}
	}
}

func TestStretch(t *testing.T) {
	for _, tt := range []struct {
		name  string
		times []time.Duration
		want  string
	}{
		{"alike", []time.Duration{2 * time.Second, 2*time.Second + 1000}, "2s"},
		{"not alike", []time.Duration{2100 * time.Millisecond, 2 * time.Second, 2300 * time.Millisecond}, "2s to 2.3s"},
	} {
		if got := stretch(tt.times); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestOutcome(t *testing.T) {
	all := outcome{
		Machine: facts{Date: "2026-01-02", Command: "go -C bench/peers run .", Pairs: 5, CPU: "4 × fast"},
		Rows:    []Row{{"recorded run", inBytes, []float64{6.5}, []float64{13}, atMost(12)}},
		Notes:   []string{"the target stood still for 2s"},
	}
	var text, data strings.Builder
	if err := all.write(&text, "markdown"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Measured on 2026-01-02 by `go -C bench/peers run .`, pairs: 5, on 4 × fast", "\n| recorded run ", "\n\n- the target stood still for 2s\n"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("%q is not in\n%s", want, &text)
		}
	}
	if err := all.write(&data, "json"); err != nil {
		t.Fatal(err)
	}
	var got struct{ Rows []jsonRow }
	if err := json.Unmarshal([]byte(data.String()), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Rows) != 1 || got.Rows[0].Median != 0.5 || !*got.Rows[0].Met || got.Rows[0].Target != "≤ 12 B" {
		t.Errorf("%+v", got.Rows)
	}
}

func TestUpdateDocument(t *testing.T) {
	path := filepath.Join(t.TempDir(), "peers.md")
	before := "# Peers\n\n" + documentBegin + "\nold\n" + documentEnd + "\n\nWhat it proves.\n"
	if err := os.WriteFile(path, []byte(before), 0o644); err != nil {
		t.Fatal(err)
	}
	o := options{update: path}
	all := outcome{Rows: []Row{{"recorded run", inBytes, []float64{6.5}, []float64{13}, nil}}}
	if err := o.checkDocument(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second finds what the first left
		if err := o.updateDocument(all); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if want := "# Peers\n\n" + documentBegin + "\n" + all.markdown() + documentEnd + "\n\nWhat it proves.\n"; string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// The page in the tree has a place for the table.
func TestDocument(t *testing.T) {
	o := options{update: filepath.Join("..", "..", "docs", "peers.md")}
	if err := o.checkDocument(); err != nil {
		t.Error(err)
	}
}
