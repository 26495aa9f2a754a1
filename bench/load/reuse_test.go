package load

import (
	"fmt"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/restartbench/restartbench/bench/timeline"
)

func TestPoolIsLastInFirstOutAndBounded(t *testing.T) {
	p := newPool(3)
	a, b := target{host: "a"}, target{host: "b"}
	conns := []*conn{{to: a}, {to: a}, {to: b}, {to: a}}
	for i, c := range conns {
		if got, want := p.put(c), i < 3; got != want {
			t.Errorf("put number %d: %t", i, got)
		}
	}
	for i, want := range []*conn{conns[1], conns[0], nil} {
		if got := p.get(a); got != want {
			t.Errorf("get number %d is not the youngest", i)
		}
	}
	if !p.put(conns[3]) || len(p.drain()) != 2 || p.get(b) != nil {
		t.Error("room is not counted")
	}
}

func TestIdleConnectionsAreBounded(t *testing.T) {
	const n, limit = 5, 3
	arrived, release := make(chan bool, n), make(chan bool)
	closed := make(chan bool, n)
	url := serve(t, func(p *peer) {
		for p.request() != nil {
			arrived <- true
			<-release
			p.answer(okAnswer)
		}
		closed <- true
	})
	c := newClient(t, get(url))
	c.pool.limit = limit
	go func() {
		for range n {
			<-arrived
		}
		close(release)
	}()
	for _, r := range c.together(t, n) {
		if r.Outcome != timeline.OK || r.Reused {
			t.Errorf("got %s", describe(r))
		}
	}
	for range n - limit {
		<-closed
	}
	if got := len(c.pool.drain()); got != limit {
		t.Errorf("%d idle connections, want %d", got, limit)
	}
}

func TestConnections(t *testing.T) { eachWay(t, testConnections) }

func testConnections(t *testing.T, newClient makeClient) {
	urls := []string{serve(t, answering), serve(t, answering)}
	for _, tt := range []struct {
		connections Connections
		targets     int
		want        []bool // reused
	}{
		{Fresh, 1, []bool{false, false, false}},
		{KeepAlive, 1, []bool{false, true, true}},
		{KeepAlive, 2, []bool{false, false, true, true}},
		{Mixed, 1, []bool{false, false, false, true, false, true}},
		{Mixed, 2, []bool{false, false, false, false, false, false, true, true, false, false, true, true}},
	} {
		t.Run(fmt.Sprint(tt.connections, " ", tt.targets), func(t *testing.T) {
			cfg := Config{Connections: tt.connections}
			for _, url := range urls[:tt.targets] {
				cfg.Targets = append(cfg.Targets, Target{Method: "GET", URL: url})
			}
			c := newClient(t, cfg)
			var got []bool
			for range tt.want {
				got = append(got, c.send(t).Reused)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("reused %v, want %v", got, tt.want)
			}
		})
	}
}

// A connection whose end, or anything else, has already arrived is not used, and nothing is dropped.
func TestStaleConnectionsAreNotUsed(t *testing.T) { eachWay(t, testStaleConnectionsAreNotUsed) }

func testStaleConnectionsAreNotUsed(t *testing.T, newClient makeClient) {
	for name, spoil := range map[string]func(*peer){
		"FIN":         func(p *peer) { p.Close() },
		"RST":         func(p *peer) { p.reset() },
		"408":         func(p *peer) { p.answer("HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n") },
		"408 and FIN": func(p *peer) { p.answer("HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n"); p.Close() },
		"one byte":    func(p *peer) { p.answer("x") },
	} {
		t.Run(name, func(t *testing.T) {
			idle, spoilt := make(chan bool), make(chan bool)
			url := serve(t, func(p *peer) {
				p.request()
				p.answer(okAnswer)
				if p.n == 0 {
					<-idle
					spoil(p)
					close(spoilt)
				}
				p.left()
			})
			c := newClient(t, get(url))
			c.send(t)
			close(idle)
			<-spoilt
			waitSpoilt(t, c)
			if r := c.send(t); r.Outcome != timeline.OK || r.Reused {
				t.Errorf("got %s, want ok on a new connection", describe(r))
			}
		})
	}
}

// waitSpoilt waits until the kernel has delivered what the server did to the idle connection, if there is one.
func waitSpoilt(t *testing.T, c *client) {
	t.Helper()
	to := c.requests[0].to
	if c.lane != nil {
		for _, fd := range c.lane.idle[to] {
			eventually(t, "the idle connection is spoilt", func() bool { return !untouched(fd) })
		}
	}
	if idle := c.pool.get(to); idle != nil {
		eventually(t, "the idle connection is spoilt", func() bool { return !idle.alive() })
		c.pool.put(idle)
	}
}

func TestAConnectionMayBeIdleForLongerThanATimeout(t *testing.T) {
	c := newClient(t, get(serve(t, answering)))
	c.send(t)
	idle := c.pool.get(c.requests[0].to)
	idle.SetDeadline(past) // as it is once the last request's time is over
	c.pool.put(idle)
	if r := c.send(t); r.Outcome != timeline.OK || !r.Reused {
		t.Errorf("got %s, want ok on the same connection", describe(r))
	}
}

// A service may answer in another way after its restart. Its connections are kept alive all the same.
func TestReuseWhenAnswersTurnChunked(t *testing.T) { eachWay(t, testReuseWhenAnswersTurnChunked) }

func testReuseWhenAnswersTurnChunked(t *testing.T, newClient makeClient) {
	c := newClient(t, get(serve(t, func(p *peer) {
		for n := 0; p.request() != nil; n++ {
			p.answer([]string{okAnswer, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"}[min(n, 1)])
		}
	})))
	for i := range 5 {
		if r := c.send(t); r.Outcome != timeline.OK || r.Bytes != 2 || r.Reused != (i > 0) {
			t.Errorf("request %d: %s", i, describe(r))
		}
	}
}

func TestUnixSocketReuse(t *testing.T) { eachWay(t, testUnixSocketReuse) }

func testUnixSocketReuse(t *testing.T, newClient makeClient) {
	l := listenUnix(t)
	serveOn(t, l, answering)
	c := newClient(t, overUnix(l.Addr().String()))
	for i := range 3 {
		if r := c.send(t); r.Outcome != timeline.OK || r.Reused != (i > 0) || r.Retransmits != 0 {
			t.Errorf("request %d: %s", i, describe(r))
		}
	}
}

func TestIPv6(t *testing.T) { eachWay(t, testIPv6) }

func testIPv6(t *testing.T, newClient makeClient) {
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Skip("no IPv6 loopback: ", err)
	}
	serveOn(t, l, answering)
	if r := newClient(t, get("http://"+l.Addr().String())).send(t); r.Outcome != timeline.OK {
		t.Errorf("got %s", describe(r))
	}
}

func TestDoneIsTakenBeforeTheConnectionIsTidiedUp(t *testing.T) {
	eachWay(t, testDoneIsTakenBeforeTheConnectionIsTidiedUp)
}

func testDoneIsTakenBeforeTheConnectionIsTidiedUp(t *testing.T, newClient makeClient) {
	c := newClient(t, get(serve(t, answering)))
	began := c.clock.Now()
	r := c.send(t)
	if now := c.clock.Now(); r.Sent < began || r.Connect <= 0 || r.Done < r.Sent+r.Connect || r.Done > now || now > began+time.Minute {
		t.Errorf("sent %v, connect %v, done %v, within %v to %v", r.Sent, r.Connect, r.Done, began, now)
	}
}
