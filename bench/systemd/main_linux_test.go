package systemd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/restartbench/restartbench/bench/systemd/private"
	"github.com/restartbench/restartbench/bench/systemd/private/privatetest"
	"github.com/restartbench/restartbench/bench/timeline"
)

// TestMain makes the test binary play every part: the shim of the private systemd (by its first argument), services and runs
// that get killed (by an environment variable), and the tests.
func TestMain(m *testing.M) {
	privatetest.Shim()
	if part := os.Getenv("PART"); part != "" {
		// Not os.Exit, which takes a second in a binary built with -race (atexit_sleep_ms in its documentation).
		syscall.Exit(play(part))
	}
	goleak.VerifyTestMain(m)
}

// play runs one part to its end, and returns the exit code.
func play(part string) int {
	name, arg, _ := strings.Cut(part, ":")
	switch name {
	case "serve":
		return serve(arg)
	case "exit":
		fmt.Println("it goes wrong")
		return 3
	case "hang":
		signal.Ignore(syscall.SIGTERM)
		time.Sleep(time.Hour)
	case "run":
		return runUntilKilled(arg)
	case "ask":
		return ask()
	case "watch-directly":
		return watchDirectly()
	}
	return 99
}

// serve answers each connection on its first passed socket, if it has one, until SIGTERM. SIGHUP is a reload.
func serve(say string) int {
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM, syscall.SIGHUP)
	if os.Getenv("LISTEN_FDS") != "" {
		l, err := net.FileListener(os.NewFile(3, "socket"))
		if err != nil {
			fmt.Println(err)
			return 98
		}
		go answer(l)
	}
	if say != "" {
		fmt.Println(say)
	}
	tell("READY=1")
	for <-term == syscall.SIGHUP {
	}
	return 0
}

func answer(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		fmt.Fprintln(conn, os.Getpid())
		conn.Close()
	}
}

// tell is sd_notify(3).
func tell(text string) {
	conn, err := net.Dial("unixgram", os.Getenv("NOTIFY_SOCKET"))
	if err != nil {
		return // Type=simple
	}
	defer conn.Close()
	conn.Write([]byte(text))
}

// host is a private systemd, and the clock of a run.
type host struct {
	*private.System
	t     testing.TB
	bus   Bus
	conn  *Conn
	clock timeline.Clock
}

// execute is the line that runs a part in a unit.
func execute(part string) string {
	return "Environment=PART=" + part + "\nExecStart=" + private.Program + "\n"
}

// The units of most tests.
var (
	appSocket  = "[Socket]\nListenStream=/run/app.sock\n"
	appService = "[Unit]\nRequires=app.socket\nAfter=app.socket\nStartLimitIntervalSec=0\n[Service]\nType=notify\n" + execute("serve")
	plain      = "[Unit]\nStartLimitIntervalSec=0\n[Service]\nType=notify\n" + execute("serve")
)

func pairOfUnits() map[string]string {
	return map[string]string{"app.socket": appSocket, "app.service": appService}
}

func boot(t testing.TB, units map[string]string) *host {
	t.Helper()
	s := privatetest.Boot(t, private.Config{Units: units})
	h := &host{System: s, t: t, bus: Bus{Address: s.BusAddress()}, clock: timeline.NewClock()}
	h.conn = h.open(h.bus)
	return h
}

func (h *host) open(b Bus) *Conn {
	h.t.Helper()
	conn, err := b.Open(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { conn.Close() })
	return conn
}

func (h *host) ctl(args ...string) string {
	h.t.Helper()
	out, err := h.Output(h.t.Context(), "systemctl", args...)
	if err != nil {
		h.t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

func (h *host) show(unit, property string) string {
	h.t.Helper()
	return h.ctl("show", "--value", "-p", property, unit)
}

func (h *host) job(job string, units ...string) {
	h.t.Helper()
	for _, unit := range units {
		if err := h.conn.Job(h.t.Context(), job, unit); err != nil {
			h.t.Fatal(err)
		}
	}
}

// connect makes a connection to the socket of app.socket, and returns what the service answers.
func (h *host) connect() (string, error) {
	conn, err := net.Dial("unix", filepath.Join(h.Root(), "run/app.sock"))
	if err != nil {
		return "", err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	answer := make([]byte, 20)
	n, err := conn.Read(answer)
	return strings.TrimSpace(string(answer[:n])), err
}

// config is a run's.
func (h *host) config(unit string, action Action) Config {
	return Config{Bus: h.bus, Clock: h.clock, Unit: unit, Action: action, Dir: h.RuntimeDir(), State: h.state(), Command: h.Command}
}

func (h *host) state() string { return filepath.Join(h.Root(), "run/restartbench/runs") }

// events are those of a run.
type events struct {
	mu   sync.Mutex
	all  []timeline.Event
	news chan struct{} // of capacity 1
}

func (e *events) emit(event timeline.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, event)
	select {
	case e.news <- struct{}{}:
	default:
	}
}

func (e *events) list() []timeline.Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]timeline.Event{}, e.all...)
}

// units are the steps of one unit; the empty name stands for all.
func (e *events) units(name string) []timeline.Unit {
	var units []timeline.Unit
	for _, event := range e.list() {
		if event.Unit != nil && (name == "" || event.Unit.Name == name) {
			units = append(units, *event.Unit)
		}
	}
	return units
}

func (e *events) gaps() []timeline.Gap {
	var gaps []timeline.Gap
	for _, event := range e.list() {
		if event.Gap != nil {
			gaps = append(gaps, *event.Gap)
		}
	}
	return gaps
}

func (e *events) armed() []timeline.Armed {
	var armed []timeline.Armed
	for _, event := range e.list() {
		if event.Armed != nil {
			armed = append(armed, *event.Armed)
		}
	}
	return armed
}

func (e *events) limits() []timeline.StartLimit {
	var limits []timeline.StartLimit
	for _, event := range e.list() {
		if event.StartLimit != nil {
			limits = append(limits, *event.StartLimit)
		}
	}
	return limits
}

// await returns when the events fulfil a condition.
func (e *events) await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	limit := time.After(20 * time.Second)
	for !ok() {
		select {
		case <-e.news:
		case <-limit:
			t.Fatalf("never: %s, but %s", what, e)
		}
	}
}

func (e *events) String() string {
	var b strings.Builder
	for _, event := range e.list() {
		switch {
		case event.Unit != nil:
			u := event.Unit
			fmt.Fprintf(&b, "\n%v %s %s/%s pid=%d inv=%.4s %s n=%d", u.At, u.Name, u.Active, u.Sub, u.MainPID, u.InvocationID, u.Result, u.NRestarts)
		case event.Gap != nil:
			fmt.Fprintf(&b, "\ngap %+v", *event.Gap)
		case event.Log != nil:
			fmt.Fprintf(&b, "\nlog %+v", *event.Log)
		case event.Armed != nil:
			fmt.Fprintf(&b, "\narmed %+v", *event.Armed)
		case event.StartLimit != nil:
			fmt.Fprintf(&b, "\nlimit %+v", *event.StartLimit)
		}
	}
	return b.String()
}

// observer is what a test observes with.
type observer interface {
	Observe(context.Context, func(timeline.Event))
}

// observe begins to observe. stop ends it and returns when it has ended.
func observe(t testing.TB, o observer) (e *events, stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	e = &events{news: make(chan struct{}, 1)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		o.Observe(ctx, e.emit)
	}()
	stop = func() {
		cancel()
		<-done
	}
	t.Cleanup(stop)
	return e, stop
}

// watch begins to watch app.service, and returns when the first states are in.
func (h *host) watch(bus Bus, services ...string) (e *events, stop func()) {
	h.t.Helper()
	e, stop = observe(h.t, &Watcher{Bus: bus, Clock: h.clock, Services: services})
	for _, s := range services {
		e.await(h.t, s+" seen", func() bool { return len(e.units(s)) > 0 || len(e.gaps()) > 0 })
	}
	return e, stop
}

// runUntilKilled starts a run, says so, and waits for its end.
func runUntilKilled(config string) int {
	var c Config
	if err := json.Unmarshal([]byte(config), &c); err != nil {
		fmt.Println(err)
		return 95
	}
	c.Clock = timeline.NewClock()
	u, err := New(c)
	if call := os.Getenv(dieAtEnv); call != "" && err == nil {
		err = dieAt(call)
	}
	if err == nil {
		err = u.Start(context.Background())
	}
	if err != nil {
		fmt.Println(err)
		return 94
	}
	fmt.Println("started")
	time.Sleep(time.Hour)
	return 0
}

// ask restarts app.service by way of the system's own bus, and prints what comes of it.
func ask() int {
	conn, err := Bus{}.Open(context.Background())
	if err == nil {
		err = conn.Job(context.Background(), jobRestart, "app.service")
	}
	fmt.Println(err)
	return 0
}

// watchDirectly watches app.service without a bus daemon, while it restarts it and has systemd execute itself anew. It prints
// the events.
func watchDirectly() int {
	bus := Bus{Address: "unix:path=/run/systemd/private", Direct: true}
	conn, err := bus.Open(context.Background())
	if err != nil {
		fmt.Println(err)
		return 93
	}
	ctx, cancel := context.WithCancel(context.Background())
	e := &events{news: make(chan struct{}, 1)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		(&Watcher{Bus: bus, Clock: timeline.NewClock(), Services: []string{"app.service"}}).Observe(ctx, e.emit)
	}()
	for len(e.units("app.service")) == 0 {
		<-e.news
	}
	for range 3 {
		err = errors.Join(err, conn.Job(ctx, jobRestart, "app.service"), conn.Reexec(ctx), conn.Job(ctx, jobRestart, "app.service"))
	}
	cancel()
	<-done
	json.NewEncoder(os.Stdout).Encode(e.list())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 92
	}
	return 0
}
