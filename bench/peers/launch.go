package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
	"time"
)

// launchWord is the first argument by which this program starts itself as the launcher of another.
const launchWord = "launch-and-account"

// usageFD is where the launcher writes its account: the first of exec.Cmd.ExtraFiles.
const usageFD = 3

// usage is what a program cost, from start to end, by wait4(2).
type usage struct {
	Wall   time.Duration
	CPU    time.Duration // user and system, of all its threads
	MaxRSS int64         // bytes, at its peak
	Code   int           // its exit code; -1 after a signal
}

// launch runs a program, waits for it and writes its usage as JSON. It stands between because a program's peak memory,
// getrusage(2)'s ru_maxrss, begins at that of the process which started it: execve(2) keeps the mark of the memory that
// it leaves (exec_mmap in Linux's fs/exec.c), and a child of os/exec shares its parent's until then. This process stays
// small; the one that decodes results does not. A signal ends the program at once. It returns the exit code.
func launch(args []string) int {
	runtime.LockOSThread()
	syscall.CloseOnExec(usageFD)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	u, err := account(ctx, args)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return exitBlind
	}
	if err := json.NewEncoder(os.NewFile(usageFD, "usage")).Encode(u); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return exitBlind
	}
	return 0
}

func account(ctx context.Context, args []string) (usage, error) {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = dieWithParent()
	began := time.Now()
	err := cmd.Run()
	wall := time.Since(began)
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return usage{}, err
	}
	s := cmd.ProcessState
	return usage{
		Wall:   wall,
		CPU:    s.UserTime() + s.SystemTime(),
		MaxRSS: s.SysUsage().(*syscall.Rusage).Maxrss << 10, // KiB on Linux
		Code:   s.ExitCode(),
	}, nil
}

// dieWithParent ends a child when the thread that started it is gone, however that came about.
func dieWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
