package bench

import (
	"context"
	"errors"
	"path/filepath"
	"strings"

	"github.com/restartbench/restartbench/bench/systemd"
	"github.com/restartbench/restartbench/bench/systemd/private"
	"github.com/restartbench/restartbench/scenarios"
)

// supervised is the Manager that is a systemd: the system's, the user's, or a private one that lives as long as the run.
type supervised struct {
	*systemd.Units
	config systemd.Config
	boot   *private.Config // nil: the manager is there
	system *private.System
}

func newSystemd(s *scenarios.Scenario, b *Bench, program Program) (Manager, error) {
	signal, err := signalOf(s)
	if err != nil {
		return nil, err
	}
	action := systemd.Action(s.Restart.Action)
	if s.Restart.Action == scenarios.ActionCommand || s.Restart.Action == scenarios.ActionNone {
		action = systemd.ActionRestart // not used: something else restarts
	}
	m := &supervised{config: systemd.Config{
		Bus:      systemd.Bus{User: b.kind == scenarios.ManagerUser},
		Clock:    b.clock,
		Files:    s.Units,
		Unit:     watched(s),
		Action:   action,
		Signal:   signal,
		Override: systemd.Override{Socket: s.Override.Socket, Service: s.Override.Service},
	}}
	if b.kind == scenarios.ManagerPrivate {
		m.boot = &private.Config{Shim: program.PrivateShim}
		return m, nil
	}
	m.Units, err = systemd.New(m.config)
	return m, err
}

// watched is the service that a run is about, which its manager looks up and its observers wait for: the one that is
// restarted, or, when nothing is to be restarted, the existing one or the first of the scenario's own.
func watched(s *scenarios.Scenario) string {
	if s.Restart.Unit != "" || s.Restart.Action != scenarios.ActionNone {
		return s.Restart.Unit
	}
	for _, name := range sortedKeys(s.Units) {
		if strings.HasSuffix(name, ".service") {
			return name
		}
	}
	return s.Service
}

// Start boots the private systemd if that is to be, and brings the units up.
func (m *supervised) Start(ctx context.Context) (err error) {
	if m.boot != nil {
		if m.system, err = private.Boot(ctx, *m.boot); err != nil {
			return err
		}
		m.config.Bus.Address = m.system.BusAddress()
		m.config.Dir = m.system.RuntimeDir()
		m.config.State = filepath.Join(m.system.Root(), "run/restartbench/runs")
		m.config.Command = m.system.Command
		if m.Units, err = systemd.New(m.config); err != nil {
			return err
		}
	}
	if m.boot == nil {
		// What a killed run left behind would be in the way of this one.
		if _, err := systemd.Clean(ctx, m.config.Bus, m.config.State); err != nil {
			return err
		}
	}
	return m.Units.Start(ctx)
}

// Close takes everything back.
func (m *supervised) Close() (err error) {
	if m.Units != nil {
		err = m.Units.Close()
	}
	if m.system != nil {
		err = errors.Join(err, m.system.Close())
	}
	return err
}
