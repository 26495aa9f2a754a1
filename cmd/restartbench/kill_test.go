package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/restartbench/restartbench/bench/timeline"
)

// TestKilledRunsLeaveNothing kills runs with SIGKILL at random moments, from before the units start to after the restart.
// Whatever the moment: no process lives on, nobody listens on the port, the temporary directory is empty, and the run file,
// if it came to one, is read and reported as truncated.
func TestKilledRunsLeaveNothing(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("looks into /proc")
	}
	kills := 6
	if n, err := strconv.Atoi(os.Getenv("RESTARTBENCH_TEST_KILLS")); err == nil {
		kills = n
	}
	for i := range kills {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			killRun(t, time.Duration(rand.Int64N(int64(1500*time.Millisecond))))
		})
	}
}

func killRun(t *testing.T, after time.Duration) {
	t.Logf("killed after %v", after)
	work := t.TempDir()
	tmp, file := filepath.Join(work, "tmp"), filepath.Join(work, "k.run.zst")
	if err := os.Mkdir(tmp, 0o755); err != nil {
		t.Fatal(err)
	}
	port := freeTCPPort(t)
	scenario := filepath.Join(work, "killed.yaml")
	writeScenario(t, scenario, port)

	var stderr bytes.Buffer
	cmd := exec.Command("restartbench", "run", scenario, "--record", file)
	cmd.Env = append(os.Environ(), "WORK="+work, "TMPDIR="+tmp)
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(after) // the random moment
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	if cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("ended by itself: %v: %s", cmd.ProcessState, &stderr)
	}
	eventually(t, "nothing to be left", func() error { return leftIn(work, tmp) })
	if c, err := net.Dial("tcp", "127.0.0.1:"+port); err == nil {
		c.Close()
		t.Error("somebody still listens on the port")
	}
	checkTruncated(t, file)
}

func checkTruncated(t *testing.T, file string) {
	t.Helper()
	rep, err := analyze(file)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, timeline.ErrNotRunFile) {
		return // killed before the header was written
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, reason := range rep.Verdict.Reasons {
		if strings.Contains(reason.Text, "truncated") {
			return
		}
	}
	t.Errorf("the report does not say that the run file is truncated: %+v", rep.Verdict)
}

func writeScenario(t *testing.T, file, port string) {
	t.Helper()
	text := strings.ReplaceAll(`name: killed
manager: embedded
units:
  app.socket: |
    [Socket]
    ListenStream=127.0.0.1:PORT
  app.service: |
    [Service]
    Type=notify
    ExecStart={{restartbench}} serve --start-delay 100ms --work 10ms --drain 5s
load: {target: "http://127.0.0.1:PORT/", rate: 50, duration: 20s}
restart: {at: 500ms}
warmup: 100ms
`, "PORT", port)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// eventually polls a condition of another process's, which has no channel to wait on.
func eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waiting for %s: %v", what, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
