// Package load sends steady open-loop HTTP/1.1 traffic and tells how each request ended.
//
// What flows in: a Config. What flows out: one timeline.Request for every request sent, to a Recorder, and the schedule
// they were due by (timeline.Load and timeline.LoadEnd).
//
// vegeta's Attacker runs the attack. The pacer, the lanes and the transport are our own: the pacer so that the schedule is
// known (vegeta notes when a worker took a request up, not when it was due), lanes and transport so that nothing is hidden
// (net/http's retries requests on kept-alive connections that died) and little is spent (see lane). Nothing here ever retries.
package load

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"math"
	"net"
	"net/http"
	"runtime"
	"sync/atomic"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"

	"github.com/restartbench/restartbench/bench/timeline"
)

// Connections says which requests may use a connection that has served another.
type Connections string

// The ways to connect.
const (
	Fresh     Connections = "fresh"     // every request on a connection of its own
	KeepAlive Connections = "keepalive" // every request on a kept-alive one where there is one
	Mixed     Connections = "mixed"     // by turns
)

// Config says what to send.
type Config struct {
	Targets     []Target // sent in turn; at least one
	Rate        float64  // requests a second
	Warmup      time.Duration
	Duration    time.Duration // after the warm-up; Hold and Release move the end
	Connections Connections
	Timeout     time.Duration // of one request, from its first packet to the answer's last byte
	Expect      []int         // statuses that count as ok; empty: all below 500
	UnixSocket  string        // connect here, whatever the URLs say
	TLS         *tls.Config   // for https targets; nil: the system's authorities
	UserAgent   string        // sent unless a target has its own
	MaxInFlight int           // requests under way at once, at least 1; each lane has its share; 0: DefaultMaxInFlight
	Lanes       int           // goroutines that send, at least 1; 0: as many as the rate takes
}

// DefaultMaxInFlight bounds the requests under way at once. At the bound a request waits until another has ended. It goes out
// late then, which its send time shows and LoadEnd.Waited counts; none is left out. As places get free only with answers,
// what has piled up never goes out faster than the service answers.
const DefaultMaxInFlight = 20_000

// perLane is the rate up to which one lane sends without help: half of what it can on common machines.
const perLane = 20_000

// lanes is how many goroutines send. Half of the processors are left to others.
func (c Config) lanes() int {
	n := cmp.Or(c.Lanes, min(int(math.Ceil(c.Rate/perLane)), runtime.GOMAXPROCS(0)/2))
	return max(1, min(n, cmp.Or(c.MaxInFlight, DefaultMaxInFlight)))
}

// Recorder takes what was measured. Its methods must not block.
type Recorder interface {
	Request(timeline.Request)
	Emit(timeline.Event)
}

// Load is one steady stream of requests.
type Load struct {
	cfg       Config
	clock     timeline.Clock
	record    Recorder
	pacer     *pacer
	requests  []*request // the targets, made ready
	err       error      // why they could not be
	transport *transport
	lookup    func(ctx context.Context, host string) ([]string, error) // addresses, the preferred first
	progress  progress
	moved     context.Context // done when the end of the load has moved
	endMoved  context.CancelFunc
}

// Progress counts what has ended so far.
type Progress struct{ Sent, OK, Dropped uint64 }

type progress struct{ sent, ok, dropped atomic.Uint64 }

// New prepares a load, and sends nothing yet. That a target cannot be sent is for Probe, Began and Run to say.
func New(cfg Config, clock timeline.Clock, record Recorder) *Load {
	l := &Load{cfg: cfg, clock: clock, record: record, lookup: net.DefaultResolver.LookupHost}
	l.moved, l.endMoved = context.WithCancel(context.Background())
	l.requests, l.err = prepareAll(cfg)
	l.cfg.MaxInFlight = cmp.Or(cfg.MaxInFlight, DefaultMaxInFlight)
	l.pacer = newPacer(clock, cfg.Rate, cfg.Warmup, cfg.Duration)
	l.pacer.schedule.MaxInFlight = l.cfg.MaxInFlight
	l.transport = newTransport(cfg, l.requests, clock, l.ended)
	return l
}

func prepareAll(cfg Config) ([]*request, error) {
	if len(cfg.Targets) == 0 {
		return nil, vegeta.ErrNoTargets
	}
	if !(cfg.Rate > 0) {
		return nil, fmt.Errorf("a rate of %v requests a second cannot be sent", cfg.Rate)
	}
	var all []*request
	for _, t := range cfg.Targets {
		q, err := prepare(t, cfg.UserAgent)
		if err != nil {
			return nil, err
		}
		all = append(all, q)
	}
	return all, nil
}

// Began waits until the first request is due and returns the schedule.
func (l *Load) Began(ctx context.Context) (timeline.Load, error) {
	if l.err != nil {
		return timeline.Load{}, l.err
	}
	select {
	case <-l.pacer.started:
		return l.pacer.schedule, nil
	case <-ctx.Done():
		return timeline.Load{}, ctx.Err()
	}
}

// Hold keeps the load going past its Duration, until Release.
func (l *Load) Hold() { l.pacer.hold() }

// Release ends the load after its Duration, but not before more time has passed from now on.
func (l *Load) Release(more time.Duration) {
	l.pacer.release(l.clock.Now() + more)
	l.endMoved()
}

// Progress counts what has ended so far, warm-up included.
func (l *Load) Progress() Progress {
	return Progress{l.progress.sent.Load(), l.progress.ok.Load(), l.progress.dropped.Load()}
}

// Run sends the load and returns when the last request has ended, at most a Timeout after the last was sent.
// When ctx is done it sends no more, cuts off what is under way (recorded as aborted) and returns ctx's error.
func (l *Load) Run(ctx context.Context) error {
	if l.err != nil {
		return l.err
	}
	lanes, err := newLanes(l.transport, l.pacer, l.cfg.lanes(), l.cfg.MaxInFlight)
	if err != nil {
		return err
	}
	n := uint64(len(lanes.all))
	attacker := vegeta.NewAttacker(
		vegeta.Workers(n),
		vegeta.MaxWorkers(n),
		vegeta.MaxBody(0),
		vegeta.Client(&http.Client{Transport: lanes}), // last: it replaces the whole client
	)
	defer lanes.close()
	defer l.transport.close()
	defer whenDone(l.moved, lanes.poke)()
	defer whenDone(ctx, func() {
		l.pacer.stop()
		attacker.Stop()
		l.transport.abort()
		lanes.poke()
	})()

	for r := range attacker.Attack(hit, lanes, 0, "") {
		if r.Error != "" && err == nil {
			err = fmt.Errorf("vegeta's attack: %s", r.Error)
		}
	}
	lanes.drain()
	sent, waited := lanes.sent()
	l.record.Emit(timeline.Event{LoadEnd: &timeline.LoadEnd{At: l.clock.Now(), Scheduled: l.pacer.scheduled(sent), Waited: waited}})
	return cmp.Or(ctx.Err(), err)
}

// hit is what vegeta is told to send. The lanes know better.
func hit(t *vegeta.Target) error {
	t.Method, t.URL = http.MethodGet, "http://target.invalid/"
	return nil
}

// whenDone does something when ctx is done. The function it returns ends that, or waits for it.
func whenDone(ctx context.Context, do func()) (release func()) {
	did := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(did)
		do()
	})
	return func() {
		if !stop() {
			<-did
		}
	}
}

func (l *Load) ended(r timeline.Request) {
	l.record.Request(r)
	l.progress.sent.Add(1)
	switch {
	case r.Outcome == timeline.OK:
		l.progress.ok.Add(1)
	case r.Outcome.Dropped():
		l.progress.dropped.Add(1)
	}
}
