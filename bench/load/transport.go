package load

import (
	"cmp"
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/restartbench/restartbench/bench/timeline"
)

// transport is an http.RoundTripper that does one thing at a time in the caller's goroutine, retries nothing, follows
// no redirect, and tells of every request how it ended.
//
// Of vegeta's requests it takes the number alone, and sends the target whose turn that is: vegeta's own targeter deals
// targets out in the order in which its workers happen to ask.
//
// It reads the answer to its last byte before it returns, because an answer is complete only then. What it returns to
// vegeta has the status alone.
type transport struct {
	clock       timeline.Clock
	ended       func(timeline.Request)
	connections Connections
	timeout     time.Duration
	expect      []int
	requests    []*request // take turns
	dialer      *dialer
	pool        *pool

	aborted atomic.Bool
}

func newTransport(cfg Config, requests []*request, clock timeline.Clock, ended func(timeline.Request)) *transport {
	return &transport{
		clock:       clock,
		ended:       ended,
		connections: cfg.Connections,
		timeout:     cfg.Timeout,
		expect:      cfg.Expect,
		requests:    requests,
		dialer:      newDialer(cfg.UnixSocket, cfg.TLS),
		pool:        newPool(maxIdle),
	}
}

// RoundTrip sends the request that vegeta's stands for.
func (t *transport) RoundTrip(tick *http.Request) (*http.Response, error) {
	number := tick.Header.Get(seqHeader)
	seq, err := strconv.ParseUint(number, 10, 64)
	if err != nil {
		return nil, err
	}
	q := t.requests[seq%uint64(len(t.requests))]
	r := timeline.Request{Seq: seq, Sent: t.clock.Now()}
	err = t.exchange(q, number, t.fresh(seq), &r)
	if err != nil && t.aborted.Load() {
		r.Outcome, r.Hidden = timeline.Aborted, false
	}
	t.ended(r)
	if err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: r.Status, Status: http.StatusText(r.Status), Body: http.NoBody, Request: tick}, nil
}

// fresh says whether request seq gets a connection of its own. Mixed changes with each round of the targets, so that
// every target gets both kinds.
func (t *transport) fresh(seq uint64) bool {
	return t.connections == Fresh || t.connections == Mixed && (seq/uint64(len(t.requests)))%2 == 0
}

// exchange sends q and reads its whole answer, and fills in r. Done is taken before anything is tidied up.
func (t *transport) exchange(q *request, number string, fresh bool, r *timeline.Request) error {
	deadline := time.Now().Add(t.timeout)
	c, err := t.connect(q.to, fresh, deadline, r)
	if err != nil {
		r.Done = t.clock.Now()
		return err
	}
	reusable, err := t.talk(c, q, number, fresh, r)
	switch {
	case err != nil:
		t.dialer.cutOff(c)
	case !reusable || !t.pool.put(c):
		t.dialer.hangUp(c)
	}
	return err
}

// connect takes a kept-alive connection or makes one.
func (t *transport) connect(to target, fresh bool, deadline time.Time, r *timeline.Request) (*conn, error) {
	if !fresh {
		for c := t.pool.get(to); c != nil; c = t.pool.get(to) {
			if c.SetDeadline(deadline) == nil && t.dialer.ctx.Err() == nil && c.alive() {
				r.Reused = true
				return c, nil
			}
			t.dialer.cutOff(c)
		}
	}
	c, err := t.dialer.dial(to, deadline)
	r.Connect = t.clock.Now() - r.Sent
	if err != nil {
		r.Outcome = connectOutcome(err)
		return nil, err
	}
	r.Retransmits = c.synRetransmits
	if !to.tls {
		return c, nil
	}
	err = c.handshake()
	r.Connect = t.clock.Now() - r.Sent
	if err != nil {
		t.dialer.cutOff(c)
		r.Outcome = handshakeOutcome(err)
		return nil, err
	}
	return c, nil
}

// talk sends q and reads its answer to the end.
func (t *transport) talk(c *conn, q *request, number string, fresh bool, r *timeline.Request) (reusable bool, err error) {
	c.begin()
	finish := send(c, q, number, fresh)
	// A server may answer and close before it has read all of a request, so a failure to send is no failure yet.
	res, err := receive(c, q.parsed, r)
	r.Done = t.clock.Now()
	sendErr := finish()
	switch {
	case err == nil:
		r.Outcome = t.judge(r.Status)
		inStep := sendErr == nil && c.failure == nil && c.r.Buffered() == 0
		return inStep && !fresh && !res.Close && r.Status != http.StatusSwitchingProtocols, nil
	case res != nil:
		r.Outcome = bodyOutcome(err, c.failure)
		return false, err
	}
	cause := cmp.Or(c.failure, err)
	if isReset(sendErr) || isClientLimit(sendErr) {
		cause = sendErr // where sending learnt of a reset, reading saw a clean close
	}
	r.Outcome = headerOutcome(cause, c.received)
	r.Hidden = r.Reused && c.received == 0 && q.replayable && (r.Outcome == timeline.Reset || r.Outcome == timeline.EOF)
	return false, err
}

// inline is the longest body that is sent before the answer is read. It fits any socket's buffers, so sending it never
// waits for the server to read. A longer one is sent while the answer is awaited: it may be refused in the midst.
const inline = 16 << 10

// send starts to send q. What it returns stops that, where it still goes on, and tells how it went.
func send(c *conn, q *request, number string, fresh bool) (finish func() error) {
	if len(q.body) <= inline {
		err := q.write(c.w, number, fresh)
		return func() error { return err }
	}
	done := make(chan error, 1)
	go func() { done <- q.write(c.w, number, fresh) }()
	return func() error {
		c.socket.SetWriteDeadline(past)
		return <-done
	}
}

// receive reads an answer to its last byte. It returns nil for the response where no complete header came.
func receive(c *conn, req *http.Request, r *timeline.Request) (*http.Response, error) {
	res, err := readHeader(c, req)
	if err != nil {
		return nil, err
	}
	r.Status = res.StatusCode
	r.Bytes, err = io.Copy(io.Discard, res.Body)
	return res, err
}

var errNotHTTP1 = errors.New("the answer is not HTTP/1.x")

// readHeader reads the answer's header, past any that only announces it (1xx).
func readHeader(c *conn, req *http.Request) (*http.Response, error) {
	for {
		c.limitHeader()
		res, err := http.ReadResponse(c.r, req)
		c.unlimit()
		switch {
		case err != nil:
			return nil, err
		case res.ProtoMajor != 1 || res.StatusCode < 100:
			return nil, errNotHTTP1
		case res.StatusCode >= 200 || res.StatusCode == http.StatusSwitchingProtocols:
			return res, nil
		}
	}
}

func (t *transport) judge(status int) timeline.Outcome {
	for _, s := range t.expect {
		if s == status {
			return timeline.OK
		}
	}
	switch {
	case status >= 500:
		return timeline.HTTP5xx
	case len(t.expect) > 0:
		return timeline.HTTPUnexpected
	}
	return timeline.OK
}

// abort cuts off every request under way.
func (t *transport) abort() {
	t.aborted.Store(true)
	t.dialer.abort()
}

func (t *transport) close() {
	for _, c := range t.pool.drain() {
		t.dialer.hangUp(c)
	}
	t.dialer.abort()
}
