package report

import (
	"fmt"
	"slices"

	"github.com/restartbench/restartbench/bench/timeline"
)

// summarise says in a sentence what happened and why, for a reader who sees nothing else.
func summarise(rep *Report) string {
	during, after := rep.Phases[1], rep.Phases[2]
	switch {
	case during.Requests+after.Requests+rep.Phases[0].Requests == 0:
		return "Nothing was measured."
	case len(rep.Restarts) == 0:
		return "No restart was made."
	}
	s := "No request met a restart"
	if during.Requests > 0 || after.Dropped > 0 {
		s = whileRestarting(rep, during)
	}
	if after.Dropped > 0 {
		s += fmt.Sprintf("; %s dropped after things had settled", were(after.Dropped, "request"))
	}
	if failed := during.HTTP5xx + during.Unexpected + after.HTTP5xx + after.Unexpected; failed > 0 {
		s += fmt.Sprintf("; %s answered with an error", were(failed, "request"))
	}
	if slices.ContainsFunc(rep.Restarts, func(a Restart) bool { return a.Recovered != nil && !*a.Recovered }) {
		s += "; the service did not recover"
	}
	if n := during.SYN + after.SYN; n > 0 {
		s += fmt.Sprintf("; %s to be sent again%s, and clients waited in steps of 1 s", had(n, "SYN"), queueClause(rep))
	}
	for i := range rep.Sockets {
		if k := &rep.Sockets[i]; k.disarmed() {
			s += "; " + k.disarming()
		}
	}
	return s + "."
}

func queueClause(rep *Report) string {
	if local(rep.Scenario.Address) {
		return ", because the accept queue was full"
	}
	return ""
}

func whileRestarting(rep *Report, during Phase) string {
	refused := during.Outcomes[timeline.Refused.String()]
	cut := during.Outcomes[timeline.Reset.String()] + during.Outcomes[timeline.EOF.String()] + during.Outcomes[timeline.Truncated.String()]
	other := during.Dropped - refused - cut
	meanwhile := meanwhile(rep.Scenario.Action)
	switch {
	case during.Dropped == 0:
		return "Nothing was dropped " + meanwhile + heldClause(rep, ": ")
	case refused > 0:
		return fmt.Sprintf("The port was closed %s: %s refused%s%s%s",
			meanwhile, were(refused, "connection"), overOutage(rep), and(cut, inFlight, "cut off"), and(other, plural1("request"), "dropped"))
	case other > 0:
		return fmt.Sprintf("%s dropped %s%s%s",
			were(during.Dropped, "request"), meanwhile, mostly(rep), heldClause(rep, "; "))
	}
	return fmt.Sprintf("The port stayed open%s, but %s cut off: the service exited without finishing what it had accepted",
		heldClause(rep, " and "), verb(cut, inFlight(cut)))
}

// mostly names the most frequent way in which requests were dropped.
func mostly(rep *Report) string {
	if len(rep.Drops) == 1 {
		return fmt.Sprintf(" (%s: %s)", rep.Drops[0].Outcome, rep.Drops[0].Meaning)
	}
	return fmt.Sprintf(" (mostly %s: %s)", rep.Drops[0].Outcome, rep.Drops[0].Meaning)
}

func overOutage(rep *Report) string {
	if len(rep.Restarts) == 1 && rep.Restarts[0].Outage != nil && *rep.Restarts[0].Outage > 0 {
		return fmt.Sprintf(" over %s", rep.Restarts[0].Outage)
	}
	return ""
}

func heldClause(rep *Report, lead string) string {
	switch {
	case rep.Held == nil || rep.Held.Requests == 0:
		return ""
	case rep.Held.Requests == 1:
		return fmt.Sprintf("%s1 request waited %s for the new process", lead, rep.Held.Longest)
	}
	return fmt.Sprintf("%s%s waited for the new process, the longest %s", lead, plural(rep.Held.Requests, "request"), rep.Held.Longest)
}

func and(n uint64, what func(uint64) string, how string) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(", and %s %s", verb(n, what(n)), how)
}

func plural1(noun string) func(uint64) string {
	return func(n uint64) string { return plural(n, noun) }
}

func inFlight(n uint64) string { return plural(n, "request") + " in flight" }
