package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/restartbench/restartbench/bench/systemd"
)

func newCleanCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "clean",
		Short: "Take back what killed runs left in systemd",
		Long: `Take back what runs that were killed left in systemd: runtime units, drop-ins,
and units that were stopped or restarted for them.

A run records every change before it makes it, in /run/restartbench/runs (or
below XDG_RUNTIME_DIR for a user's systemd), under a lock that it holds as long
as it lives. Clean goes by the records whose lock is free, and removes no file
that does not begin with the line that names its record. The next run on the
same systemd does the same by itself.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			done, err := cleanAll(cmd)
			for _, line := range done {
				fmt.Fprintln(cmd.OutOrStdout(), line)
			}
			if err != nil {
				return &exitError{exitBlind, err}
			}
			if len(done) == 0 {
				fmt.Fprintln(cmd.OutOrStdout(), "nothing was left")
			}
			return nil
		},
	}
}

// cleanAll cleans the user's systemd, and the system's if this user may have changed it.
func cleanAll(cmd *cobra.Command) (done []string, err error) {
	buses := []systemd.Bus{{}}
	if os.Getenv("XDG_RUNTIME_DIR") != "" {
		buses = append(buses, systemd.Bus{User: true})
	}
	for _, bus := range buses {
		did, failed := systemd.Clean(cmd.Context(), bus, "")
		done, err = append(done, did...), errors.Join(err, failed)
	}
	return done, err
}
