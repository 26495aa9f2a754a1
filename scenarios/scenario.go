// Package scenarios says what to do in a run: which units to supervise, what load to send, how to restart.
//
// What flows in: YAML (a file of the user's or a built-in one) or flags. What flows out: a valid Scenario, or every
// mistake in one go, each with file, line, column, the key and what to write instead.
//
// A scenario is made in up to four steps, and a caller stops where it likes:
//
//	s, err := Decode(file, data)  // YAML → Scenario: keys and types are right, what was left out is zero
//	err = s.Set("load.rate", "500")  // flags over it, as many as there are
//	err = s.Finish()              // defaults filled in, and everything that can be wrong without running is checked
//	s, err = s.Expand(value)      // {{port}} and the like replaced: ready to run
//
// Parse is Decode and Finish in one. Without a file, start from new(Scenario), fill in fields, and Finish it.
package scenarios

// Scenario is what to do in one run. The table in keys.go describes each key, its default and its range.
type Scenario struct {
	Name        string            `yaml:"name"`
	Description string            `yaml:"description,omitempty"`
	Manager     string            `yaml:"manager,omitempty"` // auto, system, user, private, embedded or none
	Service     string            `yaml:"service,omitempty"` // an existing unit, as app.service
	Units       map[string]string `yaml:"units,omitempty"`   // or the scenario's own: unit file name → unit file text
	Needs       map[string]string `yaml:"needs,omitempty"`   // path of a file that has to be there → how to get it
	Override    Override          `yaml:"override,omitempty"`
	Load        Load              `yaml:"load"`
	Restart     Restart           `yaml:"restart,omitempty"`
	Journal     Journal           `yaml:"journal,omitempty"`
	Warmup      Duration          `yaml:"warmup,omitempty"` // load sent before anything counts
	Settle      Duration          `yaml:"settle,omitempty"` // how long all must be well again to count as recovered

	source *source // where the values came from; nil when no file and no Set was involved
}

// Override is what to set on the service under test and its sockets for the time of the run, as runtime drop-ins of systemd:
// directives and their values as in unit files.
type Override struct {
	Socket  map[string]string `yaml:"socket,omitempty"`
	Service map[string]string `yaml:"service,omitempty"`
}

// IsZero reports whether there is nothing to set.
func (o Override) IsZero() bool { return len(o.Socket)+len(o.Service) == 0 }

// Load is the traffic to send.
type Load struct {
	Target       string            `yaml:"target,omitempty"`        // a URL
	Targets      string            `yaml:"targets,omitempty"`       // or a file in vegeta's http or json target format
	Rate         float64           `yaml:"rate,omitempty"`          // requests a second
	Duration     Duration          `yaml:"duration,omitempty"`      // after the warm-up
	Connections  string            `yaml:"connections,omitempty"`   // fresh, keepalive or mixed
	Method       string            `yaml:"method,omitempty"`        // GET
	Headers      map[string]string `yaml:"headers,omitempty"`       // added to each request
	Body         string            `yaml:"body,omitempty"`          // of each request
	Timeout      Duration          `yaml:"timeout,omitempty"`       // of one request, connect to last byte
	MaxInFlight  int               `yaml:"max_in_flight,omitempty"` // requests under way at once
	ExpectStatus []int             `yaml:"expect_status,omitempty"` // complete answers with another status count as http_unexpected
	UnixSocket   string            `yaml:"unix_socket,omitempty"`   // connect here, whatever the URL's host says
	TLS          TLS               `yaml:"tls,omitempty"`
}

// TLS is how https targets are checked.
type TLS struct {
	CA         string `yaml:"ca,omitempty"`          // PEM file of the authorities to trust instead of the system's
	ServerName string `yaml:"server_name,omitempty"` // SNI and the name the certificate must carry
	Insecure   bool   `yaml:"insecure,omitempty"`    // accept any certificate
}

// Restart is what happens to the service mid-run.
type Restart struct {
	Action   string   `yaml:"action,omitempty"`   // one of the Action constants
	Unit     string   `yaml:"unit,omitempty"`     // default: Service, or the only one in Units
	Signal   string   `yaml:"signal,omitempty"`   // for kill: SIGKILL by default
	Command  []string `yaml:"command,omitempty"`  // run this instead, without a shell
	At       Duration `yaml:"at,omitempty"`       // after the warm-up
	Times    int      `yaml:"times,omitempty"`    // how often
	Every    Duration `yaml:"every,omitempty"`    // from one request to restart to the next
	Timeout  Duration `yaml:"timeout,omitempty"`  // of one restart
	Identity string   `yaml:"identity,omitempty"` // a URL whose answer names the process: it changes when the service restarted
}

// Journal is what to look for in the service's log.
type Journal struct {
	Patterns []string `yaml:"patterns,omitempty"` // Go regular expressions, in any case; a line that one matches is a finding
}

// What Restart.Action can be.
const (
	ActionRestart         = "restart"           // ask the manager to restart the unit
	ActionReload          = "reload"            // ask systemd to reload it, by its ExecReload=
	ActionReloadOrRestart = "reload-or-restart" // ask systemd to reload it if it can, or else restart it
	ActionStop            = "stop"              // ask the manager to stop the unit; a socket starts it again
	ActionKill            = "kill"              // send Restart.Signal to the unit's main process
	ActionRestartSocket   = "restart-socket"    // restart the unit's sockets: a mistake worth measuring
	ActionCrashLoop       = "crash-loop"        // kill the unit whenever it comes up, until the manager gives up
	ActionDaemonReexec    = "daemon-reexec"     // have systemd execute itself anew; the unit goes on
	ActionCommand         = "command"           // run Restart.Command
	ActionNone            = "none"              // no restart: a plain load test
)

// What Load.Connections can be.
const (
	ConnectionsFresh     = "fresh"     // one connection a request
	ConnectionsKeepalive = "keepalive" // connections are reused
	ConnectionsMixed     = "mixed"     // half and half
)

// What Manager can be.
const (
	ManagerAuto     = "auto"     // system for Service; user, private or embedded for Units; none otherwise
	ManagerSystem   = "system"   // systemd's system manager
	ManagerUser     = "user"     // the systemd of the user who runs restartbench
	ManagerPrivate  = "private"  // a throwaway systemd, booted in namespaces
	ManagerEmbedded = "embedded" // restartbench's own supervisor
	ManagerNone     = "none"     // restartbench supervises nothing: a command restarts
)
