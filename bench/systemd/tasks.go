package systemd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	sd "github.com/coreos/go-systemd/v22/dbus"
)

// task is one thing to do, and how to say it.
type task struct {
	text string
	do   func(context.Context) error
}

// Plan is what a run will do to the machine, in order, a line each: requests to systemd, files, restarts.
type Plan struct {
	Start   []string // before the load
	Restart []string // at each restart
	End     []string // at the end, however it comes
}

func (p Plan) String() string {
	var b strings.Builder
	for _, part := range []struct {
		title string
		lines []string
	}{{"to start", p.Start}, {"at each restart", p.Restart}, {"at the end, however it comes", p.End}} {
		fmt.Fprintf(&b, "%s:\n", part.title)
		if len(part.lines) == 0 {
			b.WriteString("  nothing\n")
		}
		for i, line := range part.lines {
			fmt.Fprintf(&b, "  %d. %s\n", i+1, line)
		}
	}
	return b.String()
}

func texts(tasks []task) []string {
	var all []string
	for _, t := range tasks {
		all = append(all, t.text)
	}
	return all
}

// workshop makes tasks for one set of changes.
type workshop struct {
	conn *Conn
	changes
}

func (w workshop) job(job, unit string) task {
	return task{jobText(job, unit), func(ctx context.Context) error { return w.conn.Job(ctx, job, unit) }}
}

func (w workshop) reload() task {
	return task{"D-Bus: Reload(): systemd reads its unit files again", w.conn.Reload}
}

func (w workshop) resetFailed(units []string) task {
	return task{"D-Bus: ResetFailedUnit(" + strings.Join(units, "), ResetFailedUnit(") + ")", func(ctx context.Context) (err error) {
		for _, unit := range units {
			err = errors.Join(err, ignoreGone(w.conn.ResetFailed(ctx, unit)))
		}
		return err
	}}
}

// ignoreGone takes a unit that is not there for one that is in the state that was wanted.
func ignoreGone(err error) error {
	if errors.Is(err, ErrNoUnit) || errors.Is(err, ErrNotLoaded) || errors.Is(err, ErrNoProcess) {
		return nil
	}
	return err
}

func (w workshop) makeDir(path string) task {
	return task{"make the directory " + path, func(context.Context) error {
		if err := os.Mkdir(path, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		return nil
	}}
}

func (w workshop) write(path, text string) task {
	said := fmt.Sprintf("write %s:\n%s", path, indent(text))
	return task{said, func(context.Context) error { return writeOurs(path, w.ID, text) }}
}

func indent(text string) string {
	return "       | " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n       | ")
}

// confirm makes sure that systemd reads the drop-in, or the run would measure something else than it says.
func (w workshop) confirm(unit, file string) task {
	said := fmt.Sprintf("D-Bus: GetAll(%s), to see that systemd reads %s", unit, filepath.Base(file))
	return task{said, func(ctx context.Context) error {
		p, err := w.conn.loaded(ctx, unit)
		if err != nil {
			return err
		}
		read := slices.ContainsFunc(p.texts("DropInPaths"), func(one string) bool { return path.Base(one) == filepath.Base(file) })
		if !read {
			return fmt.Errorf("systemd does not read the drop-in %s of %s: is %s the directory of its runtime units?",
				file, unit, filepath.Dir(filepath.Dir(file)))
		}
		return nil
	}}
}

// takeUp has units that are up take up settings that have changed. Only a socket that is opened anew does so, and a socket
// unit does not start beside its running service; so when there is one among the changed, all stop, and the sockets come first.
func (w workshop) takeUp() []task {
	if !slices.ContainsFunc(w.Layers, isSocket) {
		var all []task
		for _, was := range w.Was {
			if was.Active && slices.Contains(w.Layers, was.Unit) {
				all = append(all, w.job(jobTryRestart, was.Unit))
			}
		}
		return all
	}
	var stops, starts []task
	for _, was := range w.Was { // sockets first: a stopped service must not be started by one
		stops = append(stops, w.job(jobStop, was.Unit))
		if was.Active {
			starts = append(starts, w.job(jobStart, was.Unit))
		}
	}
	return slices.Concat(stops, starts)
}

// undo takes back everything. It works after any part of it was done, or undone before.
func (w workshop) undo(applied bool) []task {
	var all []task
	for _, unit := range w.Own {
		all = append(all, w.stopOwn(unit))
	}
	if len(w.Own) > 0 {
		all = append(all, w.resetFailed(w.Own))
	}
	all = append(all, w.removeFiles()...)
	if len(w.Files) > 0 {
		all = append(all, w.reload())
	}
	if applied && len(w.Was) > 0 {
		all = append(all, w.resetFailed(w.units()))
		all = append(all, w.takeUp()...)
	}
	if len(w.Was) > 0 {
		all = append(all, w.restore())
	}
	return all
}

func (w workshop) units() []string {
	var names []string
	for _, was := range w.Was {
		names = append(names, was.Unit)
	}
	return names
}

func (w workshop) removeFiles() []task {
	var all []task
	for _, path := range slices.Backward(w.Files) {
		all = append(all, task{"remove " + path, func(context.Context) error { return removeOurs(path, w.ID) }})
	}
	for _, path := range slices.Backward(w.Dirs) {
		all = append(all, task{"remove the directory " + path, func(context.Context) error { return removeDir(path) }})
	}
	return all
}

// stopPatience is how long a unit of ours may take to stop before it is killed.
const stopPatience = 10 * time.Second

// stopOwn stops a unit of ours, if need be with SIGKILL.
func (w workshop) stopOwn(unit string) task {
	said := fmt.Sprintf("%s; after %s, KillUnit(%s, all, SIGKILL)", jobText(jobStop, unit), stopPatience, unit)
	return task{said, func(ctx context.Context) error {
		patient, cancel := context.WithTimeout(ctx, stopPatience)
		defer cancel()
		err := w.conn.Job(patient, jobStop, unit)
		if patient.Err() == nil || ctx.Err() != nil {
			return ignoreGone(err)
		}
		if err := w.conn.kill(ctx, unit, sd.All, syscall.SIGKILL); err != nil {
			return ignoreGone(err)
		}
		return ignoreGone(w.conn.Job(ctx, jobStop, unit))
	}}
}

// restore brings units of others back to what they were, where a run left them otherwise.
func (w workshop) restore() task {
	var states []string
	for _, was := range w.Was {
		states = append(states, was.Unit+" "+map[bool]string{true: "active", false: "inactive"}[was.Active])
	}
	said := "D-Bus: GetAll, and where it is not so any more, stop and start until it is: " + strings.Join(states, ", ")
	return task{said, w.restoreStates}
}

func (w workshop) restoreStates(ctx context.Context) error {
	now, err := w.states(ctx)
	if err != nil || slices.Equal(now, w.Was) {
		return err
	}
	if err := w.resetFailed(w.units()).do(ctx); err != nil {
		return err
	}
	closed := false // a socket that has to be opened, which its service must not be running for
	for i, was := range w.Was {
		closed = closed || isSocket(was.Unit) && was.Active && !now[i].Active
	}
	for i, was := range w.Was {
		if now[i].Active && (!was.Active || closed && !isSocket(was.Unit)) {
			err = errors.Join(err, w.job(jobStop, was.Unit).do(ctx))
		}
	}
	for _, was := range w.Was {
		if was.Active {
			err = errors.Join(err, w.job(jobStart, was.Unit).do(ctx))
		}
	}
	return err
}

// states are those of the units of others, now.
func (w workshop) states(ctx context.Context) ([]wasActive, error) {
	var now []wasActive
	for _, unit := range w.units() {
		all, err := w.conn.Properties(ctx, unit)
		if err != nil {
			return nil, err
		}
		now = append(now, wasActive{unit, up(properties(all).text("ActiveState"))})
	}
	return now, nil
}
