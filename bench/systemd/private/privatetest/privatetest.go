// Package privatetest lets tests boot a private systemd where that is possible.
package privatetest

import (
	"context"
	"errors"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/restartbench/restartbench/bench/systemd/private"
)

// Require is the environment variable that makes Boot fail the test, instead of skipping it, where no private systemd can
// boot. Set it to 1 where one should.
const Require = "RESTARTBENCH_REQUIRE"

// shimArg is the first argument of a test binary that is a shim.
const shimArg = "private-shim"

// Shim is the body of the process if the test binary was started as a shim, and otherwise does nothing. TestMain calls it
// before anything else.
func Shim() {
	if len(os.Args) < 2 || os.Args[1] != shimArg {
		return
	}
	// Not os.Exit, which takes a second in a binary built with -race (atexit_sleep_ms in its documentation).
	var code interface{ ExitCode() int }
	switch err := private.Shim(os.Args[2:]); {
	case err == nil:
		syscall.Exit(0)
	case errors.As(err, &code):
		syscall.Exit(code.ExitCode())
	}
	syscall.Exit(1)
}

// ShimArgs is what Config.Shim has to be in a test binary whose TestMain calls Shim.
func ShimArgs(t testing.TB) []string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return []string{self, shimArg}
}

// bootLimit is for machines that run many tests at once.
const bootLimit = 30 * time.Second

// Boot boots a private systemd for the rest of the test; c.Shim may be empty. It skips the test, with the reason, where that
// is impossible: see Require.
func Boot(t testing.TB, c private.Config) *private.System {
	t.Helper()
	if c.Shim == nil {
		c.Shim = ShimArgs(t)
	}
	ctx, cancel := context.WithTimeout(t.Context(), bootLimit)
	defer cancel()
	s, err := private.Boot(ctx, c)
	var unsupported *private.UnsupportedError
	switch {
	case errors.As(err, &unsupported) && os.Getenv(Require) != "1":
		t.Skip(err)
	case err != nil:
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}
