package load

import (
	"io"
	"net/http"
	"slices"
	"testing"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"

	"github.com/restartbench/restartbench/bench/timeline"
)

// echo answers every request with ok, without an allocation: what is counted is the client's.
func echo(p *peer) {
	answer := []byte(okAnswer)
	for {
		line, err := p.r.ReadSlice('\n')
		if err != nil {
			return
		}
		if len(line) > 2 {
			continue
		}
		if _, err := p.Write(answer); err != nil {
			return
		}
	}
}

func BenchmarkRoundTrip(b *testing.B) {
	url := serve(b, echo)
	for _, connections := range []Connections{KeepAlive, Fresh} {
		b.Run(string(connections), func(b *testing.B) {
			cfg := get(url)
			cfg.Connections = connections
			c := newLaneClient(b, cfg)
			c.ended = func(r timeline.Request) {
				if r.Outcome != timeline.OK {
					b.Error(describe(r))
				}
			}
			b.ReportAllocs()
			for b.Loop() {
				c.lane.send(1, c.clock.Now())
				c.lane.drain()
			}
		})
	}
	b.Run("net/http", func(b *testing.B) {
		transport := &http.Transport{}
		defer transport.CloseIdleConnections()
		b.ReportAllocs()
		for b.Loop() {
			req, _ := (&vegeta.Target{Method: "GET", URL: url}).Request()
			req.Header.Set(seqHeader, "1")
			res, err := transport.RoundTrip(req)
			if err != nil {
				b.Fatal(err)
			}
			io.Copy(io.Discard, res.Body)
			res.Body.Close()
		}
	})
}

// BenchmarkLag tells how late requests go out, in µs. It runs for a second whatever b.N.
func BenchmarkLag(b *testing.B) {
	for _, rate := range []float64{100, 1000, 10_000} {
		b.Run(vegeta.Rate{Freq: int(rate), Per: time.Second}.String(), func(b *testing.B) {
			cfg := get(serve(b, echo))
			cfg.Rate, cfg.Duration = rate, time.Second
			var lag []time.Duration
			for b.Loop() {
				record, schedule := run(b, cfg)
				for _, r := range record.requests {
					lag = append(lag, r.Sent-schedule.Due(r.Seq))
				}
			}
			slices.Sort(lag)
			for name, q := range map[string]float64{"p50-µs": 0.5, "p99-µs": 0.99, "max-µs": 1} {
				b.ReportMetric(float64(lag[int(q*float64(len(lag)-1))].Nanoseconds())/1e3, name)
			}
		})
	}
}
