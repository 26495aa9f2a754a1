package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/restartbench/restartbench/bench/timeline"
)

// runFileSuffix ends the names that we choose for run files. They are zstd-compressed JSON lines, so zstdcat shows them.
const runFileSuffix = ".run.zst"

// stateDir is where run files go unless the user says otherwise (XDG Base Directory Specification).
func stateDir() (string, error) {
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "restartbench"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("choosing where to record: %w: say where with --record", err)
	}
	return filepath.Join(home, ".local", "state", "restartbench"), nil
}

// createRunFile makes the file that a run is recorded to. where is a file, a directory, or empty for the state directory.
func createRunFile(where, scenario string, at time.Time) (*os.File, error) {
	dir, err := runDir(where)
	if err != nil {
		return nil, err
	}
	if dir == "" {
		return overwriteRunFile(where)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("making the directory to record in: %w", err)
	}
	base := filepath.Join(dir, scenario+"-"+at.UTC().Format("20060102T150405Z"))
	for n := 1; ; n++ {
		name := base + runFileSuffix
		if n > 1 {
			name = fmt.Sprintf("%s-%d%s", base, n, runFileSuffix)
		}
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if !errors.Is(err, fs.ErrExist) {
			return f, err
		}
	}
}

// runDir is the directory to make up a name in, or "" if where names the file itself.
func runDir(where string) (string, error) {
	if where == "" {
		return stateDir()
	}
	info, err := os.Stat(where)
	if err == nil && info.IsDir() || strings.HasSuffix(where, string(filepath.Separator)) {
		return where, nil
	}
	return "", nil
}

// overwriteRunFile opens the file that the user named. Only a run file may be lost for it.
func overwriteRunFile(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("--record: %w", err)
	}
	info, err := f.Stat()
	if err == nil && info.Mode().IsRegular() && info.Size() > 0 {
		r, err := timeline.NewReader(f)
		if err == nil {
			r.Close()
		}
		if errors.Is(err, timeline.ErrNotRunFile) {
			f.Close()
			return nil, fmt.Errorf("--record: %s exists and is not a run file: choose another name", name)
		}
	}
	if err == nil && info.Mode().IsRegular() {
		_, err = f.Seek(0, io.SeekStart)
		err = errors.Join(err, f.Truncate(0))
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("--record: %w", err)
	}
	return f, nil
}
