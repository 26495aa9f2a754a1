package bench

import (
	"context"
	"fmt"
	"syscall"
	"time"

	"github.com/restartbench/restartbench/bench/supervisor"
	"github.com/restartbench/restartbench/scenarios"
)

// embedded is the Manager that needs nothing but this program.
type embedded struct {
	*supervisor.Supervisor
	unit   string
	action string
	signal syscall.Signal
}

func newEmbedded(s *scenarios.Scenario, b *Bench, program Program) (Manager, error) {
	signal, err := signalOf(s)
	if err != nil {
		return nil, err
	}
	sup, err := supervisor.New(supervisor.Config{
		Units:  s.Units,
		Emit:   b.units.emit,
		Now:    b.clock.Now,
		Shim:   program.Shim,
		Dir:    b.dir,
		OwnDir: true,
	})
	if err != nil {
		return nil, err
	}
	return &embedded{sup, s.Restart.Unit, s.Restart.Action, signal}, nil
}

// Restart does the scenario's action to its unit.
func (e *embedded) Restart(ctx context.Context) error {
	switch e.action {
	case scenarios.ActionStop:
		return e.Stop(ctx, e.unit)
	case scenarios.ActionKill:
		return e.Kill(ctx, e.unit, e.signal)
	case scenarios.ActionCrashLoop:
		return e.crashLoop(ctx)
	}
	return e.Supervisor.Restart(ctx, e.unit)
}

// crashLoop kills the unit whenever it comes up, until the supervisor starts it no more.
func (e *embedded) crashLoop(ctx context.Context) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for killed := 0; ; {
		switch s := e.Status(e.unit); {
		case s.Active == "failed":
			return nil
		case s.MainPID != 0 && s.MainPID != killed:
			killed = s.MainPID
			// It may end by itself in this moment, which is as good.
			_ = e.Kill(ctx, e.unit, syscall.SIGKILL)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%s still comes up again: %w", e.unit, ctx.Err())
		}
	}
}
