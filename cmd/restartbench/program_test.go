package main

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/restartbench/restartbench/cmd/restartbench/internal/trial"
)

// program builds what a reader of the README has, once for all tests, and returns the file's path. Where timing matters it is
// used instead of the test binary, which the race detector makes slow.
func program(t *testing.T) string {
	t.Helper()
	path, err := builtProgram()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

var builtProgram = sync.OnceValues(func() (string, error) {
	if err := os.Mkdir(programDir(), 0o755); err != nil {
		return "", err
	}
	path := filepath.Join(programDir(), "restartbench")
	return path, trial.Build(path)
})

// programDir is this process's, by its pid.
func programDir() string {
	return filepath.Join(os.TempDir(), fmt.Sprintf("restartbench-test-%d", os.Getpid()))
}

// removeProgram removes what program built, if it did.
func removeProgram() error { return os.RemoveAll(programDir()) }
