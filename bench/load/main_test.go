package load

import (
	"bufio"
	"context"
	"fmt"
	"io"
	stdlog "log"
	"net"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/restartbench/restartbench/bench/timeline"
)

// childEnv makes the test binary a real child process, in which to run out of file descriptors.
const childEnv = "RESTARTBENCH_TEST_CHILD"

func TestMain(m *testing.M) {
	if address := os.Getenv(childEnv); address != "" {
		os.Exit(runOutOfDescriptors(address))
	}
	goleak.VerifyTestMain(m)
}

// patience bounds every wait for something that must happen.
const patience = 10 * time.Second

// client sends requests one by one: through a lane, or through the transport alone.
type client struct {
	*transport
	lane *lane
	mu   sync.Mutex
	seq  uint64
	last map[uint64]timeline.Request
}

type makeClient func(t testing.TB, cfg Config) *client

// eachWay tests both ways in which requests are sent: by a lane, which hands over what it must, and by the transport, which
// takes all that is handed over.
func eachWay(t *testing.T, test func(*testing.T, makeClient)) {
	t.Run("lane", func(t *testing.T) { test(t, newLaneClient) })
	t.Run("transport", func(t *testing.T) { test(t, newClient) })
}

func newClient(t testing.TB, cfg Config) *client {
	t.Helper()
	if cfg.Timeout == 0 {
		cfg.Timeout = patience
	}
	requests, err := prepareAll(withRate(cfg))
	if err != nil {
		t.Fatal(err)
	}
	c := &client{last: map[uint64]timeline.Request{}}
	c.transport = newTransport(cfg, requests, timeline.NewClock(), func(r timeline.Request) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.last[r.Seq] = r
	})
	t.Cleanup(c.transport.close)
	return c
}

func newLaneClient(t testing.TB, cfg Config) *client {
	t.Helper()
	c := newClient(t, cfg)
	l, err := newLane(c.transport, newPacer(c.clock, 1, 0, 0), 0, 1, DefaultMaxInFlight)
	if err != nil {
		t.Fatal(err)
	}
	c.lane = l
	t.Cleanup(func() {
		l.drain()
		l.close()
	})
	return c
}

func withRate(cfg Config) Config {
	cfg.Rate = 1
	return cfg
}

// send sends the next request and returns what was recorded of it.
func (c *client) send(t testing.TB) timeline.Request {
	t.Helper()
	return c.together(t, 1)[0]
}

// together sends the next n requests at once.
func (c *client) together(t testing.TB, n int) (all []timeline.Request) {
	t.Helper()
	first := c.seq
	c.seq += uint64(n)
	var handed sync.WaitGroup
	for seq := first; seq < c.seq; seq++ {
		if c.lane != nil {
			c.lane.send(seq, c.clock.Now())
		} else {
			handed.Go(func() { c.whole(c.requests[seq%uint64(len(c.requests))], seq, c.clock.Now()) })
		}
	}
	if c.lane != nil {
		c.lane.drain()
	}
	handed.Wait()
	for seq := first; seq < c.seq; seq++ {
		r, ok := c.last[seq]
		if !ok {
			t.Fatalf("request %d was not recorded", seq)
		}
		if r.Done < r.Sent {
			t.Errorf("request %d was done %v before it was sent", seq, r.Sent-r.Done)
		}
		all = append(all, r)
	}
	return all
}

// get is a keep-alive load of one URL.
func get(url string) Config {
	return Config{Targets: []Target{{Method: "GET", URL: url}}, Connections: KeepAlive}
}

// listen listens on a loopback port.
func listen(t testing.TB) *net.TCPListener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l.(*net.TCPListener)
}

// peer is the server's end of a connection.
type peer struct {
	net.Conn
	r *bufio.Reader
	n int // the connection's number, from 0
}

// request reads one request with its body. It returns nil at the connection's end.
func (p *peer) request() *http.Request {
	req, err := http.ReadRequest(p.r)
	if err != nil {
		return nil
	}
	if _, err := io.Copy(io.Discard, req.Body); err != nil {
		return nil
	}
	return req
}

func (p *peer) answer(text string) { io.WriteString(p, text) }

// reset closes with RST instead of FIN (socket(7), SO_LINGER).
func (p *peer) reset() {
	if tcp, ok := p.Conn.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	p.Close()
}

// left waits until the client has closed its end.
func (p *peer) left() { io.Copy(io.Discard, p) }

// serveOn runs a server of the test's own: talk has a connection to itself, which is closed when it returns.
func serveOn(t testing.TB, l net.Listener, talk func(*peer)) (address string) {
	t.Helper()
	var all sync.WaitGroup
	var mu sync.Mutex
	open := map[net.Conn]bool{}
	accept := func() {
		for n := 0; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open[c] = true
			mu.Unlock()
			all.Go(func() {
				defer c.Close()
				talk(&peer{c, bufio.NewReader(c), n})
			})
		}
	}
	var accepting sync.WaitGroup
	accepting.Go(accept)
	t.Cleanup(func() {
		l.Close()
		accepting.Wait()
		mu.Lock()
		for c := range open {
			c.Close()
		}
		mu.Unlock()
		all.Wait()
	})
	return l.Addr().String()
}

// serve is serveOn a loopback port. It returns the URL.
func serve(t testing.TB, talk func(*peer)) string {
	t.Helper()
	return "http://" + serveOn(t, listen(t), talk) + "/"
}

const okAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

// answering answers every request with ok.
func answering(p *peer) {
	for p.request() != nil {
		p.answer(okAnswer)
	}
}

// eventually polls what only the kernel knows.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// log is a Recorder that keeps everything.
type log struct {
	mu       sync.Mutex
	requests []timeline.Request
	end      *timeline.LoadEnd
	gaps     []timeline.Gap
}

func (l *log) Request(r timeline.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.requests = append(l.requests, r)
}

func (l *log) Emit(e timeline.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e.LoadEnd != nil {
		l.end = e.LoadEnd
	}
	if e.Gap != nil {
		l.gaps = append(l.gaps, *e.Gap)
	}
}

// run runs a load to its end.
func run(t testing.TB, cfg Config) (*log, timeline.Load) {
	t.Helper()
	if cfg.Timeout == 0 {
		cfg.Timeout = patience
	}
	record := &log{}
	l := New(cfg, timeline.NewClock(), record)
	if err := l.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	schedule, err := l.Began(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return record, schedule
}

func describe(r timeline.Request) string {
	return fmt.Sprintf("%s, status %d, %d bytes, reused %t, hidden %t", r.Outcome, r.Status, r.Bytes, r.Reused, r.Hidden)
}

// quiet is the log of a server whose clients misbehave on purpose.
func quiet() *stdlog.Logger { return stdlog.New(io.Discard, "", 0) }
