package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
)

// TestMain lets the test binary be its own launcher, as the program is.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == launchWord {
		os.Exit(launch(os.Args[2:]))
	}
	if os.Getenv("GORACE") == "" {
		os.Setenv("GORACE", "atexit_sleep_ms=0") // each launcher would sleep a second at its end
	}
	os.Exit(m.Run())
}

// needNginx returns nginx's path. Without it the test skips; with RESTARTBENCH_REQUIRE it fails.
func needNginx(t *testing.T) string {
	t.Helper()
	found, err := findPrograms([]measure{{name: "test"}})
	switch {
	case err == nil:
		return found["nginx"]
	case os.Getenv("RESTARTBENCH_REQUIRE") != "":
		t.Fatal(err)
	}
	t.Skip(err)
	return ""
}

// leavesNothing checks at the test's end that no child and no file in the temporary directory is left.
func leavesNothing(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	t.Cleanup(func() {
		if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); !errors.Is(err, syscall.ECHILD) {
			t.Errorf("a child is left: wait4 says %d, %v", pid, err)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("left in the temporary directory: %v, %v", left, err)
		}
	})
}

// The real programs, measured once: what is slow about it is that they are built.
func TestMeasureSize(t *testing.T) {
	needNginx(t)
	leavesNothing(t)
	var stdout, stderr bytes.Buffer
	code := run(t.Context(), []string{"--short", "--only", "size", "--pairs", "1", "--format", "json"}, &stdout, &stderr)
	if code != exitMeasured {
		t.Fatalf("exit code %d\n%s", code, &stderr)
	}
	var got struct {
		Machine struct{ Vegeta string }
		Rows    []jsonRow
	}
	if err := json.Unmarshal(stdout.Bytes(), &got); err != nil {
		t.Fatalf("%v\n%s", err, &stdout)
	}
	if got.Machine.Vegeta != "v12.13.0" {
		t.Errorf("vegeta %s", got.Machine.Vegeta)
	}
	if len(got.Rows) != 3 {
		t.Fatalf("%d rows", len(got.Rows))
	}
	for _, r := range got.Rows {
		if len(r.Ratios) != 1 || !(r.Ratios[0] > 0) || r.Ratios[0] != r.Median || r.Unit != inBytes {
			t.Errorf("%+v", r)
		}
	}
}

// cancelOn is a writer that cancels once it was written what it waits for.
type cancelOn struct {
	bytes.Buffer
	text   string
	cancel context.CancelFunc
}

func (c *cancelOn) Write(p []byte) (int, error) {
	n, err := c.Buffer.Write(p)
	if strings.Contains(c.String(), c.text) {
		c.cancel()
	}
	return n, err
}

func TestInterrupted(t *testing.T) {
	needNginx(t)
	leavesNothing(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var stdout bytes.Buffer
	stderr := &cancelOn{text: "1 sent", cancel: cancel} // the first of two runs is over
	if code := run(ctx, []string{"--short", "--only", "start,size", "-v"}, &stdout, stderr); code != exitBlind {
		t.Errorf("exit code %d", code)
	}
	if !strings.Contains(stderr.String(), "peers: could not measure all: start: pair 1 of 2: ") {
		t.Errorf("said\n%s", stderr)
	}
	if !strings.Contains(stdout.String(), "| measure ") || strings.Contains(stdout.String(), "CPU of") {
		t.Errorf("printed\n%s", &stdout)
	}
}
