package systemd

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/godbus/dbus/v5"
)

// What an *Error can be about, for errors.Is.
var (
	ErrNoManager = errors.New("no systemd to talk to")
	ErrDenied    = errors.New("systemd denies it")
	ErrNoUnit    = errors.New("no such unit")
	ErrMasked    = errors.New("the unit is masked")
	ErrNotLoaded = errors.New("the unit is not loaded")
	ErrBadUnit   = errors.New("systemd cannot read the unit")
	ErrNoProcess = errors.New("no process to signal")
	ErrHangs     = errors.New("systemd does not answer")
	ErrLost      = errors.New("the connection to systemd was lost")
)

// Error is a request to systemd that failed. Its text is one line that says what to do.
type Error struct {
	Doing string // "restart app.service"
	Unit  string // empty: it was about no unit
	User  bool   // the user's manager said so
	Kind  error  // one of those above, or nil
	Err   error  // what systemd or the kernel said, or nil
}

func (e *Error) Error() string {
	parts := []string{e.Doing}
	if e.Kind != nil {
		parts = append(parts, e.Kind.Error())
	}
	if e.Err != nil {
		parts = append(parts, e.Err.Error())
	}
	text := strings.Join(parts, ": ")
	if hint := e.hint(); hint != "" {
		text += "; " + hint
	}
	return text
}

func (e *Error) Unwrap() []error {
	var all []error
	for _, err := range []error{e.Kind, e.Err} {
		if err != nil {
			all = append(all, err)
		}
	}
	return all
}

// hint says what to do about it.
func (e *Error) hint() string {
	ctl := systemctl(e.User)
	switch e.Kind {
	case ErrNoManager:
		if e.User {
			return "log in so that XDG_RUNTIME_DIR is set and a user manager runs, or use the private or the embedded manager"
		}
		return "boot this machine with systemd, or use the private or the embedded manager"
	case ErrDenied:
		return "run as root, or have polkit grant org.freedesktop.systemd1.manage-units to this user"
	case ErrNoUnit:
		return ctl + " list-unit-files shows those that there are"
	case ErrMasked:
		return ctl + " unmask " + e.Unit + " makes it startable again"
	case ErrNotLoaded:
		return "it has to run first: " + ctl + " start " + e.Unit
	case ErrBadUnit:
		return "systemd-analyze verify " + e.Unit + " shows the line"
	case ErrNoProcess:
		return "it has to run first: " + ctl + " start " + e.Unit
	case ErrHangs:
		return ctl + " is-system-running shows whether it answers at all"
	}
	return ""
}

func systemctl(user bool) string {
	if user {
		return "systemctl --user"
	}
	return "systemctl"
}

// kinds tells D-Bus errors by their names (org.freedesktop.systemd1(5), bus-common-errors.h in systemd's source).
var kinds = map[string]error{
	"org.freedesktop.systemd1.NoSuchUnit":                         ErrNoUnit,
	"org.freedesktop.systemd1.LoadFailed":                         ErrBadUnit,
	"org.freedesktop.systemd1.BadUnitSetting":                     ErrBadUnit,
	"org.freedesktop.systemd1.UnitMasked":                         ErrMasked,
	"org.freedesktop.systemd1.NotLoaded":                          ErrNotLoaded,
	"org.freedesktop.systemd1.NoSuchProcess":                      ErrNoProcess,
	"org.freedesktop.DBus.Error.AccessDenied":                     ErrDenied,
	"org.freedesktop.DBus.Error.AuthFailed":                       ErrDenied,
	"org.freedesktop.DBus.Error.InteractiveAuthorizationRequired": ErrDenied,
	"org.freedesktop.DBus.Error.ServiceUnknown":                   ErrNoManager,
	"org.freedesktop.DBus.Error.NameHasNoOwner":                   ErrNoManager,
	"org.freedesktop.DBus.Error.Spawn.ExecFailed":                 ErrNoManager,
	"org.freedesktop.DBus.Error.Spawn.ChildExited":                ErrNoManager,
	"org.freedesktop.DBus.Error.Spawn.ServiceNotFound":            ErrNoManager,
	"org.freedesktop.DBus.Error.NoReply":                          ErrHangs,
	"org.freedesktop.DBus.Error.Timeout":                          ErrHangs,
	"org.freedesktop.DBus.Error.Disconnected":                     ErrLost,
}

// explain makes an *Error of what a call returned. ctx is the call's own, whose end means that systemd hangs; outer is the
// caller's, whose end is the caller's affair.
func (b Bus) explain(outer, ctx context.Context, doing, unit string, err error) error {
	var known *Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	e := &Error{Doing: doing, Unit: unit, User: b.User, Err: err}
	var said dbus.Error
	switch {
	case outer.Err() != nil:
		e.Err = context.Cause(outer)
	case ctx.Err() != nil || errors.Is(err, context.DeadlineExceeded):
		e.Kind, e.Err = ErrHangs, fmt.Errorf("waited for %s", b.timeout())
	case errors.As(err, &said):
		e.Kind, e.Err = kinds[said.Name], errors.New(spoken(said))
		if e.Kind == ErrNoUnit && strings.HasSuffix(e.Err.Error(), "not loaded") {
			e.Kind = ErrNotLoaded // it has the same name
		}
	default:
		e.Kind = ErrLost // whatever else it is, there was no answer
	}
	return e
}

// spoken is the text of a D-Bus error, with its name if that says more.
func spoken(e dbus.Error) string {
	text := strings.TrimSuffix(e.Error(), ".")
	if strings.HasSuffix(e.Name, "InteractiveAuthorizationRequired") || text == "" {
		text = strings.TrimPrefix(e.Name[strings.LastIndex(e.Name, ".")+1:]+": "+text, ": ")
	}
	return text
}

// JobError is a job that ended otherwise than done.
type JobError struct {
	Job    string // "restart"
	Unit   string
	Result string // failed, timeout, dependency, canceled, skipped (JobRemoved in org.freedesktop.systemd1(5))
	Cause  string // the unit's own result (exit-code, timeout, start-limit-hit, …), if it failed
	User   bool
}

func (e *JobError) Error() string {
	text := fmt.Sprintf("%s %s: %s", e.Job, e.Unit, e.explanation())
	if e.Cause != "" && e.Cause != "success" {
		text += " (" + e.Cause + ")"
	}
	if e.Result == "failed" || e.Result == "timeout" || e.Result == "dependency" {
		text += "; " + systemctl(e.User) + " status " + e.Unit + " shows more"
	}
	return text
}

func (e *JobError) explanation() string {
	switch e.Result {
	case "failed":
		return "the job failed"
	case "timeout":
		return "the job's own time limit passed"
	case "dependency":
		return "a unit that it requires failed"
	case "canceled":
		return "another job took its place"
	case "skipped":
		return "the job did not apply to the unit's state"
	}
	return "the job's result is " + e.Result
}
