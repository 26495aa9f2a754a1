// Package private boots a throwaway, real systemd in namespaces, on a machine whose own process 1 may be anything: in go a
// Config and root's rights, out comes a System whose units can be written, started and restarted over D-Bus like those of any
// machine. That takes about half a second, and nothing of it remains.
//
// Two more processes of the same program come with it, started by the command prefix in Config.Shim:
//
//	this program ──▶ guard ──▶ systemd, process 1 of a PID namespace of its own
//
// The guard is outside the namespaces and in a session of its own. It makes the control group, starts systemd, and waits: for
// the end of systemd, or for the end of the socket that joins it to this program, which the kernel closes however this
// program ends. Then it kills systemd, whereupon the kernel kills everything in its PID namespace and drops its mounts, and
// removes the control groups. Should the guard be killed, systemd gets SIGKILL as well (PR_SET_PDEATHSIG in prctl(2)); then
// only empty control groups stay, and the next Boot from the same control group removes them.
//
// What runs inside sees the machine's files through overlays in memory: it can write everywhere, and nothing that it writes
// reaches the machine. /run, /tmp, /var/tmp and /dev are its own; /proc/sys and /sys are read-only. The network is the
// machine's, unless Config.OwnNetwork says otherwise, and so are the clocks: CLOCK_MONOTONIC is the same on both sides. It is
// no sandbox: a program in it that means harm has root's rights.
package private

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/godbus/dbus/v5"
)

// Program is where this very program lies inside, whatever its path outside: below /tmp or a home directory, a unit's
// PrivateTmp= or ProtectHome= would hide it.
const Program = "/run/restartbench/bin/restartbench"

// Config says what to boot.
type Config struct {
	// Shim is the command that starts this program so that it calls Shim with the arguments that follow. Required. Its first
	// element is an absolute path.
	Shim []string
	// Units holds unit files by name, and drop-ins as in "app.service.d/10.conf", for its /run/systemd/system. None is started.
	Units map[string]string
	// Files maps files and directories of the machine to absolute paths inside, where they appear read-only.
	Files map[string]string
	// OwnNetwork gives it a network namespace with nothing but a loopback interface, so that all the kernel's network
	// counters are its own. Dial and InNetwork reach into it. Otherwise it shares this program's network.
	OwnNetwork bool
	// Log gets what systemd writes to its console, line by line. It must not block: systemd would wait for it. May be nil.
	Log io.Writer
}

// System is a booted systemd.
type System struct {
	shim    []string
	pid     int
	mounts  string // what /proc/PID/ns/mnt pointed to: it tells the process from a later one with the same PID
	process *os.Process
	line    *net.UnixConn
	console console

	known   chan struct{} // closed when pid and mounts are set
	ready   chan struct{} // closed when systemd says READY=1
	ended   chan struct{} // closed when nothing is left
	readers sync.WaitGroup

	failure error // why it ended by itself; valid after ended, as is
	left    error // what could not be removed
	closing sync.Once
}

// bootLimit is far above what a slow machine needs, and keeps a systemd that freezes from freezing its caller.
const bootLimit = time.Minute

// Boot returns as soon as systemd has booted. The context bounds the boot alone. Errors: *UnsupportedError when the
// machine lacks something, *BootError when systemd ended or did not get ready.
func Boot(ctx context.Context, c Config) (*System, error) {
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("boot a private systemd: %w", err)
	}
	if err := supported(c); err != nil {
		return nil, err
	}
	s, err := start(c)
	if err != nil {
		return nil, fmt.Errorf("boot a private systemd: %w", err)
	}
	if err := s.await(ctx); err != nil {
		return nil, s.giveUp(err)
	}
	return s, nil
}

// check finds the mistakes that would otherwise come to light half-way through the boot.
func (c Config) check() error {
	if len(c.Shim) == 0 || !filepath.IsAbs(c.Shim[0]) {
		return errors.New("Config.Shim does not begin with an absolute path")
	}
	for name := range c.Units {
		if !filepath.IsLocal(name) {
			return fmt.Errorf("unit %q: no file name", name)
		}
	}
	for from, to := range c.Files {
		if !filepath.IsAbs(to) || filepath.Clean(to) == "/" {
			return fmt.Errorf("file %s: the path inside, %q, is not absolute", from, to)
		}
	}
	return nil
}

var errSlow = fmt.Errorf("it was not ready after %v", bootLimit)

// await returns when systemd is ready, or why it is not.
func (s *System) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, bootLimit, errSlow)
	defer cancel()
	for _, step := range []chan struct{}{s.known, s.ready} {
		select {
		case <-step:
		case <-s.ended:
			return errors.Join(errEnded, s.failure)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	if _, err := os.Stat(filepath.Join(s.Root(), systemBus)); err != nil {
		return fmt.Errorf("it has no system bus: %w", err) // its unit failed, which systemd takes for a boot nonetheless
	}
	return nil
}

var errEnded = errors.New("it ended before it was ready")

// giveUp closes what did not boot. It adds to the reason what systemd said last, and what was left behind.
func (s *System) giveUp(err error) error {
	s.Close()
	var unsupported *UnsupportedError
	if errors.As(err, &unsupported) {
		return unsupported
	}
	return &BootError{Err: errors.Join(err, s.left), Lines: s.console.last()}
}

// PID is systemd's, as this program sees it. Inside it is 1.
func (s *System) PID() int { return s.pid }

// Done is closed when systemd has ended and nothing of it is left, by Close or on its own account.
func (s *System) Done() <-chan struct{} { return s.ended }

// Root is its root directory, as this program sees it. Absolute symbolic links below it lead to the machine's own files.
func (s *System) Root() string { return filepath.Join("/proc", strconv.Itoa(s.pid), "root") }

// RuntimeDir is its /run/systemd/system, as this program sees it. Tell systemd to reload after writing there.
func (s *System) RuntimeDir() string { return filepath.Join(s.Root(), unitDir) }

// unitDir is where Config.Units lie.
const unitDir = "/run/systemd/system"

// NetworkPath is its network namespace, as setns(2) and netlink libraries want it.
func (s *System) NetworkPath() string { return filepath.Join("/proc", strconv.Itoa(s.pid), "ns/net") }

// closeLimit is how long Close waits for the guard.
const closeLimit = 20 * time.Second

// Close kills systemd and everything that runs in it, at once and without regard to its units: stop those first that should
// end in order. It returns when nothing is left. Calling it again does nothing and returns the same. The error, if any, says
// that systemd had ended before, or what could not be removed.
func (s *System) Close() error {
	s.closing.Do(func() {
		s.line.CloseWrite() // the guard's sign; it fails only if the guard has gone
		select {
		case <-s.ended:
		case <-time.After(closeLimit):
			s.process.Kill() // systemd dies with it
			<-s.ended
		}
		s.line.Close()
		s.readers.Wait()
	})
	return errors.Join(s.failure, s.left)
}

// Command is a command that will run inside, as root, in the root directory, with this program's environment and what the
// caller sets of it and of the standard streams; Dir and ExtraFiles have no effect inside. SIGHUP, SIGINT and SIGTERM are
// passed on to it, and the end of ctx kills it. An exit code above 128 is the signal that ended it, as in a shell; 127 is a
// command that was not found.
//
// The process that os/exec knows stays outside and waits for it. Don't kill that one: the kernel would hand the command to
// the machine's process 1, and Close would wait until that has taken notice.
func (s *System) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	argv := append([]string{}, s.shim[1:]...)
	argv = append(argv, "enter", strconv.Itoa(s.pid), s.mounts, name)
	cmd := exec.CommandContext(ctx, s.shim[0], append(argv, args...)...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGQUIT) } // passOn makes SIGKILL of it
	return cmd
}

// Output runs a command inside and returns what it printed on standard output. Its error has what it printed on standard
// error.
func (s *System) Output(ctx context.Context, name string, args ...string) ([]byte, error) {
	out, err := s.Command(ctx, name, args...).Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return out, fmt.Errorf("%s in the private systemd: %w: %s", name, err, lastLines(exit.Stderr, 5))
	}
	if err != nil {
		return out, fmt.Errorf("%s in the private systemd: %w", name, err)
	}
	return out, nil
}

// BusAddress is the D-Bus address of its system bus, as this program sees it. A connection to it needs Auth and Hello.
//
// systemd's own socket, /run/systemd/private, is of no use from outside: systemd rejects peers whose PID is not in its PID
// namespace, which the bus does not mind.
func (s *System) BusAddress() string { return s.address(systemBus) }

// DialBus connects to its system bus, as root. The connection ends with ctx. It fits dbus.NewConnection of go-systemd.
func (s *System) DialBus(ctx context.Context) (*dbus.Conn, error) {
	return s.dialBus(ctx, 0, systemBus)
}

// StartUser starts a user's service manager, as a login would. The user must exist inside, by number. Then DialUserBus works.
func (s *System) StartUser(ctx context.Context, uid int) error {
	_, err := s.Output(ctx, "systemctl", "start", fmt.Sprintf("user@%d.service", uid))
	return err
}

// UserBusAddress is the D-Bus address of a user's session bus, as this program sees it. The bus takes connections of that user
// alone.
func (s *System) UserBusAddress(uid int) string { return s.address(userBus(uid)) }

// DialUserBus connects to a user's session bus, as that user. The user's service manager is there. The connection ends with
// ctx. It fits dbus.NewConnection of go-systemd.
func (s *System) DialUserBus(ctx context.Context, uid int) (*dbus.Conn, error) {
	return s.dialBus(ctx, uid, userBus(uid))
}

const systemBus = "/run/dbus/system_bus_socket"

func userBus(uid int) string { return fmt.Sprintf("/run/user/%d/bus", uid) }

func (s *System) address(path string) string {
	return "unix:path=" + dbus.EscapeBusAddressValue(filepath.Join(s.Root(), path))
}

func (s *System) dialBus(ctx context.Context, uid int, path string) (*dbus.Conn, error) {
	socket, err := s.dialAs(ctx, uid, path)
	if err != nil {
		return nil, fmt.Errorf("connect to the private systemd's %s: %w", path, err)
	}
	conn, err := dbus.NewConn(socket, dbus.WithContext(ctx))
	if err != nil {
		socket.Close()
		return nil, err
	}
	err = conn.Auth([]dbus.Auth{dbus.AuthExternal(strconv.Itoa(uid))})
	if err == nil {
		err = conn.Hello()
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("connect to the private systemd's %s: %w", path, err)
	}
	return conn, nil
}
