package systemd

import (
	"context"
	"errors"
	"sync"
	"time"

	sd "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"
)

// Conn makes calls to a service manager. It connects when it is first used, and again when the connection was lost. Its
// methods can be called from any goroutine.
type Conn struct {
	bus Bus

	mu     sync.Mutex
	link   *link
	closed bool
}

// link is one connection, while it lasts. go-systemd uses two, one of them for signals alone.
type link struct {
	*sd.Conn
	calls *dbus.Conn
	lost  <-chan struct{} // closed when no signals come in any more
}

// Open returns a Conn to the manager that answers on the bus. Close it.
func (b Bus) Open(ctx context.Context) (*Conn, error) {
	c := &Conn{bus: b}
	if _, err := c.Version(ctx); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// Close ends the connection.
func (c *Conn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	c.hangUp()
	return nil
}

func (c *Conn) hangUp() {
	if c.link != nil {
		c.link.Close()
		c.link = nil
	}
}

// get returns a link that stands.
func (c *Conn) get(ctx context.Context) (*link, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return nil, dbus.ErrClosed
	case c.link != nil && c.link.Connected():
		return c.link, nil
	}
	c.hangUp()
	var err error
	c.link, err = c.bus.link(ctx)
	return c.link, err
}

// link makes go-systemd's two connections. It subscribes before anything else, or jobs would end unheard of.
func (b Bus) link(ctx context.Context) (*link, error) {
	var made []*dbus.Conn
	var release []func() bool
	conn, err := sd.NewConnection(func() (*dbus.Conn, error) {
		// In order, and with no bound on what is queued; the default handler keeps neither.
		conn, _, err := b.connect(ctx, dbus.NewSequentialSignalHandler())
		if err == nil {
			made = append(made, conn)
			release = append(release, context.AfterFunc(ctx, func() { conn.Close() }))
		}
		return conn, err
	})
	if err == nil {
		err = conn.Subscribe() // it takes no context, and neither does what NewConnection does besides
	}
	for _, stop := range release {
		if !stop() {
			err = errors.Join(ctx.Err(), err)
		}
	}
	if err != nil {
		for _, conn := range made {
			conn.Close()
		}
		return nil, err
	}
	return &link{conn, made[0], made[1].Context().Done()}, nil
}

// call makes one call within the bus's timeout, and explains its error.
func (c *Conn) call(ctx context.Context, doing, unit string, f func(context.Context, *link) error) error {
	return c.callFor(ctx, c.bus.timeout(), doing, unit, f)
}

func (c *Conn) callFor(ctx context.Context, limit time.Duration, doing, unit string, f func(context.Context, *link) error) error {
	inner, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	l, err := c.get(inner)
	if err == nil {
		err = f(inner, l)
	}
	return c.bus.explain(ctx, inner, doing, unit, err)
}

// read is a call that changes nothing, and so can be made once more when the connection turns out to be dead.
func (c *Conn) read(ctx context.Context, doing, unit string, f func(context.Context, *link) error) error {
	err := c.call(ctx, doing, unit, f)
	if errors.Is(err, ErrLost) && ctx.Err() == nil {
		err = c.call(ctx, doing, unit, f)
	}
	return err
}

// Version is systemd's version, such as "252.38-1~deb12u1".
func (c *Conn) Version(ctx context.Context) (version string, err error) {
	err = c.read(ctx, "reach "+c.bus.String(), "", func(ctx context.Context, l *link) error {
		return l.manager(ctx, "Version").Store(&version)
	})
	return version, err
}

const (
	busName          = "org.freedesktop.systemd1"
	managerPath      = dbus.ObjectPath("/org/freedesktop/systemd1")
	managerInterface = busName + ".Manager"
	unitInterface    = busName + ".Unit"
	propertiesName   = "org.freedesktop.DBus.Properties"
)

// manager reads a property of the manager itself; go-systemd's way to it takes no context.
func (l *link) manager(ctx context.Context, property string) *dbus.Call {
	return l.calls.Object(busName, managerPath).CallWithContext(ctx, propertiesName+".Get", 0, managerInterface, property)
}

// Reload has systemd read all unit files again (daemon-reload).
func (c *Conn) Reload(ctx context.Context) error {
	// On large machines this takes longer than anything else.
	return c.callFor(ctx, 6*c.bus.timeout(), "daemon-reload", "", func(ctx context.Context, l *link) error {
		return l.ReloadContext(ctx)
	})
}

// ResetFailed makes systemd forget that the unit failed, and how often it was started.
func (c *Conn) ResetFailed(ctx context.Context, unit string) error {
	return c.call(ctx, "reset-failed "+unit, unit, func(ctx context.Context, l *link) error {
		return l.ResetFailedUnitContext(ctx, unit)
	})
}
