// Command restartbench measures what a service's clients lose while it restarts.
//
// What it prints: results on standard output, and on standard error its progress and errors, the latter with the prefix
// "restartbench: ", in lower case, without a full stop, saying what to do next where something can be done.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/restartbench/restartbench/bench/supervisor"
	"github.com/restartbench/restartbench/bench/systemd/private"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// The hidden first arguments by which this program starts itself as something else.
const (
	shimCommand        = "exec-shim"    // supervisor.Shim
	privateShimCommand = "private-shim" // private.Shim
)

// run is the program, but for the process. It returns the exit code.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if len(args) > 0 && (args[0] == shimCommand || args[0] == privateShimCommand) {
		return shim(args[0], args[1:])
	}
	// The first signal ends the run early and in order; the second finds the default action and ends the process at once.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	context.AfterFunc(ctx, stop)

	root := newRootCmd()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	return exitCode(root.ExecuteContext(ctx), stderr)
}

// shim only returns when it failed or had nothing to execute. Its parent says why; standard error may be a service's log.
func shim(name string, args []string) int {
	become := supervisor.Shim
	if name == privateShimCommand {
		become = private.Shim
	}
	var coded interface{ ExitCode() int }
	switch err := become(args); {
	case err == nil:
		return 0
	case errors.As(err, &coded):
		return coded.ExitCode()
	}
	return exitFail
}

const exitCodes = `Exit codes, the same for every format:
  0  pass (demo: it was measured)
  1  the verdict is fail
  2  wrong usage, or a mistake in a scenario
  3  could not measure, or the verdict is inconclusive`

func newRootCmd() *cobra.Command {
	root := &cobra.Command{
		Use:   "restartbench",
		Short: "Measure what a service's clients lose while it restarts",
		Long: `restartbench sends steady HTTP traffic at a service, restarts the service
mid-run, and reports what its clients lost: dropped connections, 5xx answers,
and latency before, during and after the restart.

Begin with:
  restartbench demo                 see it work, in half a minute
  restartbench run graceful         run one of the built-in scenarios
  restartbench run --target http://127.0.0.1:8080/ -- docker restart app

` + exitCodes,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.AddCommand(newRunCmd(), newDemoCmd(), newReportCmd(), newScenariosCmd(), newServeCmd(), newCleanCmd(), newVersionCmd())
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usage(cmd, err) })
	return root
}

// The exit codes.
const (
	exitFail  = 1
	exitUsage = 2
	exitBlind = 3 // could not measure, or inconclusive
)

// exitError carries the exit code of an error. Without an error of its own the code says it all.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// usage marks an error as the user's to mend, and says where to read on.
func usage(cmd *cobra.Command, err error) error {
	return &exitError{exitUsage, fmt.Errorf("%w (see '%s --help')", err, cmd.CommandPath())}
}

// exitCode prints err and chooses the code. Errors without one come from cobra, which finds only wrong usage.
func exitCode(err error, stderr io.Writer) int {
	if err == nil {
		return 0
	}
	code := exitUsage
	var exit *exitError
	if errors.As(err, &exit) {
		code = exit.code
		if exit.err == nil {
			return code
		}
	}
	for line := range strings.Lines(err.Error()) {
		fmt.Fprintf(stderr, "restartbench: %s\n", strings.TrimSuffix(line, "\n"))
	}
	return code
}
