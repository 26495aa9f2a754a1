package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	lib "github.com/tsenart/vegeta/v12/lib"
)

// vegeta is its command line, at the version that this module pins.
type vegeta struct {
	lab     *lab
	program string
}

func (v vegeta) name() string { return "vegeta" }

// attack lets it send with its own defaults, and corrects what it recorded.
func (v vegeta) attack(ctx context.Context, x load, meanwhile func() error) (figures, error) {
	targets, err := v.targets()
	if err != nil {
		return figures{}, err
	}
	file := v.lab.file("vegeta.gob")
	u, _, err := v.lab.send(ctx, x, meanwhile, []int{0}, v.program, "attack",
		"-targets", targets, "-rate", strconv.Itoa(x.rate)+"/1s", "-duration", x.duration.String(),
		"-keepalive="+strconv.FormatBool(!x.fresh), "-output", file)
	if err != nil {
		return figures{}, err
	}
	f, err := readResults(file, x.rate)
	if err != nil {
		return figures{}, err
	}
	f.usage, f.file = u, file
	f.bytes, err = size(file)
	return f, err
}

func (v vegeta) targets() (string, error) {
	path := filepath.Join(v.lab.dir, "targets")
	if err := os.WriteFile(path, []byte("GET "+v.lab.target.url+"\n"), 0o644); err != nil {
		return "", fmt.Errorf("writing vegeta's targets: %w", err)
	}
	return path, nil
}

// readResults decodes what vegeta recorded and measures from the schedule.
func readResults(path string, rate int) (figures, error) {
	file, err := os.Open(path)
	if err != nil {
		return figures{}, fmt.Errorf("reading vegeta's results: %w", err)
	}
	defer file.Close()
	var hits []hit
	decode := lib.NewDecoder(bufio.NewReaderSize(file, 1<<20))
	for {
		var r lib.Result
		err := decode(&r)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return figures{}, fmt.Errorf("reading vegeta's results: result %d: %w", len(hits)+1, err)
		}
		hits = append(hits, hit{r.Seq, r.Timestamp.UnixNano(), r.Latency, r.Code == http.StatusOK && r.Error == ""})
	}
	times := fromSchedule(hits, rate)
	f := figures{sent: len(hits), ok: len(times)}
	f.p95, f.p99 = quantile(times, 0.95), quantile(times, 0.99)
	return f, nil
}

// report lets it report its results and returns what that cost.
func (v vegeta) report(ctx context.Context, file string) (usage, error) {
	u, out, err := v.lab.do(ctx, 10*time.Minute, []int{0}, v.program, "report", file)
	if err == nil && len(out) == 0 {
		err = errors.New("vegeta printed no report")
	}
	return u, err
}

// encodedSize is how many bytes its results take as csv or json.
func (v vegeta) encodedSize(ctx context.Context, file, format string) (int64, error) {
	to := v.lab.file("vegeta." + format)
	defer os.Remove(to)
	if _, _, err := v.lab.do(ctx, 10*time.Minute, []int{0}, v.program, "encode", "-to", format, "-output", to, file); err != nil {
		return 0, err
	}
	return size(to)
}
