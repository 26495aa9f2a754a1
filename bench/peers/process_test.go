package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func testLab(t *testing.T) *lab {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return &lab{dir: t.TempDir(), self: self, log: io.Discard}
}

func TestProcess(t *testing.T) {
	l := testLab(t)
	for _, tt := range []struct {
		name, script string
		codes        []int
		output, err  string
	}{
		{"prints", "echo out; echo err >&2", []int{0}, "out\n", ""},
		{"allowed code", "echo out; exit 3", []int{0, 3}, "out\n", ""},
		{"other code", "echo broken >&2; exit 4", []int{0, 3}, "", "sh ended with code 4: broken"},
		{"killed", "kill -9 $$", []int{0}, "", "sh ended with code -1"},
		{"where", "pwd", []int{0}, l.dir + "\n", ""},
		{"does not inherit the account", "test -e /proc/$$/fd/3 || echo closed", []int{0}, "closed\n", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			u, out, err := l.do(t.Context(), time.Minute, tt.codes, "/bin/sh", "-c", tt.script)
			if string(out) != tt.output || (err == nil) != (tt.err == "") || err != nil && err.Error() != tt.err {
				t.Errorf("printed %q, %v", out, err)
			}
			if err == nil && (u.Wall <= 0 || u.CPU <= 0 || u.MaxRSS <= 0) {
				t.Errorf("cost %+v", u)
			}
		})
	}
	if _, _, err := l.do(t.Context(), time.Minute, []int{0}, "/no/such/program"); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("a program that is not there: %v", err)
	}
}

// A big parent must not be taken for its child.
func TestPeakMemoryIsTheProgramsOwn(t *testing.T) {
	const mine = 512 << 20
	ballast := bytes.Repeat([]byte("x"), mine)
	u, _, err := testLab(t).do(t.Context(), time.Minute, []int{0}, "/bin/true")
	if err != nil {
		t.Fatal(err)
	}
	if u.MaxRSS > mine/2 {
		t.Errorf("/bin/true took %s", inBytes.format(float64(u.MaxRSS)))
	}
	if ballast[mine-1] != 'x' {
		t.Error("the ballast is gone")
	}
}

func TestPeakMemoryIsSeen(t *testing.T) {
	const taken = 64 << 20
	u, _, err := testLab(t).do(t.Context(), time.Minute, []int{0}, "dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1")
	if err != nil {
		t.Fatal(err)
	}
	if u.MaxRSS < taken {
		t.Errorf("a program that filled %s took %s", inBytes.format(taken), inBytes.format(float64(u.MaxRSS)))
	}
}

func TestProcessEndsEarly(t *testing.T) {
	l := testLab(t)
	for _, tt := range []struct {
		name   string
		limit  time.Duration
		cancel bool
		err    string
	}{
		{"cancelled", time.Minute, true, "sh: context canceled"},
		{"too long", time.Second, false, "sh: still running after 1s"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			// What holds the fifo's other end has ended when it reads to its end.
			fifo := filepath.Join(t.TempDir(), "fifo")
			if err := syscall.Mkfifo(fifo, 0o600); err != nil {
				t.Fatal(err)
			}
			p, err := l.start(ctx, tt.limit, "/bin/sh", "-c", "exec sleep 600 >"+fifo)
			if err != nil {
				t.Fatal(err)
			}
			held, err := os.Open(fifo) // returns once sleep is about to begin
			if err != nil {
				t.Fatal(err)
			}
			defer held.Close()
			if tt.cancel {
				cancel()
			}
			if _, _, err := p.wait(0); err == nil || err.Error() != tt.err {
				t.Errorf("%v", err)
			}
			if _, err := io.ReadAll(held); err != nil {
				t.Error(err)
			}
		})
	}
}
