package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/restartbench/restartbench/bench"
	"github.com/restartbench/restartbench/bench/timeline"
	"github.com/restartbench/restartbench/report"
	"github.com/restartbench/restartbench/scenarios"
)

// runOptions are the flags of run that are not the scenario's.
type runOptions struct {
	scenario scenarioFlags
	report   rendering
	record   textFlag
	quiet    bool
	dryRun   bool
	discard  bool // the run files, when the report is made
}

func newRunCmd() *cobra.Command {
	var o runOptions
	cmd := &cobra.Command{
		Use:   "run [SCENARIO...] [-- COMMAND [ARG...]]",
		Short: "Send load, restart the service mid-run, and report what its clients lost",
		Long: `Run scenarios: send steady load, restart the service mid-run, and report what
its clients lost.

For a service that runs already under systemd, its name and what to request are
enough: --service myapp.service --target http://127.0.0.1:8080/.

A scenario is the name of a built-in one (see 'restartbench scenarios'), a YAML
file, or - for standard input. Flags change it. Without a scenario the flags say
it all: a target, and after -- the command that restarts what is behind it, run
without a shell. Several scenarios run one after the other and are put side by
side.

` + exitCodes,
		Example: `  restartbench run graceful
  restartbench run ./ci.yaml --rate 500 --format markdown -o report.md
  restartbench run --target http://127.0.0.1:8080/ --identity http://127.0.0.1:8080/whoami -- ./deploy.sh`,
		ValidArgsFunction: completeScenarios,
		RunE: func(cmd *cobra.Command, args []string) error {
			if dash := cmd.ArgsLenAtDash(); dash >= 0 {
				args, o.scenario.command = args[:dash], args[dash:]
			}
			return o.run(cmd, args)
		},
	}
	o.scenario.register(cmd)
	cmd.Flags().BoolVar(&o.dryRun, "dry-run", false, "print every call, file and restart of the run, and do nothing")
	o.register(cmd)
	return cmd
}

func (o *runOptions) register(cmd *cobra.Command) {
	o.report.register(cmd)
	o.record.value = "PATH"
	cmd.Flags().Var(&o.record, "record", "run file, or directory for run files (default ~/.local/state/restartbench)")
	cmd.Flags().BoolVarP(&o.quiet, "quiet", "q", false, "show no progress")
}

func (o *runOptions) run(cmd *cobra.Command, names []string) error {
	plans, err := o.plans(cmd, names)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	if err := o.check(plans); err != nil {
		return usage(cmd, err)
	}
	if o.dryRun {
		return plan(cmd, plans)
	}
	reports, err := o.all(cmd, plans)
	if err != nil {
		return err
	}
	return verdict(reports)
}

// all runs scenarios one after the other, until one cannot be measured or the user has had enough, and writes the report of
// those that were.
func (o *runOptions) all(cmd *cobra.Command, plans []*scenarios.Scenario) (reports []*report.Report, err error) {
	for _, s := range plans {
		var rep *report.Report
		if rep, err = o.one(cmd, s); err != nil {
			break
		}
		reports = append(reports, rep)
		if cmd.Context().Err() != nil {
			break
		}
	}
	if len(reports) == 0 {
		return nil, err
	}
	if failed := o.report.write(cmd.OutOrStdout(), reports); failed != nil {
		return nil, errors.Join(err, &exitError{exitBlind, fmt.Errorf("writing the report: %w", failed)})
	}
	return reports, err
}

// plans reads every scenario before the first one runs.
func (o *runOptions) plans(cmd *cobra.Command, names []string) ([]*scenarios.Scenario, error) {
	if len(names) == 0 && !o.scenario.any(cmd) {
		return nil, usage(cmd, errors.New("nothing to run: name a scenario, such as graceful, or give --target and, after --, the command that restarts"))
	}
	if len(names) == 0 {
		names = []string{""}
	}
	var plans []*scenarios.Scenario
	var errs []error
	for _, name := range names {
		s, err := o.plan(cmd, name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		plans = append(plans, s)
	}
	return plans, errors.Join(errs...)
}

// plan reads one scenario and applies the flags. The empty name is one made of flags alone.
func (o *runOptions) plan(cmd *cobra.Command, name string) (*scenarios.Scenario, error) {
	s := new(scenarios.Scenario)
	if name != "" {
		file, data, err := open(cmd.InOrStdin(), name)
		if err != nil {
			return nil, err
		}
		s, _ = scenarios.Decode(file, data) // Finish reports its mistakes, with all others
	}
	if err := o.scenario.apply(cmd, s); err != nil {
		return nil, err
	}
	if name == "" && s.Name == "" {
		_ = s.Set("name", nameFrom(strings.TrimSuffix(s.Service, ".service")))
	}
	return s, nameFlags(cmd, s.Finish())
}

func open(stdin io.Reader, name string) (file string, data []byte, err error) {
	if name == "-" {
		data, err = io.ReadAll(stdin)
		return "standard input", data, err
	}
	return scenarios.Open(name)
}

// check finds bad outputs before any load is sent.
func (o *runOptions) check(plans []*scenarios.Scenario) error {
	if err := o.report.check(); err != nil {
		return err
	}
	dir, err := runDir(o.record.text)
	if err == nil && dir == "" && len(plans) > 1 {
		err = fmt.Errorf("--record %s: several scenarios need a directory to record in", o.record.text)
	}
	return err
}

// one runs one scenario and analyzes its run file.
func (o *runOptions) one(cmd *cobra.Command, s *scenarios.Scenario) (*report.Report, error) {
	clock := timeline.NewClock()
	b, err := newBench(s, clock)
	if err != nil {
		return nil, err
	}
	file, err := createRunFile(o.record.text, s.Name, clock.Origin().Wall)
	if err != nil {
		return nil, &exitError{exitUsage, err}
	}
	defer file.Close()

	show := newMeter(cmd.ErrOrStderr(), o.quiet, s.Name, b)
	err = record(cmd.Context(), b, clock, file)
	show.done()
	if err != nil && b.Progress().Sent == 0 {
		return nil, errors.Join(&exitError{exitBlind, explain(err, file.Name())}, os.Remove(file.Name()))
	}
	if !o.quiet && !o.discard {
		fmt.Fprintf(cmd.ErrOrStderr(), "recorded in %s\n", file.Name())
	}
	rep, err := analyze(file.Name())
	if err != nil {
		return nil, &exitError{exitBlind, err}
	}
	return rep, nil
}

func newBench(s *scenarios.Scenario, clock timeline.Clock) (*bench.Bench, error) {
	program, err := self()
	if err != nil {
		return nil, &exitError{exitBlind, err}
	}
	b, err := bench.New(s, clock, program)
	if err != nil {
		return nil, &exitError{exitUsage, err}
	}
	return b, nil
}

// plan prints what runs would do to the machine.
func plan(cmd *cobra.Command, plans []*scenarios.Scenario) error {
	for _, s := range plans {
		b, err := newBench(s, timeline.NewClock())
		if err != nil {
			return err
		}
		text, err := b.Plan(cmd.Context())
		if err != nil {
			return &exitError{exitBlind, err}
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s: %s", s.Name, text)
	}
	return nil
}

// record runs b into file, and says in the file how it ended.
func record(ctx context.Context, b *bench.Bench, clock timeline.Clock, file io.Writer) error {
	r, err := timeline.NewRecorder(file, clock, b.Header(version()))
	if err != nil {
		return err
	}
	err = b.Run(ctx, r)
	end := timeline.End{At: clock.Now(), Reason: timeline.Complete}
	switch {
	case ctx.Err() != nil:
		end.Reason = timeline.Interrupted
	case err != nil:
		end.Reason, end.Error = timeline.Failed, err.Error()
	}
	return errors.Join(err, r.Close(end))
}

// explain adds the last lines that a unit wrote to the error of a run that never came to its load: they often say why.
func explain(err error, file string) error {
	const most = 5
	var lines []string
	f, openErr := os.Open(file)
	if openErr != nil {
		return err
	}
	defer f.Close()
	r, openErr := timeline.NewReader(f)
	if openErr != nil {
		return err
	}
	defer r.Close()
	for e, readErr := r.Next(); readErr == nil; e, readErr = r.Next() {
		if e.Log != nil {
			lines = append(lines, e.Log.Source+" wrote: "+e.Log.Text)
		}
	}
	for _, l := range lines[max(0, len(lines)-most):] {
		err = fmt.Errorf("%w\n%s", err, l)
	}
	return err
}

// self is how the bench starts this program again.
func self() (bench.Program, error) {
	path, err := os.Executable()
	if err != nil {
		return bench.Program{}, fmt.Errorf("finding this program's own file: %w", err)
	}
	return bench.Program{Path: path, Shim: []string{path, shimCommand}, PrivateShim: []string{path, privateShimCommand}, Name: "restartbench/" + version()}, nil
}
