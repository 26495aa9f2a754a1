package load

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/restartbench/restartbench/bench/timeline"
)

// short is a timeout that is meant to be reached.
const short = 50 * time.Millisecond

// overUnix makes a load go to a unix socket.
func overUnix(path string) Config {
	cfg := get("http://service/")
	cfg.UnixSocket = path
	return cfg
}

// shortTempDir is a temporary directory with a name short enough for a socket's path (unix(7): 107 bytes).
func shortTempDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "rb")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func listenUnix(t testing.TB) *net.UnixListener {
	t.Helper()
	l, err := net.Listen("unix", filepath.Join(shortTempDir(t), "s"))
	if err != nil {
		t.Fatal(err)
	}
	return l.(*net.UnixListener)
}

// shrink gives a listener the smallest accept queue there is: it holds one connection (listen(2), backlog 0).
func shrink(t testing.TB, l syscall.Conn) {
	t.Helper()
	raw, err := l.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if ctlErr := raw.Control(func(fd uintptr) { err = unix.Listen(int(fd), 0) }); ctlErr != nil || err != nil {
		t.Fatal(ctlErr, err)
	}
}

// fill connects until the accept queue takes no more.
func fill(t testing.TB, l net.Listener) {
	t.Helper()
	for range 10 {
		c, err := net.DialTimeout(l.Addr().Network(), l.Addr().String(), short)
		if err != nil {
			return
		}
		t.Cleanup(func() { c.Close() })
	}
	t.Fatal("the accept queue never gets full")
}

func TestConnectOutcomes(t *testing.T) { eachWay(t, testConnectOutcomes) }

func testConnectOutcomes(t *testing.T, newClient makeClient) {
	gone := func(l net.Listener) string { l.Close(); return l.Addr().String() }
	for _, tt := range []struct {
		name string
		cfg  func(*testing.T) Config
		want timeline.Outcome
	}{
		{"nobody listens", func(t *testing.T) Config { return get("http://" + gone(listen(t))) }, timeline.Refused},
		{"no unix socket", func(t *testing.T) Config { return overUnix(filepath.Join(shortTempDir(t), "s")) }, timeline.Refused},
		{"nobody listens on the unix socket", func(t *testing.T) Config {
			l := listenUnix(t)
			l.SetUnlinkOnClose(false)
			return overUnix(gone(l))
		}, timeline.Refused},
		{"accept queue full", func(t *testing.T) Config {
			l := listen(t)
			t.Cleanup(func() { l.Close() })
			shrink(t, l)
			fill(t, l)
			cfg := get("http://" + l.Addr().String())
			cfg.Timeout = short
			return cfg
		}, timeline.ConnectTimeout},
		{"unix socket's queue full", func(t *testing.T) Config {
			l := listenUnix(t)
			t.Cleanup(func() { l.Close() })
			shrink(t, l)
			fill(t, l)
			return overUnix(l.Addr().String())
		}, timeline.BacklogFull},
		// A TCP connection to a multicast address is ENETUNREACH (tcp_v4_connect), and no packet leaves the machine.
		{"no route", func(*testing.T) Config { return get("http://224.0.0.1:80") }, timeline.ConnectError},
		{"path through a file", func(*testing.T) Config { return overUnix("/proc/version/s") }, timeline.ConnectError},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newClient(t, tt.cfg(t)).send(t)
			if r.Outcome != tt.want || r.Reused || r.Hidden || r.Connect <= 0 {
				t.Errorf("got %s after %v to connect, want %s", describe(r), r.Connect, tt.want)
			}
		})
	}
}

func TestUnixSocketWithoutPermission(t *testing.T) { eachWay(t, testUnixSocketWithoutPermission) }

func testUnixSocketWithoutPermission(t *testing.T, newClient makeClient) {
	if os.Geteuid() == 0 {
		t.Skip("root may use any socket")
	}
	l := listenUnix(t)
	defer l.Close()
	if err := os.Chmod(l.Addr().String(), 0); err != nil {
		t.Fatal(err)
	}
	if r := newClient(t, overUnix(l.Addr().String())).send(t); r.Outcome != timeline.ConnectError {
		t.Errorf("got %s", describe(r))
	}
}

// Each provocation is made on a connection's first request and on its second.
func TestAnswerOutcomes(t *testing.T) { eachWay(t, testAnswerOutcomes) }

func testAnswerOutcomes(t *testing.T, newClient makeClient) {
	partial := func(text string, end func(*peer)) func(*peer) {
		return func(p *peer) { p.answer(text); end(p) }
	}
	wait := func(p *peer) { p.left() }
	shut := func(p *peer) { p.Close() }
	reset := func(p *peer) { p.reset() }
	for _, tt := range []struct {
		name    string
		provoke func(*peer) // having read the request
		timeout time.Duration
		want    timeline.Outcome
		hidden  bool // on a reused connection
	}{
		{"reset before the answer", reset, 0, timeline.Reset, true},
		{"closed before the answer", shut, 0, timeline.EOF, true},
		{"closed in the header", partial("HTTP/1.1 20", shut), 0, timeline.Truncated, false},
		{"closed in the body", partial("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", shut), 0, timeline.Truncated, false},
		{"reset in the body", partial("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", reset), 0, timeline.Truncated, false},
		{"reset in a body without length", partial("HTTP/1.0 200 OK\r\n\r\nabc", reset), 0, timeline.Truncated, false},
		{"garbage", partial("garbage\r\n\r\n", wait), 0, timeline.Malformed, false},
		{"no answer", wait, short, timeline.ResponseTimeout, false},
		{"no whole header", partial("HTTP/1.1 200 OK\r\nContent-", wait), short, timeline.ResponseTimeout, false},
		{"no whole body", partial("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", wait), short, timeline.ResponseTimeout, false},
		{"no whole trailer", partial("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: ", wait), short, timeline.ResponseTimeout, false},
	} {
		for at, kind := range []string{"fresh", "reused"} {
			t.Run(tt.name+", "+kind, func(t *testing.T) {
				url := serve(t, func(p *peer) {
					for range at {
						p.request()
						p.answer(okAnswer)
					}
					p.request()
					tt.provoke(p)
				})
				cfg := get(url)
				c := newClient(t, cfg)
				for range at {
					c.send(t)
				}
				if tt.timeout > 0 {
					c.timeout = tt.timeout
				}
				r := c.send(t)
				if r.Outcome != tt.want || r.Reused != (at > 0) || r.Hidden != (tt.hidden && at > 0) {
					t.Errorf("got %s, want %s", describe(r), tt.want)
				}
				if r.Reused && r.Connect != 0 {
					t.Errorf("it took %v to connect a connection that was there", r.Connect)
				}
			})
		}
	}
}

func TestResetInsideTheHeader(t *testing.T) { eachWay(t, testResetInsideTheHeader) }

func testResetInsideTheHeader(t *testing.T, newClient makeClient) {
	url := serve(t, func(p *peer) {
		p.request()
		p.answer("HTTP/1.1 200")
		p.reset()
	})
	// What had come by then the kernel hands out first, and then the reset: no complete header.
	if r := newClient(t, get(url)).send(t); r.Outcome != timeline.Reset || r.Hidden {
		t.Errorf("got %s", describe(r))
	}
}

func TestOnlyReplayableRequestsAreHidden(t *testing.T) {
	eachWay(t, testOnlyReplayableRequestsAreHidden)
}

func testOnlyReplayableRequestsAreHidden(t *testing.T, newClient makeClient) {
	for _, tt := range []struct {
		method string
		header string
		hidden bool
	}{
		{"GET", "", true},
		{"HEAD", "", true},
		{"OPTIONS", "", true},
		{"TRACE", "", true},
		{"POST", "", false},
		{"PUT", "", false},
		{"DELETE", "", false},
		{"POST", "Idempotency-Key", true},
		{"POST", "X-Idempotency-Key", true},
	} {
		t.Run(tt.method+" "+tt.header, func(t *testing.T) {
			url := serve(t, func(p *peer) {
				if req := p.request(); req != nil && req.Method == "HEAD" {
					p.answer("HTTP/1.1 200 OK\r\n\r\n")
				} else {
					p.answer(okAnswer)
				}
				p.request()
			})
			cfg := get(url)
			cfg.Targets[0].Method = tt.method
			if tt.header != "" {
				cfg.Targets[0].Header = map[string][]string{tt.header: {"k"}}
			}
			c := newClient(t, cfg)
			c.send(t)
			if r := c.send(t); r.Outcome != timeline.EOF || !r.Reused || r.Hidden != tt.hidden {
				t.Errorf("got %s, want eof and hidden %t", describe(r), tt.hidden)
			}
		})
	}
}

// synSent reports whether this machine has sent a SYN to port that is not answered yet.
func synSent(t *testing.T, port int) bool {
	t.Helper()
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(table)) {
		// proc_net_tcp: sl, local, remote, state; 02 is TCP_SYN_SENT
		f := strings.Fields(line)
		if len(f) > 3 && f[3] == "02" && strings.HasSuffix(f[2], fmt.Sprintf(":%04X", port)) {
			return true
		}
	}
	return false
}

func TestSYNRetransmits(t *testing.T) { eachWay(t, testSYNRetransmits) }

func testSYNRetransmits(t *testing.T, newClient makeClient) {
	if _, err := os.Stat("/proc/net/tcp"); err != nil {
		t.Skip("needs Linux: ", err)
	}
	l := listen(t)
	shrink(t, l)
	fill(t, l)
	c := newClient(t, get("http://"+l.Addr().String()))
	got := make(chan timeline.Request, 1)
	go func() { got <- c.send(t) }()
	eventually(t, "a SYN is dropped", func() bool { return synSent(t, l.Addr().(*net.TCPAddr).Port) })
	serveOn(t, l, answering) // makes room: the next SYN, after a second (tcp_timeout_init), is answered
	r := <-got
	if r.Outcome != timeline.OK || r.Retransmits < 1 || r.Connect < 500*time.Millisecond {
		t.Errorf("got %s after %v to connect with %d retransmits, want ok after a second and a retransmit", describe(r), r.Connect, r.Retransmits)
	}
	if again := c.send(t); !again.Reused || again.Retransmits != 0 {
		t.Errorf("the next request: %s, %d retransmits; they belong to the request that connected", describe(again), again.Retransmits)
	}
}

func TestRunningOutOfDescriptorsIsTheClientsFault(t *testing.T) {
	address := serveOn(t, listen(t), answering)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+address, "GORACE=atexit_sleep_ms=0")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var got []timeline.Outcome
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%v in %q", err, out)
	}
	if want := "[ok client_limit]"; fmt.Sprint(got) != want {
		t.Errorf("got %v, want %s", got, want)
	}
}

// runOutOfDescriptors is a child's main function. It prints the outcomes of a request before and of one after.
func runOutOfDescriptors(address string) int {
	requests, err := prepareAll(withRate(get("http://" + address)))
	if err != nil {
		return 1
	}
	var got []timeline.Outcome
	t := newTransport(Config{Timeout: patience}, requests, timeline.NewClock(), nil)
	send := func() {
		var r timeline.Request
		t.exchange(t.requests[0], "", true, &r)
		got = append(got, r.Outcome)
	}
	send() // also has the runtime open what it needs itself
	limit := unix.Rlimit{Cur: 32, Max: 32}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 1
	}
	for err == nil {
		_, err = unix.Open("/dev/null", unix.O_RDONLY, 0)
	}
	send()
	text, _ := json.Marshal(got)
	os.Stdout.Write(text)
	return 0
}

func TestCancelAborts(t *testing.T) {
	const inFlight = 20
	var arrived atomic.Int32
	enough := make(chan struct{})
	url := serve(t, func(p *peer) {
		p.request()
		if arrived.Add(1) == inFlight {
			close(enough)
		}
		p.left()
	})
	full := listen(t) // half of the requests hang at connect
	defer full.Close()
	shrink(t, full)
	fill(t, full)
	cfg := Config{Targets: []Target{{Method: "GET", URL: url}, {Method: "GET", URL: "http://" + full.Addr().String()}},
		Rate: 1000, Duration: time.Hour, Timeout: time.Hour, Connections: KeepAlive}
	record := &log{}
	l := New(cfg, timeline.NewClock(), record)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- l.Run(ctx) }()
	<-enough
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Run returned %v", err)
	}
	if len(record.requests) < 2*inFlight-1 || uint64(len(record.requests)) != record.end.Scheduled || len(record.gaps) > 0 {
		t.Errorf("%d recorded, %d scheduled, gaps %v", len(record.requests), record.end.Scheduled, record.gaps)
	}
	for _, r := range record.requests {
		if r.Outcome != timeline.Aborted || r.Hidden {
			t.Errorf("request %d: %s", r.Seq, describe(r))
		}
	}
	if p := l.Progress(); p.Dropped != 0 || p.OK != 0 || p.Sent != uint64(len(record.requests)) {
		t.Errorf("progress %+v", p)
	}
}

func TestErrorsThatNobodyProvoked(t *testing.T) {
	strange := errors.New("strange")
	for name, got := range map[string]timeline.Outcome{
		"connect":   connectOutcome(strange),
		"handshake": handshakeOutcome(strange),
		"header":    headerOutcome(strange, 0),
		"body":      bodyOutcome(strange, nil),
	} {
		want := map[string]timeline.Outcome{"connect": timeline.ConnectError, "handshake": timeline.TLS, "header": timeline.Other,
			"body": timeline.Malformed}[name]
		if got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	for _, errno := range []syscall.Errno{syscall.EADDRNOTAVAIL, syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS} {
		err := &net.OpError{Op: "dial", Err: os.NewSyscallError("socket", errno)}
		if got := connectOutcome(err); got != timeline.ClientLimit {
			t.Errorf("%s: %s", strconv.Quote(err.Error()), got)
		}
	}
}
