package systemd

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strconv"
	"time"

	"github.com/godbus/dbus/v5"
)

// The jobs that a unit can be asked to do.
const (
	jobStart           = "start"
	jobStop            = "stop"
	jobRestart         = "restart"
	jobTryRestart      = "try-restart"
	jobReload          = "reload"
	jobReloadOrRestart = "reload-or-restart"
)

// methods are the D-Bus methods that enqueue jobs.
var methods = map[string]string{
	jobStart:           "StartUnit",
	jobStop:            "StopUnit",
	jobRestart:         "RestartUnit",
	jobTryRestart:      "TryRestartUnit",
	jobReload:          "ReloadUnit",
	jobReloadOrRestart: "ReloadOrRestartUnit",
}

// enqueue is go-systemd's method for a job.
func (l *link) enqueue(job string) func(ctx context.Context, unit, mode string, ended chan<- string) (int, error) {
	switch job {
	case jobStart:
		return l.StartUnitContext
	case jobStop:
		return l.StopUnitContext
	case jobRestart:
		return l.RestartUnitContext
	case jobTryRestart:
		return l.TryRestartUnitContext
	case jobReload:
		return l.ReloadUnitContext
	}
	return l.ReloadOrRestartUnitContext
}

// Job has a unit do a job and waits for its end. If that is any other than done, the error is a *JobError.
func (c *Conn) Job(ctx context.Context, job, unit string) error {
	doing := job + " " + unit
	ended := make(chan string, 1) // go-systemd stands still if nobody takes the result
	var id int
	var on *link
	err := c.call(ctx, doing, unit, func(ctx context.Context, l *link) (err error) {
		on = l
		id, err = l.enqueue(job)(ctx, unit, "replace", ended)
		return err
	})
	if err != nil {
		return err
	}
	select {
	case result := <-ended:
		return c.judge(ctx, job, unit, result)
	case <-on.lost:
	case <-ctx.Done():
		return &Error{Doing: doing, Unit: unit, User: c.bus.User,
			Err: fmt.Errorf("job %d has not ended: %w", id, context.Cause(ctx))}
	}
	select { // it may have ended just before
	case result := <-ended:
		return c.judge(ctx, job, unit, result)
	default:
		return c.outlast(ctx, job, unit, id)
	}
}

func (c *Conn) judge(ctx context.Context, job, unit, result string) error {
	if result == "done" {
		return nil
	}
	e := &JobError{Job: job, Unit: unit, Result: result, User: c.bus.User}
	if all, err := c.Properties(ctx, unit); err == nil {
		e.Cause = properties(all).text("Result")
	}
	return e
}

// pollEvery is how often to look where systemd sends no signals: while it executes itself anew, and without a connection.
const pollEvery = 10 * time.Millisecond

// outlast waits for a job's end on new connections, since the one that would have brought the result is gone. How the
// job ended has to be told from what became of the unit.
func (c *Conn) outlast(ctx context.Context, job, unit string, id int) error {
	for {
		all, err := c.Properties(ctx, unit)
		p := properties(all)
		switch {
		case err == nil && !pending(p, id):
			return c.conclude(ctx, job, unit, p)
		case err != nil && !errors.Is(err, ErrLost) && !errors.Is(err, ErrNoManager):
			return err
		}
		if err := pause(ctx, pollEvery); err != nil {
			return &Error{Doing: job + " " + unit, Unit: unit, User: c.bus.User, Kind: ErrLost, Err: err}
		}
	}
}

// pending reports whether a unit's Job property, of the type (uo), is that job.
func pending(p properties, id int) bool {
	pair, _ := p["Job"].([]any)
	if len(pair) != 2 {
		return false
	}
	at, _ := pair[1].(dbus.ObjectPath)
	return path.Base(string(at)) == strconv.Itoa(id)
}

func (c *Conn) conclude(ctx context.Context, job, unit string, p properties) error {
	reached := up(p.text("ActiveState"))
	if job == jobStop {
		reached = !reached
	}
	if reached {
		return nil
	}
	return c.judge(ctx, job, unit, "failed")
}

// pause waits, unless ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
