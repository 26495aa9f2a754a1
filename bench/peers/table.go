package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// table writes the rows in Markdown, with its columns lined up.
func table(rows []Row) string {
	lines := [][]string{{"measure", "restartbench", "peer", "ratio (median)", "range of ratio", "target"}}
	for _, r := range rows {
		lines = append(lines, r.cells())
	}
	widths := make([]int, len(lines[0]))
	for _, line := range lines {
		for i, cell := range line {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	for n, line := range lines {
		b.WriteString(joined(line, widths))
		if n == 0 {
			b.WriteString(rule(widths))
		}
	}
	return b.String()
}

// joined writes one line; the first column and the last are words, those between are numbers.
func joined(line []string, widths []int) string {
	var b strings.Builder
	for i, cell := range line {
		space := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
		if words(i, widths) {
			b.WriteString("| " + cell + space + " ")
		} else {
			b.WriteString("| " + space + cell + " ")
		}
	}
	return b.String() + "|\n"
}

func rule(widths []int) string {
	var b strings.Builder
	for i, w := range widths {
		if words(i, widths) {
			b.WriteString("| " + strings.Repeat("-", w) + " ")
		} else {
			b.WriteString("| " + strings.Repeat("-", w-1) + ": ")
		}
	}
	return b.String() + "|\n"
}

func words(column int, widths []int) bool { return column == 0 || column == len(widths)-1 }

// cells are the row's texts: medians, the ratios' median and range, and whether the target is met.
func (r Row) cells() []string {
	cells := []string{r.Measure, "–", "–", "–", "–", ""}
	if len(r.Ours) > 0 {
		cells[1] = r.Unit.format(median(r.Ours))
	}
	if len(r.Peer) > 0 {
		cells[2] = r.Unit.format(median(r.Peer))
	}
	if ratios := r.ratios(); len(ratios) > 0 {
		cells[3] = times(median(ratios))
		cells[4] = times(slices.Min(ratios)) + " … " + times(slices.Max(ratios))
	}
	if r.Goal != nil {
		cells[5] = r.target() + ": " + map[bool]string{true: "met", false: "not met"}[r.met()]
	}
	return cells
}

// times writes a ratio; a small one with the digits that tell it from others.
func times(ratio float64) string {
	if ratio < 0.1 {
		return fmt.Sprintf("%.3f×", ratio)
	}
	return fmt.Sprintf("%.2f×", ratio)
}

// stretch writes the range of some times.
func stretch(times []time.Duration) string {
	least, most := slices.Min(times), slices.Max(times)
	if span(least) == span(most) {
		return span(least)
	}
	return span(least) + " to " + span(most)
}
