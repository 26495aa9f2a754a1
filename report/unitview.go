package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/restartbench/restartbench/bench/timeline"
)

// What units did, in words.

// managerWords names who supervised the units.
func managerWords(s Scenario) string {
	whose := map[string]string{"system": "the system's", "user": "the user's", "private": "a private"}[s.Manager]
	if whose == "" {
		return s.Manager + " manager"
	}
	return strings.TrimSuffix(whose+" systemd "+s.ManagerVersion, " ")
}

// manager says why that one, where there was a choice to make.
func manager(rep *Report) []string {
	s := rep.Scenario
	if s.Why == "" || s.Manager == "none" || s.Manager == "embedded" {
		return nil
	}
	return []string{managerWords(s) + ": " + s.Why}
}

// stepLines show under which steps requests were dropped: the steps of the restarts that dropped any, or only those steps
// under which any was, when there are many. A socket unit's are left out while it stays open.
func stepLines(rep *Report) []string {
	const most = 12
	if len(rep.Drops) == 0 || rep.Unexplained == nil {
		return nil
	}
	dropping := map[int]bool{}
	for _, t := range rep.Transitions {
		dropping[t.Restart] = dropping[t.Restart] || t.Dropped > 0
	}
	shown := slices.Clone(rep.Transitions)
	shown = slices.DeleteFunc(shown, func(t Transition) bool {
		return !dropping[t.Restart] || t.Dropped == 0 && isSocket(t.Unit) && open(t.Active, t.Sub)
	})
	if len(shown) > most {
		shown = slices.DeleteFunc(shown, func(t Transition) bool { return t.Dropped == 0 })
	}
	more := max(0, len(shown)-most)
	if more > 0 {
		slices.SortStableFunc(shown, func(a, b Transition) int { return cmp.Compare(b.Dropped, a.Dropped) })
		shown = shown[:most]
		slices.SortStableFunc(shown, func(a, b Transition) int { return cmp.Compare(a.At, b.At) })
	}
	var lines []string
	for _, t := range shown {
		lines = append(lines, stepLine(t, len(rep.Restarts) > 1))
	}
	if more > 0 {
		lines = append(lines, fmt.Sprintf("and under %s fewer each", plural(uint64(more), "more step")))
	}
	if n := *rep.Unexplained; n > 0 {
		lines = append(lines, fmt.Sprintf("%s unexplained: nothing was seen to happen to %s then", number(n), rep.Scenario.Unit))
	}
	return lines
}

func stepLine(t Transition, numbered bool) string {
	line := fmt.Sprintf("+%s %s %s", t.After, t.Unit, stateWords(t.Active, t.Sub))
	if numbered {
		line = fmt.Sprintf("restart %d %s", t.Restart, line)
	}
	if !succeeded(t.Result) {
		line += ", " + t.Result
	}
	var counts []string
	for _, o := range timeline.Outcomes() {
		if n := t.Outcomes[o.String()]; n > 0 {
			counts = append(counts, number(n)+" "+o.String())
		}
	}
	return join(line, strings.Join(counts, ", "))
}

// socketLines are shown unless they say what goes without saying: with the embedded manager a socket stays armed.
func socketLines(rep *Report) (lines []string) {
	for i := range rep.Sockets {
		switch s := &rep.Sockets[i]; {
		case s.Armed == nil:
			lines = append(lines, s.Unit+": whether it is still armed was not observed")
		case s.disarmed():
			lines = append(lines, join(s.Unit+" is no longer armed", s.Why))
		case rep.Scenario.Manager != "embedded":
			lines = append(lines, fmt.Sprintf("%s is still armed: %s", s.Unit, stateWords(s.Active, s.Sub)))
		}
	}
	return lines
}

func limitLines(rep *Report) (lines []string) {
	for _, l := range rep.StartLimits {
		text := fmt.Sprintf("%s used in %s", of(l.Starts, l.Burst, "start"), span(l.Interval))
		switch {
		case l.Interval == 0 || l.Burst == 0:
			text = "none is set; " + plural(l.Starts, "start")
		case l.Hit:
			text += ", and then one was refused"
		case l.Starts >= l.Burst:
			text += ": one more would have been refused"
		}
		if len(rep.StartLimits) > 1 {
			text = l.Unit + ": " + text
		}
		lines = append(lines, text)
	}
	return lines
}

// logLines are the lines that tell something, and those about a restart where they may hold the cause: one that failed, or was
// not seen to end well. Lines that are the same but for their moment are shown once.
func logLines(rep *Report) []string {
	const most = 20
	all := slices.Clone(rep.LogFindings)
	wanted := func(a Restart) bool {
		return a.Result != timeline.Done || a.Recovered == nil || !*a.Recovered || a.Restarted == nil || !*a.Restarted
	}
	if slices.ContainsFunc(rep.Restarts, wanted) {
		all = append(all, rep.Logs...)
	}
	slices.SortStableFunc(all, func(a, b Note) int { return cmp.Compare(a.At, b.At) })
	var lines []string
	seen, again, shown := map[Note]bool{}, map[Note]int{}, map[Note]int{}
	for _, l := range all {
		line := Note{At: l.At, Source: l.Source, Text: l.Text}
		if seen[line] {
			continue // it is in both lists
		}
		seen[line] = true
		key := Note{Source: l.Source, Text: l.Text}
		if _, known := shown[key]; known {
			again[key]++
			continue
		}
		shown[key] = len(lines)
		lines = append(lines, logLine(l))
	}
	for key, n := range again {
		lines[shown[key]] += fmt.Sprintf(" (and %s more)", times(n))
	}
	if more := len(lines) - most; more > 0 {
		lines = append(lines[:most], fmt.Sprintf("and %s", plural(uint64(more), "more line")))
	}
	return lines
}

func logLine(l Note) string {
	source := l.Source
	if slices.Contains(severe, l.Priority) {
		source += " (" + l.Priority + ")"
	}
	return shorten(fmt.Sprintf("%s %s: %s", l.At, source, l.Text))
}
