package report

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/restartbench/restartbench/bench/timeline"
)

// telling is how many lines that tell something a report keeps.
const telling = 50

// severe are syslog's levels from err up.
var severe = []string{"emerg", "alert", "crit", "err"}

// patterns are the scenario's. One that does not compile is in the warnings.
type patterns []*regexp.Regexp

func (r *run) patterns() (all patterns, bad []Note) {
	for _, p := range r.header.Scenario.Patterns {
		re, err := regexp.Compile("(?i)" + p)
		if err != nil {
			bad = append(bad, Note{Source: "log patterns", Text: fmt.Sprintf("%q matches nothing: %v", p, err)})
			continue
		}
		all = append(all, re)
	}
	return all, bad
}

// matching is the pattern that a line matches, without the flag that ignores case, or empty.
func (p patterns) matching(text string) string {
	for _, re := range p {
		if re.MatchString(text) {
			return strings.TrimPrefix(re.String(), "(?i)")
		}
	}
	return ""
}

// tellingLines are the log lines, while the load went on, that are errors or match a pattern: the first of them, and how many
// there were.
func (r *run) tellingLines(p patterns) (lines []Note, total uint64) {
	lines = []Note{}
	for _, l := range r.logs {
		if l.At < r.began() || l.At >= r.drained() {
			continue
		}
		n := r.logNote(l)
		n.Pattern = p.matching(l.Text)
		if n.Pattern == "" && !slices.Contains(severe, l.Priority) {
			continue
		}
		if total++; total <= telling {
			lines = append(lines, n)
		}
	}
	return lines, total
}

func (r *run) logNote(l timeline.Log) Note {
	return Note{At: r.since(l.At), Source: l.Source, Text: strings.TrimSpace(l.Text), Priority: l.Priority}
}

// near keeps the log lines that were written while a restart went on, and the last of them only.
func (r *run) near(restarts []restart) []Note {
	const most = 20
	notes := []Note{}
	for _, l := range r.logs {
		if i := at(restarts, l.At); i >= 0 && l.At < min(restarts[i].to, r.drained()) {
			notes = append(notes, r.logNote(l))
		}
	}
	return notes[max(0, len(notes)-most):]
}
