// Package timeline is the run file: what bench writes down while it measures, and all that report ever sees.
//
// What flows in: events of the load, of restarts and of observers, each with its moment on one monotonic clock.
// What flows out: a stream of those events, Header first and End last. A stream without its End was cut short.
//
// The file is zstd-compressed JSON lines. Each line is an Event with exactly one field filled in. Moments are
// nanoseconds since the origin of the Header's clock; requests are stored in columns (see Requests).
package timeline

import "time"

// Version is the version of the run file's format. A reader refuses a file with a greater one.
const Version = 1

// Event is one line of a run file. Exactly one field is filled in.
type Event struct {
	Header     *Header     `json:"header,omitempty"`
	Load       *Load       `json:"load,omitempty"`
	LoadEnd    *LoadEnd    `json:"load_end,omitempty"`
	Requests   *Requests   `json:"requests,omitempty"`
	Restart    *Restart    `json:"restart,omitempty"`
	Unit       *Unit       `json:"unit,omitempty"`
	Armed      *Armed      `json:"armed,omitempty"`
	StartLimit *StartLimit `json:"start_limit,omitempty"`
	Identity   *Identity   `json:"identity,omitempty"`
	Log        *Log        `json:"log,omitempty"`
	Warning    *Warning    `json:"warning,omitempty"`
	Gap        *Gap        `json:"gap,omitempty"`
	End        *End        `json:"end,omitempty"`
}

// Header opens every run file.
type Header struct {
	Format   string   `json:"format"`  // always Format
	Version  int      `json:"version"` // of the format, see Version
	Tool     string   `json:"tool"`    // version of restartbench that recorded
	Host     Host     `json:"host"`
	Clock    Origin   `json:"clock"`
	Scenario Scenario `json:"scenario"`
}

// Format is the Header's mark by which a run file is known.
const Format = "restartbench run file"

// Host is the machine that sent the load.
type Host struct {
	Name   string `json:"name"`
	OS     string `json:"os"`
	Arch   string `json:"arch"`
	CPUs   int    `json:"cpus"`
	Kernel string `json:"kernel,omitempty"`
	BootID string `json:"boot_id,omitempty"` // files of one boot share their monotonic clock
}

// Scenario is what a report needs to know of the scenario that ran, beside the events.
type Scenario struct {
	Name           string        `json:"name"`
	Description    string        `json:"description,omitempty"`
	Manager        string        `json:"manager"`                   // system, user, private, embedded, or none for a command
	ManagerVersion string        `json:"manager_version,omitempty"` // systemd's, such as 252; empty: unknown, or not systemd
	Why            string        `json:"why,omitempty"`             // why that manager
	Units          []string      `json:"units,omitempty"`           // names of the units under test
	Unit           string        `json:"unit,omitempty"`            // the one that is restarted
	Type           string        `json:"type,omitempty"`            // its Type=, such as simple or notify; empty: unknown
	Action         string        `json:"action"`                    // what is done: restart, reload, reload-or-restart, stop, kill, restart-socket, crash-loop, daemon-reexec, command, or none
	Command        []string      `json:"command,omitempty"`         // the command, when Action is command
	Target         string        `json:"target"`                    // first URL, or the targets file
	Connections    string        `json:"connections"`               // fresh, keepalive or mixed
	Settle         time.Duration `json:"settle_ns"`                 // window that must be clean for things to count as settled
	Timeout        time.Duration `json:"timeout_ns"`                // of one request
	YAML           string        `json:"yaml,omitempty"`            // the whole scenario as it ran
	Restarts       int           `json:"restarts,omitempty"`        // how many were asked for
	Patterns       []string      `json:"patterns,omitempty"`        // log lines that match one of these are findings; Go regular expressions, case ignored
}

// Load says how requests are scheduled: request n is due at Began + n/Rate.
// The first Warmup requests are sent and recorded, and belong to no phase.
type Load struct {
	Began   time.Duration `json:"began_ns"`
	Rate    float64       `json:"rate"` // requests a second
	Warmup  uint64        `json:"warmup"`
	Address string        `json:"address,omitempty"` // what is connected to: ip:port or a unix socket's path

	MaxInFlight int `json:"max_in_flight,omitempty"` // requests that may be under way at once; 0: not recorded
}

// Due is the moment at which request seq should be sent.
func (l Load) Due(seq uint64) time.Duration {
	return l.Began + time.Duration(float64(seq)/l.Rate*float64(time.Second))
}

// LoadEnd says that no further request is scheduled: requests 0 to Scheduled-1 were due by At.
type LoadEnd struct {
	At        time.Duration `json:"at_ns"`
	Scheduled uint64        `json:"scheduled"`
	Waited    uint64        `json:"waited,omitempty"` // those that were due while Load.MaxInFlight were under way, and so went out late
}

// Restart is one step of one restart.
type Restart struct {
	N      int           `json:"n"` // counts from 1
	Step   RestartStep   `json:"step"`
	At     time.Duration `json:"at_ns"`
	Result string        `json:"result,omitempty"` // of a completed one: done, or how it failed
	Detail string        `json:"detail,omitempty"` // the error behind a Result other than done
}

// RestartStep is requested, then completed.
type RestartStep string

// The steps of a restart.
const (
	Requested RestartStep = "requested"
	Completed RestartStep = "completed"
)

// Done is the Result of a restart whose job or command succeeded.
const Done = "done"

// Unit is a unit's state, as its manager reports it, from At on.
// States are systemd's own words (systemctl --state=help).
type Unit struct {
	At           time.Duration `json:"at_ns"`
	Name         string        `json:"name"`
	Active       string        `json:"active"`                  // inactive, activating, active, deactivating, failed
	Sub          string        `json:"sub"`                     // dead, start, running, stop-sigterm, listening, …; empty: not seen, only that Active held
	MainPID      int           `json:"main_pid,omitempty"`      // 0: none
	InvocationID string        `json:"invocation_id,omitempty"` // changes with every start
	Result       string        `json:"result,omitempty"`        // success, exit-code, timeout, …
	NRestarts    int           `json:"n_restarts,omitempty"`    // automatic restarts (Restart=) since the service was last started by hand
}

// Identity is what the scenario's identity URL answers from At on. It names the process that answers, so a change proves
// a restart.
type Identity struct {
	At   time.Duration `json:"at_ns"`
	Text string        `json:"text"`
}

// Log is a line that a unit or a restart command wrote.
type Log struct {
	At       time.Duration `json:"at_ns"`
	Source   string        `json:"source"` // the unit's name, or "restart command"
	Text     string        `json:"text"`
	Priority string        `json:"priority,omitempty"` // syslog's, in journalctl's words: emerg, alert, crit, err, warning, notice, info, debug; empty: unknown
}

// Warning is something about the run that its reader should know.
type Warning struct {
	At     time.Duration `json:"at_ns"`
	Source string        `json:"source"`
	Text   string        `json:"text"`
}

// Gap is a stretch of time in which an observer could not see.
type Gap struct {
	Observer string        `json:"observer"`
	From     time.Duration `json:"from_ns"`
	To       time.Duration `json:"to_ns"`
	Why      string        `json:"why"`
	Lost     uint64        `json:"lost,omitempty"` // events known to be lost, 0 if that is unknown
}

// End closes a run file. Without it, the recording was cut short.
type End struct {
	At     time.Duration `json:"at_ns"`
	Reason EndReason     `json:"reason"`
	Error  string        `json:"error,omitempty"`
}

// EndReason says why a run ended.
type EndReason string

// The reasons for which a run ends.
const (
	Complete    EndReason = "complete"
	Interrupted EndReason = "interrupted"
	Failed      EndReason = "failed" // End.Error says how
)
