package systemd

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"
)

// Unit is what the manager knows of a unit.
type Unit struct {
	Name          string // its own, where it was asked for by an alias
	Load          string // loaded, masked, not-found, bad-setting, error
	Enabled       string // UnitFileState: enabled, disabled, static, …
	File          string // FragmentPath
	DropIns       []string
	Active, Sub   string
	Result        string
	InvocationID  string
	NeedsReload   bool // its files changed after systemd read them
	StartBurst    int
	StartInterval time.Duration
	Requires      []string // Requires= and the like
	TriggeredBy   []string
	Triggers      []string
}

// Service is a service and the socket units that pass it their sockets.
type Service struct {
	Unit
	Type         string // simple, exec, notify, …
	MainPID      int
	NRestarts    int
	Restart      string        // Restart=
	RestartDelay time.Duration // RestartSec=
	StopTimeout  time.Duration // 0: none
	Reloads      bool          // it can be reloaded
	Sockets      []Socket
}

// Socket is a socket unit.
type Socket struct {
	Unit
	Listen    []Listen
	Backlog   uint32 // 2147483647 when unset; net.core.somaxconn caps it
	Accept    bool
	NoDelay   bool
	ReusePort bool
	FromFile  bool // the service does not know it now (TriggeredBy= is empty); its unit file names the service
}

// Listen is a socket that a socket unit opens.
type Listen struct {
	Kind    string // Stream, Datagram, SequentialPacket, …
	Address string // "127.0.0.1:80", "[::]:80", "/run/app.sock"
}

// Properties are all of a unit's, by their names on D-Bus (org.freedesktop.systemd1(5)). A unit that there is not, or that
// is masked or cannot be read, has properties too: LoadState says so.
func (c *Conn) Properties(ctx context.Context, unit string) (map[string]any, error) {
	var all map[string]any
	err := c.read(ctx, "read the properties of "+unit, unit, func(ctx context.Context, l *link) (err error) {
		all, err = l.GetAllPropertiesContext(ctx, unit)
		return err
	})
	return all, err
}

// Describe finds a service and its sockets. It is an error if the service cannot be started, for it is masked or not there.
func (c *Conn) Describe(ctx context.Context, service string) (*Service, error) {
	p, err := c.loaded(ctx, service)
	if err != nil {
		return nil, err
	}
	s := newService(p)
	names := slices.DeleteFunc(slices.Clone(s.TriggeredBy), notSocket)
	known := len(names) > 0
	if !known {
		if names, err = c.socketFiles(ctx, s.Name); err != nil {
			return nil, err
		}
	}
	for _, name := range names {
		all, err := c.Properties(ctx, name)
		if err != nil {
			return nil, err
		}
		socket := newSocket(all)
		socket.FromFile = !known
		if socket.Load != "not-found" { // Sockets= may name what there is not
			s.Sockets = append(s.Sockets, socket)
		}
	}
	return s, nil
}

func isSocket(name string) bool  { return strings.HasSuffix(name, ".socket") }
func isService(name string) bool { return strings.HasSuffix(name, ".service") }
func notSocket(name string) bool { return !isSocket(name) }

// loaded reads a unit that must be usable.
func (c *Conn) loaded(ctx context.Context, unit string) (properties, error) {
	all, err := c.Properties(ctx, unit)
	if err != nil {
		return nil, err
	}
	p := properties(all)
	kind, said := error(nil), error(nil)
	switch load := p.text("LoadState"); load {
	case "loaded":
		return p, nil
	case "not-found":
		kind = ErrNoUnit
	case "masked":
		kind = ErrMasked
	case "bad-setting", "error":
		kind = ErrBadUnit
		if text := p.loadError(); text != "" {
			said = errors.New(text)
		}
	default:
		said = errors.New("its load state is " + load)
	}
	return nil, &Error{Doing: "look up " + unit, Unit: unit, User: c.bus.User, Kind: kind, Err: said}
}

// socketFiles finds the socket units that name the service in their files. The one of the same name comes first, and is enough.
func (c *Conn) socketFiles(ctx context.Context, service string) ([]string, error) {
	same := strings.TrimSuffix(service, ".service") + ".socket"
	if ok, err := c.triggers(ctx, same, service); ok || err != nil {
		return []string{same}, err
	}
	var names []string
	err := c.read(ctx, "list socket units", "", func(ctx context.Context, l *link) error {
		files, err := l.ListUnitFilesByPatternsContext(ctx, nil, []string{"*.socket"})
		for _, f := range files {
			names = append(names, f.Path[strings.LastIndex(f.Path, "/")+1:])
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	var found []string
	for _, name := range names {
		if strings.Contains(name, "@.") {
			continue // a template triggers nothing
		}
		ok, err := c.triggers(ctx, name, service)
		if err != nil {
			return nil, err
		}
		if ok {
			found = append(found, name)
		}
	}
	return found, nil
}

func (c *Conn) triggers(ctx context.Context, socket, service string) (bool, error) {
	all, err := c.Properties(ctx, socket)
	p := properties(all)
	return err == nil && p.text("LoadState") == "loaded" && slices.Contains(p.texts("Triggers"), service), err
}

func newUnit(p properties) Unit {
	return Unit{
		Name:          p.text("Id"),
		Load:          p.text("LoadState"),
		Enabled:       p.text("UnitFileState"),
		File:          p.text("FragmentPath"),
		DropIns:       p.texts("DropInPaths"),
		Active:        p.text("ActiveState"),
		Sub:           p.text("SubState"),
		Result:        p.text("Result"),
		InvocationID:  p.invocation(),
		NeedsReload:   p.yes("NeedDaemonReload"),
		StartBurst:    int(p.number("StartLimitBurst")),
		StartInterval: span(p.number("StartLimitIntervalUSec")),
		Requires:      slices.Concat(p.texts("Requires"), p.texts("Requisite"), p.texts("BindsTo")),
		TriggeredBy:   p.texts("TriggeredBy"),
		Triggers:      p.texts("Triggers"),
	}
}

func newService(p properties) *Service {
	return &Service{
		Unit:         newUnit(p),
		Type:         p.text("Type"),
		MainPID:      int(p.number("MainPID")),
		NRestarts:    int(p.number("NRestarts")),
		Restart:      p.text("Restart"),
		RestartDelay: span(p.number("RestartUSec")),
		StopTimeout:  span(p.number("TimeoutStopUSec")),
		Reloads:      p.yes("CanReload"),
	}
}

func newSocket(p properties) Socket {
	s := Socket{
		Unit:      newUnit(p),
		Backlog:   uint32(p.number("Backlog")),
		Accept:    p.yes("Accept"),
		NoDelay:   p.yes("NoDelay"),
		ReusePort: p.yes("ReusePort"),
	}
	for _, pair := range p.pairs("Listen") {
		s.Listen = append(s.Listen, Listen{pair[0], pair[1]})
	}
	return s
}

// span converts systemd's microseconds, of which the greatest number stands for no end.
func span(us uint64) time.Duration {
	if us > uint64(1<<63-1)/1000 {
		return 0
	}
	return time.Duration(us) * time.Microsecond
}

// up reports whether a unit in that state holds what it was started for, or is about to.
func up(active string) bool {
	return active == "active" || active == "reloading" || active == "activating" || active == "refreshing"
}
