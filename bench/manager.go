package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/restartbench/restartbench/bench/systemd"
	"github.com/restartbench/restartbench/bench/systemd/private"
	"github.com/restartbench/restartbench/bench/timeline"
	"github.com/restartbench/restartbench/scenarios"
)

// choose says which manager a scenario gets, and why.
func choose(s *scenarios.Scenario, program Program) (manager, why string) {
	switch {
	case s.Manager != scenarios.ManagerAuto:
		return s.Manager, "the scenario says so"
	case s.Service != "":
		return scenarios.ManagerSystem, s.Service + " is a unit that exists"
	case len(s.Units) == 0:
		return scenarios.ManagerNone, "a command restarts"
	}
	noUser := reachable(systemd.Bus{User: true})
	if noUser == nil {
		return scenarios.ManagerUser, "it can be reached"
	}
	noPrivate := bootable(program)
	if noPrivate == nil {
		return scenarios.ManagerPrivate, "no user's systemd can be reached, and this is root without a running systemd"
	}
	if what := s.NeedsSystemd(); what != "" {
		return scenarios.ManagerPrivate, what + " needs a systemd"
	}
	return scenarios.ManagerEmbedded, fmt.Sprintf("no systemd can be had (user: %v; private: %v)", noUser, noPrivate)
}

// reachable tries for a moment.
func reachable(bus systemd.Bus) error {
	_, err := ask(bus)
	return err
}

// ask returns the version of a systemd.
func ask(bus systemd.Bus) (version string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	conn, err := bus.Open(ctx)
	if err != nil {
		return "", err
	}
	version, err = conn.Version(ctx)
	return version, errors.Join(err, conn.Close())
}

// versionOf is the major version of a manager that is a systemd, or "". It is for the report alone: a systemd that cannot be
// asked will say so itself, when it matters.
func versionOf(manager string) (version string) {
	switch manager {
	case scenarios.ManagerSystem, scenarios.ManagerUser:
		version, _ = ask(systemd.Bus{User: manager == scenarios.ManagerUser})
	case scenarios.ManagerPrivate: // it will be the one that is installed
		out, _ := exec.Command("systemctl", "--version").Output()
		if words := strings.Fields(string(out)); len(words) > 1 {
			version = words[1]
		}
	}
	major, _, _ := strings.Cut(version, ".")
	return major
}

// bootable finds out by doing it: that takes a tenth of a second, and nothing less tells.
func bootable(program Program) error {
	if _, err := os.Stat("/run/systemd/system"); err == nil { // sd_booted(3)
		return errors.New("this machine runs systemd: use --manager system, as root")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	sys, err := private.Boot(ctx, private.Config{Shim: program.PrivateShim})
	if err != nil {
		return err
	}
	return sys.Close()
}

// manage makes the manager, and what restarts.
func (b *Bench) manage(program Program) (err error) {
	s := b.scenario
	switch b.kind {
	case scenarios.ManagerNone:
	case scenarios.ManagerEmbedded:
		b.manager, err = newEmbedded(s, b, program)
	default:
		b.manager, err = newSystemd(s, b, program)
	}
	if err != nil {
		return err
	}
	if b.manager != nil {
		b.restarter = b.manager
	}
	switch s.Restart.Action {
	case scenarios.ActionNone:
		b.restarter = nil
	case scenarios.ActionCommand:
		b.restarter, err = newCommand(s.Restart.Command, b.clock.Now, b.units.emit)
	}
	return err
}

// signalOf is what a kill sends; 0 for the manager's default.
func signalOf(s *scenarios.Scenario) (syscall.Signal, error) {
	if s.Restart.Signal == "" {
		return 0, nil
	}
	signal := unix.SignalNum(s.Restart.Signal)
	if signal == 0 {
		return 0, fmt.Errorf("restart.signal: %q is no signal of this system", s.Restart.Signal)
	}
	return signal, nil
}

// serviceType is the Type= of a unit's text: the last one counts, and systemd's default is simple.
func serviceType(text string) string {
	kind := "simple"
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), "Type="); ok {
			kind = strings.TrimSpace(value)
		}
	}
	return kind
}

// unitEvents passes on what the units do while a run records, and nothing before or after.
type unitEvents struct {
	mu   sync.Mutex
	sink func(timeline.Event)
}

func (u *unitEvents) to(sink func(timeline.Event)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.sink = sink
}

func (u *unitEvents) emit(e timeline.Event) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.sink != nil {
		u.sink(e)
	}
}
