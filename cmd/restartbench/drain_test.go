package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestDrainLosesNothing restarts the service under open-loop load, its listener held by the test
// as systemd holds it.
func TestDrainLosesNothing(t *testing.T) {
	const restarts = 3
	r := restartUnderLoad(t, restarts, "/whoami", "--drain=5s")
	if len(r.lost) > 0 {
		t.Errorf("lost %d of %d requests in %d restarts: %v", len(r.lost), r.sent, restarts, r.lost)
	}
	if r.reused == 0 || r.reused == r.sent {
		t.Errorf("%d of %d requests on kept-alive connections: want both kinds", r.reused, r.sent)
	}
	t.Logf("%d requests, %d of them on kept-alive connections, %d restarts", r.sent, r.reused, restarts)
}

// TestNoDrainLosesRequests shows that the client of TestDrainLosesNothing sees a loss.
func TestNoDrainLosesRequests(t *testing.T) {
	if r := restartUnderLoad(t, 1, "/slow?for=100ms"); len(r.lost) == 0 {
		t.Errorf("lost none of %d requests, with some in flight and no drain", r.sent)
	}
}

// restartUnderLoad restarts the service and asks it for path all the while.
func restartUnderLoad(t *testing.T, restarts int, path string, args ...string) *loadResult {
	t.Helper()
	const enough = 200 // answers from one process before it is stopped
	held, address := holdListener(t)
	client := &loadClient{address: address, path: path, answered: make(chan struct{}, 1<<16)}
	ctx, cancel := context.WithCancel(t.Context())
	loadDone := make(chan struct{})
	go func() { defer close(loadDone); client.run(ctx) }()

	c := startChild(t, nil, []*os.File{held}, args...)
	for range restarts {
		client.awaitAnswers(t, enough)
		if err := c.stop(t); err != nil {
			t.Errorf("child: %v: %s", err, c.stderr())
		}
		client.forgetAnswers()
		c = startChild(t, nil, []*os.File{held}, args...)
	}
	client.awaitAnswers(t, enough)
	cancel()
	<-loadDone
	return &client.result
}

// loadClient sends open-loop load: a request each interval whether or not the last was answered,
// on new connections and kept-alive ones in turn. It never tries a request twice.
//
// Each request leaves the client a moment after the connection was opened or found alive, as if it
// took that time on the wire. On a loopback device the races that a drain has to win last
// microseconds, and http.Server.Shutdown alone would nearly always pass too.
type loadClient struct {
	address, path string
	answered      chan struct{}

	mu     sync.Mutex
	idle   []*clientConn // oldest first
	result loadResult
}

const onTheWire = 5 * time.Millisecond

type loadResult struct {
	sent, reused int
	lost         []error
}

type clientConn struct {
	net.Conn
	r *bufio.Reader
}

func (c *loadClient) run(ctx context.Context) {
	var inFlight sync.WaitGroup
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for keepAlive := false; ctx.Err() == nil; keepAlive = !keepAlive {
		inFlight.Go(func() { c.request(keepAlive) })
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	inFlight.Wait()
	for _, conn := range c.idle {
		conn.Close()
	}
}

func (c *loadClient) request(keepAlive bool) {
	conn, reused, err := c.connect(keepAlive)
	if err == nil {
		time.Sleep(onTheWire)
		var reusable bool
		if reusable, err = conn.roundTrip(c.path, keepAlive); reusable {
			c.put(conn)
		} else {
			conn.Close()
		}
	}
	c.record(reused, err)
}

func (c *loadClient) record(reused bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.result.sent++
	if reused {
		c.result.reused++
	}
	if err != nil {
		c.result.lost = append(c.result.lost, fmt.Errorf("reused=%t: %w", reused, err))
		return
	}
	c.answered <- struct{}{}
}

func (c *loadClient) connect(keepAlive bool) (conn *clientConn, reused bool, err error) {
	for keepAlive {
		conn := c.get()
		if conn == nil {
			break
		}
		if conn.alive() {
			return conn, true, nil
		}
		conn.Close()
	}
	nc, err := net.DialTimeout("tcp", c.address, patience)
	if err != nil {
		return nil, false, err
	}
	return &clientConn{nc, bufio.NewReader(nc)}, false, nil
}

// get takes the connection that was idle longest, so that each is used before long.
func (c *loadClient) get() *clientConn {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.idle) == 0 {
		return nil
	}
	conn := c.idle[0]
	c.idle = c.idle[1:]
	return conn
}

// put keeps a connection, unless there are so many that some would stay unused for longer than the
// drain's grace. Real pools are bounded as well.
func (c *loadClient) put(conn *clientConn) {
	const most = 20
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.idle) >= most {
		conn.Close()
		return
	}
	c.idle = append(c.idle, conn)
}

func (c *clientConn) roundTrip(path string, keepAlive bool) (reusable bool, err error) {
	c.SetDeadline(time.Now().Add(patience))
	request := "GET " + path + " HTTP/1.1\r\nHost: test\r\n\r\n"
	if !keepAlive {
		request = "GET " + path + " HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"
	}
	if _, err := io.WriteString(c, request); err != nil {
		return false, err
	}
	resp, err := http.ReadResponse(c.r, nil)
	if err != nil {
		return false, err
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return false, err
	}
	if resp.StatusCode != http.StatusOK {
		return false, errors.New(resp.Status)
	}
	return !resp.Close, nil
}

// alive reports whether the server has not closed the connection yet, as far as is known here.
func (c *clientConn) alive() bool {
	raw, err := c.Conn.(syscall.Conn).SyscallConn()
	if err != nil {
		return false
	}
	var peekErr error
	err = raw.Read(func(fd uintptr) bool {
		_, _, peekErr = syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		return true
	})
	// Nothing to read yet is right for an idle connection. An end or a byte is not.
	return err == nil && errors.Is(peekErr, syscall.EAGAIN)
}

func (c *loadClient) awaitAnswers(t *testing.T, n int) {
	t.Helper()
	timeout := time.After(patience)
	for range n {
		select {
		case <-c.answered:
		case <-timeout:
			t.Fatalf("fewer than %d answers within %v", n, patience)
		}
	}
}

// forgetAnswers is called while no process serves: what comes later is from the next one.
func (c *loadClient) forgetAnswers() {
	for {
		select {
		case <-c.answered:
		default:
			return
		}
	}
}

// testServer is a sampleServer in this process, on a loopback port.
type testServer struct {
	*sampleServer
	address string
	cancel  context.CancelFunc
	result  chan error // of run
}

func startServer(t *testing.T, opts serveOptions) *testServer {
	t.Helper()
	listeners, err := openListener("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	s := &testServer{
		sampleServer: newSampleServer(opts, listeners, log.New(io.Discard, "", 0)),
		address:      listeners[0].Addr().String(),
		cancel:       cancel,
		result:       make(chan error, 1),
	}
	go func() { s.result <- s.run(ctx) }()
	return s
}

// connect opens a connection that the server has accepted.
func (s *testServer) connect(t *testing.T) *clientConn {
	t.Helper()
	before := s.conns.count()[http.StateNew]
	nc, err := net.DialTimeout("tcp", s.address, patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	s.await(t, func(n connCounts) bool { return n[http.StateNew] == before+1 })
	return &clientConn{nc, bufio.NewReader(nc)}
}

// connectIdle opens a connection that waits for its second request.
func (s *testServer) connectIdle(t *testing.T) *clientConn {
	t.Helper()
	before := s.conns.count()[http.StateIdle]
	conn := s.connect(t)
	if keep, err := conn.roundTrip("/whoami", true); err != nil || !keep {
		t.Fatalf("kept alive: %t, error: %v", keep, err)
	}
	s.await(t, func(n connCounts) bool { return n[http.StateIdle] == before+1 })
	return conn
}

// await waits for a state of the connections. Not for use during a drain, which does the same.
func (s *testServer) await(t *testing.T, done func(connCounts) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s.conns.waitFor(ctx, done)
	if n := s.conns.count(); !done(n) {
		t.Fatalf("connections by state, new first: %v", n)
	}
}

// beginDrain returns when the drain is in its first step.
func (s *testServer) beginDrain() {
	s.cancel()
	for !s.service.lameDuck.Load() {
		runtime.Gosched()
	}
}

// awaitRefusal returns when the drain is past its second step.
func (s *testServer) awaitRefusal(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		conn, err := net.Dial("tcp", s.address)
		if errors.Is(err, syscall.ECONNREFUSED) {
			return
		}
		if err == nil {
			conn.Close()
		}
	}
	t.Fatalf("still listening after %v", patience)
}

// mustAnswerAndClose makes the last request of a connection.
func (c *clientConn) mustAnswerAndClose(t *testing.T, path string) {
	t.Helper()
	keep, err := c.roundTrip(path, true)
	if err != nil || keep {
		t.Errorf("%s: kept alive: %t, error: %v; want an answer that closes", path, keep, err)
		return
	}
	if n, err := c.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("%s: after the answer: %d bytes, %v", path, n, err)
	}
}

func TestDrainWaitsForRequestsInFlight(t *testing.T) {
	s := startServer(t, serveOptions{drain: patience, work: maxGrace + 100*time.Millisecond})
	inFlight := s.connect(t)
	answered := make(chan struct{})
	go func() { defer close(answered); inFlight.mustAnswerAndClose(t, "/") }()
	s.await(t, func(n connCounts) bool { return n[http.StateActive] == 1 })
	s.cancel()
	if err := <-s.result; err != nil {
		t.Error(err)
	}
	<-answered
}

// http.Server.Shutdown reads such a request, and closes its connection without an answer.
func TestDrainAnswersWhatItAccepted(t *testing.T) {
	s := startServer(t, serveOptions{drain: patience})
	conn := s.connect(t)
	s.cancel()
	s.awaitRefusal(t)
	conn.mustAnswerAndClose(t, "/")
	if err := <-s.result; err != nil {
		t.Error(err)
	}
}

func TestDrainAnswersOnIdleConnections(t *testing.T) {
	s := startServer(t, serveOptions{drain: patience})
	conns := []*clientConn{s.connectIdle(t), s.connectIdle(t), s.connectIdle(t)}
	s.beginDrain()
	if status, _, err := fetch("tcp", s.address, "/"); status != 200 || err != nil {
		t.Errorf("not accepting any more: %d %v", status, err)
	}
	for _, conn := range conns {
		conn.mustAnswerAndClose(t, "/")
	}
	if err := <-s.result; err != nil {
		t.Error(err)
	}
}

func TestDrainDoesNotWaitForSilentConnections(t *testing.T) {
	s := startServer(t, serveOptions{drain: time.Hour})
	s.connect(t)
	s.connectIdle(t)
	began := time.Now()
	s.cancel()
	if err := <-s.result; err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took < maxGrace || took > patience {
		t.Errorf("drained in %v, want the grace of %v once or twice", took, maxGrace)
	}
}

func TestDrainLimitCutsRequestsOff(t *testing.T) {
	s := startServer(t, serveOptions{drain: 50 * time.Millisecond, work: time.Hour})
	s.connectIdle(t) // silent, and so not counted
	conn := s.connect(t)
	answer := make(chan error, 1)
	go func() { _, err := conn.roundTrip("/", true); answer <- err }()
	s.await(t, func(n connCounts) bool { return n[http.StateActive] == 1 })
	s.cancel()
	const want = "drain: requests still in flight at the limit of 50ms, and cut off: 1"
	if err := <-s.result; err == nil || err.Error() != want {
		t.Errorf("error %v, want %q", err, want)
	}
	if err := <-answer; err == nil {
		t.Error("it was answered")
	}
}

func TestWithoutDrainStopsAtOnce(t *testing.T) {
	s := startServer(t, serveOptions{work: time.Hour})
	conn := s.connect(t)
	answer := make(chan error, 1)
	go func() { _, err := conn.roundTrip("/", true); answer <- err }()
	s.await(t, func(n connCounts) bool { return n[http.StateActive] == 1 })
	s.cancel()
	if err := <-s.result; err != nil {
		t.Error(err)
	}
	if err := <-answer; err == nil {
		t.Error("it was answered")
	}
}
