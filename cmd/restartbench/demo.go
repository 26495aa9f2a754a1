package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/restartbench/restartbench/report"
	"github.com/restartbench/restartbench/scenarios"
)

func newDemoCmd() *cobra.Command {
	var o runOptions
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "See what a restart costs three ways of running one service, in half a minute",
		Long: `Measure, on this machine and with nothing but this program, what a restart
costs clients of the same small service when it
  plain       owns its port
  activated   inherits its port from a socket unit
  graceful    inherits it, and finishes its work before it exits

Exit codes: 0 when all three were measured, whatever their verdicts; 3 when not.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.demo(cmd) },
	}
	o.register(cmd)
	cmd.Flag("record").Usage = "directory to keep the run files in (default: they are not kept)"
	return cmd
}

func (o *runOptions) demo(cmd *cobra.Command) error {
	if err := o.check(demoScenarios()); err != nil {
		return usage(cmd, err)
	}
	if o.discard = o.record.text == ""; o.discard {
		dir, err := os.MkdirTemp("", "restartbench-demo-")
		if err != nil {
			return &exitError{exitBlind, err}
		}
		defer os.RemoveAll(dir)
		o.record.text = dir
	}
	reports, err := o.all(cmd, demoScenarios())
	if err != nil {
		return err
	}
	for _, rep := range reports {
		if rep.Verdict.Result == report.Inconclusive {
			return &exitError{code: exitBlind}
		}
	}
	return nil
}

// demoScenarios run on the embedded manager wherever they run, so that one demo is like another.
func demoScenarios() []*scenarios.Scenario {
	all := scenarios.Demo()
	for _, s := range all {
		s.Manager = scenarios.ManagerEmbedded
	}
	return all
}
