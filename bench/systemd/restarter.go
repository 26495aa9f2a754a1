package systemd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	sd "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"
)

// Action is a way to disturb a service.
type Action string

// The actions.
const (
	ActionRestart         Action = "restart"
	ActionReload          Action = "reload"
	ActionReloadOrRestart Action = "reload-or-restart"
	ActionStop            Action = "stop"           // the next connection has the socket start it again
	ActionKill            Action = "kill"           // a signal to the main process
	ActionRestartSocket   Action = "restart-socket" // a mistake worth measuring: it fails while the service runs, and disarms the socket
	ActionCrashLoop       Action = "crash-loop"     // kill it whenever it comes up, until systemd gives up
	ActionDaemonReexec    Action = "daemon-reexec"  // systemd replaces itself
)

// Actions are all of them.
func Actions() []Action {
	return []Action{ActionRestart, ActionReload, ActionReloadOrRestart, ActionStop, ActionKill, ActionRestartSocket,
		ActionCrashLoop, ActionDaemonReexec}
}

// Restarter does one action to one service.
type Restarter struct {
	Conn   *Conn
	Action Action
	Unit   string
	Signal syscall.Signal // for ActionKill; 0: SIGKILL
}

// ErrNoSocket is the error of ActionRestartSocket for a service without one.
var ErrNoSocket = errors.New("it has no socket unit")

// Restart does it, and returns when the job has ended, or for ActionKill when the signal is sent. ctx bounds the wait. A job
// that ended otherwise than done is a *JobError.
func (r *Restarter) Restart(ctx context.Context) error {
	switch r.Action {
	case ActionRestart, ActionReload, ActionReloadOrRestart, ActionStop:
		return r.Conn.Job(ctx, string(r.Action), r.Unit)
	case ActionKill:
		return r.Conn.Kill(ctx, r.Unit, r.signal())
	case ActionRestartSocket:
		return r.restartSocket(ctx)
	case ActionCrashLoop:
		return r.crashLoop(ctx)
	case ActionDaemonReexec:
		return r.Conn.Reexec(ctx)
	}
	return fmt.Errorf("action %q is none of systemd's: choose one of %s", r.Action, actionList())
}

func actionList() string {
	var names []string
	for _, a := range Actions() {
		names = append(names, string(a))
	}
	return strings.Join(names, ", ")
}

func (r *Restarter) signal() syscall.Signal {
	if r.Signal == 0 {
		return syscall.SIGKILL
	}
	return r.Signal
}

// Steps says what Restart does, one line a request.
func (r *Restarter) Steps() []string {
	switch r.Action {
	case ActionRestart, ActionReload, ActionReloadOrRestart, ActionStop:
		return []string{jobText(string(r.Action), r.Unit)}
	case ActionKill:
		return []string{fmt.Sprintf("D-Bus: KillUnit(%s, main, %s)", r.Unit, unix.SignalName(r.signal()))}
	case ActionRestartSocket:
		return []string{"D-Bus: RestartUnit(each socket unit of " + r.Unit + ", replace), and wait for the job"}
	case ActionCrashLoop:
		return []string{fmt.Sprintf("D-Bus: KillUnit(%s, main, SIGKILL) whenever it runs, until systemd starts it no more", r.Unit)}
	case ActionDaemonReexec:
		return []string{"D-Bus: Reexecute(), and wait until systemd answers again"}
	}
	return nil
}

func jobText(job, unit string) string {
	return fmt.Sprintf("D-Bus: %s(%s, replace), and wait for the job", methods[job], unit)
}

// Kill sends a signal to a service's main process.
func (c *Conn) Kill(ctx context.Context, unit string, signal syscall.Signal) error {
	return c.kill(ctx, unit, sd.Main, signal)
}

func (c *Conn) kill(ctx context.Context, unit string, who sd.Who, signal syscall.Signal) error {
	doing := fmt.Sprintf("send %s to %s", unix.SignalName(signal), unit)
	return c.call(ctx, doing, unit, func(ctx context.Context, l *link) error {
		return l.KillUnitWithTarget(ctx, unit, who, int32(signal))
	})
}

// restartSocket restarts every socket of the service, one after the other; their errors are joined.
func (r *Restarter) restartSocket(ctx context.Context) error {
	s, err := r.Conn.Describe(ctx, r.Unit)
	if err != nil {
		return err
	}
	if len(s.Sockets) == 0 {
		return &Error{Doing: "restart the socket of " + r.Unit, Unit: r.Unit, Err: ErrNoSocket}
	}
	for _, socket := range s.Sockets {
		err = errors.Join(err, r.Conn.Job(ctx, jobRestart, socket.Name))
	}
	return err
}

// crashKills bounds a crash loop whose limits never bite, as with StartLimitIntervalSec=0.
const crashKills = 100

// crashPatience is how long a crash loop waits for the next start, beyond RestartSec=.
const crashPatience = 5 * time.Second

// LimitError says that a crash loop came to no end, or that nothing started the service again.
type LimitError struct {
	Unit  string
	Kills int
	Why   string
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("crash-loop %s: no start limit was hit after %d kills: %s", e.Unit, e.Kills, e.Why)
}

// crashLoop kills the service until it, or a socket of it, has failed for good.
func (r *Restarter) crashLoop(ctx context.Context) error {
	s, err := r.Conn.Describe(ctx, r.Unit)
	if err != nil {
		return err
	}
	killed := s.InvocationID
	for kills := 1; kills <= crashKills; kills++ {
		err := r.Conn.Kill(ctx, r.Unit, syscall.SIGKILL)
		if ignoreGone(err) != nil {
			return err
		}
		limit, again, err := r.nextStart(ctx, s, killed)
		switch {
		case err != nil || limit:
			return err
		case again == "":
			return &LimitError{r.Unit, kills, "nothing starts it again; set Restart=, or send load to its socket"}
		}
		killed = again
	}
	return &LimitError{r.Unit, crashKills, "StartLimitIntervalSec= may be 0, or too short"}
}

// nextStart waits until the service has started anew, or never will. again is the new start's invocation.
func (r *Restarter) nextStart(ctx context.Context, s *Service, killed string) (limit bool, again string, err error) {
	end := time.Now().Add(s.RestartDelay + crashPatience)
	for {
		now, err := r.look(ctx, s)
		switch {
		case err != nil:
			return false, "", err
		// The service is at its limit a moment before its socket is: with sockets, that moment is no end yet.
		case now.socket || now.service && len(s.Sockets) == 0:
			return true, "", nil
		case now.running != "" && now.running != killed:
			return false, now.running, nil
		case time.Now().After(end):
			return now.service, "", nil
		}
		if err := pause(ctx, pollEvery); err != nil {
			return false, "", &Error{Doing: "crash-loop " + r.Unit, Unit: r.Unit, Err: err}
		}
	}
}

// crashState is how far a crash loop has come.
type crashState struct {
	service, socket bool   // are at a limit
	running         string // the invocation that has a main process
}

func (r *Restarter) look(ctx context.Context, s *Service) (now crashState, err error) {
	all, err := r.Conn.Properties(ctx, r.Unit)
	if err != nil {
		return now, err
	}
	p := properties(all)
	if p.number("MainPID") != 0 {
		now.running = p.invocation()
	}
	now.service = atLimit(p.text("Result"))
	for _, socket := range s.Sockets {
		all, err := r.Conn.Properties(ctx, socket.Name)
		if err != nil {
			return now, err
		}
		p := properties(all)
		now.socket = now.socket || p.text("ActiveState") == "failed" && atLimit(p.text("Result"))
	}
	return now, nil
}

// atLimit knows the results that mean: systemd starts it no more (systemd.service(5), systemd.socket(5)).
func atLimit(result string) bool {
	return slices.Contains([]string{"start-limit-hit", "service-start-limit-hit", "trigger-limit-hit"}, result)
}

// Reexec has systemd execute itself anew, and returns when the new one has loaded its units.
func (c *Conn) Reexec(ctx context.Context) error {
	before, err := c.unitsLoaded(ctx)
	if err != nil {
		return err
	}
	// systemd answers only to refuse (org.freedesktop.systemd1(5)). So nobody waits for the answer alone.
	asked, cancel := context.WithCancel(ctx)
	defer cancel()
	refused := make(chan *dbus.Call, 1)
	err = c.call(ctx, "daemon-reexec", "", func(_ context.Context, l *link) error {
		l.calls.Object(busName, managerPath).GoWithContext(asked, managerInterface+".Reexecute", 0, refused)
		return nil
	})
	if err != nil {
		return err
	}
	for {
		if after, err := c.unitsLoaded(ctx); err == nil && after != before {
			return nil
		}
		select {
		case call := <-refused:
			err := c.bus.explain(ctx, ctx, "daemon-reexec", "", call.Err)
			if errors.Is(err, ErrDenied) {
				return err
			}
		case <-time.After(pollEvery):
		case <-ctx.Done():
			return &Error{Doing: "daemon-reexec", User: c.bus.User, Kind: ErrHangs, Err: context.Cause(ctx)}
		}
	}
}

// unitsLoaded is the moment at which systemd last loaded its units. (UnitsLoadStart is that of the boot, for ever.)
func (c *Conn) unitsLoaded(ctx context.Context) (us uint64, err error) {
	err = c.read(ctx, "reach "+c.bus.String(), "", func(ctx context.Context, l *link) error {
		return l.manager(ctx, "UnitsLoadTimestampMonotonic").Store(&us)
	})
	return us, err
}
