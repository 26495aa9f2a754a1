package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// outcome is what all the measures came to.
type outcome struct {
	Machine facts
	Rows    []Row
	Notes   []string
	failed  []error // measures that could not be taken
}

// takeAll takes the measures that are asked for. One that fails does not take the others with it.
func takeAll(ctx context.Context, l *lab, o options) outcome {
	all := outcome{Machine: observe(ctx, l, o)}
	for _, m := range o.chosen() {
		if ctx.Err() != nil {
			all.failed = append(all.failed, fmt.Errorf("%s: %w", m.name, context.Cause(ctx)))
			break
		}
		l.tell("measuring %s: %s", m.name, m.about)
		b := &bout{lab: l, plan: o.plan()}
		rows, err := m.take(ctx, b)
		if err != nil {
			all.failed = append(all.failed, fmt.Errorf("%s: %w", m.name, err))
			continue
		}
		all.Rows, all.Notes = append(all.Rows, rows...), append(all.Notes, b.notes...)
	}
	return all
}

// write writes the outcome as markdown or json.
func (o outcome) write(w io.Writer, format string) error {
	if format == "json" {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		return e.Encode(o.forJSON())
	}
	_, err := io.WriteString(w, o.markdown())
	return err
}

// jsonRow is a Row with what follows from it. Values are in the unit: seconds, bytes, or requests a second.
type jsonRow struct {
	Measure string    `json:"measure"`
	Unit    unit      `json:"unit"`
	Ours    []float64 `json:"restartbench"`
	Peer    []float64 `json:"peer"`
	Ratios  []float64 `json:"ratios"`
	Median  float64   `json:"ratio_median"`
	Target  string    `json:"target,omitempty"`
	Met     *bool     `json:"met,omitempty"`
}

func (o outcome) forJSON() any {
	rows := []jsonRow{}
	for _, r := range o.Rows {
		j := jsonRow{r.Measure, r.Unit, r.Ours, r.Peer, r.ratios(), median(r.ratios()), r.target(), nil}
		if r.Goal != nil {
			met := r.met()
			j.Met = &met
		}
		rows = append(rows, j)
	}
	return struct {
		Machine facts     `json:"machine"`
		Rows    []jsonRow `json:"rows"`
		Notes   []string  `json:"notes"`
	}{o.Machine, rows, append([]string{}, o.Notes...)}
}

// markdown is the machine, the table and the notes.
func (o outcome) markdown() string {
	var b strings.Builder
	b.WriteString(o.Machine.markdown() + "\n" + table(o.Rows))
	if len(o.Notes) > 0 {
		b.WriteString("\n")
	}
	for _, n := range o.Notes {
		b.WriteString("- " + n + "\n")
	}
	return b.String()
}
