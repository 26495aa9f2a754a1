package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/restartbench/restartbench/bench/systemd/private"
	"github.com/restartbench/restartbench/bench/systemd/private/privatetest"
	"github.com/restartbench/restartbench/cmd/restartbench/internal/trial"
	"github.com/restartbench/restartbench/report"
	"github.com/restartbench/restartbench/scenarios"
)

// machine is a private systemd with a service of its user's, in which restartbench is run as on any machine with systemd.
type machine struct {
	*private.System
	t    *testing.T
	port string
}

const machineSocket = `[Unit]
Description=socket of somebody's application
[Socket]
ListenStream=127.0.0.1:PORT
`

const machineService = `[Unit]
Description=somebody's application
Requires=app.socket
After=app.socket
StartLimitIntervalSec=0
[Service]
Type=notify
ExecStart=` + private.Program + ` serve --start-delay 100ms --work 5ms --drain 5s
`

// bootMachine boots one with app.socket and app.service running. further units are laid beside them.
func bootMachine(t *testing.T, further map[string]string) *machine {
	t.Helper()
	port := freeTCPPort(t)
	units := map[string]string{
		"app.socket":  strings.ReplaceAll(machineSocket, "PORT", port),
		"app.service": machineService,
	}
	for name, text := range further {
		units[name] = text
	}
	m := &machine{privatetest.Boot(t, private.Config{Units: units, Shim: shimOf(program(t))}), t, port}
	m.systemctl("start", "app.socket", "app.service")
	return m
}

// shimOf is what has the program itself be the shim of a private systemd, and so what services run inside.
func shimOf(program string) []string { return []string{program, privateShimCommand} }

func (m *machine) systemctl(args ...string) string {
	m.t.Helper()
	out, err := m.Output(m.t.Context(), "systemctl", args...)
	if err != nil {
		m.t.Fatalf("systemctl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func (m *machine) target() string { return "http://127.0.0.1:" + m.port + "/" }

// command is restartbench inside, with a home of its own.
func (m *machine) command(args ...string) *exec.Cmd {
	cmd := m.Command(context.Background(), private.Program, args...)
	cmd.Env = append(os.Environ(), "XDG_STATE_HOME=/run/state")
	return cmd
}

// run returns the exit code and what was printed.
func (m *machine) run(args ...string) (code int, stdout, stderr string) {
	m.t.Helper()
	return finished(m.t, m.command(args...))
}

func finished(t *testing.T, cmd *exec.Cmd) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// measure runs until the generator had enough of the machine, and returns the exit code and the report. A port that was free
// may be taken by another test before the units listen on it, which is no report at all.
func measure(t *testing.T, run func(args ...string) (int, string, string), args ...string) (int, *report.Report) {
	t.Helper()
	for try := 1; ; try++ {
		code, out, errs := run(append([]string{"run", "--quiet", "--format", "json"}, args...)...)
		if code == exitBlind && try < trial.Attempts && strings.Contains(errs, "address already in use") {
			continue
		}
		var rep report.Report
		if err := json.Unmarshal([]byte(out), &rep); err != nil {
			t.Fatalf("%v: exit code %d: %s%s", args, code, out, errs)
		}
		if code != exitBlind || try == trial.Attempts {
			return code, &rep
		}
		t.Logf("%v, once more: %+v", args, rep.Verdict.Reasons)
	}
}

// snapshot is all that a run may change on a machine and has to put back: units' files, as systemd reads them, their states, and
// the runtime directories.
func (m *machine) snapshot() string {
	m.t.Helper()
	text := m.systemctl("cat", "app.socket", "app.service")
	text += m.systemctl("show", "-p", "Id,ActiveState,SubState,Result,DropInPaths,FragmentPath,NeedDaemonReload,Backlog,TimeoutStopUSec", "app.socket", "app.service")
	for _, dir := range []string{"run/systemd/system", "run/systemd/system.control", "run/systemd/transient", "run/restartbench/runs"} {
		filepath.WalkDir(filepath.Join(m.Root(), dir), func(path string, _ os.DirEntry, err error) error {
			if err == nil {
				text += strings.TrimPrefix(path, m.Root()) + "\n"
			}
			return nil
		})
	}
	return strings.ReplaceAll(text, "/run/restartbench/runs\n", "") // the directory of records may stay
}

func (m *machine) wantUnchanged(before string) {
	m.t.Helper()
	if diff := cmp.Diff(before, m.snapshot()); diff != "" {
		m.t.Errorf("not as before:\n%s", diff)
	}
}

func text(rep *report.Report) string {
	var b strings.Builder
	report.Render(&b, report.Text, report.Style{}, rep)
	return b.String()
}

// shortRun is as short as it can be: 70 requests before the restart, and a settle window of 50 after it.
var shortRun = []string{"--rate", "100", "--duration", "2s", "--at", "700ms", "--warmup", "200ms", "--settle", "500ms"}

// A user's own service in one line: found over D-Bus, measured, and left as it was.
func TestExistingService(t *testing.T) {
	t.Parallel()
	ownPort := freeTCPPort(t)
	m := bootMachine(t, map[string]string{
		"own-port.service": "[Service]\nType=notify\nExecStart=" + private.Program + " serve --listen 127.0.0.1:" + ownPort,
	})
	before := m.snapshot()
	args := append([]string{"--service", "app", "--target", m.target()}, shortRun...)

	code, rep := measure(t, m.run, args...)
	if code != 0 || rep.Scenario.Manager != "system" || rep.Scenario.Unit != "app.service" || rep.Proof.Exposed == 0 {
		t.Errorf("exit code %d:\n%s", code, text(rep))
	}
	m.wantUnchanged(before)
	m.watchOnly(before)

	// One without a socket is measured all the same.
	m.systemctl("start", "own-port.service")
	code, rep = measure(t, m.run, append([]string{"--service", "own-port.service", "--target", "http://127.0.0.1:" + ownPort + "/"}, shortRun...)...)
	if code != exitFail || len(rep.Drops) == 0 {
		t.Errorf("without a socket: exit code %d:\n%s", code, text(rep))
	}

	args = append(args, "--override", "socket.Backlog=64")
	code, out, errs := m.run(append([]string{"run", "--dry-run"}, args...)...)
	if code != 0 || !strings.Contains(out, "Backlog") && !strings.Contains(out, "app.socket.d") || !strings.Contains(out, "daemon-reload") && !strings.Contains(out, "Reload") {
		t.Errorf("dry run: exit code %d: %s%s", code, out, errs)
	}
	m.wantUnchanged(before)
	if code, rep = measure(t, m.run, args...); code != 0 {
		t.Errorf("with an override: exit code %d:\n%s", code, text(rep))
	}
	m.wantUnchanged(before)
}

// watchOnly sends load at the service and leaves it alone.
func (m *machine) watchOnly(before string) {
	m.t.Helper()
	process := m.systemctl("show", "-p", "MainPID,InvocationID", "app.service")
	code, out, errs := m.run("run", "-q", "--service", "app", "--target", m.target(), "--action", "none", "--rate", "100", "--duration", "500ms")
	for _, want := range []string{"app: no restart under 100 requests/s", "app.socket is still armed", "INCONCLUSIVE: no restart was made"} {
		if code != exitBlind || !strings.Contains(out, want) {
			m.t.Errorf("without a restart: exit code %d, want %d and %q:\n%s%s", code, exitBlind, want, out, errs)
		}
	}
	if now := m.systemctl("show", "-p", "MainPID,InvocationID", "app.service"); now != process {
		m.t.Errorf("it was restarted: %s, before %s", now, process)
	}
	m.wantUnchanged(before)
}

// A mistake worth measuring: restarting the socket drops nothing now, and everything at the next restart.
func TestRestartOfTheSocketDisarmsIt(t *testing.T) {
	t.Parallel()
	// Without Requires=, which would stop the service along with its socket.
	m := bootMachine(t, map[string]string{"app.service": strings.ReplaceAll(machineService, "Requires=app.socket\n", "")})
	code, rep := measure(t, m.run, append([]string{"--service", "app", "--target", m.target(), "--action", "restart-socket"}, shortRun...)...)
	if code != exitFail || rep.Phases[1].Dropped+rep.Phases[2].Dropped != 0 || !strings.Contains(text(rep), "no longer armed") {
		t.Errorf("exit code %d:\n%s", code, text(rep))
	}
}

// systemd that replaces itself is noticed by nobody.
func TestDaemonReexec(t *testing.T) {
	t.Parallel()
	m := bootMachine(t, nil)
	code, rep := measure(t, m.run, append([]string{"--service", "app", "--target", m.target(), "--action", "daemon-reexec"}, shortRun...)...)
	if rep.Phases[1].Dropped+rep.Phases[2].Dropped != 0 {
		t.Errorf("exit code %d:\n%s", code, text(rep))
	}
}

// What cannot be done is said in one line, with the way out.
func TestServicesThatCannotBeMeasured(t *testing.T) {
	beginWhileSystemdHangs(t)
	t.Parallel()
	m := bootMachine(t, map[string]string{"lone.service": "[Service]\nExecStart=/bin/sleep 600\n"})
	m.systemctl("mask", "--runtime", "masked.service")
	m.systemctl("stop", "app.socket", "app.service")
	restart := func(service string, more ...string) []string {
		return append(append([]string{"run", "-q", "--service", service, "--target", m.target()}, shortRun...), more...)
	}
	asNobody := append([]string{"--reuid=65534", "--regid=65534", "--clear-groups", private.Program}, restart("app")...)
	for _, tc := range []struct {
		name string
		cmd  *exec.Cmd
		want string
	}{
		{"no such unit", m.command(restart("nosuch")...), "nosuch.service"},
		{"masked", m.command(restart("masked")...), "mask"},
		{"nobody listens", m.command(restart("app")...), "not reachable"},
		{"unit with no socket", m.command(restart("lone", "--override", "socket.Backlog=64")...), "it has no socket unit"},
		{"no bus", m.command(restart("app", "--manager", "user")...), "no systemd to talk to"},
	} {
		m.wantOneError(tc.name, tc.cmd, tc.want)
	}

	m.systemctl("start", "app.socket", "app.service")
	denied := m.Command(context.Background(), "setpriv", asNobody...)
	denied.Env = append(os.Environ(), "XDG_STATE_HOME=/tmp/nobody", "HOME=/tmp/nobody")
	code, out, errs := finished(t, denied)
	if code != exitBlind || !strings.Contains(out+errs, "systemd denies it") {
		t.Errorf("not root: exit code %d: %s%s", code, out, errs)
	}
}

// beginWhileSystemdHangs begins a run on a systemd that does not answer, and the test's end waits for its end. That takes ten
// seconds, the limit of a D-Bus call, and next to nothing of the machine, so other tests run meanwhile.
func beginWhileSystemdHangs(t *testing.T) {
	t.Helper()
	m := bootMachine(t, nil)
	if err := syscall.Kill(m.PID(), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	t.Cleanup(func() {
		<-ended
		if err := syscall.Kill(m.PID(), syscall.SIGCONT); err != nil {
			t.Error(err)
		}
	})
	go func() {
		defer close(ended)
		m.wantOneError("systemd hangs", m.command("run", "-q", "--service", "app", "--target", m.target()), "systemd does not answer")
	}()
}

// wantOneError wants a run that cannot be made to say so in one line.
func (m *machine) wantOneError(name string, cmd *exec.Cmd, want string) {
	m.t.Helper()
	code, out, errs := finished(m.t, cmd)
	if code != exitUsage && code != exitBlind || out != "" || !strings.Contains(errs, want) || strings.Count(errs, "\n") != 1 {
		m.t.Errorf("%s: exit code %d, want one line with %q: %s%s", name, code, want, out, errs)
	}
}

// Runs with overrides that are killed, or interrupted, at random moments.
func TestNothingStaysOfAnOverride(t *testing.T) {
	t.Parallel()
	times := 2
	if n, err := strconv.Atoi(os.Getenv("RESTARTBENCH_TEST_KILLS")); err == nil {
		times = n
	}
	m := bootMachine(t, nil)
	before := m.snapshot()
	for range times {
		m.runUntil(syscall.SIGKILL)
		if code, out, errs := m.run("clean"); code != 0 {
			t.Fatalf("clean: exit code %d: %s%s", code, out, errs)
		}
		m.wantUnchanged(before)
	}
	for range times {
		m.runUntil(syscall.SIGINT)
		m.wantUnchanged(before)
	}
}

// runUntil starts a run with overrides and sends it a signal at a random moment. The signal goes to restartbench itself, by
// its pid outside.
func (m *machine) runUntil(signal syscall.Signal) {
	m.t.Helper()
	after := time.Duration(rand.Int64N(int64(1500 * time.Millisecond)))
	mark := fmt.Sprintf("MARK=%d", rand.Int64())
	cmd := m.command("run", "-q", "--service", "app", "--target", m.target(), "--rate", "50", "--duration", "20s", "--at", "300ms",
		"--override", "socket.Backlog=64", "--override", "service.TimeoutStopSec=7")
	cmd.Env = append(cmd.Env, mark)
	if err := cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	time.Sleep(after) // the random moment
	eventually(m.t, "restartbench to run", func() error { return signalMarked(mark, signal) })
	cmd.Wait()
	m.t.Logf("%v after %v: %v", signal, after, cmd.ProcessState)
}

// signalMarked sends a signal to the process whose program is restartbench's and whose environment holds the mark.
func signalMarked(mark string, signal syscall.Signal) error {
	environs, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, file := range environs {
		env, err := os.ReadFile(file)
		if err != nil || !bytes.Contains(env, []byte(mark+"\x00")) {
			continue
		}
		line, err := os.ReadFile(filepath.Join(filepath.Dir(file), "cmdline"))
		if err != nil || !bytes.HasPrefix(line, []byte(private.Program+"\x00run\x00")) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil {
			return err
		}
		return syscall.Kill(pid, signal)
	}
	return errors.New("not there")
}

const crashLoopScenario = `name: crash-loop
units:
  app.socket: |
    [Socket]
    ListenStream=127.0.0.1:{{port}}
  app.service: |
    [Unit]
    StartLimitIntervalSec=10
    StartLimitBurst=3
    [Service]
    ExecStart={{restartbench}} serve
    Restart=always
    RestartSec=10ms
load: {target: "http://127.0.0.1:{{port}}/"}
restart: {action: crash-loop}
`

// A unit that crashes until its start limit takes the socket with it, and the report says which of them closed the port.
func TestCrashLoopFailsTheSocket(t *testing.T) {
	t.Parallel()
	privatetest.Boot(t, private.Config{}) // or skip
	_, rep := measure(t, outside(t, "restartbench"), append([]string{crashLoop(t), "--manager", "private", "--timeout", "1s"}, shortRun...)...)
	plain := strings.Join(strings.Fields(text(rep)), " ")
	for _, want := range []string{"app.socket", "service-start-limit-hit", "port is closed"} {
		if !strings.Contains(plain, want) {
			t.Errorf("the report does not say %q:\n%s", want, text(rep))
		}
	}
}

// crashLoop is a file with that scenario.
func crashLoop(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "crash-loop.yaml")
	if err := os.WriteFile(file, []byte(crashLoopScenario), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// outside runs restartbench on this machine: the program, or this test binary under its name.
func outside(t *testing.T, program string) func(args ...string) (int, string, string) {
	state := t.TempDir()
	return func(args ...string) (int, string, string) {
		cmd := exec.Command(program, args...)
		cmd.Env = append(os.Environ(), "XDG_STATE_HOME="+state)
		return finished(t, cmd)
	}
}

// The same scenarios on a real systemd and on the embedded manager: the same classes of outcome.
func TestManagersConform(t *testing.T) {
	t.Parallel()
	privatetest.Boot(t, private.Config{}) // or skip
	run := outside(t, program(t))
	cases := map[string][]string{
		"plain":             {"plain"},
		"activated":         {"activated"},
		"graceful":          {"graceful"},
		"graceful, stopped": {"graceful", "--action", "stop"},
		"activated, killed": {"activated", "--action", "kill", "--signal", "SIGTERM"},
		"crash loop":        {crashLoop(t), "--timeout", "1s"},
	}
	var all sync.WaitGroup
	places := make(chan struct{}, 2) // each run wants its share of the machine
	for name, args := range cases {
		all.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			args := slices.Concat(args, shortRun)
			var diff string
			var onSystemd, onOurs *report.Report
			for try := 1; try == 1 || try < 4 && diff != ""; try++ { // a restart may happen to meet no request
				_, onSystemd = measure(t, run, append(args, "--manager", "private")...)
				_, onOurs = measure(t, run, append(args, "--manager", "embedded")...)
				diff = cmp.Diff(class(onSystemd), class(onOurs))
			}
			if diff != "" {
				t.Errorf("%s (-systemd +embedded):\n%s\n%s\n%s", name, diff, text(onSystemd), text(onOurs))
			}
		})
	}
	all.Wait()
}

// class is what a restart did to clients, whatever the numbers: which kinds of loss, and how it ended. Whether a connection
// that is cut off ends in a reset or in an end of file is chance; who was held is a matter of latency, and so of what else the
// machine does.
func class(rep *report.Report) map[string]bool {
	c := map[string]bool{"verdict " + string(rep.Verdict.Result): true}
	for _, d := range rep.Drops {
		switch d.Outcome {
		case "reset", "eof", "truncated":
			c["cut off"] = true
		default:
			c[d.Outcome] = true
		}
	}
	return c
}

// Real services from Debian's packages, whose restarts lose what is in flight and nothing else.
func TestRealServices(t *testing.T) {
	t.Parallel()
	privatetest.Boot(t, private.Config{}) // or skip
	run := outside(t, program(t))
	var all sync.WaitGroup
	for _, name := range []string{"proxyd", "node-exporter"} {
		s, _, err := scenarios.Builtin(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.CheckNeeds(); err != nil {
			if os.Getenv(privatetest.Require) == "1" {
				t.Error(err)
			}
			t.Logf("skipped: %v", err)
			continue
		}
		all.Go(func() {
			code, rep := measure(t, run, name)
			got := class(rep)
			for try := 1; try < 4 && rep.Proof.Dropped == 0; try++ { // a quick restart may happen to meet no request
				code, rep = measure(t, run, name)
				got = class(rep)
			}
			if diff := cmp.Diff(map[string]bool{"verdict fail": true, "cut off": true}, got); diff != "" {
				t.Errorf("%s: exit code %d:\n%s\n%s", name, code, diff, text(rep))
			}
		})
	}
	all.Wait()
}
