package load

import (
	"cmp"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/restartbench/restartbench/bench/timeline"
)

// transport sends requests that take all of HTTP, one thing at a time in the caller's goroutine. It retries nothing, follows
// no redirect, and tells of every request how it ended.
//
// It reads an answer to its last byte, because an answer is complete only then.
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

// whole does all of a request.
func (t *transport) whole(q *request, seq uint64, sent time.Duration) {
	r := timeline.Request{Seq: seq, Sent: sent}
	err := t.exchange(q, strconv.FormatUint(seq, 10), t.fresh(seq), &r)
	t.record(r, err)
}

// rest does what is left of a request that a lane has begun on socket: unsent is yet to be sent.
func (t *transport) rest(w *wire, socket net.Conn, unsent []byte) {
	c, err := t.dialer.adopt(socket, w.to, w.got, time.Now().Add(w.r.Sent+t.timeout-t.clock.Now()))
	if err != nil {
		w.r.Outcome, w.r.Done = timeline.Other, t.clock.Now()
		t.record(w.r, err)
		return
	}
	c.begin()
	sendErr := w.sendErr
	if len(unsent) > 0 {
		_, sendErr = socket.Write(unsent)
	}
	reusable, err := t.conclude(c, w.q, w.fresh, func() error { return sendErr }, &w.r)
	t.leave(c, reusable, err)
	t.record(w.r, err)
}

// record tells how a request ended.
func (t *transport) record(r timeline.Request, err error) {
	if err != nil && t.aborted.Load() {
		r.Outcome, r.Hidden = timeline.Aborted, false
	}
	t.ended(r)
}

// fresh says whether request seq gets a connection of its own. Mixed changes with each round of the targets, so that
// every target gets both kinds.
func (t *transport) fresh(seq uint64) bool {
	return t.connections == Fresh || t.connections == Mixed && (seq/uint64(len(t.requests)))%2 == 0
}

// exchange sends q and reads its whole answer, and fills in r. Done is taken before anything is tidied up.
func (t *transport) exchange(q *request, number string, fresh bool, r *timeline.Request) error {
	deadline := time.Now().Add(r.Sent + t.timeout - t.clock.Now())
	c, err := t.connect(q.to, fresh, deadline, r)
	if err != nil {
		r.Done = t.clock.Now()
		return err
	}
	c.begin()
	reusable, err := t.conclude(c, q, fresh, send(c, q, number, fresh), r)
	t.leave(c, reusable, err)
	return err
}

// leave keeps a connection for later, or closes it.
func (t *transport) leave(c *conn, reusable bool, err error) {
	switch {
	case err != nil:
		t.dialer.cutOff(c)
	case !reusable || !t.pool.put(c):
		t.dialer.hangUp(c)
	}
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

// conclude reads the answer to q to its end. finish ends sending it.
func (t *transport) conclude(c *conn, q *request, fresh bool, finish func() error, r *timeline.Request) (reusable bool, err error) {
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
