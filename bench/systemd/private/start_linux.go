package private

import (
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// order is what the guard and process 1 need to know. It lies in a memfd that both inherit.
type order struct {
	Shim       []string
	Executable string // this program's path on the machine
	Systemd    string // path of the program
	Units      map[string]string
	Files      map[string]string
	OwnNetwork bool
}

// The descriptors that the guard inherits from this program, and process 1 from the guard.
const (
	lineFD  = 3 // a sequenced-packet socket to this program, for reports
	orderFD = 4
	guardFD = 5 // process 1 only: a pipe that hangs up when the guard dies
)

// supported looks for what can be found missing without trying.
func supported(c Config) error {
	if os.Geteuid() != 0 {
		return missing("root", nil)
	}
	if has, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, unix.CAP_NET_ADMIN, 0, 0, 0); c.OwnNetwork && has != 1 {
		return missing("CAP_NET_ADMIN", err) // nobody could set up its loopback interface
	}
	if _, err := findSystemd(); err != nil {
		return missing("systemd", err)
	}
	if _, err := exec.LookPath("dbus-daemon"); err == nil {
		return nil
	}
	if _, err := exec.LookPath("dbus-broker"); err != nil {
		return missing("dbus", nil)
	}
	return nil
}

// findSystemd returns the path of systemd, which is not in PATH on most machines.
func findSystemd() (string, error) {
	var err error
	for _, path := range []string{"/usr/lib/systemd/systemd", "/lib/systemd/systemd"} {
		if _, err = os.Stat(path); err == nil {
			return path, nil
		}
	}
	return "", err
}

// start starts the guard, and what listens to it.
func start(c Config) (*System, error) {
	inherited, s, err := c.prepare()
	if err != nil {
		return nil, err
	}
	defer closeAll(inherited)
	guard := &exec.Cmd{
		Path:        c.Shim[0],
		Args:        append(append([]string{}, c.Shim...), "guard"),
		Dir:         "/",
		Env:         []string{},
		ExtraFiles:  inherited,
		SysProcAttr: &syscall.SysProcAttr{Setsid: true}, // a Ctrl-C must not reach it
	}
	if err := guard.Start(); err != nil {
		s.line.Close()
		return nil, fmt.Errorf("start the guard: %w", err)
	}
	s.process = guard.Process
	s.readers.Go(func() {
		defer close(s.ended)
		s.listen()
		guard.Wait() // its exit code says nothing that its reports do not
	})
	return s, nil
}

// prepare makes the descriptors that the guard inherits, and a System with the other ends.
func (c Config) prepare() (inherited []*os.File, s *System, err error) {
	o, err := c.writeOrder()
	if err != nil {
		return nil, nil, err
	}
	inherited = append(inherited, nil, o)
	defer func() {
		if err != nil {
			closeAll(inherited)
		}
	}()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return inherited, nil, os.NewSyscallError("socketpair", err)
	}
	inherited[0] = os.NewFile(uintptr(pair[1]), "line")
	line, err := packetConn(pair[0])
	if err != nil {
		return inherited, nil, err
	}
	return inherited, &System{
		shim:    c.Shim,
		line:    line,
		console: console{log: c.Log},
		known:   make(chan struct{}),
		ready:   make(chan struct{}),
		ended:   make(chan struct{}),
	}, nil
}

// writeOrder writes the order to a file without a name.
func (c Config) writeOrder() (*os.File, error) {
	executable, err := os.Executable()
	if err != nil {
		return nil, err
	}
	systemd, err := findSystemd()
	if err != nil {
		return nil, err
	}
	o := order{c.Shim, executable, systemd, c.Units, map[string]string{}, c.OwnNetwork}
	for from, to := range c.Files {
		if from, err = filepath.Abs(from); err != nil { // the guard has another working directory
			return nil, err
		}
		o.Files[from] = to
	}
	fd, err := unix.MemfdCreate("order", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	f := os.NewFile(uintptr(fd), "order")
	if err := gob.NewEncoder(f).Encode(o); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// inheritedFile reads a file by its descriptor alone. An os.File would close it when it is garbage.
type inheritedFile int

func (f inheritedFile) ReadAt(p []byte, offset int64) (int, error) {
	n, err := unix.Pread(int(f), p, offset)
	if n == 0 && err == nil {
		err = io.EOF
	}
	return n, err
}

// readOrder reads it in the guard and in process 1. They share the file's offset, so it is left alone.
func readOrder() (o order, err error) {
	file := io.NewSectionReader(inheritedFile(orderFD), 0, math.MaxInt64)
	if err := gob.NewDecoder(file).Decode(&o); err != nil {
		return o, fmt.Errorf("read the order: %w", err)
	}
	return o, nil
}

// packetConn makes a net.UnixConn, which can receive descriptors, of a socket. It owns fd in any case.
func packetConn(fd int) (*net.UnixConn, error) {
	f := os.NewFile(uintptr(fd), "line")
	defer f.Close()
	conn, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	return conn.(*net.UnixConn), nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close() // closing a nil one does no harm
	}
}

// listen takes reports until the guard ends.
func (s *System) listen() {
	for {
		r, files, err := receive(s.line)
		if err != nil {
			return
		}
		switch {
		case r.File == consoleFile && len(files) == 2:
			s.readers.Go(func() { s.readConsole(files[0], files[1]) })
		case r.File == notifyFile && len(files) == 1:
			s.readers.Go(func() { s.awaitReady(files[0]) })
		case r.PID != 0:
			s.meet(r.PID)
		default:
			s.fail(r)
		}
	}
}

// readConsole reads all that is written to the console. Whenever nobody has the terminal open, reading it is an error: so it
// is held open here, for as long as anybody is left to write.
func (s *System) readConsole(master, terminal *os.File) {
	defer master.Close()
	s.readers.Go(func() {
		<-s.ended
		terminal.Close()
	})
	s.console.read(master)
}

// awaitReady reads systemd's notifications until one says that it has booted (sd_notify(3), and "Container Interface" on
// systemd.io). Later ones find the socket closed, which does not trouble systemd; unread they would make it wait.
func (s *System) awaitReady(notify *os.File) {
	defer notify.Close()
	stop := make(chan struct{})
	defer close(stop)
	s.readers.Go(func() {
		select {
		case <-s.ended:
			notify.Close() // a socket for datagrams has no end of file
		case <-stop:
		}
	})
	message := make([]byte, 4096)
	for {
		n, err := notify.Read(message)
		if err != nil {
			return
		}
		if slices.Contains(strings.Split(string(message[:n]), "\n"), "READY=1") {
			close(s.ready)
			return
		}
	}
}

// meet learns systemd's PID. The guard has not waited for it yet, or has just told of its end as well: then there is no /proc
// entry, and the error that follows tells.
func (s *System) meet(pid int) {
	s.pid = pid
	s.mounts, _ = os.Readlink("/proc/" + strconv.Itoa(pid) + "/ns/mnt")
	close(s.known)
}

// fail keeps the first reason, from which later ones follow, and all that was left behind.
func (s *System) fail(r report) {
	err := errors.New(r.Failure)
	switch {
	case r.Left:
		s.left = errors.Join(s.left, err)
	case s.failure != nil:
	case r.Missing != "":
		s.failure = missing(r.Missing, err)
	default:
		s.failure = err
	}
}

// trimmed keeps a report within one packet.
func trimmed(text string) string {
	const limit = 4096
	if len(text) > limit {
		text = text[:limit] + "…"
	}
	return strings.TrimSpace(text)
}
