package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
)

// options is what the flags say.
type options struct {
	args    []string // as given
	pairs   int
	only    []string // names of measures; empty: all
	short   bool
	list    bool
	format  string
	update  string // file whose table is to be replaced; empty: none
	verbose bool
}

// parse reads the flags. Its errors are usageError, and flag.ErrHelp when help was asked for and given.
func parse(args []string, stderr io.Writer) (options, error) {
	o := options{args: args}
	var only string
	f := flag.NewFlagSet("peers", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.IntVar(&o.pairs, "pairs", 0, "measure `N` times, the generators by turns (default 5; with --short 2)")
	f.StringVar(&only, "only", "", "measure `NAME[,NAME]` alone; see --list")
	f.BoolVar(&o.short, "short", false, "a quick look: shorter runs, fewer of them; the ratios say little")
	f.BoolVar(&o.list, "list", false, "list the measures, and do nothing")
	f.StringVar(&o.format, "format", "markdown", "markdown or json")
	f.StringVar(&o.update, "update", "", "also replace the table in this `FILE`, between its two peers comments")
	f.BoolVar(&o.verbose, "v", false, "tell every run on standard error")
	if err := f.Parse(args); errors.Is(err, flag.ErrHelp) {
		return o, err
	} else if err != nil {
		return o, usageError{err}
	}
	if only != "" {
		o.only = strings.Split(only, ",")
	}
	return o.settle(f)
}

// settle fills in what depends on other flags and refuses what makes no sense.
func (o options) settle(f *flag.FlagSet) (options, error) {
	given := false
	f.Visit(func(f *flag.Flag) { given = given || f.Name == "pairs" })
	switch {
	case !given && o.short:
		o.pairs = 2
	case !given:
		o.pairs = 5
	case o.pairs < 1:
		return o, usageError{fmt.Errorf("--pairs %d: must be at least 1", o.pairs)}
	}
	if f.NArg() > 0 {
		return o, usageError{fmt.Errorf("%s: takes flags alone; see --help", f.Arg(0))}
	}
	if o.format != "markdown" && o.format != "json" {
		return o, usageError{fmt.Errorf("--format %s: must be markdown or json", o.format)}
	}
	for _, name := range o.only {
		if !slices.ContainsFunc(measures(), func(m measure) bool { return m.name == name }) {
			return o, usageError{fmt.Errorf("--only %s: no such measure; see --list", name)}
		}
	}
	return o, nil
}

// chosen are the measures that the flags ask for, in the order in which they are taken.
func (o options) chosen() []measure {
	return slices.DeleteFunc(measures(), func(m measure) bool {
		return len(o.only) > 0 && !slices.Contains(o.only, m.name)
	})
}

func list(w io.Writer) error {
	for _, m := range measures() {
		if _, err := fmt.Fprintf(w, "%-8s %s\n", m.name, m.about); err != nil {
			return err
		}
	}
	return nil
}
