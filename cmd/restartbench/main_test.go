package main

import (
	"fmt"
	"os"
	"strconv"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"

	"github.com/restartbench/restartbench/bench/systemd/private/privatetest"
	"github.com/restartbench/restartbench/cmd/restartbench/internal/trial"
)

// testMainEnv makes the test binary a real child process: its value names the command to run.
const testMainEnv = "RESTARTBENCH_TEST_MAIN"

func TestMain(m *testing.M) {
	privatetest.Shim()
	switch os.Getenv(testMainEnv) {
	case "":
		testscript.Main(&suite{m}, map[string]func(){"restartbench": mainOrService})
	case "serve":
		os.Exit(serveAsChild())
	default:
		fmt.Fprintf(os.Stderr, "%s=%s: no such command\n", testMainEnv, os.Getenv(testMainEnv))
		os.Exit(2)
	}
}

// mainOrService is main, save that as a service it does not sleep for a second before it exits, as binaries with the race
// detector do: that would be a long restart, and services do not inherit what tells it otherwise.
func mainOrService() {
	if len(os.Args) > 1 && os.Args[1] == "serve" {
		syscall.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	main()
}

// suite is all tests of the package. It fails when they leave goroutines behind.
type suite struct{ *testing.M }

func (m *suite) Run() int {
	trial.Prefer()
	code := m.M.Run()
	if err := removeProgram(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
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
