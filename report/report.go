// Package report tells what a run file proves.
//
// What flows in: the events of a run (bench/timeline). What flows out: a Report, and its renderings. Analyze is pure: the
// same events give the same Report, to the byte. The renderers compute nothing.
//
// Analyze works in steps, a file each:
//
//  1. collect.go      reads the events but requests and log lines, and sorts them by kind
//  2. survey.go       reads the requests: how many there are, how well they kept to the schedule, and what was usual
//  3. restarts.go     finds the restarts, and what the unit and the identity URL show of each
//  4. settle.go       reads the requests again, and finds when things had settled after each restart, which bounds the phases
//  5. analyze.go      reads everything a last time, for what needs the phases:
//     phases.go       counts the requests of each phase and of each restart
//     held.go         tells which requests waited for a new process
//     transitions.go  joins each dropped request to the step of a unit under which it fell
//     logs.go         finds the log lines that tell something
//  6. proof.go        finds what proves each restart, and how much the counts prove
//  7. sockets.go      tells whether the sockets are still armed, and how near the start limits came
//  8. verdict.go      judges, and says what the judgement rests on; circumstances.go, what may explain it
//
// A run may be longer than memory, so that the requests are never all there at once: each reading keeps counts of them, and
// settle.go their fates, two bits each.
//
// The renderers share one view of a Report (view.go, unitview.go, compare.go), which text.go and markdown.go lay out.
package report

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/restartbench/restartbench/bench/timeline"
)

// Schema names the JSON rendering's layout. It changes when a field changes its meaning or goes away.
const Schema = "restartbench report 1"

// Report is what one run proves. A pointer that is nil was not observed.
type Report struct {
	Schema           string          `json:"schema" jsonschema_description:"Layout of this document."`
	Tool             string          `json:"tool" jsonschema_description:"Version of restartbench that recorded the run."`
	Host             timeline.Host   `json:"host" jsonschema_description:"Machine that sent the load."`
	Clock            timeline.Origin `json:"clock" jsonschema_description:"When the run began."`
	Scenario         Scenario        `json:"scenario" jsonschema_description:"What was run."`
	Verdict          Verdict         `json:"verdict" jsonschema_description:"The judgement and what led to it."`
	Summary          string          `json:"summary" jsonschema_description:"What happened, in a sentence."`
	Load             Load            `json:"load" jsonschema_description:"How well the generator kept to its schedule."`
	Phases           []Phase         `json:"phases" jsonschema_description:"before, during and after, in this order. Those of several restarts are pooled."`
	Restarts         []Restart       `json:"restarts" jsonschema_description:"Each restart, in the order of their requests."`
	Proof            Proof           `json:"proof" jsonschema_description:"How much the count of dropped requests proves."`
	Held             *Held           `json:"held" jsonschema_description:"Requests answered only after waiting for a restart. null: not observed."`
	Drops            []Class         `json:"drops" jsonschema_description:"Requests dropped during and after restarts, by outcome, most first."`
	Hidden           uint64          `json:"hidden_drops" jsonschema_description:"Keep-alive collisions among them: drops that clients which silently retry idempotent requests would hide."`
	Sockets          []Socket        `json:"sockets" jsonschema_description:"Each socket unit, and whether the service's next start would get its socket."`
	StartLimits      []StartLimit    `json:"start_limits" jsonschema_description:"How near units came to their start limits. Empty: not observed."`
	AutoRestarts     *uint64         `json:"automatic_restarts" jsonschema_description:"Restarts of the unit by its manager (Restart=) while the load went on. null: not observed."`
	Transitions      []Transition    `json:"transitions" jsonschema_description:"The steps of the units' states since the first restart was requested, with the requests that were dropped under each. Empty: not observed."`
	Unexplained      *uint64         `json:"unexplained_drops" jsonschema_description:"Those of the drops that fell under no step: the service was up and nothing happened to it, or its units were not seen. null: the unit was not watched."`
	SYN              uint64          `json:"syn_retransmits" jsonschema_description:"SYNs sent again in all phases, each a second or more of waiting. A full accept queue drops SYNs."`
	Gaps             []Gap           `json:"gaps" jsonschema_description:"What an observer could not see."`
	Warnings         []Note          `json:"warnings" jsonschema_description:"What a reader should know of the run."`
	Logs             []Note          `json:"logs" jsonschema_description:"The last lines, 20 at most, that units and restart commands wrote while restarts went on."`
	LogFindings      []Note          `json:"log_findings" jsonschema_description:"The first lines, 50 at most, of priority err or worse, or that match one of the scenario's patterns, while the load went on."`
	LogFindingsTotal uint64          `json:"log_findings_total" jsonschema_description:"How many such lines there were."`
}

// Scenario is what was run.
type Scenario struct {
	Name           string   `json:"name" jsonschema_description:"The scenario's name."`
	Description    string   `json:"description" jsonschema_description:"The scenario's own description."`
	Manager        string   `json:"manager" jsonschema_description:"Who supervised the units. none: nobody, a command restarts."`
	ManagerVersion string   `json:"manager_version,omitempty" jsonschema_description:"Version of systemd."`
	Why            string   `json:"why" jsonschema_description:"Why that manager."`
	Action         string   `json:"action" jsonschema:"enum=restart,enum=reload,enum=reload-or-restart,enum=stop,enum=kill,enum=restart-socket,enum=crash-loop,enum=daemon-reexec,enum=command,enum=none" jsonschema_description:"What is done."`
	Unit           string   `json:"unit" jsonschema_description:"The unit that is restarted. Empty with a command."`
	Type           string   `json:"type,omitempty" jsonschema_description:"The unit's Type=."`
	Command        []string `json:"command,omitempty" jsonschema_description:"The command that restarts, and its arguments."`
	Target         string   `json:"target" jsonschema_description:"The first URL, or the file of targets."`
	Address        string   `json:"address" jsonschema_description:"What was connected to: ip:port, or a unix socket's path."`
	Connections    string   `json:"connections" jsonschema:"enum=fresh,enum=keepalive,enum=mixed" jsonschema_description:"Which requests may use a connection that has served another."`
	Rate           float64  `json:"rate" jsonschema_description:"Requests a second."`
	Settle         Duration `json:"settle_s" jsonschema_description:"How long all must be well again after a restart. The settle window is longer at low rates."`
}

// Load is how well the generator did.
type Load struct {
	Scheduled   uint64   `json:"scheduled" jsonschema_description:"Requests that were due, warm-up included. 0: not recorded."`
	Sent        uint64   `json:"sent" jsonschema_description:"Requests that were sent, warm-up included."`
	Warmup      uint64   `json:"warmup" jsonschema_description:"The first of them, which belong to no phase."`
	Aborted     uint64   `json:"aborted" jsonschema_description:"Those cut off by the end of the run, which belong to no phase."`
	Lost        uint64   `json:"lost" jsonschema_description:"Those known to be missing in the run file."`
	MaxInFlight uint64   `json:"max_in_flight" jsonschema_description:"Requests that might be under way at once (load.max_in_flight). 0: not recorded."`
	Waited      uint64   `json:"waited" jsonschema_description:"Those that were due while so many were under way, and so went out late."`
	LagP99      Duration `json:"lag_p99_s" jsonschema_description:"99th percentile of the lag: sent minus scheduled."`
	LagMax      Duration `json:"lag_max_s" jsonschema_description:"The greatest lag."`
}

// Phase counts the requests of one phase.
type Phase struct {
	Name        string            `json:"name" jsonschema:"enum=before,enum=during,enum=after" jsonschema_description:"The phase."`
	Requests    uint64            `json:"requests" jsonschema_description:"Requests of the phase: the sum of its outcomes."`
	OK          uint64            `json:"ok" jsonschema_description:"Complete answers as expected."`
	Dropped     uint64            `json:"dropped" jsonschema_description:"Requests whose client got no complete answer."`
	SYN         uint64            `json:"syn_retransmits" jsonschema_description:"SYNs sent again."`
	HTTP5xx     uint64            `json:"http_5xx" jsonschema_description:"Complete answers with 5xx."`
	Unexpected  uint64            `json:"http_unexpected" jsonschema_description:"Complete answers outside expect_status."`
	ClientLimit uint64            `json:"client_limit" jsonschema_description:"Requests that failed for a limit of the generator's own machine."`
	Outcomes    map[string]uint64 `json:"outcomes" jsonschema_description:"Requests by outcome."`
	Statuses    map[string]uint64 `json:"statuses" jsonschema_description:"Complete answers by HTTP status."`
	Latency     Latency           `json:"latency" jsonschema_description:"Response times of ok requests."`
	Fresh       Kind              `json:"fresh" jsonschema_description:"Requests on a new connection."`
	Reused      Kind              `json:"reused" jsonschema_description:"Requests on a kept-alive connection."`
}

// Kind counts a phase's requests on one kind of connection.
type Kind struct {
	Requests uint64  `json:"requests" jsonschema_description:"Requests of this kind."`
	OK       uint64  `json:"ok" jsonschema_description:"Complete answers as expected."`
	Dropped  uint64  `json:"dropped" jsonschema_description:"Requests whose client got no complete answer."`
	Latency  Latency `json:"latency" jsonschema_description:"Response times of ok requests."`
}

// Latency is the response time of ok requests, from the moment each was due to its last byte: quantiles by nearest rank,
// from an HDR histogram of three digits, and the exact maximum. All are nil without an ok request.
type Latency struct {
	P50  *Duration `json:"p50_s" jsonschema_description:"Median. null: no request was ok."`
	P95  *Duration `json:"p95_s" jsonschema_description:"95th percentile."`
	P99  *Duration `json:"p99_s" jsonschema_description:"99th percentile."`
	P999 *Duration `json:"p999_s" jsonschema_description:"99.9th percentile."`
	Max  *Duration `json:"max_s" jsonschema_description:"The exact maximum."`
}

// Restart is one restart's own story.
type Restart struct {
	N         int       `json:"n" jsonschema_description:"Number of the restart, from 1."`
	Requested Duration  `json:"requested_s" jsonschema_description:"When it was requested, since the load began."`
	Result    string    `json:"result" jsonschema_description:"How the job or the command ended: done, or how it failed."`
	Detail    string    `json:"detail,omitempty" jsonschema_description:"The error behind a result other than done."`
	Job       *Duration `json:"job_s" jsonschema_description:"From the request to the end of the job or the command. null: it did not end."`
	NewAnswer *Duration `json:"new_answer_s" jsonschema_description:"From the request to the first answer of the new process. null: not observed."`
	Recovered *bool     `json:"recovered" jsonschema_description:"Whether things settled after it. null: there was too little load to tell."`
	Recovery  *Duration `json:"recovery_s" jsonschema_description:"From the request until things had settled. null: they were not seen to."`
	Outage    *Duration `json:"outage_s" jsonschema_description:"Between the moments at which the first and the last of its dropped requests were due, and no earlier than the request for the restart. null: none was dropped."`
	Exposed   uint64    `json:"exposed" jsonschema_description:"Requests that overlap this restart. One that overlaps several counts for each."`
	Dropped   uint64    `json:"dropped" jsonschema_description:"Exposed requests that were dropped."`
	HTTP5xx   uint64    `json:"http_5xx" jsonschema_description:"Exposed requests answered with 5xx."`
	Held      *uint64   `json:"held" jsonschema_description:"Exposed requests that were held. null: not observed."`
	Restarted *bool     `json:"restarted" jsonschema_description:"true: a new process answered after it. false: the old one did. null: not observed."`
	Evidence  string    `json:"evidence" jsonschema_description:"What shows it, or what is missing."`
}

// Proof is how much the dropped counts prove.
type Proof struct {
	Exposed        uint64   `json:"exposed" jsonschema_description:"Requests that overlap a restart, save those that the generator could not send."`
	Dropped        uint64   `json:"dropped" jsonschema_description:"Exposed requests that were dropped."`
	Upper95        *float64 `json:"upper95" jsonschema_description:"Exact (Clopper–Pearson) one-sided 95 % upper bound on the probability that an exposed request is dropped. null: none was exposed."`
	Restarts       uint64   `json:"restarts" jsonschema_description:"Restarts to which a request was exposed."`
	Dropping       uint64   `json:"restarts_with_drops" jsonschema_description:"Restarts that dropped a request."`
	RestartUpper95 *float64 `json:"restart_upper95" jsonschema_description:"The same bound on the probability that a restart drops any request. null: none was made under load."`
}

// Held says how many requests waited for a restart and were answered.
type Held struct {
	Requests uint64   `json:"requests" jsonschema_description:"Requests that were held. One that waited for several restarts counts once."`
	Longest  Duration `json:"longest_s" jsonschema_description:"The longest time from being sent to the answer among them."`
}

// Class counts the dropped requests of one outcome.
type Class struct {
	Outcome string `json:"outcome" jsonschema_description:"The outcome."`
	Count   uint64 `json:"count" jsonschema_description:"Requests that ended so."`
	Fresh   uint64 `json:"fresh" jsonschema_description:"Those on new connections."`
	Reused  uint64 `json:"reused" jsonschema_description:"Those on kept-alive connections."`
	Meaning string `json:"meaning" jsonschema_description:"What the outcome means."`
}

// Socket is a socket unit at the end of the run.
type Socket struct {
	Unit    string `json:"unit" jsonschema_description:"The socket unit."`
	Service string `json:"service" jsonschema_description:"The service that it passes its socket to."`
	Armed   *bool  `json:"armed" jsonschema_description:"Whether the service's next start would get the socket. null: not observed."`
	Active  string `json:"active" jsonschema_description:"The socket unit's state, in systemd's words. Empty: not observed."`
	Sub     string `json:"sub" jsonschema_description:"The same in detail: listening, or running while the service runs."`
	Result  string `json:"result" jsonschema_description:"success, or how it failed: service-start-limit-hit, resources and so on."`
	Why     string `json:"why" jsonschema_description:"What is wrong, if it is not armed."`
}

// StartLimit is how near a unit came to its start limit.
type StartLimit struct {
	Unit     string   `json:"unit" jsonschema_description:"The unit."`
	Starts   uint64   `json:"starts" jsonschema_description:"The most starts that were seen within one interval."`
	Burst    uint64   `json:"burst" jsonschema_description:"How many systemd allows in it (StartLimitBurst=)."`
	Interval Duration `json:"interval_s" jsonschema_description:"The interval (StartLimitIntervalSec=). 0: there is no limit."`
	Hit      bool     `json:"hit" jsonschema_description:"Whether systemd refused a start for it."`
}

// Transition is one step of a unit's state.
type Transition struct {
	At       Duration          `json:"at_s" jsonschema_description:"Since the load began."`
	Restart  int               `json:"restart" jsonschema_description:"The last restart requested before it."`
	After    Duration          `json:"after_request_s" jsonschema_description:"Since that restart was requested."`
	Unit     string            `json:"unit" jsonschema_description:"The unit that made the step."`
	Active   string            `json:"active" jsonschema_description:"Its state from then on, in systemd's words."`
	Sub      string            `json:"sub" jsonschema_description:"The same in detail. Empty: not seen."`
	Result   string            `json:"result,omitempty" jsonschema_description:"success, or how the unit failed."`
	Dropped  uint64            `json:"dropped" jsonschema_description:"Requests that were dropped under it."`
	Outcomes map[string]uint64 `json:"outcomes" jsonschema_description:"The same by outcome."`
}

// Gap is what an observer could not see.
type Gap struct {
	Observer string   `json:"observer" jsonschema_description:"Who could not see."`
	From     Duration `json:"from_s" jsonschema_description:"Since the load began."`
	To       Duration `json:"to_s" jsonschema_description:"Since the load began."`
	Lost     uint64   `json:"lost" jsonschema_description:"Events known to be lost. 0: unknown."`
	Why      string   `json:"why" jsonschema_description:"The cause."`
}

// Note is a line of text from somewhere.
type Note struct {
	At       Duration `json:"at_s" jsonschema_description:"Since the load began."`
	Source   string   `json:"source" jsonschema_description:"Who wrote it."`
	Text     string   `json:"text" jsonschema_description:"The line."`
	Priority string   `json:"priority,omitempty" jsonschema_description:"Of a log line: emerg, alert, crit, err, warning, notice, info or debug."`
	Pattern  string   `json:"pattern,omitempty" jsonschema_description:"Of a log finding: the pattern that it matches."`
}

// Result is a verdict's word.
type Result string

// The verdicts.
const (
	Pass         Result = "pass"
	Fail         Result = "fail"
	Inconclusive Result = "inconclusive"
)

// Verdict is the judgement.
type Verdict struct {
	Result  Result   `json:"result" jsonschema:"enum=pass,enum=fail,enum=inconclusive" jsonschema_description:"The judgement."`
	Reasons []Reason `json:"reasons" jsonschema_description:"What led to it, the decisive ones first. Empty: pass."`
	Next    []string `json:"next" jsonschema_description:"What to do about it, where something can be done."`
}

// Reason is one finding behind a verdict.
type Reason struct {
	Result Result `json:"result" jsonschema:"enum=fail,enum=inconclusive" jsonschema_description:"What this finding alone makes of the run."`
	Text   string `json:"text" jsonschema_description:"The finding."`
}

// Duration is a time.Duration that is seconds in JSON.
type Duration time.Duration

// MarshalJSON writes seconds, with as many digits as there are nanoseconds.
func (d Duration) MarshalJSON() ([]byte, error) {
	return strconv.AppendFloat(nil, time.Duration(d).Seconds(), 'f', -1, 64), nil
}

// UnmarshalJSON reads seconds.
func (d *Duration) UnmarshalJSON(data []byte) error {
	var s float64
	if err := json.Unmarshal(data, &s); err != nil {
		return err
	}
	*d = Duration(s * float64(time.Second))
	return nil
}
