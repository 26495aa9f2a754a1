package systemd

import (
	"context"
	"fmt"
	"sync"

	"github.com/godbus/dbus/v5"
)

// signals is a queue without bound: the reader of the connection never waits, and nothing is dropped.
type signals struct {
	mu    sync.Mutex
	queue []*dbus.Signal
	wake  chan struct{} // of capacity 1: there is something in the queue
}

func newSignals() *signals { return &signals{wake: make(chan struct{}, 1)} }

// DeliverSignal implements dbus.SignalHandler.
func (s *signals) DeliverSignal(_, _ string, signal *dbus.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queue = append(s.queue, signal)
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// take empties the queue.
func (s *signals) take() []*dbus.Signal {
	s.mu.Lock()
	defer s.mu.Unlock()
	taken := s.queue
	s.queue = nil
	return taken
}

// tap is a connection that brings the signals about some units.
type tap struct {
	*signals
	conn *dbus.Conn
}

// unitPath is a unit's object path.
func unitPath(unit string) dbus.ObjectPath {
	return managerPath + "/unit/" + dbus.ObjectPath(escape(unit))
}

// escape writes a name as a label of an object path (sd_bus_path_encode(3)).
func escape(name string) string {
	var label []byte
	for i := range len(name) {
		switch c := name[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', i > 0 && c >= '0' && c <= '9':
			label = append(label, c)
		default:
			label = fmt.Appendf(label, "_%02x", c)
		}
	}
	return string(label)
}

// tap subscribes to the signals about the units. From its return on nothing is missed until the connection is lost.
func (b Bus) tap(ctx context.Context, units []string) (*tap, error) {
	queue := newSignals()
	conn, direct, err := b.connect(ctx, queue)
	if err != nil {
		return nil, err
	}
	t := &tap{queue, conn}
	if !direct {
		err = t.match(ctx, units)
	}
	if err == nil {
		err = t.subscribe(ctx)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return t, nil
}

// match asks the bus daemon for the signals: those about the units, and those that say that others may have been missed.
func (t *tap) match(ctx context.Context, units []string) error {
	rules := []string{
		"type='signal',sender='org.freedesktop.DBus',member='NameOwnerChanged',arg0='" + busName + "'",
		"type='signal',sender='" + busName + "',interface='" + managerInterface + "',member='Reloading'",
	}
	for _, u := range units {
		rules = append(rules, fmt.Sprintf("type='signal',sender='%s',interface='%s',member='PropertiesChanged',path='%s'",
			busName, propertiesName, unitPath(u)))
	}
	for _, rule := range rules {
		err := t.conn.BusObject().CallWithContext(ctx, "org.freedesktop.DBus.AddMatch", 0, rule).Err
		if err != nil {
			return err
		}
	}
	return nil
}

// subscribe asks systemd to send signals at all.
func (t *tap) subscribe(ctx context.Context) error {
	err := t.conn.Object(busName, managerPath).CallWithContext(ctx, managerInterface+".Subscribe", 0).Err
	if e, ok := err.(dbus.Error); ok && e.Name == busName+".AlreadySubscribed" {
		return nil
	}
	return err
}

// read reads all of a unit's properties at once; the empty name stands for every interface, so that no change can come in
// between. Signals that systemd sent before its answer are in the
// queue when read returns.
func (t *tap) read(ctx context.Context, unit string) (properties, error) {
	all := map[string]dbus.Variant{}
	call := t.conn.Object(busName, unitPath(unit)).CallWithContext(ctx, propertiesName+".GetAll", 0, "")
	if err := call.Store(&all); err != nil {
		return nil, err
	}
	p := properties{}
	p.merge(all)
	return p, nil
}
