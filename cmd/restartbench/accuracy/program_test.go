package accuracy

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/restartbench/restartbench/cmd/restartbench/internal/trial"
)

// TestProgram measures what the built program reports.
func TestProgram(t *testing.T) {
	t.Parallel()
	path := build(t)
	t.Run("restarts", func(t *testing.T) {
		t.Parallel()
		proveRestarts(t, path)
	})
	t.Run("quantiles", func(t *testing.T) {
		t.Parallel()
		proveQuantiles(t, path)
	})
}

// build makes the program, in a directory of the test's.
func build(t *testing.T) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "restartbench")
	if err := trial.Build(path); err != nil {
		t.Fatal(err)
	}
	return path
}

// program runs restartbench and returns the exit code and what it printed.
func program(t *testing.T, path string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	cmd := exec.Command(path, args...)
	cmd.Env = append(os.Environ(), "XDG_STATE_HOME="+t.TempDir())
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}
