package scenarios

import (
	"fmt"
	"maps"
	"math"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"
)

// rules checks what the table of keys cannot say: how values fit together. Each rule is skipped when a mistake in one of its
// values is known already.
func (c *checker) rules() {
	c.managerRule()
	c.serviceRule()
	c.overrideRule()
	c.needsRule()
	c.patternRules()
	c.unitRules()
	c.targetRule()
	c.requestRules()
	c.headerRules()
	c.socketRule()
	c.tlsRules()
	c.actionRule()
	c.managedActionRule()
	c.restartUnitRule()
	c.commandRules()
	c.timingRule()
	c.everyRule()
	c.volumeRule()
	c.placeholderRules()
}

// unitRules catches what is no unit's text at all. What the text says is for the supervisor to check.
func (c *checker) unitRules() {
	for _, name := range slices.Sorted(maps.Keys(c.Units)) {
		key, section := join("units", name), "[Service]"
		if strings.HasSuffix(name, ".socket") {
			section = "[Socket]"
		}
		if !c.sound(key) || hasLine(c.Units[name], section) {
			continue
		}
		hint := ""
		if !strings.Contains(strings.TrimSpace(c.Units[name]), "\n") {
			hint = "; write the unit file's text here, not its path"
		}
		c.fail(key, "has no %s section%s", section, hint)
	}
}

// shown is a duration for a message, which says so when it was not written by anyone.
func (c *checker) shown(path string, d Duration) string {
	if c.source != nil && !c.source.gives(path) {
		return d.String() + " (the default)"
	}
	return d.String()
}

func hasLine(text, want string) bool {
	for line := range strings.Lines(text) {
		if strings.TrimSpace(line) == want {
			return true
		}
	}
	return false
}

func (c *checker) targetRule() {
	if !c.sound("load.target", "load.targets") {
		return
	}
	switch target, targets := c.Load.Target, c.Load.Targets; {
	case target != "" && targets != "":
		c.fail("load.targets", "excludes load.target; remove one of them")
	case target != "":
		c.urlRule("load.target", target)
	case targets == "":
		c.fail("load.target", "is missing; write the URL to request, such as http://127.0.0.1:8080/")
	}
	if c.Restart.Identity != "" && c.sound("restart.identity") {
		c.urlRule("restart.identity", c.Restart.Identity)
	}
}

func (c *checker) urlRule(key, text string) {
	u, err := url.Parse(sample(text))
	switch {
	case !strings.Contains(text, "://") && !strings.HasPrefix(text, "/"):
		c.fail(key, "%q has no scheme; write http://%s", text, halfScheme.ReplaceAllString(text, ""))
	case err != nil:
		c.fail(key, "%q is no URL: %s", text, reason(err))
	case u.Scheme != "http" && u.Scheme != "https":
		c.fail(key, "%q is no http or https URL; write it as http://host:port/path%s", text, schemeHint(u.Scheme))
	case u.Hostname() == "":
		c.fail(key, "%q has no host; write it as %s://host:port/path", text, u.Scheme)
	case u.User != nil:
		c.fail(key, "has a user name in it; write it as load.headers, Authorization: Basic …")
	case u.Fragment != "":
		c.fail(key, "%q has a fragment, which is never sent; remove #%s", text, u.Fragment)
	case !portFits(u.Port()):
		c.fail(key, "port %s is out of range; it must be from 1 to 65535", u.Port())
	}
}

// halfScheme is a scheme that lost a character.
var halfScheme = regexp.MustCompile(`^https?[:/]/*`)

func schemeHint(scheme string) string {
	if scheme == "unix" {
		return ", and the socket's path as load.unix_socket"
	}
	return ""
}

func portFits(port string) bool {
	var number int
	n, err := fmt.Sscan(port, &number)
	return port == "" || n == 1 && err == nil && number >= 1 && number <= 65535
}

// reason is a url.Error without the operation and the URL, which the message has already.
func reason(err error) string {
	if e, ok := err.(*url.Error); ok {
		err = e.Err
	}
	return err.Error()
}

func (c *checker) requestRules() {
	if c.Load.Targets != "" {
		c.excludedByTargets("load.method", c.Load.Method)
		c.excludedByTargets("load.body", c.Load.Body)
		return
	}
	switch method, upper := c.Load.Method, strings.ToUpper(c.Load.Method); {
	case method == "" && !c.source.gives("load.method") || !c.sound("load.method"):
	case !token.MatchString(method):
		c.fail("load.method", "%q is no HTTP method; write one such as GET or POST", method)
	case upper != method && slices.Contains(methods, upper):
		c.fail("load.method", "%q is not %s: methods are case-sensitive; write %s", method, upper, upper)
	}
}

func (c *checker) excludedByTargets(key, text string) {
	if text != "" && c.sound("load.targets", key) {
		c.fail(key, "has no effect beside load.targets, whose requests have their own; remove it")
	}
}

var (
	methods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
	token   = regexp.MustCompile(tokenPattern)
)

func (c *checker) headerRules() {
	seen := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(c.Load.Headers)) {
		key, lower := join("load.headers", name), strings.ToLower(name)
		switch {
		case !c.sound(key):
		case seen[lower] != "":
			c.fail(key, "is given already, as %s; header names ignore case", seen[lower])
		case lower == "connection" || lower == "keep-alive":
			c.fail(key, "is not for a scenario to set; write load.connections: fresh, keepalive or mixed")
		case lower == "content-length" || lower == "transfer-encoding":
			c.fail(key, "follows from load.body; remove it")
		case strings.ContainsAny(c.Load.Headers[name], "\r\n"):
			c.fail(key, "has a line break in it; a header is one line")
		}
		seen[lower] = name
	}
}

// socketPathMax is the longest path that fits sockaddr_un, see unix(7).
const socketPathMax = 107

func (c *checker) socketRule() {
	const key = "load.unix_socket"
	switch socket := c.Load.UnixSocket; {
	case socket == "" || !c.sound(key):
	case !path.IsAbs(sample(socket)):
		c.fail(key, "%q is not absolute; write the whole path, such as /run/app.sock or {{dir}}/app.sock", socket)
	case len(socket) > socketPathMax && !strings.Contains(socket, "{{"):
		c.fail(key, "is %d bytes long; the kernel takes at most %d", len(socket), socketPathMax)
	}
}

func (c *checker) tlsRules() {
	if c.Load.TLS != (TLS{}) && c.Load.Target != "" && c.sound("load.target", "load.tls") &&
		!strings.HasPrefix(strings.ToLower(c.Load.Target), "https:") {
		c.fail("load.tls", "has no effect: load.target is not https; write https://, or remove load.tls")
	}
	if c.Load.TLS.Insecure && c.Load.TLS.CA != "" && c.sound("load.tls") {
		c.fail("load.tls.insecure", "accepts any certificate, so load.tls.ca has no effect; remove one of them")
	}
}

func (c *checker) actionRule() {
	const key = "restart.action"
	action := c.Restart.Action
	switch {
	case !c.sound(key, "restart.command"):
	case action == ActionCommand && len(c.Restart.Command) == 0:
		c.fail(key, "command needs restart.command; write the command as a list, such as [systemctl, restart, app]")
	case action != ActionCommand && len(c.Restart.Command) > 0:
		c.fail(key, "%s and restart.command exclude each other; remove one of them", action)
	case c.Restart.Signal != "" && action != ActionKill && c.sound("restart.signal"):
		c.fail("restart.signal", "has no effect with action %s; write action: kill, or remove it", action)
	}
}

func (c *checker) restartUnitRule() {
	if !c.sound("restart.action", "restart.unit", "restart.command", "units") || c.Restart.Action == ActionNone {
		return
	}
	if !c.sound("service") {
		return
	}
	if c.Service != "" {
		c.restartServiceRule()
		return
	}
	unit, services := c.Restart.Unit, c.services()
	manual := c.Restart.Action == ActionCommand
	switch {
	case strings.HasSuffix(unit, ".socket") && c.Units[unit] != "":
		c.fail("restart.unit", "%s is a socket; write the service's name", unit)
	case unit != "" && c.Units[unit] != "" || unit == "" && manual:
	case len(services) == 0 && !manual:
		c.fail("restart", "there is nothing to %s: give service, units with a .service, or restart.command, or write action: none", c.verb())
	case len(services) == 0:
		c.fail("restart.unit", "there is no %q in units; remove it: the command restarts the service", unit)
	case unit != "":
		c.fail("restart.unit", "there is no %q in units%s", unit, suggest(unit, services))
	default:
		c.fail("restart.unit", "is missing: there are several services; write one of %s", strings.Join(services, ", "))
	}
}

// verb is the action as something to do to a service.
func (c *checker) verb() string {
	if c.Restart.Action == ActionDaemonReexec {
		return "watch through a " + ActionDaemonReexec
	}
	return c.Restart.Action
}

func (c *checker) commandRules() {
	command := c.Restart.Command
	if len(command) == 0 || !c.sound("restart.command") {
		return
	}
	const key = "restart.command[0]"
	switch program := command[0]; {
	case strings.TrimSpace(program) == "":
		c.fail(key, "is empty; the first word is the program to run")
	case strings.ContainsAny(program, " \t\n"):
		c.fail(key, "%q would be one program's name: no shell reads it; write [%s]", program, strings.Join(strings.Fields(program), ", "))
	}
	for i, word := range command {
		if word == "&&" || word == "||" || word == "|" {
			c.fail(fmt.Sprintf("restart.command[%d]", i), "%q means nothing without a shell; write [sh, -c, %q]", word, strings.Join(command, " "))
		}
	}
}

// settleRequests is how many requests it takes at least to call a service settled.
const settleRequests = 50

// settling is how long the load must go on after a restart for the service to be seen settled.
func (c *checker) settling() (span time.Duration, why string) {
	span = time.Duration(c.Settle)
	if slow := time.Duration(settleRequests / c.Load.Rate * float64(time.Second)); slow > span {
		return slow, fmt.Sprintf(" (%d requests at %s a second)", settleRequests, plain(c.Load.Rate))
	}
	return span, ""
}

// timingRule makes sure that the load lasts until the last restart can have settled.
func (c *checker) timingRule() {
	if c.Restart.Action == ActionNone ||
		!c.sound("load.rate", "load.duration", "restart.action", "restart.at", "restart.times", "restart.every", "settle") {
		return
	}
	last := time.Duration(c.Restart.At) + time.Duration(c.Restart.Times-1)*time.Duration(c.Restart.Every)
	settling, why := c.settling()
	if needed := last + settling; needed >= time.Duration(c.Load.Duration) {
		raised := needed.Truncate(time.Second) + time.Second
		c.fail("load.duration", "%s is too short: the last restart comes at %s and takes %s%s to settle; raise it to %s",
			c.shown("load.duration", c.Load.Duration), Duration(last), Duration(settling.Round(time.Millisecond)), why, Duration(raised))
	}
}

// restartMin is the shortest time that a restart is granted beside the settling, when there are several.
const restartMin = 500 * time.Millisecond

func (c *checker) everyRule() {
	if c.Restart.Times < 2 || !c.sound("restart.every", "restart.times", "settle", "load.rate") {
		return
	}
	settling, why := c.settling()
	if needed := (settling + restartMin).Round(time.Millisecond); needed > time.Duration(c.Restart.Every) {
		c.fail("restart.every", "%s is too short: a restart takes %s%s to settle; raise it to %s",
			c.shown("restart.every", c.Restart.Every), Duration(settling.Round(time.Millisecond)), why, Duration(needed))
	}
}

// requestsMax bounds the run file: beyond it, even its columns fill a disk.
const requestsMax = 100_000_000

func (c *checker) volumeRule() {
	if !c.sound("load.rate", "load.duration") {
		return
	}
	switch requests := math.Floor(c.Load.Rate * time.Duration(c.Load.Duration).Seconds()); {
	case requests > requestsMax:
		c.fail("load.duration", "%s at %s a second is %s requests; a run holds at most %d",
			c.Load.Duration, plain(c.Load.Rate), plain(requests), requestsMax)
	case requests < 1:
		c.fail("load.duration", "%s is too short for a single request at %s a second", c.Load.Duration, plain(c.Load.Rate))
	}
}
