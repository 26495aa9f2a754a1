package systemd

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/restartbench/restartbench/bench/systemd/private"
)

func TestJobResults(t *testing.T) {
	h := boot(t, map[string]string{
		"done.service":    plain,
		"fails.service":   "[Service]\nType=notify\n" + execute("exit"),
		"slow.service":    "[Unit]\nJobTimeoutSec=300ms\n[Service]\nType=notify\nTimeoutStopSec=100ms\n" + execute("hang"),
		"needs.service":   "[Unit]\nRequires=fails.service\nAfter=fails.service\n[Service]\n" + execute("serve"),
		"patient.service": "[Service]\nType=notify\nTimeoutStopSec=100ms\n" + execute("hang"),
	})
	tests := []struct{ unit, result, text string }{
		{"done.service", "", ""},
		{"fails.service", "failed", "restart fails.service: the job failed (exit-code); systemctl status fails.service shows more"},
		{"slow.service", "timeout", "restart slow.service: the job's own time limit passed; systemctl status slow.service shows more"},
		{"needs.service", "dependency", "restart needs.service: a unit that it requires failed; systemctl status needs.service shows more"},
	}
	for _, test := range tests {
		t.Run(test.unit, func(t *testing.T) {
			err := (&Restarter{Conn: h.conn, Action: ActionRestart, Unit: test.unit}).Restart(t.Context())
			var job *JobError
			switch {
			case test.result == "":
				if err != nil {
					t.Error(err)
				}
			case !errors.As(err, &job) || job.Result != test.result:
				t.Errorf("got %v, want %s", err, test.result)
			case err.Error() != test.text:
				t.Errorf("got  %v\nwant %s", err, test.text)
			}
		})
	}
	t.Run("canceled", func(t *testing.T) {
		e, _ := h.watch(h.bus, "patient.service")
		ended := make(chan error, 1)
		go func() { ended <- h.conn.Job(t.Context(), jobRestart, "patient.service") }()
		e.await(t, "starting", func() bool {
			all := e.units("patient.service")
			return all[len(all)-1].Sub == "start"
		})
		h.job(jobStop, "patient.service")
		var job *JobError
		if err := <-ended; !errors.As(err, &job) || job.Result != "canceled" {
			t.Error(err)
		}
	})
	t.Run("caller's limit", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		err := h.conn.Job(ctx, jobRestart, "patient.service")
		if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrHangs) {
			t.Error(err)
		}
	})
}

func TestErrorsSayWhatToDo(t *testing.T) {
	h := boot(t, map[string]string{"app.service": plain, "bad.service": "[Service]\nType=notify\n"})
	h.ctl("mask", "--runtime", "masked.service")
	tests := []struct {
		action Action
		unit   string
		kind   error
		text   string
	}{
		{ActionRestart, "none.service", ErrNoUnit, "systemctl list-unit-files shows those that there are"},
		{ActionRestart, "masked.service", ErrMasked, "systemctl unmask masked.service makes it startable again"},
		{ActionRestart, "bad.service", ErrBadUnit, "systemd-analyze verify bad.service shows the line"},
		{ActionKill, "app.service", ErrNotLoaded, "it has to run first: systemctl start app.service"},
		{ActionReload, "app.service", nil, "not applicable"},
		{ActionRestartSocket, "app.service", ErrNoSocket, "restart the socket of app.service: it has no socket unit"},
		{ActionCrashLoop, "none.service", ErrNoUnit, "look up none.service: no such unit"},
		{"explode", "app.service", nil, "choose one of restart, reload"},
	}
	for _, test := range tests {
		err := (&Restarter{Conn: h.conn, Action: test.action, Unit: test.unit}).Restart(t.Context())
		if err == nil || test.kind != nil && !errors.Is(err, test.kind) || !strings.Contains(err.Error(), test.text) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s %s: got %v\nwant %v: %s", test.action, test.unit, err, test.kind, test.text)
		}
	}
}

func TestDenied(t *testing.T) {
	h := boot(t, map[string]string{"app.service": plain})
	cmd := h.Command(t.Context(), "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", private.Program)
	cmd.Env = append(cmd.Environ(), "PART=ask")
	out, err := cmd.CombinedOutput()
	want := "restart app.service: systemd denies it"
	if err != nil || !strings.Contains(string(out), want) || !strings.Contains(string(out), "; run as root, or have polkit grant") {
		t.Errorf("%v: %s", err, out)
	}
}

func TestNoBus(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "socket")
	for _, bus := range []Bus{{Address: "unix:path=" + missing}, {Address: "tcp:host=localhost"}} {
		_, err := bus.Open(t.Context())
		if !errors.Is(err, ErrNoManager) || !strings.HasSuffix(err.Error(), "; boot this machine with systemd, or use the private or the embedded manager") {
			t.Error(err)
		}
	}
}

func TestUserWithoutManager(t *testing.T) {
	t.Setenv("XDG_RUNTIME_DIR", t.TempDir())
	_, err := Bus{User: true}.Open(t.Context())
	if !errors.Is(err, ErrNoManager) || !strings.Contains(err.Error(), "log in so that XDG_RUNTIME_DIR is set") {
		t.Error(err)
	}
}

// TestBusHangs has somebody accept the connection, and never say a word.
func TestBusHangs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, err = Bus{Address: "unix:path=" + path, Timeout: 50 * time.Millisecond}.Open(t.Context())
	if !errors.Is(err, ErrHangs) {
		t.Error(err)
	}
}

// TestSystemdHangs stops systemd itself, behind a bus that works.
func TestSystemdHangs(t *testing.T) {
	h := boot(t, map[string]string{"app.service": plain})
	bus := h.bus
	bus.Timeout = 100 * time.Millisecond
	conn := h.open(bus)
	send(t, h.PID(), syscall.SIGSTOP)
	defer send(t, h.PID(), syscall.SIGCONT)
	for _, action := range []Action{ActionRestart, ActionKill, ActionCrashLoop} {
		if err := (&Restarter{Conn: conn, Action: action, Unit: "app.service"}).Restart(t.Context()); !errors.Is(err, ErrHangs) {
			t.Error(action, err)
		}
	}
	e, stop := observe(t, &Watcher{Bus: bus, Clock: h.clock, Services: []string{"app.service"}})
	stop()
	if gaps := e.gaps(); len(gaps) != 1 || gaps[0].Observer != "units" || gaps[0].Why == "" {
		t.Error(e)
	}
}

func send(t *testing.T, pid int, s syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(pid, s); err != nil {
		t.Fatal(err)
	}
}

// TestDirect goes without a bus daemon, from inside: systemd refuses peers of another PID namespace.
func TestDirect(t *testing.T) {
	h := boot(t, pairOfUnits())
	h.job(jobStart, "app.socket", "app.service")
	cmd := h.Command(t.Context(), private.Program)
	cmd.Env = append(cmd.Environ(), "PART=watch-directly")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s%s", err, out, &stderr)
	}
	e := &events{}
	if err := json.Unmarshal(out, &e.all); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, u := range e.units("app.service") {
		seen[u.InvocationID] = true
	}
	if len(seen) < 7 && len(e.gaps()) == 0 {
		t.Errorf("%d of 7 invocations seen, and no gap: %s", len(seen), e)
	}
	if a := e.armed(); len(a) != 1 || !a[0].Armed {
		t.Error(e)
	}
}

func TestDescribe(t *testing.T) {
	units := pairOfUnits()
	units["app.socket"] = "[Socket]\nListenStream=/run/app.sock\nListenStream=127.0.0.1:18080\nNoDelay=true\nBacklog=64\n"
	units["lone.service"] = "[Unit]\nStartLimitBurst=3\nStartLimitIntervalSec=7\n" + "[Service]\nType=exec\nRestart=on-failure\nRestartSec=2\n" + execute("serve")
	units["other.socket"] = "[Socket]\nListenStream=/run/other.sock\nService=joined.service\n"
	units["joined.service"] = plain
	h := boot(t, units)
	s, err := h.conn.Describe(t.Context(), "app.service")
	if err != nil {
		t.Fatal(err)
	}
	if s.Type != "notify" || s.Active != "inactive" || len(s.Sockets) != 1 || s.Load != "loaded" {
		t.Errorf("%+v", s)
	}
	socket := s.Sockets[0]
	want := []Listen{{"Stream", "/run/app.sock"}, {"Stream", "127.0.0.1:18080"}}
	if socket.Name != "app.socket" || socket.Backlog != 64 || !socket.NoDelay || socket.ReusePort || socket.Accept || len(socket.Listen) != 2 ||
		socket.Listen[0] != want[0] || socket.Listen[1] != want[1] {
		t.Errorf("%+v", socket)
	}
	if s, err = h.conn.Describe(t.Context(), "lone.service"); err != nil || len(s.Sockets) != 0 || s.Type != "exec" ||
		s.StartBurst != 3 || s.StartInterval != 7*time.Second || s.RestartDelay != 2*time.Second || s.Restart != "on-failure" {
		t.Errorf("%v %+v", err, s)
	}
	// Nobody has asked for other.socket yet, so systemd has not loaded it; its file names the service.
	if s, err = h.conn.Describe(t.Context(), "joined.service"); err != nil || len(s.Sockets) != 1 || s.Sockets[0].Name != "other.socket" || !s.Sockets[0].FromFile {
		t.Errorf("%v %+v", err, s)
	}
}

func TestCrashLoop(t *testing.T) {
	units := pairOfUnits()
	units["app.service"] = "[Unit]\nStartLimitBurst=3\nStartLimitIntervalSec=60\n[Service]\nType=notify\n" + execute("serve")
	h := boot(t, units)
	h.job(jobStart, "app.socket", "app.service")
	e, stop := h.watch(h.bus, "app.service")
	ctx, cancel := context.WithCancel(t.Context())
	traffic := make(chan struct{})
	go func() {
		defer close(traffic)
		for ctx.Err() == nil {
			h.connect()
		}
	}()
	err := (&Restarter{Conn: h.conn, Action: ActionCrashLoop, Unit: "app.service"}).Restart(t.Context())
	cancel()
	<-traffic
	stop()
	if err != nil {
		t.Error(err)
	}
	a, limits := e.armed(), e.limits()
	if len(a) != 1 || a[0].Armed || a[0].Active != "failed" || a[0].Result != "service-start-limit-hit" ||
		a[0].Why != "app.socket is failed (failed), with the result service-start-limit-hit: nothing listens" {
		t.Error(e)
	}
	if len(limits) != 1 || limits[0].Starts != 3 || limits[0].Burst != 3 || !limits[0].Hit {
		t.Error(e)
	}
}
