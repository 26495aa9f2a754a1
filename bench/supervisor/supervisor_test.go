package supervisor

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/restartbench/restartbench/bench/timeline"
)

// patience bounds every wait of these tests; none waits that long when all is well.
const patience = 20 * time.Second

// recorder keeps events, and lets a test wait for one.
type recorder struct {
	mu     sync.Mutex
	events []timeline.Event
	grown  chan struct{} // closed and replaced with every event
}

func newRecorder() *recorder { return &recorder{grown: make(chan struct{})} }

func (r *recorder) emit(e timeline.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
	close(r.grown)
	r.grown = make(chan struct{})
}

// await returns the first event that match accepts, from index from on, and the index after it.
func (r *recorder) await(t *testing.T, what string, from int, match func(timeline.Event) bool) (timeline.Event, int) {
	t.Helper()
	limit := time.After(patience)
	for i := from; ; {
		r.mu.Lock()
		events, grown := r.events, r.grown
		r.mu.Unlock()
		for ; i < len(events); i++ {
			if match(events[i]) {
				return events[i], i + 1
			}
		}
		select {
		case <-grown:
		case <-limit:
			t.Fatalf("no %s after event %d; got:\n%s", what, from, strings.Join(r.all(), "\n"))
		}
	}
}

func (r *recorder) len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.events)
}

// state waits for a unit's state, written as "unit active/sub".
func (r *recorder) state(t *testing.T, from int, want string) (*timeline.Unit, int) {
	t.Helper()
	e, next := r.await(t, want, from, func(e timeline.Event) bool { return e.Unit != nil && describe(e) == want })
	return e.Unit, next
}

// log waits for a line with a prefix, and returns what follows it.
func (r *recorder) log(t *testing.T, prefix string) string {
	t.Helper()
	e, _ := r.await(t, "line "+prefix, 0, func(e timeline.Event) bool {
		return e.Log != nil && strings.HasPrefix(e.Log.Text, prefix)
	})
	return strings.TrimPrefix(e.Log.Text, prefix)
}

func describe(e timeline.Event) string {
	switch {
	case e.Unit != nil:
		return e.Unit.Name + " " + e.Unit.Active + "/" + e.Unit.Sub
	case e.Log != nil:
		return e.Log.Source + ": " + e.Log.Text
	case e.Warning != nil:
		return "warning " + e.Warning.Source + ": " + e.Warning.Text
	case e.Gap != nil:
		return fmt.Sprintf("gap %s: %d", e.Gap.Observer, e.Gap.Lost)
	}
	return "?"
}

func (r *recorder) all() (list []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events {
		line := describe(e)
		if e.Unit != nil {
			line += " " + e.Unit.Result
		}
		list = append(list, line)
	}
	return list
}

// states are the Unit events from an index on, in words.
func (r *recorder) states(from int) (list []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events[from:] {
		if e.Unit != nil {
			list = append(list, describe(e)+" "+e.Unit.Result)
		}
	}
	return list
}

// shortDir is a directory whose path leaves room for a unix socket's name.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sv")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func self(t *testing.T) string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return exe
}

// quickExit keeps the race detector from waiting a second at the end of each process.
const quickExit = "GORACE=atexit_sleep_ms=0"

func shimCommand(exe string) []string { return []string{"env", quickExit, exe, "exec-shim"} }

// build makes a supervisor, which Cleanup closes.
func build(t *testing.T, units map[string]string) (*Supervisor, *recorder) {
	t.Helper()
	r := newRecorder()
	s, err := New(Config{
		Units: units, Emit: r.emit, Now: timeline.NewClock().Now, Shim: shimCommand(self(t)), Dir: shortDir(t),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s, r
}

func start(t *testing.T, units map[string]string) (*Supervisor, *recorder) {
	t.Helper()
	s, r := build(t, units)
	if err := s.Start(t.Context()); err != nil {
		t.Fatalf("%v\n%s", err, strings.Join(r.all(), "\n"))
	}
	return s, r
}

// serviceFile is a .service file that plays a part.
func serviceFile(t *testing.T, part string, more ...string) string {
	t.Helper()
	lines := append([]string{"[Service]", "ExecStart=" + self(t), "Environment=" + quickExit + " PART=" + part}, more...)
	return strings.Join(lines, "\n") + "\n"
}

func socketFile(addresses ...string) string {
	return "[Socket]\nListenStream=" + strings.Join(addresses, "\nListenStream=") + "\n"
}

// pair is a socket and its service.
func pair(t *testing.T, addr, part string, more ...string) map[string]string {
	t.Helper()
	return map[string]string{"a.socket": socketFile(addr), "a.service": serviceFile(t, part, more...)}
}

var nextPort atomic.Int32

// freeAddr is a loopback address on which nothing listens. Its port is below those that the system gives out by itself, so
// that no outgoing connection takes it before its user does.
func freeAddr(t *testing.T) string {
	t.Helper()
	for range 1000 {
		port := 20000 + (os.Getpid()*37+int(nextPort.Add(1)))%10000
		addr := "127.0.0.1:" + strconv.Itoa(port)
		if l, err := net.Listen("tcp", addr); err == nil {
			l.Close()
			return addr
		}
	}
	t.Fatal("no free port")
	return ""
}

// ask connects and returns what the service says.
func ask(t *testing.T, network, addr string) (pid int, name string) {
	t.Helper()
	conn, err := net.DialTimeout(network, addr, patience)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return hear(t, conn)
}

func hear(t *testing.T, conn net.Conn) (pid int, name string) {
	t.Helper()
	conn.SetDeadline(time.Now().Add(patience))
	if _, err := fmt.Fscan(conn, &pid, &name); err != nil {
		t.Fatal(err)
	}
	return pid, name
}

// refused waits until nothing listens any more.
func refused(t *testing.T, addr string) {
	t.Helper()
	eventually(t, "refused on "+addr, func() bool {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
		}
		return errors.Is(err, syscall.ECONNREFUSED)
	})
}

// gone waits until a process of somebody else has ended.
func gone(t *testing.T, pid int) {
	t.Helper()
	eventually(t, fmt.Sprintf("end of process %d", pid), func() bool {
		state, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err == nil && strings.Contains(string(state), ") Z ") {
			return true
		}
		return unix.Kill(pid, 0) == unix.ESRCH
	})
}

// eventually asks until something that no event tells of is so.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for limit := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("no %s", what)
		}
	}
}

func TestActivation(t *testing.T) {
	one, two, path := freeAddr(t), freeAddr(t), filepath.Join(shortDir(t), "dir", "s")
	s, r := start(t, map[string]string{
		"a.socket":  socketFile(one) + "FileDescriptorName=first\nBacklog=7\nNoDelay=yes\n",
		"b.socket":  socketFile(two, path) + "Service=a.service\nSocketMode=0600\nReusePort=yes\n",
		"a.service": serviceFile(t, "env", "Environment=WORD='x y' HOME=/nowhere", "ExecStart=", "ExecStart="+self(t)+` -a ${WORD} $WORD "%n"`),
	})
	env := map[string]string{}
	for _, key := range []string{"pid", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "PATH", "HOME", "INVOCATION_ID", "SYSTEMD_EXEC_PID", "args"} {
		env[key] = r.log(t, key+"=")
	}
	status := s.Status("a.service")
	want := map[string]string{
		"pid": strconv.Itoa(status.MainPID), "LISTEN_PID": strconv.Itoa(status.MainPID), "SYSTEMD_EXEC_PID": strconv.Itoa(status.MainPID),
		"LISTEN_FDS": "3", "LISTEN_FDNAMES": "first:b.socket:b.socket", "PATH": servicePath(), "HOME": "/nowhere",
		"INVOCATION_ID": status.InvocationID, "args": "-a|x y|x|y|a.service",
	}
	if diff := cmp.Diff(want, env); diff != "" {
		t.Error(diff)
	}
	for _, c := range []struct{ network, addr, name string }{{"tcp", one, "first"}, {"tcp", two, "b.socket"}, {"unix", path, "b.socket"}} {
		if pid, name := ask(t, c.network, c.addr); pid != status.MainPID || name != c.name {
			t.Errorf("%s answered as %d %s, not %d %s", c.addr, pid, name, status.MainPID, c.name)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("unix socket: %v, %v", info, err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("unix socket is left: %v", err)
	}
	gone(t, status.MainPID)
	refused(t, one)
}

func TestEventsOfARestart(t *testing.T) {
	s, r := start(t, pair(t, freeAddr(t), "serve:notify", "Type=notify"))
	before, from := s.Status("a.service"), r.len()
	if err := s.Restart(t.Context(), "a.service"); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"a.service deactivating/stop-sigterm success",
		"a.service inactive/dead success",
		"a.service activating/start success",
		"a.service active/running success",
	}
	if diff := cmp.Diff(want, r.states(from)); diff != "" {
		t.Error(diff)
	}
	after := s.Status("a.service")
	if after.MainPID == before.MainPID || after.InvocationID == before.InvocationID || len(after.InvocationID) != 32 {
		t.Errorf("before %+v, after %+v", before, after)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	want = append(want,
		"a.service deactivating/stop-sigterm success", "a.service inactive/dead success",
		"a.socket active/listening success", "a.socket inactive/dead success")
	if diff := cmp.Diff(want, r.states(from)); diff != "" {
		t.Error(diff)
	}
}

func TestEventsOfAStart(t *testing.T) {
	_, r := start(t, pair(t, freeAddr(t), "serve:notify", "Type=notify", "ProtectSystem=strict", "ProtectSystem=full", "[Install]", "WantedBy=x"))
	r.log(t, "STATUS=up")
	want := []string{
		"a.socket active/listening success", "a.service activating/start success",
		"a.service active/running success", "a.socket active/running success",
	}
	if diff := cmp.Diff(want, r.states(0)); diff != "" {
		t.Error(diff)
	}
	warnings := 0
	for _, line := range r.all() {
		if strings.HasPrefix(line, "warning") {
			warnings++
			if !strings.HasPrefix(line, "warning a.service: [Service] ProtectSystem= is ignored by the embedded manager") {
				t.Error(line)
			}
		}
	}
	if warnings != 1 {
		t.Errorf("%d warnings", warnings)
	}
}

// A restart waits for READY=1, and meanwhile connections wait in the accept queue.
func TestSocketOutlivesRestart(t *testing.T) {
	addr, gate := freeAddr(t), filepath.Join(t.TempDir(), "gate")
	os.WriteFile(gate, nil, 0o600)
	s, r := start(t, pair(t, addr, "serve:notify", "Type=notify", "Environment=GATE="+gate))
	os.Remove(gate)
	from, done := r.len(), make(chan error, 1)
	go func() { done <- s.Restart(context.Background(), "a.service") }()
	u, _ := r.state(t, from, "a.service activating/start")
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	select {
	case err := <-done:
		t.Fatalf("restart returned before READY=1: %v", err)
	default:
	}
	os.WriteFile(gate, nil, 0o600)
	if pid, _ := hear(t, conn); pid != u.MainPID {
		t.Errorf("%d answered, not %d", pid, u.MainPID)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestStartErrors(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, c := range []struct {
		name  string
		units map[string]string
		want  StartError
		text  string
	}{
		{"port taken", pair(t, taken.Addr().String(), "serve"),
			StartError{Unit: "a.socket", Result: resources, Address: taken.Addr().String()}, "listen on " + taken.Addr().String() + ": address already in use"},
		{"exits at once", pair(t, freeAddr(t), "exit:3"),
			StartError{Unit: "a.service", Result: exitCode, Status: Exit{Ended: true, Code: 3}}, "exited with code 3 right after"},
		{"exits before ready", pair(t, freeAddr(t), "exit:0", "Type=notify"),
			StartError{Unit: "a.service", Result: protocol, Status: Exit{Ended: true}}, "exited with code 0 before it was ready"},
		{"killed", pair(t, freeAddr(t), "abort"),
			StartError{Unit: "a.service", Result: bySignal, Status: Exit{Ended: true, Signal: syscall.SIGKILL}}, "killed by signal 9"},
		{"never ready", pair(t, freeAddr(t), "hang", "Type=notify", "TimeoutStartSec=200ms"),
			StartError{Unit: "a.service", Result: timedOut, Status: Exit{Ended: true, Signal: syscall.SIGTERM}}, "not ready within TimeoutStartSec=200ms"},
		{"no program", map[string]string{"a.service": "[Service]\nType=exec\nExecStart=/nonexistent/x"},
			StartError{Unit: "a.service", Result: exitCode, Status: Exit{Ended: true, Code: exitExec}}, "check ExecStart="},
		{"no directory", map[string]string{"a.service": serviceFile(t, "serve", "WorkingDirectory=/nonexistent")},
			StartError{Unit: "a.service", Result: exitCode, Status: Exit{Ended: true, Code: exitChdir}}, "WorkingDirectory="},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, _ := build(t, c.units)
			s.grace = patience // on a busy machine, exiting takes its time
			err := s.Start(t.Context())
			var got *StartError
			if !errors.As(err, &got) {
				t.Fatalf("got %v", err)
			}
			if !strings.Contains(err.Error(), c.text) || !strings.Contains(err.Error(), c.want.Unit) {
				t.Errorf("error says: %v", err)
			}
			got.Err = nil
			if diff := cmp.Diff(c.want, *got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestStartLimit(t *testing.T) {
	addr := freeAddr(t)
	units := pair(t, addr, "serve:notify", "Type=notify", "[Unit]", "StartLimitBurst=3", "StartLimitIntervalSec=1h")
	s, r := start(t, units)
	for range 2 {
		if err := s.Restart(t.Context(), "a.service"); err != nil {
			t.Fatal(err)
		}
	}
	from := r.len()
	err := s.Restart(t.Context(), "a.service")
	var got *StartError
	if !errors.As(err, &got) || got.Result != startLimitHit {
		t.Fatalf("got %v", err)
	}
	want := []string{
		"a.service deactivating/stop-sigterm success", "a.service inactive/dead success",
		"a.service failed/failed start-limit-hit", "a.socket failed/failed service-start-limit-hit",
	}
	r.state(t, from, "a.socket failed/failed")
	if diff := cmp.Diff(want, r.states(from)); diff != "" {
		t.Error(diff)
	}
	refused(t, addr)
}

func TestCrashLoop(t *testing.T) {
	addr := freeAddr(t)
	units := pair(t, addr, "serve:notify", "Type=notify", "Restart=on-failure", "RestartSec=1ms",
		"[Unit]", "StartLimitBurst=3", "StartLimitIntervalSec=1h")
	s, r := start(t, units)
	from := 0
	for n := range 3 {
		_, from = r.state(t, from, "a.service active/running")
		if got := s.Status("a.service").NRestarts; got != n {
			t.Errorf("NRestarts is %d, not %d", got, n)
		}
		if err := s.Kill(t.Context(), "a.service", syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		_, from = r.state(t, from, "a.service activating/auto-restart")
	}
	// systemd keeps the result of the crash; only the socket names the limit.
	if u, _ := r.state(t, from, "a.service failed/failed"); u.Result != bySignal {
		t.Errorf("service's result is %s", u.Result)
	}
	if u, _ := r.state(t, from, "a.socket failed/failed"); u.Result != "service-start-limit-hit" {
		t.Errorf("socket's result is %s", u.Result)
	}
	refused(t, addr)
}

// With no start limit, a service that exits without accepting is started again and again for the connection that waits.
func TestTriggerLimit(t *testing.T) {
	addr := freeAddr(t)
	gate := filepath.Join(t.TempDir(), "gate")
	units := pair(t, addr, "serve", "[Unit]", "StartLimitIntervalSec=0")
	units["a.socket"] += "TriggerLimitIntervalSec=1h\nTriggerLimitBurst=3\n"
	units["a.service"] = "[Unit]\nStartLimitIntervalSec=0\n[Service]\nType=notify\nEnvironment=GATE=" + gate +
		"\nExecStart=/bin/sh -c 'test -e ${GATE} && exit 0; PART=serve:notify GATE= exec " + self(t) + "'\n"
	s, r := start(t, units)
	os.WriteFile(gate, nil, 0o600)
	if err := s.Stop(t.Context(), "a.service"); err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if u, _ := r.state(t, 0, "a.socket failed/failed"); u.Result != "trigger-limit-hit" {
		t.Errorf("socket's result is %s", u.Result)
	}
	refused(t, addr)
}

func TestConnectionStartsStoppedService(t *testing.T) {
	addr := freeAddr(t)
	s, r := start(t, pair(t, addr, "serve"))
	before := s.Status("a.service").MainPID
	if err := s.Stop(t.Context(), "a.service"); err != nil {
		t.Fatal(err)
	}
	if got := s.Status("a.service"); got.Active != "inactive" || got.MainPID != 0 {
		t.Errorf("stopped: %+v", got)
	}
	if got := s.Status("a.socket"); got.Sub != "listening" {
		t.Errorf("socket of a stopped service: %+v", got)
	}
	from := r.len()
	if pid, _ := ask(t, "tcp", addr); pid == before || pid != s.Status("a.service").MainPID {
		t.Errorf("%d answered", pid)
	}
	want := []string{"a.socket active/running success", "a.service active/running success"}
	if diff := cmp.Diff(want, r.states(from)); diff != "" {
		t.Error(diff)
	}
}

func TestStopTimeoutKillsTheGroup(t *testing.T) {
	for _, c := range []struct {
		mode string
		want []string
	}{
		{"control-group", []string{"deactivating/stop-sigterm success", "deactivating/final-sigterm success", "deactivating/final-sigkill timeout", "failed/failed timeout"}},
		{"mixed", []string{"deactivating/stop-sigterm success", "deactivating/final-sigkill success", "inactive/dead success"}},
	} {
		t.Run(c.mode, func(t *testing.T) {
			s, r := start(t, map[string]string{"a.service": serviceFile(t, "family", "TimeoutStopSec=500ms", "KillMode="+c.mode)})
			child, _ := strconv.Atoi(r.log(t, "child "))
			from := r.len()
			if err := s.Stop(t.Context(), "a.service"); err != nil {
				t.Fatal(err)
			}
			gone(t, child)
			var want []string
			for _, state := range c.want {
				want = append(want, "a.service "+state)
			}
			if diff := cmp.Diff(want, r.states(from)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestStubbornMainProcess(t *testing.T) {
	s, r := start(t, map[string]string{"a.service": serviceFile(t, "stubborn", "TimeoutStopSec=500ms")})
	r.log(t, "ignoring SIGTERM")
	from := r.len()
	if err := s.Stop(t.Context(), "a.service"); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"a.service deactivating/stop-sigterm success", "a.service deactivating/stop-sigkill timeout", "a.service failed/failed timeout",
	}
	if diff := cmp.Diff(want, r.states(from)); diff != "" {
		t.Error(diff)
	}
}

// KillMode=process leaves other processes, but not beyond Close.
func TestKillModeProcess(t *testing.T) {
	s, r := start(t, map[string]string{"a.service": serviceFile(t, "family", "KillMode=process")})
	child, _ := strconv.Atoi(r.log(t, "child "))
	if err := s.Stop(t.Context(), "a.service"); err != nil {
		t.Fatal(err)
	}
	if err := unix.Kill(child, 0); err != nil {
		t.Errorf("the child has gone: %v", err)
	}
	s.Close()
	gone(t, child)
}

func TestRestartPolicies(t *testing.T) {
	for _, c := range []struct{ policy, part, end string }{
		{"no", "exit:1", "failed/failed"},
		{"no", "ready-exit", "inactive/dead"},
		{"always", "ready-exit", "activating/auto-restart"},
		{"on-success", "ready-exit", "activating/auto-restart"},
		{"on-success", "exit:1", "failed/failed"},
		{"on-failure", "ready-exit", "inactive/dead"},
		{"on-failure", "exit:1", "activating/auto-restart"},
		{"on-abnormal", "exit:1", "failed/failed"},
		{"on-abnormal", "abort", "activating/auto-restart"},
		{"on-abort", "abort", "activating/auto-restart"},
	} {
		t.Run(c.policy+" "+c.part, func(t *testing.T) {
			s, r := build(t, map[string]string{"a.service": serviceFile(t, c.part, "Type=notify", "RestartSec=1h", "Restart="+c.policy)})
			s.Start(t.Context()) // fails for some
			r.state(t, 0, "a.service "+c.end)
			if got := s.Status("a.service"); got.Active+"/"+got.Sub != c.end {
				t.Errorf("%+v", got)
			}
		})
	}
}

func TestSuccessExitStatus(t *testing.T) {
	s, r := build(t, map[string]string{"a.service": serviceFile(t, "exit:75", "SuccessExitStatus=3 TEMPFAIL SIGKILL")})
	s.Start(t.Context())
	r.state(t, 0, "a.service inactive/dead")
}

// A child may not speak for a service, unless NotifyAccess=all.
func TestNotifyAccess(t *testing.T) {
	units := map[string]string{"a.service": serviceFile(t, "family:notifier", "Type=notify", "TimeoutStartSec=1h", "TimeoutStopSec=50ms")}
	s, r := build(t, units)
	if sender(nil) == 0 && !checksSenders {
		t.Skip("this system does not name senders")
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Start(ctx) }()
	r.await(t, "warning", 0, func(e timeline.Event) bool {
		return e.Warning != nil && strings.Contains(e.Warning.Text, "NotifyAccess=main")
	})
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	units["a.service"] += "NotifyAccess=all\n"
	start(t, units)
}

func TestFloodIsAGap(t *testing.T) {
	s, r := start(t, map[string]string{"a.service": serviceFile(t, "flood", "Type=notify")})
	s.Close()
	lost, kept := uint64(0), 0
	for _, e := range r.events {
		if e.Gap != nil {
			lost += e.Gap.Lost
		}
		if e.Log != nil {
			kept++
		}
	}
	// Its STATUS= can be among the lines that are kept, and a word of the runtime's under -cover.
	if wrote, told := uint64(3*lineBurst/2+1), lost+uint64(kept); told < wrote || told > wrote+2 {
		t.Errorf("kept %d, lost %d of %d", kept, lost, wrote)
	}
	if kept > lineBurst+1 {
		t.Errorf("kept %d lines", kept)
	}
}

func TestKill(t *testing.T) {
	s, r := start(t, map[string]string{"a.service": serviceFile(t, "serve")})
	if err := s.Kill(t.Context(), "a.service", syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if u, _ := r.state(t, 0, "a.service failed/failed"); u.Result != bySignal || u.MainPID != 0 {
		t.Errorf("%+v", u)
	}
	if err := s.Kill(t.Context(), "a.service", syscall.SIGKILL); err == nil {
		t.Error("killed a process that is not there")
	}
}

// systemctl restart of a socket whose service runs fails, and leaves the socket dead.
func TestRestartOfASocket(t *testing.T) {
	addr := freeAddr(t)
	s, _ := start(t, pair(t, addr, "serve"))
	if err := s.Restart(t.Context(), "a.socket"); !errors.Is(err, errServiceActive) {
		t.Errorf("got %v", err)
	}
	ask(t, "tcp", addr) // the service holds the socket itself
	if err := s.Stop(t.Context(), "a.service"); err != nil {
		t.Fatal(err)
	}
	refused(t, addr)
	if err := s.StartUnit(t.Context(), "a.socket"); err != nil {
		t.Fatal(err)
	}
	ask(t, "tcp", addr)
}

func TestCommandsOutsideOfLife(t *testing.T) {
	s, _ := build(t, map[string]string{"a.service": serviceFile(t, "serve")})
	if err := s.Restart(t.Context(), "a.service"); !errors.Is(err, ErrClosed) {
		t.Errorf("before Start: %v", err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(t.Context(), "b.service"); err == nil || !strings.Contains(err.Error(), "only a.service") {
		t.Errorf("unknown unit: %v", err)
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := s.Restart(t.Context(), "a.service"); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	if got := s.Status("a.service"); got.Active != "inactive" {
		t.Errorf("after Close: %+v", got)
	}
}

// superviseUnits is the supervising program of TestKilledSupervisor.
func superviseUnits(units map[string]string, dir string) error {
	emit := func(e timeline.Event) { fmt.Println(describe(e)) }
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	s, err := New(Config{
		Units: units, Emit: emit, Now: timeline.NewClock().Now, Shim: shimCommand(exe), Dir: dir, OwnDir: true,
	})
	if err != nil {
		return err
	}
	defer s.Close()
	if err := s.Start(context.Background()); err != nil {
		return err
	}
	fmt.Printf("up %d %d\n", s.Status("a.service").MainPID, s.guard.process.Pid)
	io.Copy(io.Discard, os.Stdin)
	return nil
}

func TestKilledSupervisor(t *testing.T) {
	for _, guarded := range []bool{true, false} {
		t.Run(fmt.Sprintf("guarded=%v", guarded), func(t *testing.T) {
			if !guarded && !checksSenders {
				t.Skip("nothing but the guard on this system")
			}
			testKilledSupervisor(t, guarded)
		})
	}
}

func testKilledSupervisor(t *testing.T, guarded bool) {
	dir, addr := shortDir(t), freeAddr(t)
	path := filepath.Join(dir, "u")
	os.WriteFile(filepath.Join(dir, "a.socket"), []byte(socketFile(addr, path)), 0o600)
	os.WriteFile(filepath.Join(dir, "a.service"), []byte(serviceFile(t, "family")), 0o600)
	cmd := exec.Command(self(t))
	cmd.Env = append(os.Environ(), quickExit, "PART=supervise:"+dir)
	stdin, _ := cmd.StdinPipe()
	defer stdin.Close()
	stdout, _ := cmd.StdoutPipe()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var main, guard, child int
	for lines := bufio.NewScanner(stdout); (guard == 0 || child == 0) && lines.Scan(); {
		fmt.Sscanf(lines.Text(), "up %d %d", &main, &guard)
		fmt.Sscanf(lines.Text(), "a.service: child %d", &child)
	}
	if main == 0 || child == 0 {
		t.Fatalf("main %d, child %d", main, child)
	}
	if !guarded {
		unix.Kill(guard, unix.SIGKILL)
		gone(t, guard)
	}
	cmd.Process.Kill()
	cmd.Wait()
	gone(t, main)
	if !guarded {
		unix.Kill(child, unix.SIGKILL) // without its guard, only the main process is taken along
		return
	}
	gone(t, child)
	gone(t, guard)
	refused(t, addr)
	for _, left := range []string{path, filepath.Join(dir, "run")} {
		if _, err := os.Lstat(left); !os.IsNotExist(err) {
			t.Errorf("%s is left: %v", left, err)
		}
	}
}
