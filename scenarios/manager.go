package scenarios

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// NeedsSystemd is the key that only a systemd can carry out, as "restart.action: reload" or "override", or "" when there is none.
// For such a scenario, manager auto never means the embedded manager.
func (s *Scenario) NeedsSystemd() string {
	beyond := []string{ActionReload, ActionReloadOrRestart, ActionRestartSocket, ActionDaemonReexec}
	switch {
	case slices.Contains(beyond, s.Restart.Action):
		return "restart.action: " + s.Restart.Action
	case !s.Override.IsZero():
		return "override"
	case s.Service != "":
		return "service"
	}
	return ""
}

// unitNameMax is the longest name of a unit, see systemd.unit(5).
const unitNameMax = 255

var (
	unitName        = regexp.MustCompile(unitPattern)
	unitNameOrShort = regexp.MustCompile(servicePattern)
)

// serviceName completes a service's name as systemctl(1) does. What cannot be one stays as it is.
func serviceName(name string) string {
	if !unitNameOrShort.MatchString(name) || isUnit(name) || foreignKind(name) != "" {
		return name
	}
	return name + ".service"
}

func isUnit(name string) bool {
	return strings.HasSuffix(name, ".service") || strings.HasSuffix(name, ".socket")
}

func (c *checker) managerRule() {
	existing, own := c.Service != "", len(c.Units) > 0
	switch {
	case !c.sound("manager", "units", "service"):
	case c.Manager == ManagerNone && existing:
		c.fail("manager", "none supervises nothing, but service names a unit; write manager: auto, or remove service")
	case c.Manager == ManagerNone && own:
		c.fail("manager", "none supervises no units, but units are given; write manager: auto, or remove units")
	case (c.Manager == ManagerEmbedded || c.Manager == ManagerPrivate) && existing:
		c.fail("manager", "the %s manager knows no units but a scenario's own, and service names an existing one; write manager: system or user", c.Manager)
	case (c.Manager == ManagerEmbedded || c.Manager == ManagerPrivate) && !own:
		c.fail("manager", "the %s manager has nothing to supervise; give units, or write manager: auto", c.Manager)
	case (c.Manager == ManagerSystem || c.Manager == ManagerUser) && !own && !existing:
		c.fail("manager", "the %s manager has nothing to supervise; give service or units, or write manager: auto", c.Manager)
	}
}

func (c *checker) serviceRule() {
	const key = "service"
	switch name := c.Service; {
	case !c.sound(key):
	case name == "" && c.source.gives(key) && !c.source.overrides("units"): // or else they replace it
		c.fail(key, "is empty; write the service's name, such as myapp.service")
	case name == "":
	case len(c.Units) > 0 && c.sound("units"):
		c.fail(key, "excludes units: it names an existing unit; remove one of them")
	case strings.HasSuffix(name, ".socket"):
		c.fail(key, "%q is a socket; write the service's name, such as %s.service: its sockets are found", name, strings.TrimSuffix(name, ".socket"))
	case foreignKind(name) != "":
		c.fail(key, "%q is no service; write a name that ends in .service", name)
	case !unitName.MatchString(name):
		c.fail(key, "%s", misnamedService(name))
	case len(name) > unitNameMax:
		c.fail(key, "is %d bytes long; systemd takes at most %d", len(name), unitNameMax)
	}
}

// misnamedService says what is wrong with a name that no unit can have.
func misnamedService(name string) string {
	switch at := strings.LastIndex(name, "/"); {
	case at >= 0:
		return fmt.Sprintf("%q is a path; write the unit's name, %s", name, name[at+1:])
	case strings.Contains(name, "@.") || strings.HasSuffix(name, "@"):
		return fmt.Sprintf("%q is a template, and only instances run; write a name such as app@1.service", name)
	}
	return fmt.Sprintf("%q is no unit's name; write one such as myapp.service", name)
}

func (c *checker) overrideRule() {
	const key = "override"
	if c.Override.IsZero() || !c.sound("manager", "units", "service") {
		return
	}
	switch {
	case len(c.Units) > 0:
		c.fail(key, "is for a service that exists, and these are the scenario's own units: write it into the unit's text")
	case c.Service == "":
		c.fail(key, "there is no unit to set anything on; give service")
	}
}

// managedActionRule refuses actions that the manager does not know.
func (c *checker) managedActionRule() {
	const key, others = "restart.action", "write manager: system, user or private"
	what, ok := strings.CutPrefix(c.NeedsSystemd(), key+": ")
	if !ok || !c.sound("manager", "units", "service", key, "restart.command") {
		return
	}
	switch {
	case c.Manager == ManagerEmbedded:
		c.fail(key, "the embedded manager knows no %s; %s", what, others)
	case c.Manager == ManagerNone:
		c.fail(key, "with manager none only restart.command restarts; for %s give units, and %s", what, others)
	case what == ActionRestartSocket && len(c.Units) > 0 && !slices.ContainsFunc(c.unitNames(), isSocket):
		c.fail(key, "%s needs a .socket in units", what)
	}
}

func isSocket(name string) bool { return strings.HasSuffix(name, ".socket") }

// restartServiceRule is restartUnitRule for a scenario that names an existing unit.
func (c *checker) restartServiceRule() {
	if unit := c.Restart.Unit; unit != c.Service && c.sound("service", "restart.unit") {
		c.fail("restart.unit", "%q is not the service under test, %s; remove it, or name it as service", unit, c.Service)
	}
}

// oneLine reports whether a value stays on its line in a unit file.
func oneLine(value string) bool {
	return !strings.ContainsAny(value, "\r\n") && !strings.HasSuffix(value, `\`)
}

// needsRule keeps hints on one line: they end a message.
func (c *checker) needsRule() {
	for path, get := range c.Needs {
		if at := join("needs", path); strings.Contains(get, "\n") && c.sound(at) {
			c.fail(at, "has a line break in it; write in one line how to get %s", path)
		}
	}
}
