package systemd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/godbus/dbus/v5"
)

// Bus says how to reach a service manager. The zero Bus leads to the system's.
type Bus struct {
	// User asks for the manager of the user who calls.
	User bool
	// Address is where to find it instead, in D-Bus's notation: unix:path=/run/dbus/system_bus_socket.
	Address string
	// Direct says that systemd itself listens at Address, not a bus daemon.
	Direct bool
	// Timeout bounds every call, but not the jobs that calls start; 0 stands for 10 s.
	Timeout time.Duration
}

// callTimeout is far above what systemd needs, save for a reload on a machine with thousands of units.
const callTimeout = 10 * time.Second

func (b Bus) timeout() time.Duration {
	if b.Timeout == 0 {
		return callTimeout
	}
	return b.Timeout
}

// String names it for people.
func (b Bus) String() string {
	switch {
	case b.Address != "":
		return "the systemd at " + b.Address
	case b.User:
		return "the user's systemd"
	}
	return "the system's systemd"
}

// endpoint is a socket that leads to a manager.
type endpoint struct {
	address string
	direct  bool // without a bus daemon
}

// endpoints are those to try, in order. Some machines have no bus; systemd listens on a socket of its own there as well.
func (b Bus) endpoints() []endpoint {
	switch {
	case b.Address != "":
		return []endpoint{{b.Address, b.Direct}}
	case b.User:
		dir := userRuntimeDir()
		return []endpoint{{unixAddress(dir, "bus"), false}, {unixAddress(dir, "systemd/private"), true}}
	}
	bus := os.Getenv("DBUS_SYSTEM_BUS_ADDRESS")
	if bus == "" {
		bus = "unix:path=/run/dbus/system_bus_socket"
	}
	return []endpoint{{bus, false}, {"unix:path=/run/systemd/private", true}}
}

func unixAddress(dir, name string) string {
	return "unix:path=" + dbus.EscapeBusAddressValue(filepath.Join(dir, name))
}

// userRuntimeDir is $XDG_RUNTIME_DIR, or where pam_systemd(8) puts it.
func userRuntimeDir() string {
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" {
		return dir
	}
	return "/run/user/" + strconv.Itoa(os.Getuid())
}

// connect connects to the first endpoint at which somebody listens. signals gets every signal that comes in, in order.
func (b Bus) connect(ctx context.Context, signals dbus.SignalHandler) (conn *dbus.Conn, direct bool, err error) {
	if err := supported(); err != nil {
		return nil, false, b.unreachable(err)
	}
	var failures []string
	for _, e := range b.endpoints() {
		conn, err := e.connect(ctx, signals)
		switch {
		case err == nil:
			return conn, e.direct, nil
		case ctx.Err() != nil:
			return nil, false, ctx.Err()
		case errors.Is(err, os.ErrPermission) && len(failures) == 0:
			return nil, false, &Error{Doing: "connect to " + b.String(), User: b.User, Kind: ErrDenied, Err: err}
		}
		failures = append(failures, err.Error())
	}
	return nil, false, b.unreachable(errors.New(strings.Join(failures, ", ")))
}

func (b Bus) unreachable(err error) error {
	return &Error{Doing: "connect to " + b.String(), User: b.User, Kind: ErrNoManager, Err: err}
}

// connect closes the connection when ctx ends before it stands: neither Auth nor Hello could be stopped otherwise.
func (e endpoint) connect(ctx context.Context, signals dbus.SignalHandler) (*dbus.Conn, error) {
	name, err := socketName(e.address)
	if err != nil {
		return nil, err
	}
	socket, err := (&net.Dialer{}).DialContext(ctx, "unix", name)
	if err != nil {
		return nil, err
	}
	conn, err := dbus.NewConn(socket, dbus.WithSignalHandler(signals))
	if err != nil {
		socket.Close()
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	err = e.greet(ctx, conn)
	if !stop() {
		err = errors.Join(ctx.Err(), err)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

func (e endpoint) greet(ctx context.Context, conn *dbus.Conn) error {
	// The number, for a name would have to be looked up (as in go-systemd).
	if err := conn.Auth([]dbus.Auth{dbus.AuthExternal(strconv.Itoa(os.Getuid()))}); err != nil {
		return fmt.Errorf("%s: %w", e.address, err)
	}
	if e.direct {
		return ping(ctx, conn)
	}
	return conn.Hello()
}

// pingEvery is how long to wait for an answer before the next ping.
const pingEvery = 5 * time.Millisecond

// ping returns when systemd answers. Its side of the greeting, sd-bus, lets a first message lie that reaches it in one piece
// with the greeting's last line, and looks at it only when another message comes (seen in systemd 252). So another one comes.
func ping(ctx context.Context, conn *dbus.Conn) error {
	send := func() *dbus.Call {
		return conn.Object(busName, managerPath).GoWithContext(ctx, "org.freedesktop.DBus.Peer.Ping", 0, make(chan *dbus.Call, 1))
	}
	first := send()
	for {
		select {
		case <-first.Done:
			return first.Err
		case <-time.After(pingEvery):
			send()
		}
	}
}

// socketName is the name that net.Dial takes for a D-Bus address of the kind unix.
func socketName(address string) (string, error) {
	for _, one := range strings.Split(address, ";") {
		pairs, ok := strings.CutPrefix(one, "unix:")
		if !ok {
			continue
		}
		for _, pair := range strings.Split(pairs, ",") {
			key, value, _ := strings.Cut(pair, "=")
			name, err := dbus.UnescapeBusAddressValue(value)
			switch {
			case err != nil:
				return "", fmt.Errorf("D-Bus address %q: %w", address, err)
			case key == "path":
				return name, nil
			case key == "abstract":
				return "@" + name, nil
			}
		}
	}
	return "", fmt.Errorf("D-Bus address %q: only unix:path= and unix:abstract= are known", address)
}
