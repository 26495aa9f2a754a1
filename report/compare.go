package report

import (
	"fmt"
	"slices"
	"unicode/utf8"
)

// row is a row of the side by side table.
type row struct {
	label string
	cell  func(*Report) string
}

// sideBySide shows several runs in the columns of one table, or more where they do not fit, and each one's verdict below.
func sideBySide(reports []*Report) view {
	rows := sideBySideRows(reports)
	v := view{title: fmt.Sprintf("%d runs side by side", len(reports))}
	names := labels(reports)
	for first := 0; first < len(reports); {
		t := firstColumn(rows)
		used := width(t, 0)
		for i := first; i < len(reports); i++ {
			t.addColumn(names[i], reports[i], rows)
			used += width(t, i-first+1)
			if used > columns && i > first {
				t.dropColumn()
				break
			}
		}
		first += len(t.header) - 1
		v.tables = append(v.tables, t)
	}
	for i, rep := range reports {
		v.facts = append(v.facts, verdictFact(names[i], rep))
	}
	return v
}

func sideBySideRows(reports []*Report) []row {
	rows := []row{
		{"exposed", func(r *Report) string { return number(r.Proof.Exposed) }},
		{"dropped", func(r *Report) string { return number(r.Phases[1].Dropped + r.Phases[2].Dropped) }},
	}
	for _, outcome := range occurred(reports) {
		rows = append(rows, row{"  " + outcome, func(r *Report) string { return number(r.dropped(outcome)) }})
	}
	rows = append(rows, unitRows(reports)...)
	return append(rows,
		row{"5xx", func(r *Report) string { return number(r.Phases[1].HTTP5xx + r.Phases[2].HTTP5xx) }},
		row{"held", func(r *Report) string { return orUnseen(r.Held, func(h Held) string { return number(h.Requests) }) }},
		row{"longest hold", func(r *Report) string { return orUnseen(r.Held, longestHold) }},
		row{"p95 before", func(r *Report) string { return show(r.Phases[0].Latency.P95) }},
		row{"p95 during", func(r *Report) string { return show(r.Phases[1].Latency.P95) }},
		row{"p95 after", func(r *Report) string { return show(r.Phases[2].Latency.P95) }},
		row{"outage", func(r *Report) string { return worst(r, func(a Restart) *Duration { return a.Outage }) }},
		row{"recovery", func(r *Report) string { return worst(r, func(a Restart) *Duration { return a.Recovery }) }},
		row{"95 % bound", func(r *Report) string { return orUnseen(r.Proof.Upper95, percent) }},
		row{"verdict", func(r *Report) string { return string(r.Verdict.Result) }},
	)
}

// unitRows are those that only some comparisons need.
func unitRows(reports []*Report) (rows []row) {
	if slices.ContainsFunc(reports, func(r *Report) bool { return r.SYN > 0 }) {
		rows = append(rows, row{"SYNs sent again", func(r *Report) string { return number(r.SYN) }})
	}
	if slices.ContainsFunc(reports, func(r *Report) bool { return slices.ContainsFunc(r.Sockets, isDisarmed) }) {
		rows = append(rows, row{"still armed", armedCell})
	}
	if slices.ContainsFunc(reports, func(r *Report) bool { return r.Scenario.Manager != reports[0].Scenario.Manager }) {
		rows = append(rows, row{"manager", func(r *Report) string { return r.Scenario.Manager }})
	}
	return rows
}

func isDisarmed(s Socket) bool { return s.disarmed() }

func armedCell(r *Report) string {
	switch {
	case slices.ContainsFunc(r.Sockets, isDisarmed):
		return "no"
	case len(r.Sockets) == 0 || slices.ContainsFunc(r.Sockets, func(s Socket) bool { return s.Armed == nil }):
		return unseen
	}
	return "yes"
}

func longestHold(h Held) string {
	if h.Requests == 0 {
		return unseen
	}
	return h.Longest.String()
}

func firstColumn(rows []row) table {
	t := table{header: []string{""}}
	for _, r := range rows {
		t.rows = append(t.rows, []string{r.label})
	}
	return t
}

func (t *table) addColumn(name string, rep *Report, rows []row) {
	t.header = append(t.header, name)
	for i, r := range rows {
		t.rows[i] = append(t.rows[i], r.cell(rep))
	}
}

func (t *table) dropColumn() {
	last := len(t.header) - 1
	t.header = t.header[:last]
	for i := range t.rows {
		t.rows[i] = t.rows[i][:last]
	}
}

// width is the width of a column in text, with the space around it.
func width(t table, column int) int {
	n := utf8.RuneCountInString(t.header[column])
	for _, r := range t.rows {
		n = max(n, utf8.RuneCountInString(r[column]))
	}
	return n + 2
}

// labels names each run by its scenario, numbered where that is not enough.
func labels(reports []*Report) []string {
	total, seen := map[string]int{}, map[string]int{}
	for _, rep := range reports {
		total[rep.Scenario.Name]++
	}
	var names []string
	for _, rep := range reports {
		name := rep.Scenario.Name
		if seen[name]++; total[name] > 1 {
			name = fmt.Sprintf("%s (%d)", name, seen[name])
		}
		names = append(names, name)
	}
	return names
}

// occurred lists the outcomes that dropped a request in any run, in the order they first appear.
func occurred(reports []*Report) []string {
	var all []string
	seen := map[string]bool{}
	for _, rep := range reports {
		for _, c := range rep.Drops {
			if !seen[c.Outcome] {
				seen[c.Outcome] = true
				all = append(all, c.Outcome)
			}
		}
	}
	return all
}

// dropped counts the drops of one outcome.
func (rep *Report) dropped(outcome string) uint64 {
	for _, c := range rep.Drops {
		if c.Outcome == outcome {
			return c.Count
		}
	}
	return 0
}

// worst is the longest of the restarts' times, of those that have one.
func worst(rep *Report, of func(Restart) *Duration) string {
	var longest *Duration
	for _, a := range rep.Restarts {
		if d := of(a); d != nil && (longest == nil || *d > *longest) {
			longest = d
		}
	}
	return show(longest)
}

func orUnseen[T any](v *T, show func(T) string) string {
	if v == nil {
		return unseen
	}
	return show(*v)
}
