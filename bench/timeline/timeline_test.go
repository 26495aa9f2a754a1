package timeline

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func drawRequest(t *rapid.T) Request {
	sent := rapid.Int64Range(0, 1e12).Draw(t, "sent")
	return Request{
		Seq:         rapid.Uint64Range(0, 1e9).Draw(t, "seq"),
		Sent:        time.Duration(sent),
		Done:        time.Duration(sent + rapid.Int64Range(0, 1e11).Draw(t, "took")),
		Connect:     time.Duration(rapid.Int64Range(0, 1e9).Draw(t, "connect")),
		Bytes:       rapid.Int64Range(0, 1e9).Draw(t, "bytes"),
		Status:      rapid.SampledFrom([]int{0, 200, 503}).Draw(t, "status"),
		Retransmits: rapid.IntRange(0, 6).Draw(t, "retransmits"),
		Outcome:     rapid.SampledFrom(Outcomes()).Draw(t, "outcome"),
		Reused:      rapid.Bool().Draw(t, "reused"),
		Hidden:      rapid.Bool().Draw(t, "hidden"),
	}
}

func TestPackedRequestsUnpackToThemselves(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOfN(rapid.Custom(drawRequest), 1, 50).Draw(t, "requests")
		got, err := Pack(want).Unpack(nil)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestUnpackRefusesDamagedColumns(t *testing.T) {
	for name, p := range map[string]*Requests{
		"column too short":  {N: 3, Seq: []int64{1, 2}},
		"negative n":        {N: -1},
		"huge n":            {N: 1 << 40},
		"position outside":  {N: 2, Outcome: map[Outcome][]int64{Reset: {2}}},
		"negative position": {N: 2, Hidden: []int64{-1}},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := p.Unpack(nil); err == nil {
				t.Error("unpacked without an error")
			}
		})
	}
}

// record writes a run file with n requests and returns it with what a reader should see.
func record(t testing.TB, n int) ([]byte, []Request) {
	t.Helper()
	var file bytes.Buffer
	r, err := NewRecorder(&file, NewClock(), Header{Tool: "test", Scenario: Scenario{Name: "s"}})
	if err != nil {
		t.Fatal(err)
	}
	r.Emit(Event{Load: &Load{Began: 1, Rate: 1000}})
	var requests []Request
	for i := range n {
		sent := time.Duration(i) * time.Millisecond
		q := Request{Seq: uint64(i), Sent: sent, Done: sent + time.Duration(rand.IntN(1e6)), Status: 200, Reused: i%2 == 0}
		if i%97 == 0 {
			q.Outcome, q.Status = Reset, 0
		}
		requests = append(requests, q)
		r.Request(q)
	}
	if err := r.Close(End{Reason: Complete}); err != nil {
		t.Fatal(err)
	}
	return file.Bytes(), requests
}

// readAll returns the requests of a run file, and what ended the reading.
func readAll(file io.Reader) ([]Request, error) {
	rd, err := NewReader(file)
	if err != nil {
		return nil, err
	}
	defer rd.Close()
	var requests []Request
	for {
		e, err := rd.Next()
		if err != nil {
			return requests, err
		}
		if e.Requests == nil {
			continue
		}
		if requests, err = e.Requests.Unpack(requests); err != nil {
			return requests, err
		}
	}
}

func TestRecordedRequestsReadBack(t *testing.T) {
	file, want := record(t, 3*chunkLen+17)
	got, err := readAll(bytes.NewReader(file))
	if err != io.EOF {
		t.Fatalf("ended with %v, want io.EOF", err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestFileCutAnywhereIsTruncatedNeverWrong(t *testing.T) {
	file, want := record(t, 2*chunkLen)
	for cut := 0; cut < len(file); cut += 1 + len(file)/100 {
		got, err := readAll(bytes.NewReader(file[:cut]))
		if !errors.Is(err, ErrTruncated) && !errors.Is(err, ErrNotRunFile) {
			t.Fatalf("cut at %d of %d: %v, want ErrTruncated", cut, len(file), err)
		}
		if !slices.Equal(got, want[:len(got)]) {
			t.Fatalf("cut at %d: read requests that were not recorded", cut)
		}
	}
}

func compress(t testing.TB, text string) []byte {
	t.Helper()
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return z.EncodeAll([]byte(text), nil)
}

func TestReaderNamesWhatItCannotRead(t *testing.T) {
	header := `{"header":{"format":"restartbench run file","version":1}}` + "\n"
	isNewer := func(err error) bool { var n *NewerError; return errors.As(err, &n) && n.Version == 2 }
	damaged := func(err error) bool { return err != nil && strings.Contains(err.Error(), "damaged") }
	not := func(err error) bool { return errors.Is(err, ErrNotRunFile) }
	for _, tc := range []struct {
		name string
		file []byte
		ok   func(error) bool
	}{
		{"empty", nil, not},
		{"text", []byte("hello, world\n"), not},
		{"zstd of something else", compress(t, "hello\n"), not},
		{"json of something else", compress(t, `{"a":1}`+"\n"), not},
		{"newer", compress(t, `{"header":{"format":"restartbench run file","version":2,"host":7}}`+"\n"), isNewer},
		{"line that is not json", compress(t, header+"{\n"), damaged},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, err := readAll(bytes.NewReader(tc.file)); !tc.ok(err) {
				t.Errorf("got %v", err)
			}
		})
	}
}

type brokenWriter struct{ after int }

func (w *brokenWriter) Write(p []byte) (int, error) {
	if w.after -= len(p); w.after < 0 {
		return 0, errors.New("no space left on device")
	}
	return len(p), nil
}

func TestFailureToWriteIsReportedAndStopsNothing(t *testing.T) {
	r, err := NewRecorder(&brokenWriter{after: 10}, NewClock(), Header{})
	if err != nil {
		t.Fatal(err)
	}
	<-r.Failed()
	for i := range 2 * chunkLen {
		r.Request(Request{Seq: uint64(i)})
	}
	if err := r.Close(End{}); err == nil || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("Close returned %v", err)
	}
}

// gate lets nothing through until it is opened.
type gate struct {
	open chan struct{}
	bytes.Buffer
}

func (g *gate) Write(p []byte) (int, error) {
	<-g.open
	return g.Buffer.Write(p)
}

func TestOverflowIsACountedGap(t *testing.T) {
	file := &gate{open: make(chan struct{})}
	const limit = 2
	r, err := newRecorder(file, NewClock(), Header{}, limit)
	if err != nil {
		t.Fatal(err)
	}
	// More than the queue, the open chunk and what the encoder buffers hold together.
	const sent = (limit + 20) * chunkLen
	for i := range sent {
		r.Request(Request{Seq: rand.Uint64(), Sent: time.Duration(i), Done: time.Duration(rand.Int64N(1e15))})
	}
	close(file.open)
	if err := r.Close(End{Reason: Complete}); err != nil {
		t.Fatal(err)
	}
	kept, lost := countKeptAndLost(t, &file.Buffer)
	if lost == 0 || kept+lost != sent {
		t.Errorf("kept %d and lost %d of %d", kept, lost, sent)
	}
}

func countKeptAndLost(t *testing.T, file io.Reader) (kept, lost int) {
	t.Helper()
	rd, err := NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	defer rd.Close()
	for {
		e, err := rd.Next()
		if err == io.EOF {
			return kept, lost
		}
		if err != nil {
			t.Fatal(err)
		}
		if e.Requests != nil {
			kept += e.Requests.N
		}
		if e.Gap != nil {
			lost += int(e.Gap.Lost)
		}
	}
}

func TestClockAgreesWithCLOCK_MONOTONIC(t *testing.T) {
	if monotonic() == 0 {
		t.Skip("this system has no CLOCK_MONOTONIC to compare with")
	}
	c := NewClock()
	before := c.Now()
	converted := c.FromMonotonic(monotonic())
	after := c.Now()
	const slack = time.Millisecond // of the sampling, on a busy machine
	if converted < before-slack || converted > after+slack {
		t.Errorf("CLOCK_MONOTONIC converts to %v, which is outside %v to %v", converted, before, after)
	}
}

func TestOutcomeNamesReadBack(t *testing.T) {
	for _, o := range Outcomes() {
		var got Outcome
		text, _ := o.MarshalText()
		if err := got.UnmarshalText(text); err != nil || got != o {
			t.Errorf("%s reads back as %v, %v", text, got, err)
		}
	}
}

func FuzzReader(f *testing.F) {
	file, _ := record(f, 100)
	f.Add(file)
	f.Add(file[:len(file)/2])
	f.Add(compress(f, `{"header":{"format":"restartbench run file","version":1}}`+"\n"+`{"requests":{"n":2,"seq":[1]}}`+"\n"))
	f.Fuzz(func(t *testing.T, file []byte) {
		_, err := readAll(bytes.NewReader(file))
		if err == nil {
			t.Fatal("reading never ends without io.EOF or an error")
		}
	})
}

func ExampleRequests() {
	p := Pack([]Request{{Seq: 7, Sent: 100, Done: 150, Status: 200}, {Seq: 8, Sent: 200, Done: 260, Status: 200}})
	fmt.Println(p.Seq, p.Sent, p.Took, p.Status)
	// Output: [7 1] [100] [50 60] [200]
}
