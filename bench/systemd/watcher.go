package systemd

import (
	"context"
	"errors"
	"maps"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/restartbench/restartbench/bench/timeline"
)

// Watcher observes services and their socket units: each step of their states, and at the end whether the sockets are still
// armed and how near the services came to their start limits.
type Watcher struct {
	Bus      Bus
	Clock    timeline.Clock
	Services []string
	// Name says how a unit is called on the timeline; nil: as it is.
	Name func(unit string) string
}

// watch is one Observe.
type watch struct {
	*Watcher
	emit  func(timeline.Event)
	pairs []pair
	units map[dbus.ObjectPath]*watched
	order []*watched // services and sockets, each service first

	blind   bool          // nothing can be seen
	since   time.Duration // when that began
	because string
	failed  bool // an attempt to look
}

// pair is a service and a socket unit that passes it its sockets.
type pair struct{ service, socket *watched }

// watched is one unit.
type watched struct {
	name    string // systemd's
	now     properties
	pending properties // now, and what the first of a pair of signals says
	last    snapshot
	known   bool // last is filled in
	starts  starts
	limited bool // a start was refused
}

// retryEvery is how often to try for a connection that is lost.
const retryEvery = 20 * time.Millisecond

// Observe emits the state of every unit, then every step until ctx is done, and then the checks of the end. It returns within
// a few seconds of that, even if systemd hangs.
func (w *Watcher) Observe(ctx context.Context, emit func(timeline.Event)) {
	o := &watch{Watcher: w, emit: emit, units: map[dbus.ObjectPath]*watched{}}
	o.lose("nothing was seen yet")
	var t *tap
	for ctx.Err() == nil {
		if t = o.reach(ctx); t != nil && o.follow(ctx, t) {
			break
		}
		pause(ctx, retryEvery)
	}
	o.finish(t)
}

// lose notes that from now on nothing can be seen.
func (o *watch) lose(why string) {
	if !o.blind {
		o.blind, o.since = true, o.Clock.Now()
	}
	o.because = why
}

// reach connects, and emits what has happened since the last connection. It returns nil, and notes why, if it cannot.
func (o *watch) reach(outer context.Context) *tap {
	ctx, cancel := context.WithTimeout(outer, o.Bus.timeout())
	defer cancel()
	t, err := o.attempt(ctx)
	if err != nil && !errors.Is(outer.Err(), context.Canceled) { // or else it was not let finish
		o.failed = true
		o.lose(o.Bus.explain(context.Background(), ctx, "watch units", "", err).Error())
	}
	return t
}

func (o *watch) attempt(ctx context.Context) (*tap, error) {
	if err := o.find(ctx); err != nil {
		return nil, err
	}
	t, err := o.Bus.tap(ctx, o.names())
	if err != nil {
		return nil, err
	}
	if err := o.resync(ctx, t); err != nil {
		t.conn.Close()
		return nil, err
	}
	return t, nil
}

// find looks up the services and their sockets, once.
func (o *watch) find(ctx context.Context) error {
	if len(o.pairs)+len(o.order) > 0 {
		return nil
	}
	conn, err := o.Bus.Open(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	var found []*Service
	for _, name := range o.Services {
		s, err := conn.Describe(ctx, name)
		if err != nil {
			return err
		}
		found = append(found, s)
	}
	for _, s := range found {
		service := o.add(s.Name)
		for _, socket := range s.Sockets {
			o.pairs = append(o.pairs, pair{service, o.add(socket.Name)})
		}
	}
	return nil
}

// add watches a unit, if it is not watched yet.
func (o *watch) add(name string) *watched {
	path := unitPath(name)
	if o.units[path] == nil {
		o.units[path] = &watched{name: name, now: properties{}, starts: starts{}}
		o.order = append(o.order, o.units[path])
	}
	return o.units[path]
}

func (o *watch) names() []string {
	var names []string
	for _, u := range o.order {
		names = append(names, u.name)
	}
	return names
}

// follow emits what the signals bring. It returns true when ctx is done, and false when the connection is lost.
func (o *watch) follow(ctx context.Context, t *tap) (done bool) {
	for {
		select {
		case <-ctx.Done():
			return true
		case <-t.conn.Context().Done():
			t.conn.Close()
			o.lose(ErrLost.Error())
			o.handle(ctx, t)
			return false
		case <-t.wake:
			o.handle(ctx, t)
		}
	}
}

// handle does what the queued signals ask for.
func (o *watch) handle(ctx context.Context, t *tap) {
	for _, s := range t.take() {
		switch s.Name {
		case propertiesName + ".PropertiesChanged":
			o.changed(s)
		case managerInterface + ".Reloading":
			o.reloading(ctx, t, s)
		case "org.freedesktop.DBus.NameOwnerChanged":
			o.ownerChanged(ctx, t, s)
		}
	}
}

// changed takes over a snapshot. systemd sends two signals for one: first that of the unit's kind, then that of all units
// (bus_unit_send_change_signal in its source), so the second completes it.
func (o *watch) changed(s *dbus.Signal) {
	u := o.units[s.Path]
	var of string
	var changed map[string]dbus.Variant
	if u == nil || len(s.Body) < 2 || dbus.Store(s.Body[:2], &of, &changed) != nil {
		return
	}
	if u.pending == nil {
		u.pending = maps.Clone(u.now)
	}
	u.pending.merge(changed)
	if of != unitInterface {
		return
	}
	p := u.pending
	u.pending = nil
	// What was read since it was sent is newer.
	if p.number("StateChangeTimestampMonotonic") >= u.last.change {
		o.step(u, p)
	}
}

// reloading looks at everything again when systemd has reloaded: a unit that changes meanwhile sends no signals.
func (o *watch) reloading(ctx context.Context, t *tap, s *dbus.Signal) {
	if active, ok := first[bool](s); ok && active {
		o.lose("systemd was reloading")
	} else if ok {
		o.insist(ctx, t)
	}
}

// ownerChanged does so when systemd has come back to the bus, after it has executed itself anew.
func (o *watch) ownerChanged(ctx context.Context, t *tap, s *dbus.Signal) {
	if len(s.Body) != 3 || s.Body[0] != busName {
		return
	}
	if s.Body[2] == "" {
		o.lose("systemd was not on the bus")
	} else {
		o.insist(ctx, t)
	}
}

func first[T any](s *dbus.Signal) (v T, ok bool) {
	if len(s.Body) > 0 {
		v, ok = s.Body[0].(T)
	}
	return v, ok
}

// insist reads everything again. If that fails, the connection is of no use any more.
func (o *watch) insist(ctx context.Context, t *tap) {
	inner, cancel := context.WithTimeout(ctx, o.Bus.timeout())
	defer cancel()
	err := t.subscribe(inner)
	if err == nil {
		err = o.resync(inner, t)
	}
	if err != nil && ctx.Err() == nil {
		t.conn.Close()
	}
}

// resync reads every unit, and emits what has happened to it. If anything has while nothing could be seen, there may have
// been more than shows, and that is a gap; a unit whose last step is the one that is known has made none.
func (o *watch) resync(ctx context.Context, t *tap) error {
	read := make([]properties, len(o.order))
	for i, u := range o.order {
		var err error
		if read[i], err = t.read(ctx, u.name); err != nil {
			return err
		}
	}
	missed := o.failed && len(o.order) > 0 && !o.order[0].known // who knows what was before
	for i, u := range o.order {
		missed = missed || u.known && u.differs(read[i])
		o.step(u, read[i])
	}
	if o.blind && missed {
		o.gap()
	}
	o.blind = false
	return nil
}

// differs reports whether the unit has made a step since its last snapshot.
func (u *watched) differs(p properties) bool {
	next := newSnapshot(p)
	return next.change > u.last.change || next.invocation != u.last.invocation || next.active != u.last.active
}

func (o *watch) gap() {
	o.emit(timeline.Event{Gap: &timeline.Gap{Observer: "units", From: o.since, To: o.Clock.Now(), Why: o.because}})
}

// step emits what has happened to a unit since its last snapshot.
func (o *watch) step(u *watched, p properties) {
	next := newSnapshot(p)
	all := []step{{snapshot: next}}
	if u.known {
		all = steps(u.last, next)
		if unseen(u.last, next) {
			o.emit(timeline.Event{Gap: &timeline.Gap{Observer: "units", From: o.moment(u.last.change), To: o.moment(next.change),
				Lost: uint64(next.nRestarts - u.last.nRestarts - 1), Why: u.name + " restarted faster than systemd reports"}})
		}
	}
	u.starts.note(u.last, next)
	u.limited = u.limited || atLimit(next.result)
	u.now, u.last, u.known = p, next, true
	for _, s := range all {
		o.emit(timeline.Event{Unit: o.event(u.name, s)})
	}
}

func (o *watch) event(name string, s step) *timeline.Unit {
	return &timeline.Unit{At: o.moment(s.at), Name: o.shown(name), Active: s.active, Sub: s.sub, MainPID: s.mainPID,
		InvocationID: s.invocation, Result: s.result, NRestarts: s.nRestarts}
}

// moment converts systemd's moments; what has none is as old as the news of it.
func (o *watch) moment(us uint64) time.Duration {
	if us == 0 {
		return o.Clock.Now()
	}
	return o.Clock.FromMonotonic(int64(us) * 1000)
}

func (w *Watcher) shown(name string) string {
	if w.Name == nil {
		return name
	}
	return w.Name(name)
}

// finishLimit bounds the checks of the end.
const finishLimit = 5 * time.Second

// finish looks a last time: at the steps that no signal has brought yet, at the sockets, and at the start limits.
func (o *watch) finish(t *tap) {
	ctx, cancel := context.WithTimeout(context.Background(), min(finishLimit, o.Bus.timeout()))
	defer cancel()
	for t == nil || o.last(ctx, t) != nil {
		if t != nil {
			t.conn.Close()
			o.lose(ErrLost.Error())
		}
		if t = o.reach(ctx); t == nil && pause(ctx, retryEvery) != nil {
			o.gap()
			return
		}
	}
	t.conn.Close()
	for _, p := range o.pairs {
		o.emit(timeline.Event{Armed: o.armed(p)})
	}
	for _, u := range o.order {
		if limit := o.startLimit(u); limit != nil {
			o.emit(timeline.Event{StartLimit: limit})
		}
	}
}

// last reads every unit. The signals that came before come first.
func (o *watch) last(ctx context.Context, t *tap) error {
	read := make([]properties, len(o.order))
	for i, u := range o.order {
		var err error
		if read[i], err = t.read(ctx, u.name); err != nil {
			return err
		}
	}
	o.handle(ctx, t)
	if err := t.conn.Context().Err(); err != nil {
		return err
	}
	if o.blind {
		return o.resync(ctx, t)
	}
	for i, u := range o.order {
		if newSnapshot(read[i]).change >= u.last.change {
			o.step(u, read[i])
		}
	}
	return nil
}
