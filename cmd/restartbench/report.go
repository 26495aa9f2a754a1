package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/restartbench/restartbench/bench/timeline"
	"github.com/restartbench/restartbench/report"
)

// rendering is how and where to a report goes.
type rendering struct {
	format textFlag
	output textFlag
}

func (r *rendering) register(cmd *cobra.Command) {
	r.format, r.output = textFlag{"text", "FORMAT"}, textFlag{"", "FILE"}
	cmd.Flags().Var(&r.format, "format", "text, markdown or json")
	cmd.Flags().VarP(&r.output, "output", "o", "write the report to this file instead of standard output")
	cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions([]string{"text", "markdown", "json"}, cobra.ShellCompDirectiveNoFileComp))
}

// check finds what would otherwise fail after the run, when it is too late.
func (r *rendering) check() error {
	if _, err := report.ParseFormat(r.format.text); err != nil {
		return err
	}
	if r.output.text == "" {
		return nil
	}
	f, err := r.create()
	if err != nil {
		return fmt.Errorf("--output: %w", err)
	}
	return f.discard()
}

// write renders to the output file, whole or not at all, or to stdout.
func (r *rendering) write(stdout io.Writer, reports []*report.Report) error {
	format, err := report.ParseFormat(r.format.text)
	if err != nil {
		return err
	}
	if r.output.text == "" {
		return report.Render(stdout, format, report.Style{Color: isTerminal(stdout) && os.Getenv("NO_COLOR") == ""}, reports...)
	}
	f, err := r.create()
	if err != nil {
		return err
	}
	if err := report.Render(f, format, report.Style{}, reports...); err != nil {
		return errors.Join(err, f.discard())
	}
	return f.keep()
}

// outputFile becomes the output when it is whole.
type outputFile struct {
	*os.File
	name string // to become; empty when the output is no regular file (/dev/stdout) and is written straight away
}

func (r *rendering) create() (*outputFile, error) {
	info, err := os.Stat(r.output.text)
	switch {
	case err == nil && info.IsDir():
		return nil, fmt.Errorf("%s is a directory: name a file", r.output.text)
	case err == nil && !info.Mode().IsRegular():
		f, err := os.OpenFile(r.output.text, os.O_WRONLY, 0)
		return &outputFile{File: f}, err
	}
	f, err := os.CreateTemp(filepath.Dir(r.output.text), ".restartbench-*")
	if err != nil {
		return nil, fmt.Errorf("cannot write %s: %w", r.output.text, errors.Unwrap(err))
	}
	return &outputFile{f, r.output.text}, nil
}

func (f *outputFile) discard() error {
	if f.name == "" {
		return f.Close()
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

func (f *outputFile) keep() error {
	if f.name == "" {
		return f.Close()
	}
	if err := errors.Join(f.Chmod(0o644), f.Close()); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return os.Rename(f.Name(), f.name)
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func newReportCmd() *cobra.Command {
	var out rendering
	cmd := &cobra.Command{
		Use:   "report FILE...",
		Short: "Report recorded runs again; several are put side by side",
		Long: `Report recorded runs again, in any format. Several files are put side by side.

` + exitCodes,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, files []string) error {
			if err := out.check(); err != nil {
				return usage(cmd, err)
			}
			var reports []*report.Report
			for _, file := range files {
				rep, err := analyze(file)
				if err != nil {
					return &exitError{exitUsage, err}
				}
				reports = append(reports, rep)
			}
			if err := out.write(cmd.OutOrStdout(), reports); err != nil {
				return &exitError{exitBlind, fmt.Errorf("writing the report: %w", err)}
			}
			return verdict(reports)
		},
	}
	out.register(cmd)
	return cmd
}

// analyze is the one path from a run file to its report, for run and report alike.
func analyze(file string) (*report.Report, error) {
	f, err := openRunFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading run file: %w", err)
	}
	defer f.Close()
	r, err := timeline.NewReader(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	defer r.Close()
	rep, err := report.Analyze(r.Header, r)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return rep, nil
}

// openRunFile opens a run file so that it can be read several times. What comes through a pipe, as from a shell's <(…), is put
// into a file that has no name.
func openRunFile(file string) (*os.File, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	if _, err := f.Seek(0, io.SeekCurrent); err == nil {
		return f, nil
	}
	defer f.Close()
	kept, err := os.CreateTemp("", "restartbench-*")
	if err != nil {
		return nil, err
	}
	_, err = io.Copy(kept, f)
	if err == nil {
		_, err = kept.Seek(0, io.SeekStart)
	}
	if err = errors.Join(err, os.Remove(kept.Name())); err != nil {
		return nil, errors.Join(err, kept.Close())
	}
	return kept, nil
}

// verdict is the exit code for reports, as an error: one failure makes all fail, else one inconclusive makes all inconclusive.
func verdict(reports []*report.Report) error {
	code := 0
	for _, rep := range reports {
		switch {
		case rep.Verdict.Result == report.Fail:
			return &exitError{code: exitFail}
		case rep.Verdict.Result == report.Inconclusive:
			code = exitBlind
		}
	}
	if code == 0 {
		return nil
	}
	return &exitError{code: code}
}
