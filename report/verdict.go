package report

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/restartbench/restartbench/bench/timeline"
)

const (
	// LagBound is the lateness (sent − scheduled, 99th percentile) beyond which the generator is too slow to judge by.
	LagBound = 25 * time.Millisecond
	// AchievedBound is the least share of the scheduled requests that must have been sent.
	AchievedBound = 0.99
	// LateBound is the largest share of the exposed requests that may have gone out later than LagBound. A generator that
	// stalls while the service restarts misses the very moments that count.
	LateBound = 0.05
	// WaitedBound is how many requests, as a share of load.max_in_flight, may have waited for others to end. So many more
	// connections at most would the service have seen at once.
	WaitedBound = 0.05
	// ExposedLeast is how many requests must overlap a restart for a pass. With fewer, not even a service that drops every
	// second one would be found out with 95 % confidence: 0 of 4 bounds the probability at 53 %, 0 of 5 at 45 %.
	ExposedLeast = 5
)

// weight says what a finding makes of the verdict.
type weight uint8

const (
	doubts weight = iota // keeps a run from passing: something was not observed. What was seen to fail has failed all the same
	fails                // the service lost something
	voids                // the run proves nothing, not even what it saw fail
)

// finding is a Reason in the making.
type finding struct {
	weight weight
	text   string
	next   string // what to do about it, a step a line, or empty
}

// judgement gathers findings.
type judgement struct {
	r        *run
	rep      *Report
	restarts []restart
	base     baseline
	phases   [3]*phase
	found    []finding
	warnings []Note
	advice   []string // what to do about the warnings
}

// judge weighs what was found.
func judge(r *run, rep *Report, m *measures) (Verdict, []Note) {
	j := &judgement{r: r, rep: rep, restarts: m.restarts, base: m.base, phases: m.phases}
	j.run()
	j.generator()
	j.before()
	j.losses()
	j.aboutRestarts()
	j.exposure()
	j.inFlight()
	j.sockets()
	j.startLimits()
	j.consider()
	j.queue()
	j.readiness()
	// The heaviest first: they are what decided.
	slices.SortStableFunc(j.found, func(a, b finding) int { return int(b.weight) - int(a.weight) })
	return j.verdict(), j.warnings
}

func (j *judgement) verdict() Verdict {
	v := Verdict{Result: Pass, Reasons: []Reason{}, Next: []string{}}
	for _, f := range j.found {
		result := Inconclusive
		if f.weight == fails {
			result = Fail
		}
		if len(v.Reasons) == 0 {
			v.Result = result
		}
		v.Reasons = append(v.Reasons, Reason{result, f.text})
		v.advise(f.next)
	}
	for _, next := range j.advice {
		v.advise(next)
	}
	return v
}

// advise adds steps, one a line.
func (v *Verdict) advise(steps string) {
	for step := range strings.SplitSeq(steps, "\n") {
		if step != "" && !slices.Contains(v.Next, step) {
			v.Next = append(v.Next, step)
		}
	}
}

func (j *judgement) find(w weight, next, format string, args ...any) {
	j.found = append(j.found, finding{w, fmt.Sprintf(format, args...), next})
}

// run looks at how the recording ended.
func (j *judgement) run() {
	end := j.r.end
	switch {
	case end == nil:
		j.find(voids, "run it again", "the run file is truncated: its run was killed, and only what it had recorded by then is here")
	case end.Reason == timeline.Interrupted:
		j.find(voids, "let it run to its end", "the run was interrupted")
	case end.Reason == timeline.Failed:
		j.find(voids, "", "the run could not be finished: %s", end.Error)
	case j.r.loadEnd == nil:
		j.find(voids, "", "the run file does not tell when the load ended")
	case j.r.aborted > 0:
		j.find(doubts, "", "%s cut off by the end of the run", were(j.r.aborted, "request"))
	}
	if j.r.counted == 0 {
		j.find(voids, "", "no request was recorded")
	}
	asked := j.r.header.Scenario.Restarts
	switch made := len(j.restarts); {
	case made == 0:
		j.find(voids, "", "no restart was made")
	case made < asked && j.r.complete():
		j.find(doubts, "", "%d of %s made", made, were(uint64(asked), "restart"))
	}
}

const slowGenerator = "lower load.rate, or free the machine that sends the load"

// generator looks at the tool's own part: it never blames the service for its own lateness.
func (j *judgement) generator() {
	j.lateness()
	limited := uint64(0)
	for _, p := range j.rep.Phases {
		limited += p.ClientLimit
	}
	if limited > 0 {
		j.find(voids, "raise the limit (descriptors: ulimit -n), or lower load.rate", "%s failed for a limit of the generator's own machine (descriptors, ports or buffers)",
			plural(limited, "request"))
	}
	for _, g := range j.rep.Gaps {
		if g.Observer != loadObserver {
			continue
		}
		lost := "some requests were"
		if g.Lost > 0 {
			lost = were(g.Lost, "request")
		}
		j.find(voids, "", "%s not recorded: %s", lost, g.Why)
	}
}

// lateness looks at whether the generator kept to its schedule.
func (j *judgement) lateness() {
	l, bound, before, during := j.rep.Load, Duration(LagBound), j.phases[0], j.phases[1]
	late := j.unexcused(during.late)
	switch {
	case l.Scheduled > 0 && float64(l.Sent) < AchievedBound*float64(l.Scheduled) && l.Waited > 0:
		j.find(voids, raiseBound+"\n"+slowGenerator, "the generator fell behind: it sent %s of %s scheduled requests, and %s for others to end",
			number(l.Sent), number(l.Scheduled), waited(l.Waited))
	case l.Scheduled > 0 && float64(l.Sent) < AchievedBound*float64(l.Scheduled):
		j.find(voids, slowGenerator, "the generator fell behind: it sent %s of %s scheduled requests", number(l.Sent), number(l.Scheduled))
	case l.LagP99 > bound && l.Waited == 0:
		j.find(voids, slowGenerator, "the generator fell behind: 1 %% of its requests went out %s late or more (%s is tolerable)", l.LagP99, bound)
	case l.Waited > 0 && float64(j.unexcused(j.r.late)) > lagShare*float64(j.r.counted):
		j.find(voids, slowGenerator, "the generator fell behind: %s went out more than %s late, beside those that waited for others to end",
			plural(j.unexcused(j.r.late), "request"), bound)
	case j.crowded(before):
		j.find(voids, slowService, "%s went out more than %s late, because load.max_in_flight was reached without a restart: the service is not up to this load",
			of(before.late, before.Requests, "request")+" before the restart", bound)
	case late > 1 && float64(late) > LateBound*float64(during.Requests):
		j.find(doubts, slowGenerator, "the generator fell behind while the service restarted: %s went out more than %s late",
			of(late, during.Requests, "exposed request"), bound)
	}
}

const (
	slowService = "get the service well under this load first: lower load.rate, or raise load.max_in_flight"
	lagShare    = 0.01 // of all requests: that is what a 99th percentile means
)

// before looks at what the restart is compared with.
func (j *judgement) before() {
	before := j.rep.Phases[0]
	failed := before.Dropped + before.HTTP5xx + before.Unexpected
	switch {
	case failed > 0 && len(j.restarts) == 0:
		j.find(voids, "", "%s failed without any restart", of(failed, before.Requests, "request"))
	case failed > 0:
		j.find(voids, "get the service well under this load first", "%s failed before the restart, so that what the restart cost cannot be told apart",
			of(failed, before.Requests, "request"))
	case before.OK == 0 && len(j.restarts) > 0 && j.r.counted > 0:
		j.find(voids, "restart later (restart.at)", "no request was answered before the restart, so there is nothing to compare with")
	}
}

// losses looks at what clients lost.
func (j *judgement) losses() {
	during, after := j.rep.Phases[1], j.rep.Phases[2]
	if during.Dropped > 0 {
		j.find(fails, j.remedies(), "%s dropped", wereOf(during.Dropped, j.rep.Proof.Exposed, "exposed request"))
	}
	if after.Dropped > 0 {
		j.find(fails, j.remedies(), "%s dropped after things had settled", wereOf(after.Dropped, after.Requests, "request"))
	}
	if n := during.HTTP5xx + after.HTTP5xx; n > 0 {
		j.find(fails, "let the service be ready before it takes requests (Type=notify), and answer until it stops",
			"%s answered with 5xx", were(n, "request"))
	}
	if n := during.Unexpected + after.Unexpected; n > 0 {
		j.find(fails, "", "%s answered with an unexpected status", were(n, "request"))
	}
}

// exposure looks at whether there was anything to lose.
func (j *judgement) exposure() {
	if n := j.rep.Proof.Exposed; n < ExposedLeast && len(j.restarts) > 0 && j.rep.Proof.Dropped == 0 && j.r.complete() {
		j.find(doubts, "raise load.rate, or restart more often (restart.times)", "%s exposed to a restart, which proves nothing: %d is the least",
			onlyWere(n, "request"), ExposedLeast)
	}
}

// aboutRestarts looks at each restart. What is true of several is said once.
func (j *judgement) aboutRestarts() {
	var order []finding
	who := map[finding][]int{}
	for i := range j.restarts {
		for _, f := range j.about(&j.restarts[i]) {
			if who[f] == nil {
				order = append(order, f)
			}
			who[f] = append(who[f], j.restarts[i].N)
		}
	}
	for _, f := range order {
		if len(j.restarts) > 1 {
			j.find(f.weight, f.next, "%s: %s", restartNumbers(who[f]), f.text)
		} else {
			j.find(f.weight, f.next, "%s", f.text)
		}
	}
}

func (j *judgement) about(a *restart) (all []finding) {
	if a.until == forever && !j.r.complete() {
		return nil // the end of the run cut it off, which is said already
	}
	if j.replaces() && (a.Restarted == nil || !*a.Restarted) {
		all = append(all, unproved(a, j.r.header.Scenario.Unit))
	}
	if a.Result != timeline.Done {
		all = append(all, j.failedRestart(a))
	}
	if f, ok := j.unsettled(a); ok {
		all = append(all, f)
	}
	return all
}

// unproved voids the run only where something shows that nothing restarted. Where nothing shows either, a restart that
// seems to cost nothing cannot pass; but what was lost was lost.
func unproved(a *restart, unit string) finding {
	next := ""
	if unit == "" {
		next = "give restart.identity a URL whose answer names the process, such as its PID"
	}
	if a.Restarted != nil {
		return finding{voids, "nothing restarted: " + a.Evidence, next}
	}
	return finding{doubts, "no proof of a restart: " + a.Evidence, next}
}

// replaces tells whether the action is to make a new process answer.
func (j *judgement) replaces() bool {
	switch j.r.header.Scenario.Action {
	case "reload", "reload-or-restart", "restart-socket", "daemon-reexec":
		return false
	}
	return true
}

// failedRestart: a unit's restart that fails is the service's failure. Of a command nobody knows what its failure means, and
// a job that was never done shows nothing (systemd's results: org.freedesktop.systemd1(5), JobRemoved).
func (j *judgement) failedRestart(a *restart) finding {
	w, how, next := fails, "ended as "+a.Result, "see what the unit wrote"
	switch a.Result {
	case "failed", "did not complete":
		how = a.Result
	case "timeout":
		how = "timed out"
	case "dependency":
		how, next = "failed, because a unit that it depends on did not start", "see which of them failed: "+j.systemctl()+" list-dependencies "+j.r.header.Scenario.Unit
	case "canceled":
		w, how, next = doubts, "was canceled: another job took its place", "see who else starts and stops the units"
	case "skipped":
		w, how, next = doubts, "was skipped: it does not apply to the state that the unit was in", "see whether the unit ran"
	}
	if j.r.header.Scenario.Action == "command" {
		return finding{doubts, "the restart command " + join(how, a.Detail), "run the command by hand and see why it fails"}
	}
	return finding{w, "the " + deed(j.r.header.Scenario.Action) + " " + join(how, a.Detail), next}
}

// unsettled says why there is no recovery to report.
func (j *judgement) unsettled(a *restart) (f finding, ok bool) {
	if j.r.counted == 0 {
		return finding{}, false
	}
	went := max(0, j.r.settleUntil(a)-j.r.settleFrom(a))
	takes := Duration(j.r.settleTakes())
	end, longer := "the load ended", "lengthen load.duration"
	if a.until != forever {
		end, longer = "the next restart came", "lengthen restart.every"
	}
	switch a.unsettled {
	case tooShort:
		more := max(time.Second, time.Duration(takes)-went+time.Second-1).Truncate(time.Second)
		return finding{doubts, fmt.Sprintf("%s too soon to tell whether it recovered: that takes %s (%d requests or more at %g/s), and there were %s",
			end, takes, settleLeast, j.r.load.Rate, Duration(went)), fmt.Sprintf("%s by %s or more", longer, Duration(more))}, true
	case late:
		return finding{doubts, fmt.Sprintf("%s too soon to tell whether it recovered: all was well for the last %s, and must be for %s",
			end, Duration(a.well), takes), longer}, true
	case unmeasured:
		return finding{doubts, fmt.Sprintf("it may not have recovered: requests were slower than before, but %s before is too few to know (%d are enough)",
			plural(j.base.ok, "request"), baselineLeast), "restart later (restart.at), or raise load.rate"}, true
	case slower:
		return finding{fails, fmt.Sprintf("did not recover: every request was ok, but in no %s p95 returned to %s or less (before: %s)",
			takes, Duration(j.base.tolerable), Duration(j.base.p95)), "if it needs longer to warm up, " + longer}, true
	case failing:
		return finding{fails, fmt.Sprintf("did not recover: no %s passed without a failed request before %s, %s later",
			takes, end, Duration(went)), "if it needs longer to start, " + longer}, true
	}
	return finding{}, false
}

// sockets looks at whether the next restart would find its sockets. Traffic may be fine without: the service still has the one
// that it got.
func (j *judgement) sockets() {
	for i := range j.rep.Sockets {
		s := &j.rep.Sockets[i]
		switch {
		case s.Armed == nil && j.r.complete():
			j.find(doubts, "", "whether %s is still armed was not observed", s.Unit)
		case !s.disarmed():
		case s.gaveUp():
			j.find(fails, j.reopen(s), "%s failed with %s: its port is closed until somebody starts the socket again", s.Unit, s.Result)
		default:
			j.find(fails, j.rearm(s), "%s; the next restart of %s will refuse everything", join(s.Unit+" is no longer armed", s.Why), s.Service)
		}
	}
}

// rearm needs the service stopped: systemd starts no socket unit whose service runs.
func (j *judgement) rearm(s *Socket) string {
	if open(s.Active, s.Sub) {
		return fmt.Sprintf("join the two: Service= in %s, or Sockets= in %s", s.Unit, s.Service)
	}
	return fmt.Sprintf("restart the service, not its socket; to arm it again: %s stop %s, then %[1]s start %[3]s", j.systemctl(), s.Service, s.Unit)
}

func (j *judgement) reopen(s *Socket) string {
	return fmt.Sprintf("see why %s ended so often; then %s reset-failed %[1]s %[3]s, and %[2]s start %[3]s", s.Service, j.systemctl(), s.Unit)
}

func (j *judgement) systemctl() string {
	if j.r.header.Scenario.Manager == "user" {
		return "systemctl --user"
	}
	return "systemctl"
}

// startLimits looks at whether systemd refused a start.
func (j *judgement) startLimits() {
	for _, l := range j.rep.StartLimits {
		if l.Hit {
			j.find(fails, "restart less often, or raise StartLimitBurst= of the service", "%s hit its start limit: systemd refused a start after %s in %s",
				l.Unit, plural(l.Burst, "start"), span(l.Interval))
		}
	}
}
