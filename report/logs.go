package report

import (
	"fmt"
	"regexp"
	"slices"
	"sort"
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

// logs keeps the log lines that a report shows, of those that come, in the order of their moments.
type logs struct {
	*run
	restarts []restart
	patterns patterns
	telling  []Note // errors and matches, while the load went on: the first of them
	total    uint64 // how many there were of those
	near     []Note // written while a restart went on: the last of them
}

func (r *run) newLogs(restarts []restart, p patterns) *logs {
	return &logs{run: r, restarts: restarts, patterns: p, telling: []Note{}, near: []Note{}}
}

func (k *logs) add(l *timeline.Log) {
	k.addNear(l)
	if l.At < k.began() || l.At >= k.drained() {
		return
	}
	pattern := k.patterns.matching(l.Text)
	if pattern == "" && !slices.Contains(severe, l.Priority) {
		return
	}
	n := k.logNote(l)
	n.Pattern = pattern
	k.telling = insert(k.telling, n)
	k.telling = k.telling[:min(telling, len(k.telling))]
	k.total++
}

func (k *logs) addNear(l *timeline.Log) {
	const most = 20
	if i := at(k.restarts, l.At); i < 0 || l.At >= min(k.restarts[i].to, k.drained()) {
		return
	}
	k.near = insert(k.near, k.logNote(l))
	k.near = slices.Delete(k.near, 0, max(0, len(k.near)-most))
}

// insert keeps notes in the order of their moments, and those of the same moment in the order in which they came.
func insert(notes []Note, n Note) []Note {
	i := sort.Search(len(notes), func(i int) bool { return notes[i].At > n.At })
	return slices.Insert(notes, i, n)
}

func (r *run) logNote(l *timeline.Log) Note {
	return Note{At: r.since(l.At), Source: l.Source, Text: strings.TrimSpace(l.Text), Priority: l.Priority}
}
