package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// A view is a Report put into words, once for every rendering that a person reads. The verdict comes last.
type view struct {
	title  string
	tables []table
	facts  []fact
}

// table is a header and rows. The first column is text, the others are numbers.
type table struct {
	header []string
	rows   [][]string
}

// fact is what a label says, in one line or several. A line that begins with "- " is an item of a list.
type fact struct {
	label  string
	lines  []string
	result Result // of a verdict, with whose word in capitals the first line begins
}

// unseen stands where there is nothing to show: it is never 0.
const unseen = "–"

func newView(rep *Report) view {
	v := view{title: title(rep), tables: []table{phaseTable(rep)}}
	v.add("manager", manager(rep)...)
	v.add("dropped", drops(rep)...)
	v.add("steps", stepLines(rep)...)
	v.add("held", heldLine(rep))
	if len(rep.Restarts) == 1 {
		v.add("recovery", recovery(rep.Restarts[0]))
	}
	if len(rep.Restarts) > 1 {
		v.restarts(rep)
	}
	v.add("socket", socketLines(rep)...)
	v.add("start limit", limitLines(rep)...)
	v.add("proof", proof(rep)...)
	v.add("load", load(rep))
	for _, g := range rep.Gaps {
		v.add("gap", gapLine(g))
	}
	for _, w := range rep.Warnings {
		v.add("warning", w.Source+": "+w.Text)
	}
	v.add("log", logLines(rep)...)
	v.facts = append(v.facts, verdictFact("verdict", rep))
	v.add("next", rep.Verdict.Next...)
	return v
}

func (v *view) add(label string, lines ...string) {
	if len(lines) > 0 {
		v.facts = append(v.facts, fact{label: label, lines: lines})
	}
}

// verdictFact is the verdict and why, in the order in which a reader asks: what, how come, on what grounds. What an
// inconclusive run saw is no answer, so that the reason it is inconclusive stands in its place.
func verdictFact(label string, rep *Report) fact {
	what, reasons := rep.Summary, rep.Verdict.Reasons
	if rep.Verdict.Result == Inconclusive && len(reasons) > 0 {
		what, reasons = reasons[0].Text, reasons[1:]
	}
	lines := []string{strings.ToUpper(string(rep.Verdict.Result)) + ": " + what}
	for _, reason := range reasons {
		lines = append(lines, "- "+reason.Text)
	}
	return fact{label, lines, rep.Verdict.Result}
}

func title(rep *Report) string {
	s := rep.Scenario
	what := "no restart"
	switch {
	case len(rep.Restarts) > 0 && s.Action == "command":
		what = fmt.Sprintf("%q run %s", strings.Join(s.Command, " "), times(len(rep.Restarts)))
	case len(rep.Restarts) > 0 && s.Action == "daemon-reexec":
		what = fmt.Sprintf("%s under %s %s", deed(s.Action), s.Unit, times(len(rep.Restarts)))
	case len(rep.Restarts) > 0:
		what = fmt.Sprintf("%s of %s %s", deed(s.Action), s.Unit, times(len(rep.Restarts)))
	}

	text := fmt.Sprintf("%s: %s under %g requests/s (%s)", s.Name, what, s.Rate, s.Connections)
	if s.Address != "" {
		text += " to " + s.Address
	}
	if s.Manager != "none" {
		text += ", " + managerWords(s)
	}
	return text
}

// phaseTable has a column for what is rare only where it happened.
func phaseTable(rep *Report) table {
	t := table{header: []string{"", "requests", "ok", "dropped", "5xx"}}
	var unexpected, limited uint64
	for _, p := range rep.Phases {
		unexpected, limited = unexpected+p.Unexpected, limited+p.ClientLimit
	}
	if unexpected > 0 {
		t.header = append(t.header, "unexpected")
	}
	if limited > 0 {
		t.header = append(t.header, "not sent")
	}
	t.header = append(t.header, "p50", "p95", "p99", "max")
	for _, p := range rep.Phases {
		row := []string{p.Name, number(p.Requests), number(p.OK), number(p.Dropped), number(p.HTTP5xx)}
		if unexpected > 0 {
			row = append(row, number(p.Unexpected))
		}
		if limited > 0 {
			row = append(row, number(p.ClientLimit))
		}
		l := p.Latency
		t.rows = append(t.rows, append(row, show(l.P50), show(l.P95), show(l.P99), show(l.Max)))
	}
	return t
}

// restarts shows each restart, or those that cost most when there are many.
func (v *view) restarts(rep *Report) {
	const most = 20
	listed := rep.Restarts
	if len(listed) > most {
		listed = slices.Clone(listed)
		slices.SortStableFunc(listed, func(a, b Restart) int { return cost(b, a) })
		listed = listed[:most]
		slices.SortFunc(listed, func(a, b Restart) int { return cmp.Compare(a.Requested, b.Requested) })
		v.add("restarts", fmt.Sprintf("the table lists the %d of %s that cost most", most, number(uint64(len(rep.Restarts)))))
	}
	v.tables = append(v.tables, restartTable(listed))
	v.add("recovery", recoveries(rep.Restarts))
}

// cost compares what two restarts cost.
func cost(a, b Restart) int {
	recovery := func(r Restart) Duration {
		if r.Recovery == nil {
			return Duration(forever)
		}
		return *r.Recovery
	}
	return cmp.Or(cmp.Compare(a.Dropped, b.Dropped), cmp.Compare(a.HTTP5xx, b.HTTP5xx), cmp.Compare(recovery(a), recovery(b)))
}

func restartTable(restarts []Restart) table {
	t := table{header: []string{"restart", "at", "job", "new answer", "recovery", "outage", "exposed", "dropped", "5xx", "held"}}
	for _, a := range restarts {
		held := unseen
		if a.Held != nil {
			held = number(*a.Held)
		}
		t.rows = append(t.rows, []string{fmt.Sprint(a.N), a.Requested.String(), show(a.Job), show(a.NewAnswer), show(a.Recovery),
			show(a.Outage), number(a.Exposed), number(a.Dropped), number(a.HTTP5xx), held})
	}
	return t
}

func drops(rep *Report) []string {
	var lines []string
	for _, c := range rep.Drops {
		lines = append(lines, fmt.Sprintf("%s %s: %s (%s)", number(c.Count), c.Outcome, c.Meaning, split(c)))
	}
	switch {
	case rep.Hidden == 1:
		lines = append(lines, "1 of them a keep-alive collision, which clients that retry, such as Go's, hide")
	case rep.Hidden > 1:
		lines = append(lines, number(rep.Hidden)+" of them keep-alive collisions, which clients that retry, such as Go's, hide")
	}
	if len(lines) == 0 && len(rep.Restarts) > 0 && rep.Phases[1].Requests+rep.Phases[2].Requests > 0 {
		return []string{"none"}
	}
	return lines
}

func split(c Class) string {
	switch {
	case c.Reused == 0:
		return "new connections"
	case c.Fresh == 0:
		return "kept-alive connections"
	}
	return fmt.Sprintf("%s on new, %s on kept-alive connections", number(c.Fresh), number(c.Reused))
}

func heldLine(rep *Report) string {
	switch {
	case rep.Held == nil && rep.Scenario.Unit == "":
		return "not observed: without a unit, nothing tells when the new process began"
	case rep.Held == nil:
		return "not observed"
	case rep.Held.Requests == 0:
		return "none"
	}
	return fmt.Sprintf("%s for the new process and got an answer; the longest took %s", waited(rep.Held.Requests), rep.Held.Longest)
}

func waited(n uint64) string { return plural(n, "request") + " waited" }

func recovery(a Restart) string {
	var parts []string
	part := func(name string, d *Duration) {
		if d != nil {
			parts = append(parts, name+" "+d.String())
		}
	}
	part("job", a.Job)
	part("first new answer", a.NewAnswer)
	if a.Outage != nil && *a.Outage > 0 {
		part("outage", a.Outage)
	}
	text := "not observed"
	switch {
	case a.Recovery != nil:
		text = a.Recovery.String()
	case a.Recovered != nil:
		text = "none"
	}
	if len(parts) > 0 {
		text += " (" + strings.Join(parts, ", ") + ")"
	}
	return text
}

// recoveries says how long the restarts took to recover from, from the shortest to the longest.
func recoveries(restarts []Restart) string {
	var least, most *Duration
	n := uint64(0)
	for _, a := range restarts {
		if a.Recovery == nil {
			continue
		}
		n++
		if least == nil || *a.Recovery < *least {
			least = a.Recovery
		}
		if most == nil || *a.Recovery > *most {
			most = a.Recovery
		}
	}
	if n == 0 {
		return "not observed"
	}
	text := least.String()
	if most.String() != text {
		text += " to " + most.String()
	}
	if n < uint64(len(restarts)) {
		text += ", seen after " + of(n, uint64(len(restarts)), "restart")
	}
	return text
}

// proof says what the counts prove, and for whom: requests of one restart share its fate, so one restart is one sample of how
// restarts go, however many requests it had.
func proof(rep *Report) []string {
	p := rep.Proof
	if p.Upper95 == nil {
		return []string{"none: no request was exposed to a restart"}
	}
	requests := wereOf(p.Dropped, p.Exposed, "exposed request") + " dropped"
	if p.Dropped == 0 || p.Dropped < p.Exposed/2 {
		requests += fmt.Sprintf(": with 95 %% confidence at most %s are", percent(*p.Upper95))
	}
	restarts := of(p.Dropping, p.Restarts, "restart") + " dropped any"
	switch {
	case p.Dropping == 0 && p.Restarts == 1:
		restarts += ": one says little of the next"
	case p.Dropping < p.Restarts:
		restarts += fmt.Sprintf(": with 95 %% confidence at most %s do", percent(*p.RestartUpper95))
	}
	return []string{requests, restarts}
}

func load(rep *Report) string {
	l := rep.Load
	sent := plural(l.Sent, "request")
	if l.Scheduled > 0 {
		sent = of(l.Sent, l.Scheduled, "request")
	}
	line := fmt.Sprintf("%s sent, 99 %% within %s of their time", sent, l.LagP99)
	if l.Warmup > 0 {
		line += fmt.Sprintf(", the first %s to warm up", number(l.Warmup))
	}
	if l.Aborted > 0 {
		line += fmt.Sprintf("; %s cut off by the end of the run", number(l.Aborted))
	}
	return line
}

func gapLine(g Gap) string {
	if g.Lost > 0 {
		return fmt.Sprintf("%s lost %s between %s and %s: %s", g.Observer, plural(g.Lost, "event"), g.From, g.To, g.Why)
	}
	return fmt.Sprintf("%s saw nothing from %s to %s: %s", g.Observer, g.From, g.To, g.Why)
}

// shorten keeps a long line of a log from filling the screen.
func shorten(s string) string {
	const most = 400
	if runes := []rune(s); len(runes) > most {
		return string(runes[:most]) + " …"
	}
	return s
}

// show is a duration or, where there is none, a dash.
func show(d *Duration) string {
	if d == nil {
		return unseen
	}
	return d.String()
}
