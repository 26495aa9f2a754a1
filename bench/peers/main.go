// Command peers measures restartbench's load engine against what one would pick instead: vegeta's command line, and wrk.
//
// It builds restartbench from the tree and vegeta at the version that go.mod pins, starts nginx on loopback, lets the
// generators take turns at that one target, and prints a table of ratios. What flows in: flags. What flows out: the
// table on standard output, progress and errors on standard error. Linux alone: it needs wait4's peak memory in KiB,
// and children that die with their parent. docs/peers.md says what is measured, and how.
//
//	go -C bench/peers run . --help
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"syscall"
)

func main() {
	runtime.LockOSThread() // a child's death signal follows the thread that started it, prctl(2): the main one stays
	if len(os.Args) > 1 && os.Args[1] == launchWord {
		os.Exit(launch(os.Args[2:]))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// The exit codes. Whatever the ratios are, it was measured.
const (
	exitMeasured = 0
	exitUsage    = 2
	exitBlind    = 3 // could not measure, or not all of it
)

// usageError is an error that is the user's to mend.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// run is the program, but for the process. It returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	err := do(ctx, args, stdout, stderr)
	var wrong usageError
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return exitMeasured
	case errors.As(err, &wrong):
		fmt.Fprintf(stderr, "peers: %v\n", err)
		return exitUsage
	}
	fmt.Fprintf(stderr, "peers: %v\n", err)
	return exitBlind
}

func do(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	if o.list {
		return list(stdout)
	}
	if err := o.checkDocument(); err != nil {
		return usageError{err}
	}
	l, err := openLab(ctx, o, stderr)
	if err != nil {
		return err
	}
	defer l.close()

	outcome := takeAll(ctx, l, o)
	if err := outcome.write(stdout, o.format); err != nil {
		return fmt.Errorf("writing the table: %w", err)
	}
	if len(outcome.failed) > 0 {
		return fmt.Errorf("could not measure all: %w", errors.Join(outcome.failed...))
	}
	return o.updateDocument(outcome)
}
