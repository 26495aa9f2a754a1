package load

import (
	"strings"
	"testing"
	"time"

	"github.com/restartbench/restartbench/bench/timeline"
)

func TestFit(t *testing.T) {
	one := []Target{{Method: "GET", URL: "http://127.0.0.1:1/"}}
	two := append(one, Target{Method: "GET", URL: "http://127.0.0.1:2/"})
	plenty := Limits{Descriptors: 1 << 20, Ports: 1 << 20}
	for _, tt := range []struct {
		name  string
		cfg   Config
		has   Limits
		want  int    // MaxInFlight
		fails string // what the error says
		warns string
	}{
		{"small", Config{Targets: one, Rate: 200, Timeout: 5 * time.Second}, Limits{Descriptors: 4096, Ports: 28_000}, DefaultMaxInFlight, "", ""},
		{"large, with plenty", Config{Targets: one, Rate: 50_000, Timeout: time.Minute, Lanes: 1}, plenty, DefaultMaxInFlight, "", ""},
		{"lowered to the descriptors", Config{Targets: one, Rate: 5000, Timeout: 5 * time.Second}, Limits{Descriptors: 20_000, Ports: 28_232}, 20_000 - 128 - 12 - 1024, "", ""},
		{"lowered to the ports", Config{Targets: one, Rate: 5000, Timeout: 5 * time.Second}, Limits{Ports: 15_000}, 15_000 - 1024, "", ""},
		{"two destinations", Config{Targets: two, Rate: 5000, Timeout: 5 * time.Second}, Limits{Ports: 15_000}, DefaultMaxInFlight, "", ""},
		{"a unix socket takes no port", Config{Targets: one, UnixSocket: "/s", Rate: 5000, Timeout: 5 * time.Second}, Limits{Ports: 1000}, DefaultMaxInFlight, "", ""},
		{"room for a short stall", Config{Targets: one, Rate: 2000, Timeout: 5 * time.Second}, Limits{Descriptors: 2048}, 2048 - 128 - 12 - 1024, "", "a stall of more than 440ms"},
		{"no room", Config{Targets: one, Rate: 4000, Timeout: 5 * time.Second}, Limits{Descriptors: 1024}, 0, "file descriptors", ""},
		{"more than was asked for", Config{Targets: one, Rate: 2000, Timeout: 5 * time.Second, MaxInFlight: 8000}, Limits{Descriptors: 4096}, 0, "ulimit -n", ""},
		{"as much as was asked for", Config{Targets: one, Rate: 2000, Timeout: 5 * time.Second, MaxInFlight: 3000}, Limits{Descriptors: 5000}, 3000, "", ""},
		{"more ports than was asked for", Config{Targets: one, Rate: 2000, Timeout: 5 * time.Second, MaxInFlight: 8000}, Limits{Ports: 4096}, 0, "ip_local_port_range", ""},
		{"ports that wait", Config{Targets: one, Rate: 2000, Timeout: time.Second, Connections: Fresh, Duration: time.Minute}, Limits{Ports: 28_232}, DefaultMaxInFlight, "", "in 14.1s"},
		{"half of them", Config{Targets: one, Rate: 2000, Timeout: time.Second, Connections: Mixed, Duration: time.Minute}, Limits{Ports: 28_232}, DefaultMaxInFlight, "", "in 28.2s"},
		{"not for long enough", Config{Targets: one, Rate: 2000, Timeout: time.Second, Connections: Fresh, Duration: 14 * time.Second}, Limits{Ports: 28_232}, DefaultMaxInFlight, "", ""},
		{"used again", Config{Targets: one, Rate: 2000, Timeout: time.Second, Connections: Fresh, Duration: time.Minute}, Limits{Ports: 28_232, Reuse: true}, DefaultMaxInFlight, "", ""},
		{"kept alive", Config{Targets: one, Rate: 2000, Timeout: time.Second, Connections: KeepAlive, Duration: time.Minute}, Limits{Ports: 28_232}, DefaultMaxInFlight, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, warnings, err := tt.cfg.Fit(tt.has)
			if tt.fails != "" {
				if err == nil || !strings.Contains(err.Error(), tt.fails) || !strings.Contains(err.Error(), "load.max_in_flight") {
					t.Errorf("got %v, want an error that says %q", err, tt.fails)
				}
				return
			}
			if err != nil || got.MaxInFlight != tt.want {
				t.Errorf("got %d, %v, want %d", got.MaxInFlight, err, tt.want)
			}
			if text := strings.Join(warnings, "\n"); tt.warns == "" && text != "" || !strings.Contains(text, tt.warns) {
				t.Errorf("warnings %q, want %q", text, tt.warns)
			}
		})
	}
}

// TestTheBoundHolds lets a service stall: no more requests are under way than the bound says, all are sent nevertheless, and
// those that had to wait are counted.
func TestTheBoundHolds(t *testing.T) {
	const bound, all = 10, 100
	arrived, release := make(chan bool, all), make(chan bool)
	url := serve(t, func(p *peer) {
		for p.request() != nil {
			arrived <- true
			<-release
			p.answer(okAnswer)
		}
	})
	for name, cfg := range map[string]Config{"lane": get(url), "handed over": {Targets: []Target{{Method: "POST", URL: url, Body: make([]byte, maxPlain)}}}} {
		t.Run(name, func(t *testing.T) {
			cfg.Rate, cfg.Duration, cfg.Timeout, cfg.MaxInFlight, cfg.Lanes = 1000, all*time.Millisecond, patience, bound, 1
			record := &log{}
			l := New(cfg, timeline.NewClock(), record)
			done := make(chan error)
			go func() { done <- l.Run(t.Context()) }()
			schedule, err := l.Began(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for range bound {
				<-arrived
			}
			<-time.After(schedule.Due(all/2) - l.clock.Now()) // by now, half of them are due
			if len(arrived) > 0 {
				t.Error("more requests are under way than the bound")
			}
			go func() {
				for range all {
					release <- true
				}
			}()
			for range all - bound {
				<-arrived
			}
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			if len(record.requests) != all || record.end.Scheduled != all || record.end.Waited == 0 || record.end.Waited > all-bound {
				t.Errorf("%d recorded, %+v", len(record.requests), record.end)
			}
		})
	}
}

func TestSeveralLanesShareOneSchedule(t *testing.T) {
	cfg := get(serve(t, answering))
	cfg.Rate, cfg.Duration, cfg.Lanes = 3000, 500*time.Millisecond, 3
	record, schedule := run(t, cfg)
	seen := map[uint64]bool{}
	for _, r := range record.requests {
		seen[r.Seq] = true
		if r.Sent < schedule.Due(r.Seq) {
			t.Errorf("request %d went out %v before it was due", r.Seq, schedule.Due(r.Seq)-r.Sent)
		}
	}
	if len(seen) != 1500 || len(record.requests) != 1500 || record.end.Scheduled != 1500 {
		t.Errorf("%d recorded, %d of them different, %d scheduled; want 1500", len(record.requests), len(seen), record.end.Scheduled)
	}
}
