package load

import (
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// lanes are all lanes of a load. They are the vegeta.Pacer and the http.RoundTripper of an attack in which a hit is a slice
// of a lane, as soon as a worker is free.
type lanes struct {
	pacer *pacer
	all   []*lane
	free  chan *lane
	left  atomic.Int32  // lanes that have more to send
	over  chan struct{} // closed when none has
}

// newLanes makes n lanes, which take turns in the schedule and share the limit on requests under way.
func newLanes(t *transport, p *pacer, n, limit int) (*lanes, error) {
	ls := &lanes{pacer: p, free: make(chan *lane, n), over: make(chan struct{})}
	ls.left.Store(int32(n))
	for i := range n {
		l, err := newLane(t, p, uint64(i), uint64(n), max(1, limit/n))
		if err != nil {
			ls.close()
			return nil, err
		}
		ls.all = append(ls.all, l)
		ls.free <- l
	}
	return ls, nil
}

// Pace lets vegeta hit again at once, until all has been sent. The first hit begins the schedule.
func (ls *lanes) Pace(elapsed time.Duration, _ uint64) (wait time.Duration, stop bool) {
	ls.pacer.begin(elapsed)
	return 0, ls.left.Load() == 0
}

// Rate is the rate at elapsed, for vegeta.
func (ls *lanes) Rate(time.Duration) float64 { return ls.pacer.schedule.Rate }

// RoundTrip lets vegeta's worker run a lane for a slice.
func (ls *lanes) RoundTrip(hit *http.Request) (*http.Response, error) {
	select {
	case l := <-ls.free:
		if !l.slice() {
			ls.free <- l
		} else if ls.left.Add(-1) == 0 {
			close(ls.over)
		}
	case <-ls.over:
	}
	return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Request: hit}, nil
}

// drain waits until all requests have ended.
func (ls *lanes) drain() {
	var all sync.WaitGroup
	for _, l := range ls.all {
		all.Go(l.drain)
	}
	all.Wait()
}

// poke has all lanes look at the schedule again.
func (ls *lanes) poke() {
	for _, l := range ls.all {
		l.poller.poke()
	}
}

func (ls *lanes) close() {
	for _, l := range ls.all {
		l.close()
	}
}

// sent is how many requests were sent, and how many of them had to wait until others had ended.
func (ls *lanes) sent() (sent, waited uint64) {
	for i, l := range ls.all {
		sent += (l.next - uint64(i)) / l.step
		waited += l.waited
	}
	return sent, waited
}
