package scenarios

import (
	"slices"
	"strings"
)

// key describes one key of a scenario. The decoder's messages, the defaults, the ranges, the JSON Schema and
// docs/scenario.md are all made from this one table.
type key struct {
	path     string
	doc      string
	def      string   // the default, as it would be written; "" for none
	defNote  string   // when the default applies, or what it is if it is no fixed value
	low      string   // the least value allowed, as it would be written; "" for no bound
	high     string   // the greatest value allowed
	enum     []string // the only values allowed
	defs     []string // the default of a list of words
	pattern  string   // a regular expression that the text matches; for a map or a list, each of its keys or elements
	required bool
	anyText  bool     // a map's values may be any scalar: a number or a truth value is kept as it is written
	aka      []string // words that people write for it
}

// keys holds the sections and keys in the order of declaration. It is never changed.
var keys = []key{
	{path: "name", required: true, pattern: namePattern,
		doc: "The scenario's name, as reports show it: at most 64 of a-z, 0-9, `.`, `_` and `-`, beginning with a letter or digit."},
	{path: "description", aka: []string{"desc", "about"},
		doc: "What the scenario shows, in a sentence or two. Reports quote it."},
	{path: "manager", def: ManagerAuto, enum: managers, aka: []string{"supervisor"},
		doc: "Who supervises the units: systemd's `system` manager, the `user`'s own systemd, a `private` systemd booted for the run, " +
			"restartbench's own small supervisor (`embedded`), or nobody (`none`: a command restarts). `auto` chooses; see Managers."},
	{path: "service", pattern: servicePattern, aka: []string{"svc", "unit_name"},
		doc: "An existing service of that manager, such as `myapp.service`; without a suffix, `.service` is meant, as in systemctl(1). " +
			"Its socket units are found over D-Bus. It excludes `units`."},
	{path: "units", pattern: unitPattern, aka: []string{"services", "unit"},
		doc: "The scenario's own units, which exist for the run alone: each key is a unit file's name, ending in `.service` or " +
			"`.socket`, each value is the unit file's text, in the language of systemd.unit(5)."},
	{path: "needs", pattern: pathPattern, aka: []string{"requires", "depends"},
		doc: "The files, mostly programs, that have to be there before the run begins: each key is an absolute path, each value says how " +
			"to get it, such as `apt-get install nginx`."},

	{path: "override", aka: []string{"overrides", "drop_in"},
		doc: "What to set on the service under test and its sockets for the time of the run: runtime drop-ins, removed afterwards. It " +
			"needs a systemd."},
	{path: "override.socket", pattern: directivePattern, anyText: true,
		doc: "Directives of each of the service's socket units, as in `Backlog: 64`; see systemd.socket(5). Those of systemd.unit(5) " +
			"work as well."},
	{path: "override.service", pattern: directivePattern, anyText: true,
		doc: "Directives of the service, as in `TimeoutStopSec: 2`; see systemd.service(5). Those of systemd.unit(5), such as " +
			"`StartLimitBurst`, work as well."},

	{path: "load", required: true, aka: []string{"traffic", "attack"}, doc: "The traffic to send."},
	{path: "load.target", pattern: urlPattern, aka: []string{"url", "uri", "endpoint"},
		doc: "The http or https URL to request. Exactly one of `target` and `targets` is needed."},
	{path: "load.targets", aka: []string{"urls"},
		doc: "A file of requests in vegeta's http or json target format, sent in turn. A relative path starts at the working directory."},
	{path: "load.rate", def: "200", low: "0.01", high: "100000", aka: []string{"rps", "qps", "requests_per_second"},
		doc: "Requests a second. The load is open-loop: requests are sent on schedule, whether or not earlier ones were answered."},
	{path: "load.duration", def: "6s", low: "100ms", high: "24h", aka: []string{"length", "for"},
		doc: "How long to send load, after the warm-up. It must leave time for the last restart to settle."},
	{path: "load.connections", def: ConnectionsMixed, enum: []string{ConnectionsFresh, ConnectionsKeepalive, ConnectionsMixed},
		aka: []string{"conns"},
		doc: "`fresh` opens a connection for each request, `keepalive` reuses connections, `mixed` sends half of the requests either way."},
	{path: "load.method", def: "GET", defNote: "with `target`", pattern: tokenPattern, aka: []string{"verb"},
		doc: "The HTTP method. Requests from a `targets` file have their own."},
	{path: "load.headers", pattern: tokenPattern, aka: []string{"header"}, doc: "Headers to add to each request."},
	{path: "load.body", aka: []string{"data", "payload"}, doc: "The body of each request. `method` must be given with it. No placeholders."},
	{path: "load.timeout", def: "5s", low: "1ms", high: "1h",
		doc: "The longest that one request may take, from connecting to the last byte of the answer."},
	{path: "load.max_in_flight", low: "1", high: "1000000", defNote: "20000, or what the limits on descriptors and ports allow",
		aka: []string{"max_connections", "workers", "concurrency"},
		doc: "The most requests under way at once. When a service stalls for so long that they are, a request that is due waits until " +
			"another has ended; the report says how many did."},
	{path: "load.expect_status", low: "100", high: "599", aka: []string{"status", "statuses", "expect"}, defNote: "any status below 500",
		doc: "The statuses that count as ok. A complete answer with another status below 500 counts as http_unexpected."},
	{path: "load.unix_socket", pattern: `^(/|\{\{)`, aka: []string{"socket", "unix"},
		doc: "Connect to this unix socket (an absolute path), whatever the URL's host says."},
	{path: "load.tls", doc: "How the certificates of https targets are checked."},
	{path: "load.tls.ca", aka: []string{"cacert", "ca_file"},
		doc: "A PEM file of the authorities to trust instead of the system's. A relative path starts at the working directory."},
	{path: "load.tls.server_name", defNote: "the URL's host", aka: []string{"sni"},
		doc: "The name to ask for (SNI), which the certificate must carry."},
	{path: "load.tls.insecure", def: "false", aka: []string{"skip_verify"}, doc: "Accept any certificate."},

	{path: "restart", aka: []string{"deploy", "reload"}, doc: "What happens to the service mid-run."},
	{path: "restart.action", def: ActionRestart, defNote: "`command` when `command` is given",
		enum: actions, aka: []string{"type", "kind"},
		doc: "`restart`, `reload`, `reload-or-restart` and `stop` ask the manager to do so, `kill` sends `signal` to the service's main " +
			"process, `restart-socket` restarts its sockets, `crash-loop` kills it whenever it comes up, until the manager gives up, " +
			"`daemon-reexec` has systemd execute itself anew, `command` runs `command`, and `none` makes this a plain load test: the " +
			"rest of `restart` is then ignored."},
	{path: "restart.unit", defNote: "`service`, or the only one in `units`", aka: []string{"service"}, doc: "The service to restart."},
	{path: "restart.signal", def: "SIGKILL", defNote: "with `action: kill`", enum: signals, doc: "The signal that `kill` sends."},
	{path: "restart.command", aka: []string{"cmd", "exec", "run"},
		doc: "The command that restarts the service: a list of the program and its arguments. No shell reads it."},
	{path: "restart.at", def: "2s", low: "100ms", high: "24h", aka: []string{"after", "delay"},
		doc: "When to request the first restart, counted from the end of the warm-up. What comes before it is the baseline."},
	{path: "restart.times", def: "1", low: "1", high: "1000", aka: []string{"count", "repeat", "n"}, doc: "How many times to restart."},
	{path: "restart.every", def: "3s", low: "100ms", high: "24h", aka: []string{"interval", "period"},
		doc: "The time from one restart's request to the next one's, when there are several: at least `settle` and 500ms."},
	{path: "restart.timeout", def: "30s", low: "1ms", high: "1h", doc: "The longest that one restart may take before it counts as failed."},
	{path: "restart.identity", pattern: urlPattern,
		doc: "An http or https URL whose answer names the process that gives it (a PID, a boot time). It is fetched before and " +
			"after each restart: a changed answer proves that the service restarted."},

	{path: "journal", aka: []string{"log", "logs"}, doc: "What to look for in what the service logs, and systemd about it, during the run."},
	{path: "journal.patterns", defs: listeningFailures, defNote: "failures to listen; see Log patterns", aka: []string{"pattern"},
		doc: "Go regular expressions (RE2), each found anywhere in a line and in any case: a line that one of them matches is a " +
			"finding. `[]` for none."},

	{path: "warmup", def: "500ms", low: "0s", high: "1h", aka: []string{"warm_up"},
		doc: "How long to send load before anything counts. 0s for none."},
	{path: "settle", def: "1s", low: "100ms", high: "1h", aka: []string{"settled"},
		doc: "How long every request must be well again after a restart for the service to count as recovered. At low rates it takes " +
			"as long as 50 requests take."},
}

const (
	namePattern = `^[a-z0-9][a-z0-9._-]{0,63}$`
	unitPattern = `^[A-Za-z0-9:_.\\-]+(@[A-Za-z0-9:_.\\-]+)?\.(service|socket)$`
	urlPattern  = `^[Hh][Tt][Tt][Pp][Ss]?://`
	// What Finish makes of a service's name: systemd.unit(5), with the suffix left out as in systemctl(1).
	servicePattern   = `^[A-Za-z0-9:_.\\-]+(@[A-Za-z0-9:_.\\-]+)?$`
	pathPattern      = `^/`
	directivePattern = `^[A-Z][A-Za-z0-9]*$`

	tokenPattern = "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$" // RFC 9110, section 5.6.2
)

var (
	managers = []string{ManagerAuto, ManagerSystem, ManagerUser, ManagerPrivate, ManagerEmbedded, ManagerNone}
	actions  = []string{ActionRestart, ActionReload, ActionReloadOrRestart, ActionStop, ActionKill, ActionRestartSocket,
		ActionCrashLoop, ActionDaemonReexec, ActionCommand, ActionNone}
)

// signals are those that make sense to send to a service, by the names of signal(7).
var signals = []string{"SIGABRT", "SIGALRM", "SIGBUS", "SIGFPE", "SIGHUP", "SIGILL", "SIGINT", "SIGKILL", "SIGPIPE", "SIGQUIT",
	"SIGSEGV", "SIGTERM", "SIGUSR1", "SIGUSR2"}

// describe is the table's entry for path; elements of lists have their list's.
func describe(path string) (key, bool) {
	path, _, _ = strings.Cut(path, "[")
	i := slices.IndexFunc(keys, func(k key) bool { return k.path == path })
	if i < 0 {
		return key{}, false
	}
	return keys[i], true
}

// name is the last word of k's path.
func (k key) name() string { return k.path[strings.LastIndex(k.path, ".")+1:] }

// sectionPaths are the paths of the sections, in the order of the reference.
var sectionPaths = []string{"override", "load", "load.tls", "restart", "journal"}

// members are the keys directly inside a section.
func members(section string) []key {
	var all []key
	for _, k := range keys {
		if k.path != section && parent(k.path) == section {
			all = append(all, k)
		}
	}
	return all
}

// Default is the default of the key at a dotted path, as load.rate, in the words of a scenario file; "" where there is none.
func Default(path string) string {
	k, _ := describe(path)
	return k.def
}
