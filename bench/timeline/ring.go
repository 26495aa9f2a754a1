package timeline

import (
	"math/bits"
	"sync/atomic"
)

// ring is a bounded queue of requests, from many goroutines to one. Nobody waits in it: what finds it full is not taken.
//
// It is Dmitry Vyukov's bounded queue (1024cores.net, "Bounded MPMC queue") with one reader. A request claims the next place by
// counting up, and fills it; the place's turn says whose it is.
type ring struct {
	places []place
	laps   int // places counted so far, shifted right by this: how often the ring was gone round

	_       [cacheLine]byte // the writers' count and the reader's lie apart, or each would slow the other
	claimed atomic.Uint64   // places
	_       [cacheLine]byte
	taken   uint64
}

// cacheLine is as long as those of the processors that we know, or longer.
const cacheLine = 128

// place holds a request. In lap n its turn is 2n while it is free and 2n+1 once it is filled; taking it makes it free for lap n+1.
type place struct {
	turn    atomic.Uint64
	request Request
}

// newRing makes a ring for so many requests, a power of two.
func newRing(places int) *ring {
	return &ring{places: make([]place, places), laps: bits.TrailingZeros(uint(places))}
}

func (r *ring) at(n uint64) (p *place, free uint64) {
	return &r.places[n&uint64(len(r.places)-1)], 2 * (n >> r.laps)
}

// put adds q. n counts the requests before it; ok is false when the ring is full.
func (r *ring) put(q *Request) (n uint64, ok bool) {
	for {
		n := r.claimed.Load()
		p, free := r.at(n)
		switch turn := p.turn.Load(); {
		case turn < free:
			return 0, false
		case turn == free && r.claimed.CompareAndSwap(n, n+1):
			p.request = *q
			p.turn.Store(free + 1)
			return n, true
		}
	}
}

// take moves requests to dst, up to its capacity. Only one goroutine may call it.
func (r *ring) take(dst []Request) []Request {
	for len(dst) < cap(dst) {
		p, free := r.at(r.taken)
		if p.turn.Load() != free+1 {
			break
		}
		dst = append(dst, p.request)
		p.turn.Store(free + 2)
		r.taken++
	}
	return dst
}

// filling tells whether a place is claimed that take has not come to. Only the goroutine that takes may call it.
func (r *ring) filling() bool { return r.claimed.Load() != r.taken }
