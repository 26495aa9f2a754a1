package report

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/restartbench/restartbench/bench/timeline"
)

// readyLate is how much later than its job's end a service may begin to answer before the report warns of it.
const readyLate = 200 * time.Millisecond

// A circumstance fails no run, because clients lost nothing by it. Beside what they did lose it is named as a reason; where
// they lost nothing, it is a warning.
type circumstance struct {
	at     Duration
	source string
	text   string // what the source did
	next   string
}

// circumstances are what may explain a loss.
func (j *judgement) circumstances() (all []circumstance) {
	if n := j.unaskedRestarts(); n > 0 {
		all = append(all, circumstance{j.rep.Restarts[0].Requested, j.rep.Scenario.Unit,
			fmt.Sprintf("was restarted automatically %s: it crashed or was killed", times(int(n))), "see why it ended: its log, or coredumpctl"})
	}
	const most = 3
	seen := map[string]bool{}
	for _, l := range j.rep.LogFindings {
		if l.Pattern == "" || len(j.rep.Restarts) == 0 || l.At < j.rep.Restarts[0].Requested || seen[l.Pattern] || len(seen) == most {
			continue
		}
		seen[l.Pattern] = true
		all = append(all, circumstance{l.At, l.Source, fmt.Sprintf("wrote %q", shorten(l.Text)), logRemedy(l.Text)})
	}
	return all
}

// unaskedRestarts are the automatic restarts beyond those that a kill asked for. A crash loop asks for all of them.
func (j *judgement) unaskedRestarts() uint64 {
	n := j.rep.AutoRestarts
	switch {
	case n == nil || len(j.rep.Restarts) == 0 || j.rep.Scenario.Action == "crash-loop":
		return 0
	case j.rep.Scenario.Action == "kill":
		return *n - min(*n, uint64(len(j.rep.Restarts)))
	}
	return *n
}

func logRemedy(line string) string {
	if strings.Contains(strings.ToLower(line), "address already in use") {
		return "see who else has the port: a service behind a socket unit must take that socket (LISTEN_FDS) and not bind its own"
	}
	return ""
}

// consider names the circumstances.
func (j *judgement) consider() {
	failed := false
	for _, f := range j.found {
		failed = failed || f.weight == fails
	}
	for _, c := range j.circumstances() {
		if failed {
			j.find(fails, c.next, "%s %s", c.source, c.text)
		} else {
			j.warn(c.at, c.source, "it "+c.text, c.next)
		}
	}
}

func (j *judgement) warn(at Duration, source, text, next string) {
	j.warnings = append(j.warnings, Note{At: at, Source: source, Text: text})
	j.advice = append(j.advice, next)
}

// queue warns of SYNs that were sent again: nothing is lost by it but time, so that it does not show in any outcome.
func (j *judgement) queue() {
	if j.rep.SYN == 0 {
		return
	}
	why := "as they are when the accept queue is full, or the network loses them"
	if local(j.rep.Scenario.Address) {
		why = "because the accept queue was full"
	}
	next := "raise Backlog= of the socket unit and net.core.somaxconn, which caps it, or make the service start faster"
	j.warn(0, "connections", fmt.Sprintf("%s sent again, %s: each makes a client wait 1 s or more", were(j.rep.SYN, "SYN"), why), next)
}

// local tells whether an address is on this machine, where no network loses anything.
func local(address string) bool {
	return strings.HasPrefix(address, "127.") || strings.HasPrefix(address, "[::1]")
}

// readiness warns of jobs that ended long before the service answered.
func (j *judgement) readiness() {
	var worst *restart
	n := uint64(0)
	for i := range j.restarts {
		a := &j.restarts[i]
		if !j.early(a) {
			continue
		}
		if n++; worst == nil || a.first-a.completed > worst.first-worst.completed {
			worst = a
		}
	}
	if worst == nil {
		return
	}
	text := fmt.Sprintf("the job was done after %s, but the service answered only after %s", show(worst.Job), show(worst.NewAnswer))
	if len(j.restarts) > 1 {
		text = fmt.Sprintf("the job was done long before the service answered, after %s; at restart %d, after %s against %s",
			of(n, uint64(len(j.restarts)), "restart"), worst.N, show(worst.Job), show(worst.NewAnswer))
	}
	why, next := j.whyEarly(worst)
	j.warn(worst.Requested, j.rep.Scenario.Unit, text+": "+why, next)
}

// early tells whether a's job ended long before the service answered, though a request waited for the answer meanwhile.
func (j *judgement) early(a *restart) bool {
	action := j.rep.Scenario.Action
	if action != "restart" && action != "reload-or-restart" || a.Job == nil || a.Result != timeline.Done || a.first == forever ||
		a.Recovery != nil && a.to-a.completed < readyLate {
		return false
	}
	return a.serving-readyLate >= a.completed && !j.r.wentDown(a.completed, a.first) && a.waiting
}

// wentDown tells whether the unit made a step down between two moments.
func (r *run) wentDown(from, to time.Duration) bool {
	return slices.ContainsFunc(r.units, func(u timeline.Unit) bool { return u.At > from && u.At < to && !up(u) })
}

// whyEarly blames the Type= where it is known.
func (j *judgement) whyEarly(a *restart) (why, next string) {
	switch kind := j.kind(a); kind {
	case "simple", "idle", "exec":
		return fmt.Sprintf("with Type=%s systemd does not wait until it is ready; Type=notify does", kind),
			"set Type=notify, and have the service say READY=1 when it can answer"
	case "notify", "notify-reload":
		return "with Type=" + kind + " systemd waits for READY=1, and the service said so too early",
			"have the service say READY=1 only when it can answer"
	case "":
		return "the manager does not wait until it is ready", ""
	default:
		return "with Type=" + kind + " systemd does not know when it is ready; Type=notify tells it", ""
	}
}

// kind is the restarted unit's Type=. A service that is running at once, without a start to wait for, is simple, whatever
// it is called.
func (j *judgement) kind(a *restart) string {
	if kind := j.rep.Scenario.Type; kind != "" {
		return kind
	}
	for i, u := range j.r.units {
		if u.At >= a.born {
			if u.Active == "active" && u.Sub == "running" && (i == 0 || j.r.units[i-1].Active != "activating" || j.r.units[i-1].Sub == "auto-restart") {
				return "simple"
			}
			return ""
		}
	}
	return ""
}
