package load

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/restartbench/restartbench/bench/timeline"
)

// lane sends every n-th request of the schedule, each at its due time, from one goroutine that also reads the answers.
//
// Waking a thread costs more than a request does, so a lane wakes as seldom as it can: for a request that is due, and for
// answers that are there. It speaks plain HTTP over TCP and unix sockets itself, as long as answers are as simple as
// most are (see answer). All else, such as TLS, chunked bodies and long requests, it hands over to goroutines of the
// transport, which know all of HTTP.
//
// vegeta's Attacker runs the lanes, one to a worker. It gives each of them a slice of the schedule at a time: what it does
// between two hits (handing over between three goroutines) costs as much as several requests, once for each slice and
// not for each request.
type lane struct {
	*transport
	pacer *pacer
	limit int // of requests under way in this lane
	step  uint64

	next     uint64 // number of the next request to be sent
	waited   uint64 // requests that were due while limit were under way
	waiting  bool   // the next one is such a request
	poller   *poller
	wires    []*wire          // by descriptor
	idle     map[target][]int // descriptors of kept-alive connections, last in first out
	idles    int
	first    *wire // under way, by when they were sent
	last     *wire
	underWay int
	buffer   []byte // answers are read into it
	out      []byte // requests are rendered into it

	addresses []sockaddr // of the requests' endpoints; nil where the lane cannot connect
	spare     []*wire    // to use again

	handed   sync.WaitGroup
	slow     atomic.Int64 // of those under way, handed over
	starving atomic.Bool  // the lane waits for a place
}

// wire is a connection that a lane owns, with the request that it is under way for.
type wire struct {
	fd         int
	to         target
	q          *request
	fresh      bool
	connecting bool
	shut       bool // the server has ended its side, or may have
	r          timeline.Request
	got        []byte // of an answer's header, until it is complete
	received   int64  // bytes of the answer
	body       int64  // bytes of the body that are yet to come
	inBody     bool
	reusable   bool
	sendErr    error
	prev, next *wire
}

const (
	slice    = 100 * time.Millisecond
	ahead    = 8        // requests that timers are set for
	greedy   = 16       // requests sent in a row, when late, before answers are looked for
	bufferIs = 64 << 10 // of the lane's buffer
	maxGot   = 16 << 10 // of a header that a lane reads itself
	maxPlain = 8 << 10  // of a request that a lane sends itself: it fits into any socket's buffer
)

func newLane(t *transport, p *pacer, first, step uint64, limit int) (*lane, error) {
	poller, err := newPoller()
	if err != nil {
		return nil, err
	}
	l := &lane{transport: t, pacer: p, limit: limit, next: first, step: step, poller: poller, idle: map[target][]int{},
		buffer: make([]byte, bufferIs)}
	for _, q := range t.requests {
		l.addresses = append(l.addresses, t.dialer.reachable(q.to))
	}
	return l, nil
}

// slice sends what is due in the slice of the schedule that begins now, and reads what answers come. It returns true when
// nothing is left to be sent.
func (l *lane) slice() (over bool) {
	until := l.clock.Now() + slice
	for sent := 0; ; {
		now := l.clock.Now()
		due, over := l.pacer.next(l.next, now)
		switch {
		case over:
			return true
		case now >= until:
			return false
		case due > now:
			l.awaitDue(due, now)
			sent = 0
		case l.full():
			l.waiting = true
			l.starving.Store(true)
			if l.full() { // still, now that a place that gets free is told
				l.await(until, now)
			}
			l.starving.Store(false)
		default:
			l.send(l.next, now)
			l.next += l.step
			if sent++; sent%greedy == 0 {
				l.look()
			}
		}
	}
}

func (l *lane) full() bool { return l.underWay+int(l.slow.Load()) >= l.limit }

// drain reads answers until the last request has ended.
func (l *lane) drain() {
	for l.underWay > 0 {
		now := l.clock.Now()
		l.await(now+l.timeout, now)
	}
	l.handed.Wait()
}

// awaitDue waits until the next request is due, or until something happens before. It sets timers for later requests as
// well: a timer that is not the next to fire costs the kernel little to set, and when one fires the kernel has to set
// the hardware's to the next one anyway.
func (l *lane) awaitDue(due, now time.Duration) {
	if l.first != nil && l.first.r.Sent+l.timeout < due {
		l.await(due, now)
		return
	}
	for n := range uint64(ahead) {
		seq := l.next + n*l.step
		l.poller.set(int(seq/l.step%ahead), l.pacer.schedule.Due(seq), now)
	}
	l.poller.wait(due-now, l.happened)
	l.overdue()
}

// await waits until a moment, or until something happens before.
func (l *lane) await(until, now time.Duration) {
	if l.first != nil {
		until = min(until, l.first.r.Sent+l.timeout)
	}
	l.poller.set(ahead, until, now)
	l.poller.wait(until-now, l.happened)
	l.overdue()
}

// look deals with what has happened, and does not wait.
func (l *lane) look() {
	l.poller.wait(0, l.happened)
	l.overdue()
}

// send sends request number seq.
func (l *lane) send(seq uint64, now time.Duration) {
	if l.waiting {
		l.waited++
		l.waiting = false
	}
	turn := seq % uint64(len(l.requests))
	q := l.requests[turn]
	if to := l.addresses[turn]; to != nil && !q.slow.Load() {
		l.sendPlain(q, to, seq, now)
	} else {
		l.handOver(func() { l.whole(q, seq, now) })
	}
}

// handOver has a goroutine of its own do what ends a request.
func (l *lane) handOver(do func()) {
	l.slow.Add(1)
	l.handed.Go(func() {
		do()
		l.slow.Add(-1)
		if l.starving.Load() {
			l.poller.poke()
		}
	})
}

// overdue ends the requests whose time is up, all of them when the load is aborted.
func (l *lane) overdue() {
	for l.first != nil && l.clock.Now() >= l.first.r.Sent+l.timeout {
		w := l.first
		w.r.Outcome = timeline.ResponseTimeout
		if w.connecting {
			w.r.Outcome = timeline.ConnectTimeout
			w.r.Connect = l.clock.Now() - w.r.Sent
		}
		l.end(w, false)
	}
	if !l.aborted.Load() {
		return
	}
	for l.first != nil {
		l.first.r.Outcome = timeline.Aborted
		l.end(l.first, false)
	}
}

// close closes the kept-alive connections.
func (l *lane) close() {
	for fd, w := range l.wires {
		if w != nil {
			l.drop(fd)
		}
	}
	l.poller.close()
}
