package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"

	"github.com/restartbench/restartbench/bench/timeline"
)

// arrivals notes the path of each request by its number.
type arrivals struct {
	mu    sync.Mutex
	paths map[uint64][]string
}

func (a *arrivals) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	seq, err := strconv.ParseUint(r.Header.Get(seqHeader), 10, 64)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	path := r.URL.Path
	if r.Close {
		path += " close"
	}
	a.mu.Lock()
	a.paths[seq] = append(a.paths[seq], path)
	a.mu.Unlock()
	io.WriteString(w, "ok")
}

func TestRunSendsEveryRequestOnceToTheTargetWhoseTurnItIs(t *testing.T) {
	got := &arrivals{paths: map[uint64][]string{}}
	server := httptest.NewServer(got)
	defer server.Close()
	cfg := Config{Rate: 3000, Warmup: 100 * time.Millisecond, Duration: 400 * time.Millisecond, Connections: Mixed}
	for _, path := range []string{"/0", "/1", "/2"} {
		cfg.Targets = append(cfg.Targets, Target{Method: "GET", URL: server.URL + path})
	}
	record, schedule := run(t, cfg)
	const want = 1500
	if schedule.Warmup != 300 || schedule.Rate != 3000 || record.end.Scheduled != want || len(record.requests) != want || len(record.gaps) > 0 {
		t.Errorf("schedule %+v, end %+v, %d recorded, gaps %v", schedule, record.end, len(record.requests), record.gaps)
	}
	got.mu.Lock()
	defer got.mu.Unlock()
	for seq := range uint64(want) {
		path := fmt.Sprintf("/%d", seq%3)
		if seq/3%2 == 0 {
			path += " close"
		}
		if len(got.paths[seq]) != 1 || got.paths[seq][0] != path {
			t.Fatalf("request %d arrived as %q, want %q once", seq, got.paths[seq], path)
		}
	}
	for _, r := range record.requests {
		if r.Outcome != timeline.OK || r.Status != 200 || r.Bytes != 2 || r.Sent < schedule.Due(r.Seq) {
			t.Errorf("request %d, due %v, sent %v: %s", r.Seq, schedule.Due(r.Seq), r.Sent, describe(r))
		}
	}
}

func TestProgress(t *testing.T) {
	url := serve(t, func(p *peer) {
		for req := p.request(); req != nil; req = p.request() {
			if seq, _ := strconv.Atoi(req.Header.Get(seqHeader)); seq%10 == 0 {
				return
			}
			p.answer(okAnswer)
		}
	})
	cfg := get(url)
	cfg.Rate, cfg.Duration, cfg.Connections, cfg.Timeout = 1000, 100*time.Millisecond, Fresh, patience
	record := &log{}
	l := New(cfg, timeline.NewClock(), record)
	if err := l.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, want := l.Progress(), (Progress{Sent: 100, OK: 90, Dropped: 10}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestHoldKeepsALoadGoing(t *testing.T) {
	cfg := get(serve(t, answering))
	cfg.Rate, cfg.Duration, cfg.Timeout = 1000, 10*time.Millisecond, patience
	record := &log{}
	l := New(cfg, timeline.NewClock(), record)
	l.Hold()
	ended := make(chan error)
	go func() { ended <- l.Run(t.Context()) }()
	eventually(t, "more is sent than was configured", func() bool { return l.Progress().Sent > 50 })
	l.Release(20 * time.Millisecond)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if got := uint64(len(record.requests)); got != record.end.Scheduled || got < 70 {
		t.Errorf("%d recorded, %d scheduled", got, record.end.Scheduled)
	}
}

func TestReleaseEndsALongWait(t *testing.T) {
	cfg := get(serve(t, answering))
	cfg.Rate, cfg.Duration, cfg.Timeout = 0.01, 10*time.Millisecond, patience
	record := &log{}
	l := New(cfg, timeline.NewClock(), record)
	l.Hold()
	ended := make(chan error)
	go func() { ended <- l.Run(t.Context()) }()
	eventually(t, "the first request ends", func() bool { return l.Progress().Sent == 1 })
	l.Release(0)
	select {
	case err := <-ended:
		if err != nil || record.end.Scheduled != 1 {
			t.Error(err, record.end)
		}
	case <-time.After(patience): // the second request is due after 100 s
		t.Error("the load goes on")
	}
}

func TestWhatCannotBeSentIsSaidByAll(t *testing.T) {
	for name, cfg := range map[string]Config{
		"no target":   {Rate: 1},
		"no rate":     {Targets: []Target{{Method: "GET", URL: "http://a/"}}},
		"scheme":      {Rate: 1, Targets: []Target{{Method: "GET", URL: "ftp://a/"}}},
		"second fine": {Rate: 1, Targets: []Target{{Method: "G T", URL: "http://a/"}, {Method: "GET", URL: "http://a/"}}},
	} {
		t.Run(name, func(t *testing.T) {
			l := New(cfg, timeline.NewClock(), &log{})
			_, probeErr := l.Probe(t.Context())
			_, beganErr := l.Began(t.Context())
			if runErr := l.Run(t.Context()); runErr == nil || probeErr != runErr || beganErr != runErr {
				t.Errorf("Probe %v, Began %v, Run %v", probeErr, beganErr, runErr)
			}
		})
	}
}

func TestBeganEndsWithItsContext(t *testing.T) {
	cfg := get("http://a/")
	cfg.Rate = 1
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := New(cfg, timeline.NewClock(), &log{}).Began(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// probing prepares a load whose name service knows the addresses of "service".
func probing(t *testing.T, urls []string, addresses ...string) *Load {
	t.Helper()
	cfg := Config{Rate: 1, Timeout: patience}
	for _, url := range urls {
		cfg.Targets = append(cfg.Targets, Target{Method: "GET", URL: url})
	}
	l := New(cfg, timeline.NewClock(), &log{})
	l.lookup = func(_ context.Context, host string) ([]string, error) {
		if host != "service" {
			return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
		}
		return addresses, nil
	}
	return l
}

func TestProbeFixesTheAddressThatAnswers(t *testing.T) {
	_, port, _ := net.SplitHostPort(serveOn(t, listen(t), answering))
	other, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		t.Skip("this system has one loopback address: ", err)
	}
	_, otherPort, _ := net.SplitHostPort(serveOn(t, other, answering))
	// Each endpoint has its own address, though the host is one: a sidecar on one family, the service on the other.
	l := probing(t, []string{"http://service:" + port, "http://service:" + otherPort}, "127.0.0.2", "127.0.0.1")
	address, err := l.Probe(t.Context())
	if err != nil || address != "127.0.0.1:"+port {
		t.Errorf("Probe returned %q, %v", address, err)
	}
	for _, q := range l.requests {
		var r timeline.Request
		if err := l.transport.exchange(q, "0", true, &r); err != nil {
			t.Errorf("%s: %v", q.url, err)
		}
	}
	l.transport.close()
}

func TestProbeLocalhost(t *testing.T) {
	address := serveOn(t, listen(t), answering)
	_, port, _ := net.SplitHostPort(address)
	cfg := get("http://localhost:" + port)
	cfg.Rate, cfg.Timeout = 1, patience
	if got, err := New(cfg, timeline.NewClock(), &log{}).Probe(t.Context()); got != address || err != nil {
		t.Errorf("got %q, %v, want %s", got, err, address)
	}
}

func TestProbeSaysWhatIsUnreachable(t *testing.T) {
	l := listen(t)
	l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	for _, tt := range []struct {
		url  string
		want timeline.Outcome
		says string
	}{
		{"http://service:" + port + "/x", timeline.Refused, "http://service:" + port + "/x is not reachable at 127.0.0.1:" + port + ": refused"},
		{"http://unknown/", timeline.ConnectError, "no such host"},
	} {
		_, err := probing(t, []string{tt.url}, "127.0.0.1", "127.0.0.1").Probe(t.Context())
		var un *UnreachableError
		if !errors.As(err, &un) || un.Outcome != tt.want || !strings.Contains(err.Error(), tt.says) || un.Unwrap() == nil {
			t.Errorf("%s: %v", tt.url, err)
		}
	}
}

func TestProbeEndsWithItsContextAndLeavesTheLoadAlone(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	url := serve(t, func(p *peer) {
		p.request()
		if p.n == 0 {
			cancel()
			p.left()
		}
		p.answer(okAnswer)
	})
	cfg := get(url)
	cfg.Rate, cfg.Duration, cfg.Timeout = 100, 10*time.Millisecond, time.Hour
	record := &log{}
	l := New(cfg, timeline.NewClock(), record)
	if _, err := l.Probe(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Probe returned %v", err)
	}
	if err := l.Run(t.Context()); err != nil || len(record.requests) != 1 || record.requests[0].Outcome != timeline.OK {
		t.Errorf("Run returned %v, recorded %v", err, record.requests)
	}
}

// A connection that the server closes with the next request on its way is a drop. net/http's client sends the request
// again and calls it a success, and so does everything that is built on it.
func TestCollisionThatADefaultClientHides(t *testing.T) {
	eachWay(t, testCollisionThatADefaultClientHides)
}

func testCollisionThatADefaultClientHides(t *testing.T, newClient makeClient) {
	for name, end := range map[string]func(*peer){"eof": func(p *peer) { p.Close() }, "reset": func(p *peer) { p.reset() }} {
		t.Run(name, func(t *testing.T) {
			killed := make(chan bool, 10)
			url := serve(t, func(p *peer) {
				p.request()
				p.answer(okAnswer)
				if p.request() != nil {
					killed <- true
					end(p)
				}
			})
			ours := newClient(t, get(url))
			ours.send(t)
			if r := ours.send(t); r.Outcome.String() != name || !r.Reused || !r.Hidden {
				t.Errorf("ours: %s, want a hidden %s", describe(r), name)
			}
			if n := len(killed); n != 1 {
				t.Errorf("the server cut off %d requests of ours, want 1", n)
			}
			for i, r := range attackByDefault(url, 2) {
				if r.Code != 200 || r.Error != "" {
					t.Errorf("vegeta's own client, request %d: %d %s, want it to hide the drop", i, r.Code, r.Error)
				}
			}
			if n := len(killed); n != 2 {
				t.Errorf("the server cut off %d requests of vegeta's own client, want 1", n-1)
			}
		})
	}
}

// attackByDefault sends n requests one after the other with vegeta's own client.
func attackByDefault(url string, n uint64) (results []*vegeta.Result) {
	client := &http.Client{Transport: &http.Transport{}, Timeout: patience}
	defer client.CloseIdleConnections()
	attacker := vegeta.NewAttacker(vegeta.Workers(1), vegeta.MaxWorkers(1), vegeta.Client(client))
	targeter := vegeta.NewStaticTargeter(vegeta.Target{Method: "GET", URL: url})
	for r := range attacker.Attack(targeter, count(n), 0, "") {
		results = append(results, r)
	}
	return results
}

// count is a pacer of that many requests without a wait.
type count uint64

func (n count) Pace(_ time.Duration, hits uint64) (time.Duration, bool) { return 0, hits >= uint64(n) }
func (n count) Rate(time.Duration) float64                              { return 0 }
