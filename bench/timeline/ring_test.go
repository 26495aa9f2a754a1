package timeline

import (
	"runtime"
	"sync"
	"testing"
)

// TestRingLosesNothingOfManyWriters sends each writer's numbers through a ring that is often full, and wants them all, once and
// in each writer's order.
func TestRingLosesNothingOfManyWriters(t *testing.T) {
	const writers, each = 8, 5000
	r := newRing(64)
	var wait sync.WaitGroup
	for w := range writers {
		wait.Go(func() {
			for i := range each {
				for q := (Request{Seq: uint64(w), Sent: 1, Bytes: int64(i)}); ; runtime.Gosched() {
					if _, ok := r.put(&q); ok {
						break
					}
				}
			}
		})
	}
	var next [writers]int64
	rows := make([]Request, 0, 16)
	for taken := 0; taken < writers*each; taken += len(rows) {
		rows = r.take(rows[:0])
		for _, q := range rows {
			if q.Bytes != next[q.Seq] || q.Sent != 1 {
				t.Fatalf("writer %d: got %d, want %d", q.Seq, q.Bytes, next[q.Seq])
			}
			next[q.Seq]++
		}
		if len(rows) == 0 {
			runtime.Gosched()
		}
	}
	wait.Wait()
	if r.filling() {
		t.Error("the ring is not empty")
	}
}

func TestRingTakesNoMoreThanItHolds(t *testing.T) {
	r := newRing(4)
	for lap := range 3 {
		for i := range 4 {
			if n, ok := r.put(&Request{}); !ok || n != uint64(4*lap+i) {
				t.Fatalf("lap %d: request %d: %d, %v", lap, i, n, ok)
			}
		}
		if _, ok := r.put(&Request{}); ok {
			t.Fatalf("lap %d: a full ring took a request", lap)
		}
		if got := r.take(make([]Request, 0, 10)); len(got) != 4 {
			t.Fatalf("lap %d: took %d", lap, len(got))
		}
	}
}

func TestRequestsOfManyGoroutinesAreAllRecorded(t *testing.T) {
	const goroutines, each = 16, 2000
	var file gate
	file.open = make(chan struct{})
	close(file.open)
	r, err := NewRecorder(&file, NewClock(), Header{})
	if err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	for g := range goroutines {
		wait.Go(func() {
			for i := range each {
				r.Request(Request{Seq: uint64(g*each + i)})
			}
		})
	}
	wait.Wait()
	if err := r.Close(End{}); err != nil {
		t.Fatal(err)
	}
	got, _ := readAll(&file)
	seen := map[uint64]bool{}
	for _, q := range got {
		seen[q.Seq] = true
	}
	if len(got) != goroutines*each || len(seen) != len(got) {
		t.Errorf("%d requests, %d different, want %d", len(got), len(seen), goroutines*each)
	}
}
