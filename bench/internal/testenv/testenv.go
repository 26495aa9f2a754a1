// Package testenv tells tests what the machine offers.
//
// A test that needs a tool or a right that is not there skips, and says why. Where RESTARTBENCH_REQUIRE=1 is set, as in
// CI, it fails instead: a gate that skips its tests in silence is no gate.
package testenv

import (
	"os"
	"os/exec"
	"testing"
)

// Require is the environment variable that makes what is missing a failure, when it is 1.
const Require = "RESTARTBENCH_REQUIRE"

// Need skips t unless every tool is an executable on PATH.
func Need(t testing.TB, tools ...string) {
	t.Helper()
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			Missing(t, "%v", err)
		}
	}
}

// Root skips t unless it runs with user id 0.
func Root(t testing.TB) {
	t.Helper()
	if uid := os.Geteuid(); uid != 0 {
		Missing(t, "needs root, runs with user id %d", uid)
	}
}

// Missing skips t for a reason that Need and Root do not know, such as a kernel without IPv6.
func Missing(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv(Require) == "1" {
		t.Fatalf(format+" (which "+Require+"=1 makes a failure)", args...)
	}
	t.Skipf(format, args...)
}
