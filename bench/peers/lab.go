package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// lab is what the measures share: the programs, the target, a temporary directory.
type lab struct {
	dir     string
	root    string // of the tree that restartbench is built from
	self    string // this program, as the launcher
	ours    restartbench
	vegeta  vegeta
	wrk     string
	target  *target
	log     io.Writer
	verbose bool
	files   int // made so far
}

// openLab finds the programs, builds those that are built, and starts the target. The caller must close it.
func openLab(ctx context.Context, o options, log io.Writer) (*lab, error) {
	found, err := findPrograms(o.chosen())
	if err != nil {
		return nil, usageError{err}
	}
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding this program: %w", err)
	}
	dir, err := os.MkdirTemp("", "restartbench-peers-")
	if err != nil {
		return nil, err
	}
	l := &lab{dir: dir, self: self, wrk: found["wrk"], log: log, verbose: o.verbose}
	l.ours, l.vegeta = restartbench{l, filepath.Join(dir, "restartbench")}, vegeta{l, filepath.Join(dir, "vegeta")}
	err = errors.Join(allowFiles(), l.build(ctx))
	if err == nil {
		l.target, err = startTarget(ctx, found["nginx"], dir)
	}
	if err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

// close ends the target and removes the directory. What else was started has been waited for.
func (l *lab) close() {
	if l.target != nil {
		l.target.stop()
	}
	os.RemoveAll(l.dir)
}

// debianPackage names the package that has a program.
func debianPackage(program string) string {
	if program == "nginx" {
		return "nginx-light"
	}
	return program
}

// findPrograms finds the programs that the measures need, also where only root's PATH leads.
func findPrograms(chosen []measure) (map[string]string, error) {
	found := map[string]string{}
	for _, m := range chosen {
		for _, name := range append(m.needs, "nginx") {
			path, err := exec.LookPath(name)
			if err != nil {
				path, err = exec.LookPath("/usr/sbin/" + name)
			}
			if err != nil {
				return nil, fmt.Errorf("%s is not installed: apt-get install %s", name, debianPackage(name))
			}
			found[name] = path
		}
	}
	return found, nil
}

// allowFiles lets the children open as many files as may be. os/exec would put the limit back to what this process got
// if it was not set by hand.
func allowFiles() error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("reading the limit of open files: %w", err)
	}
	limit.Cur = limit.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("raising the limit of open files: %w", err)
	}
	return nil
}

const (
	modulePath = "github.com/restartbench/restartbench/bench/peers"
	vegetaPath = "github.com/tsenart/vegeta/v12"
)

// build builds restartbench from the tree around this module, and vegeta at the version that this module pins.
func (l *lab) build(ctx context.Context) error {
	here, err := command(ctx, "", "go", "list", "-m", "-f", "{{.Dir}}", modulePath)
	if err != nil {
		return fmt.Errorf("finding the tree: %w; start it with go -C bench/peers run, in the tree's root", err)
	}
	l.root = filepath.Join(here, "..", "..")
	if _, err := command(ctx, l.root, "go", "build", "-o", l.ours.program, "./cmd/restartbench"); err != nil {
		return fmt.Errorf("building restartbench: %w", err)
	}
	if _, err := command(ctx, here, "go", "build", "-o", l.vegeta.program, vegetaPath); err != nil {
		return fmt.Errorf("building vegeta: %w", err)
	}
	return nil
}

// command runs a program that is not measured and returns what it printed, trimmed.
func command(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	var said bytes.Buffer
	cmd.Dir, cmd.Stderr, cmd.SysProcAttr = dir, &said, dieWithParent()
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", strings.Join(args[:2], " "), err, strings.TrimSpace(said.String()))
	}
	return strings.TrimSpace(string(out)), nil
}

// file names a new file in the lab's directory.
func (l *lab) file(name string) string {
	l.files++
	return filepath.Join(l.dir, fmt.Sprintf("%d-%s", l.files, name))
}

// tell writes a line of progress.
func (l *lab) tell(format string, args ...any) { fmt.Fprintf(l.log, format+"\n", args...) }

// detail writes a line that only -v asks for.
func (l *lab) detail(format string, args ...any) {
	if l.verbose {
		l.tell("  "+format, args...)
	}
}
