package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/restartbench/restartbench/scenarios"
)

func newScenariosCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "scenarios",
		Short: "List, show and describe scenarios",
		Args:  cobra.NoArgs,
		RunE:  listScenarios,
	}
	cmd.AddCommand(
		&cobra.Command{
			Use:   "list",
			Short: "List the built-in scenarios",
			Args:  cobra.NoArgs,
			RunE:  listScenarios,
		},
		&cobra.Command{
			Use:               "show SCENARIO",
			Short:             "Print a built-in scenario's YAML, which explains itself; copy it to make your own",
			Args:              cobra.ExactArgs(1),
			ValidArgsFunction: completeScenarios,
			RunE: func(cmd *cobra.Command, args []string) error {
				_, text, err := scenarios.Builtin(args[0])
				if err != nil {
					return &exitError{exitUsage, err}
				}
				_, err = cmd.OutOrStdout().Write(text)
				return err
			},
		},
		&cobra.Command{
			Use:   "schema",
			Short: "Print the JSON Schema of scenario files, for editors",
			Args:  cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				text, err := scenarios.Schema()
				if err != nil {
					return err
				}
				_, err = cmd.OutOrStdout().Write(text)
				return err
			},
		},
	)
	return cmd
}

func listScenarios(cmd *cobra.Command, _ []string) error {
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	for _, s := range scenarios.Builtins() {
		fmt.Fprintf(w, "%s\t%s\n", s.Name, s.Description)
	}
	return w.Flush()
}

func completeScenarios(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	var names []string
	for _, s := range scenarios.Builtins() {
		names = append(names, s.Name+"\t"+s.Description)
	}
	return names, cobra.ShellCompDirectiveDefault
}
