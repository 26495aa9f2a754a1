package main

import (
	"fmt"
	"os"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"

	"github.com/restartbench/restartbench/bench/systemd/private/privatetest"
)

// testMainEnv makes the test binary a real child process: its value names the command to run.
const testMainEnv = "RESTARTBENCH_TEST_MAIN"

func TestMain(m *testing.M) {
	privatetest.Shim()
	switch os.Getenv(testMainEnv) {
	case "":
		testscript.Main(leakChecked{m}, map[string]func(){"restartbench": main})
	case "serve":
		os.Exit(serveAsChild())
	default:
		fmt.Fprintf(os.Stderr, "%s=%s: no such command\n", testMainEnv, os.Getenv(testMainEnv))
		os.Exit(2)
	}
}

// leakChecked fails a run of tests that leaves goroutines behind.
type leakChecked struct{ *testing.M }

func (m leakChecked) Run() int {
	code := m.M.Run()
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	return code
}

// serveAsChild is serve as its supervisor starts it. Between fork and exec systemd sets LISTEN_PID,
// which os/exec cannot, so the child does it.
func serveAsChild() int {
	if os.Getenv("LISTEN_FDS") != "" && os.Getenv("LISTEN_PID") == "" {
		os.Setenv("LISTEN_PID", strconv.Itoa(os.Getpid()))
	}
	if err := newServeCmd().Execute(); err != nil {
		return 1
	}
	return 0
}
