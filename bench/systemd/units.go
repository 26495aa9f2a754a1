package systemd

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/restartbench/restartbench/bench/timeline"
)

// Config says which units a run is about, and what to do to them.
type Config struct {
	Bus   Bus
	Clock timeline.Clock `json:"-"`
	// Files are the texts of unit files by name: units of our own, which are there for the run alone. Without any, Unit is one
	// that exists.
	Files map[string]string
	// Unit is the service that Action is done to.
	Unit   string
	Action Action
	Signal syscall.Signal // for ActionKill; 0: SIGKILL
	// Override is laid over an existing Unit and its sockets for the time of the run.
	Override Override
	// Dir is the manager's directory of runtime units, as this program sees it; empty: where systemd.unit(5) says.
	Dir string
	// State is the directory for the records of runs; empty: /run/restartbench/runs, or below XDG_RUNTIME_DIR for a user's
	// manager. It has to be lost at boot, as Dir is.
	State string
	// Command makes the command that runs journalctl; nil: exec.CommandContext.
	Command func(ctx context.Context, name string, args ...string) *exec.Cmd `json:"-"`
}

// Units are the units of a run, as systemd supervises them. They fit bench's Manager and Observer.
type Units struct {
	Config
	id       string
	names    map[string]string // of our own units: the file's name → systemd's
	conn     *Conn
	services []string // systemd's names
	journal  *Journal
	todo     changes
	drops    map[string]string // unit of others → text of its drop-in
	record   *record
}

// New checks the configuration. It asks and changes nothing yet.
func New(c Config) (*Units, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	c.Dir, c.State = c.dir(), c.state()
	u := &Units{Config: c, id: strings.ToLower(rand.Text()[:8]), names: map[string]string{}, drops: map[string]string{}}
	for name := range c.Files {
		u.names[name] = "restartbench-" + u.id + "-" + name
	}
	return u, nil
}

func (c Config) check() error {
	own := len(c.Files) > 0
	switch {
	case !slices.Contains(Actions(), c.Action):
		return fmt.Errorf("action %q is none of systemd's: choose one of %s", c.Action, actionList())
	case !isService(c.Unit):
		return fmt.Errorf("unit %q is no service; its name ends in .service", c.Unit)
	case own && c.Files[c.Unit] == "":
		return fmt.Errorf("unit %s is not among the scenario's units: %s", c.Unit, strings.Join(slices.Sorted(maps.Keys(c.Files)), ", "))
	case own && !c.Override.empty():
		return errors.New("override is for units that exist; change the text of the scenario's own units instead")
	case c.Bus.Address != "" && (c.Dir == "" || c.State == ""):
		return fmt.Errorf("%s: Dir and State are not known there; set both", c.Bus)
	}
	for name := range c.Files {
		if !isService(name) && !isSocket(name) || filepath.Base(name) != name {
			return fmt.Errorf("%q is not a name of a service or a socket unit", name)
		}
	}
	return c.Override.check()
}

func (c Config) dir() string {
	switch {
	case c.Dir != "":
		return c.Dir
	case c.Bus.User:
		return filepath.Join(userRuntimeDir(), "systemd/user")
	}
	return "/run/systemd/system"
}

func (c Config) state() string {
	if c.State != "" {
		return c.State
	}
	return c.Bus.stateDir()
}

// stateDir is where records are by default.
func (b Bus) stateDir() string {
	if b.User {
		return filepath.Join(userRuntimeDir(), "restartbench/runs")
	}
	return "/run/restartbench/runs"
}

// Name is what the scenario calls a unit that systemd calls so.
func (u *Units) Name(unit string) string {
	for name, real := range u.names {
		if real == unit {
			return name
		}
	}
	return unit
}

// real is systemd's name for a unit of the scenario.
func (u *Units) real(name string) string {
	if real, ok := u.names[name]; ok {
		return real
	}
	return name
}

// Plan says what Start, Restart and Close will do. It changes nothing. Close the Units after it all the same.
func (u *Units) Plan(ctx context.Context) (Plan, error) {
	if err := u.prepare(ctx); err != nil {
		return Plan{}, err
	}
	w := workshop{u.conn, u.todo}
	end := append(texts(w.undo(len(u.todo.Layers) > 0)), "remove "+u.todo.path(u.State))
	return Plan{Start: texts(u.startTasks()), Restart: u.restarter().Steps(), End: end}, nil
}

// Describe finds the service under test and its sockets. Units of our own are there only between Start and Close.
func (u *Units) Describe(ctx context.Context) (*Service, error) {
	if err := u.open(ctx); err != nil {
		return nil, err
	}
	return u.conn.Describe(ctx, u.real(u.Unit))
}

// Start writes what has to be written and brings the units up. After an error, Close takes back what it did.
func (u *Units) Start(ctx context.Context) error {
	if err := u.prepare(ctx); err != nil {
		return err
	}
	// What the units say while they start belongs to the run. Observe tells if the journal cannot be read.
	u.journal = u.newJournal()
	u.journal.Mark(ctx)
	for _, t := range u.startTasks() {
		if err := t.do(ctx); err != nil {
			return u.withLastLines(ctx, err)
		}
	}
	return nil
}

// Restart does the action once.
func (u *Units) Restart(ctx context.Context) error { return u.restarter().Restart(ctx) }

func (u *Units) restarter() *Restarter {
	return &Restarter{Conn: u.conn, Action: u.Action, Unit: u.real(u.Unit), Signal: u.Signal}
}

// Observe watches the units and their journal until ctx is done. Call it between Start and Close.
func (u *Units) Observe(ctx context.Context, emit func(timeline.Event)) {
	watcher := &Watcher{Bus: u.Bus, Clock: u.Clock, Services: u.services, Name: u.Name}
	var all sync.WaitGroup
	all.Go(func() { watcher.Observe(ctx, emit) })
	all.Go(func() { u.journal.Observe(ctx, emit) })
	all.Wait()
}

// closeLimit bounds Close.
const closeLimit = 2 * time.Minute

// Close takes back everything that Start did, and brings existing units back to the state in which Start found them. What it
// could not take back stays recorded, for Clean.
func (u *Units) Close() error {
	if u.conn == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeLimit)
	defer cancel()
	err := u.undo(ctx)
	return errors.Join(err, u.conn.Close())
}

func (u *Units) undo(ctx context.Context) error {
	if u.record == nil {
		return nil
	}
	_, err := workshop{u.conn, u.record.changes}.takeBack(ctx, u.record.applied)
	if err != nil {
		u.record.close()
		err = fmt.Errorf("%w; what is left is recorded in %s: restartbench clean tries again", err, u.State)
	} else {
		err = u.record.remove(u.State)
	}
	u.record = nil
	return err
}

// takeBack undoes all that can be undone. It returns what was done.
func (w workshop) takeBack(ctx context.Context, applied bool) (done []string, err error) {
	for _, t := range w.undo(applied) {
		if failed := t.do(ctx); failed != nil {
			err = errors.Join(err, failed)
		} else {
			done = append(done, t.text)
		}
	}
	return done, err
}

func (u *Units) open(ctx context.Context) (err error) {
	if u.conn == nil {
		u.conn, err = u.Bus.Open(ctx)
	}
	return err
}

// prepare finds out what has to be done.
func (u *Units) prepare(ctx context.Context) error {
	if err := u.open(ctx); err != nil || u.todo.ID != "" {
		return err
	}
	todo := changes{ID: u.id, PID: os.Getpid(), Boot: bootID()}
	if len(u.Files) > 0 {
		u.prepareOwn(&todo)
	} else if err := u.prepareExisting(ctx, &todo); err != nil {
		return err
	}
	u.todo = todo
	return nil
}

func (u *Units) prepareOwn(todo *changes) {
	for _, name := range sorted(u.Files) {
		todo.Own = append(todo.Own, u.names[name])
		todo.Files = append(todo.Files, filepath.Join(u.Dir, u.names[name]))
		if isService(name) {
			u.services = append(u.services, u.names[name])
		}
	}
	if _, err := os.Stat(u.Dir); errors.Is(err, fs.ErrNotExist) {
		todo.Dirs = append(todo.Dirs, u.Dir)
	}
}

// sorted are names of units, sockets first: they have to be there before services start, and be gone before those stop.
func sorted(files map[string]string) []string {
	names := slices.Sorted(maps.Keys(files))
	slices.SortStableFunc(names, func(a, b string) int {
		return map[bool]int{true: 0, false: 1}[isSocket(a)] - map[bool]int{true: 0, false: 1}[isSocket(b)]
	})
	return names
}

func (u *Units) prepareExisting(ctx context.Context, todo *changes) error {
	s, err := u.conn.Describe(ctx, u.Unit)
	if err != nil {
		return err
	}
	u.Unit, u.services = s.Name, []string{s.Name}
	if len(u.Override.Socket) > 0 && len(s.Sockets) == 0 {
		return &Error{Doing: "override the socket of " + s.Name, Unit: s.Name, Err: ErrNoSocket}
	}
	for _, socket := range s.Sockets {
		u.layer(todo, socket.Unit, "Socket", u.Override.Socket)
	}
	u.layer(todo, s.Unit, "Service", u.Override.Service)
	return nil
}

// layer notes a unit's state, and the drop-in that it gets.
func (u *Units) layer(todo *changes, unit Unit, section string, settings map[string]string) {
	todo.Was = append(todo.Was, wasActive{unit.Name, up(unit.Active)})
	if len(settings) == 0 {
		return
	}
	dir := filepath.Join(u.Dir, unit.Name+".d")
	for _, d := range []string{u.Dir, dir} {
		if _, err := os.Stat(d); errors.Is(err, fs.ErrNotExist) && !slices.Contains(todo.Dirs, d) {
			todo.Dirs = append(todo.Dirs, d)
		}
	}
	// Drop-ins apply in the order of their names, wherever they are; the last one wins.
	todo.Files = append(todo.Files, filepath.Join(dir, "zz-restartbench-"+u.id+".conf"))
	todo.Layers = append(todo.Layers, unit.Name)
	u.drops[unit.Name] = dropIn(section, settings)
}

// startTasks is what Start does.
func (u *Units) startTasks() []task {
	w := workshop{u.conn, u.todo}
	all := []task{{"record all of this in " + u.todo.path(u.State), func(context.Context) error { return u.newRecord() }}}
	for _, dir := range u.todo.Dirs {
		all = append(all, w.makeDir(dir))
	}
	if len(u.Files) > 0 {
		return append(all, u.ownTasks(w)...)
	}
	if len(u.todo.Layers) == 0 {
		return all
	}
	for i, unit := range u.todo.Layers {
		all = append(all, w.write(u.todo.Files[i], u.drops[unit]))
	}
	all = append(all, w.reload())
	for i, unit := range u.todo.Layers {
		all = append(all, w.confirm(unit, u.todo.Files[i]))
	}
	all = append(all, task{"record that units are restarted", func(context.Context) error { return u.record.apply() }})
	return append(all, w.takeUp()...)
}

func (u *Units) ownTasks(w workshop) []task {
	var all, starts []task
	for i, name := range sorted(u.Files) {
		all = append(all, w.write(u.todo.Files[i], rename(u.Files[name], u.names)))
		starts = append(starts, w.job(jobStart, u.names[name]))
	}
	return slices.Concat(all, []task{w.reload()}, starts)
}

// newRecord writes the record. A user whom systemd lets restart a unit may have no right to write there; without files to
// remove later the run can do without.
func (u *Units) newRecord() (err error) {
	u.record, err = newRecord(u.State, u.todo)
	if errors.Is(err, fs.ErrPermission) && len(u.todo.Files) == 0 {
		u.record, err = &record{changes: u.todo}, nil
	}
	return err
}

func (u *Units) newJournal() *Journal {
	units := slices.Clone(u.todo.Own)
	for _, was := range u.todo.Was {
		units = append(units, was.Unit)
	}
	return &Journal{Clock: u.Clock, Units: units, User: u.Bus.User, Command: u.Command, Name: u.Name}
}

// withLastLines adds what the unit that failed wrote last: after Close nobody can look.
func (u *Units) withLastLines(ctx context.Context, err error) error {
	var failed *JobError
	if !errors.As(err, &failed) {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), journalLimit)
	defer cancel()
	unit := map[bool]string{true: "--user-unit=", false: "--unit="}[u.Bus.User] + failed.Unit
	out, _, _ := u.journal.output(ctx, "-q", "--no-pager", "-o", "cat", "-n", "5", unit)
	if len(out) == 0 {
		return err
	}
	return fmt.Errorf("%w; its last lines:\n  %s", err, strings.ReplaceAll(strings.TrimSpace(string(out)), "\n", "\n  "))
}
