package timeline

import (
	"bytes"
	"cmp"
	"io"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"time"
)

// traffic is a load like that of a quick service over the loopback interface: 5,000 requests a second, every second one on a
// kept-alive connection, in the order in which they end.
func traffic(n int) []Request {
	requests := make([]Request, n)
	random := rand.New(rand.NewPCG(1, 2))
	skewed := func(typical float64) time.Duration { return time.Duration(typical * (0.5 + random.ExpFloat64())) }
	for i := range requests {
		q := &requests[i]
		*q = Request{Seq: uint64(i), Status: 200, Bytes: 13, Reused: random.IntN(2) == 0}
		q.Sent = time.Duration(i)*200*time.Microsecond + skewed(80_000)
		if !q.Reused {
			q.Connect = skewed(60_000)
		}
		q.Done = q.Sent + q.Connect + skewed(150_000)
	}
	slices.SortFunc(requests, func(a, b Request) int { return cmp.Compare(a.Done, b.Done) })
	return requests
}

// newIdleRecorder has a writer that only takes and forgets. With a writer that writes, a benchmark would time the loss of
// requests, since it records faster than any load.
func newIdleRecorder(b *testing.B) *Recorder {
	b.Helper()
	r, err := NewRecorder(&brokenWriter{}, NewClock(), Header{})
	if err != nil {
		b.Fatal(err)
	}
	<-r.Failed()
	b.Cleanup(func() { r.Close(End{}) })
	return r
}

func BenchmarkRequest(b *testing.B) {
	requests := traffic(1 << 14)
	b.Run("serial", func(b *testing.B) {
		r := newIdleRecorder(b)
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			r.Request(requests[i%len(requests)])
		}
	})
	b.Run("parallel", func(b *testing.B) {
		r := newIdleRecorder(b)
		var goroutines atomic.Int64
		b.ReportAllocs()
		b.SetParallelism(16)
		b.RunParallel(func(pb *testing.PB) {
			for i := int(goroutines.Add(1)) * 100; pb.Next(); i++ {
				r.Request(requests[i%len(requests)])
			}
		})
	})
}

func BenchmarkPack(b *testing.B) {
	requests := traffic(chunkLen)
	var p Requests
	b.ReportAllocs()
	for b.Loop() {
		p.pack(requests)
	}
	perRequest(b, chunkLen)
}

func BenchmarkUnpack(b *testing.B) {
	p := Pack(traffic(chunkLen))
	var rows []Request
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if rows, err = p.Unpack(rows[:0]); err != nil {
			b.Fatal(err)
		}
	}
	perRequest(b, chunkLen)
}

func perRequest(b *testing.B, n int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/request")
}

// writeFile writes requests without a Recorder, which would not wait for the disk.
func writeFile(b *testing.B, w io.Writer, requests []Request) {
	f, err := newLineWriter(w)
	if err != nil {
		b.Fatal(err)
	}
	f.event(Event{Header: &Header{Format: Format, Version: Version}})
	for i, q := range requests {
		f.rows = append(f.rows, q)
		if i%1000 == 999 { // what comes within flushEvery at 5,000/s
			f.flush()
		}
	}
	f.flush()
	f.event(Event{End: &End{Reason: Complete}})
	if f.close(); f.err != nil {
		b.Fatal(f.err)
	}
}

func BenchmarkWriteMillion(b *testing.B) {
	requests := traffic(1_000_000)
	var file bytes.Buffer
	b.ReportAllocs()
	for b.Loop() {
		file.Reset()
		writeFile(b, &file, requests)
	}
	perRequest(b, len(requests))
	b.ReportMetric(float64(file.Len())/float64(len(requests)), "bytes/request")
}

func BenchmarkReadMillion(b *testing.B) {
	requests := traffic(1_000_000)
	var file bytes.Buffer
	writeFile(b, &file, requests)
	var rows []Request
	b.ReportAllocs()
	for b.Loop() {
		rd, err := NewReader(bytes.NewReader(file.Bytes()))
		if err != nil {
			b.Fatal(err)
		}
		n := 0
		for e, err := rd.Next(); err != io.EOF; e, err = rd.Next() {
			if err != nil {
				b.Fatal(err)
			}
			if e.Requests != nil {
				if rows, err = e.Requests.Unpack(rows[:0]); err != nil {
					b.Fatal(err)
				}
				n += len(rows)
			}
		}
		rd.Close()
		if n != len(requests) {
			b.Fatalf("read %d requests", n)
		}
	}
	perRequest(b, len(requests))
}
