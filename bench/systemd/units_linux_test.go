package systemd

import (
	"bufio"
	"context"
	"encoding/json"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// start makes a run's Units, and starts them.
func (h *host) start(c Config) *Units {
	h.t.Helper()
	u, err := New(c)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { u.Close() })
	if err := u.Start(h.t.Context()); err != nil {
		h.t.Fatal(err)
	}
	return u
}

// traced are the properties of a unit that a run could change.
const traced = "ActiveState,SubState,Result,Backlog,DropInPaths,NeedDaemonReload,StartLimitBurst,UnitFileState,TriggeredBy"

// trace is everything that a run could have changed: files, and what systemd knows.
func (h *host) trace(units ...string) string {
	h.t.Helper()
	var b strings.Builder
	for _, dir := range []string{h.RuntimeDir(), h.state()} {
		filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err == nil && path != dir {
				b.WriteString(path + "\n")
			}
			return nil
		})
	}
	script := "systemctl list-units --all --plain --no-legend 'restartbench-*'"
	if len(units) > 0 {
		script += "; systemctl cat \"$@\"; systemctl show -p Id," + traced + " \"$@\""
	}
	out, err := h.Output(h.t.Context(), "sh", append([]string{"-ec", script, "trace"}, units...)...)
	if err != nil {
		h.t.Fatal(err)
	}
	b.Write(out)
	return b.String()
}

func TestOwnUnits(t *testing.T) {
	h := boot(t, nil)
	before := h.trace()
	c := h.config("app.service", ActionRestart)
	c.Files = map[string]string{"app.socket": appSocket, "app.service": strings.Replace(appService, "PART=serve", "PART=serve:hello", 1)}
	u := h.start(c)
	ctx, cancel := context.WithCancel(t.Context())
	e, stop := observe(t, u)
	e.await(t, "running", func() bool { return len(e.units("app.service")) > 0 && len(e.units("app.socket")) > 0 })
	first, err := h.connect()
	if err != nil {
		t.Fatal(err)
	}
	if err := u.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	cancel()
	if second, err := h.connect(); err != nil || second == first {
		t.Error(first, second, err)
	}
	stop()
	logs := map[string][]string{}
	for _, event := range e.list() {
		if event.Log != nil {
			logs[event.Log.Source] = append(logs[event.Log.Source], event.Log.Priority+": "+event.Log.Text)
		}
	}
	hello := 0
	for _, line := range logs["app.service"] {
		if line == "info: hello" {
			hello++
		}
	}
	if hello != 2 || !slices.Equal(logs["app.socket"], []string{"info: Listening on restartbench-" + u.id + "-app.socket."}) || len(logs) != 2 {
		t.Error(logs)
	}
	if len(e.armed()) != 1 || !e.armed()[0].Armed || len(e.gaps()) > 0 {
		t.Error(e)
	}
	if err := u.Close(); err != nil {
		t.Error(err)
	}
	if after := h.trace(); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

func TestOwnUnitsFail(t *testing.T) {
	h := boot(t, nil)
	before := h.trace()
	c := h.config("app.service", ActionRestart)
	c.Files = map[string]string{"app.service": "[Service]\nType=notify\n" + execute("exit")}
	u, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	err = u.Start(t.Context())
	if err == nil || !strings.Contains(err.Error(), "it goes wrong") || !strings.Contains(err.Error(), "the job failed (exit-code)") {
		t.Error(err)
	}
	if err := u.Close(); err != nil {
		t.Error(err)
	}
	if after := h.trace(); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

// override lays Backlog=64 over the socket.
func (h *host) override() Config {
	c := h.config("app.service", ActionRestart)
	c.Override = Override{Socket: map[string]string{"Backlog": "64"}, Service: map[string]string{"StartLimitBurst": "77"}}
	return c
}

func TestOverride(t *testing.T) {
	h := boot(t, pairOfUnits())
	for _, up := range [][]string{{"app.socket", "app.service"}, {"app.socket"}, {}} {
		h.job(jobStop, "app.socket", "app.service")
		h.job(jobStart, up...)
		before := h.trace("app.socket", "app.service")
		u := h.start(h.override())
		if backlog, burst := h.show("app.socket", "Backlog"), h.show("app.service", "StartLimitBurst"); backlog != "64" || burst != "77" {
			t.Error(up, backlog, burst)
		}
		if active := h.show("app.socket", "ActiveState") == "active"; active != slices.Contains(up, "app.socket") {
			t.Error(up, active)
		}
		if err := u.Close(); err != nil {
			t.Error(up, err)
		}
		if after := h.trace("app.socket", "app.service"); after != before {
			t.Errorf("%v before:\n%s\nafter:\n%s", up, before, after)
		}
	}
}

// TestRestores has actions leave existing units down.
func TestRestores(t *testing.T) {
	units := pairOfUnits()
	units["app.service"] = plain
	h := boot(t, units)
	h.job(jobStart, "app.socket", "app.service")
	for _, action := range []Action{ActionStop, ActionRestartSocket} {
		before := h.trace("app.socket", "app.service")
		u := h.start(h.config("app.service", action))
		u.Restart(t.Context())
		if h.trace("app.socket", "app.service") == before {
			t.Error(action, "changed nothing")
		}
		if err := u.Close(); err != nil {
			t.Error(err)
		}
		if after := h.trace("app.socket", "app.service"); after != before {
			t.Errorf("%s before:\n%s\nafter:\n%s", action, before, after)
		}
	}
}

func TestPlan(t *testing.T) {
	h := boot(t, pairOfUnits())
	h.job(jobStart, "app.socket", "app.service")
	before := h.trace("app.socket", "app.service")
	u, err := New(h.override())
	if err != nil {
		t.Fatal(err)
	}
	plan, err := u.Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	text := strings.NewReplacer(h.Root(), "", u.id, "ID").Replace(plan.String())
	for _, want := range []string{
		"write /run/systemd/system/app.socket.d/zz-restartbench-ID.conf", "| Backlog=64", "D-Bus: Reload()", "D-Bus: StopUnit(app.socket, replace)",
		"D-Bus: RestartUnit(app.service, replace)", "remove /run/systemd/system/app.socket.d/zz-restartbench-ID.conf",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("not in the plan: %s", want)
		}
	}
	if err := u.Close(); err != nil {
		t.Error(err)
	}
	if after := h.trace("app.socket", "app.service"); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

// run starts a run in a process of its own, with env besides. started is closed when it is under way.
func (h *host) run(c Config, env ...string) (cmd *exec.Cmd, started <-chan struct{}) {
	h.t.Helper()
	config, err := json.Marshal(c)
	if err != nil {
		h.t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		h.t.Fatal(err)
	}
	cmd = exec.Command(self)
	cmd.Env = append(os.Environ(), "PART=run:"+string(config))
	cmd.Env = append(cmd.Env, env...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		h.t.Fatal(err)
	}
	said := make(chan struct{})
	go func() {
		line, _ := bufio.NewReader(out).ReadString('\n')
		if line == "started\n" {
			close(said)
		} else if line != "" {
			h.t.Error(line)
		}
	}()
	return cmd, said
}

func TestCleanLeavesLiveRunsAlone(t *testing.T) {
	h := boot(t, pairOfUnits())
	h.job(jobStart, "app.socket", "app.service")
	before := h.trace("app.socket", "app.service")
	cmd, started := h.run(h.override())
	select {
	case <-started:
	case <-time.After(20 * time.Second):
		t.Fatal("it does not start")
	}
	done, err := Clean(t.Context(), h.bus, h.state())
	if err != nil || len(done) != 1 || !strings.HasPrefix(done[0], "leave alone") || h.show("app.socket", "Backlog") != "64" {
		t.Error(done, err)
	}
	cmd.Process.Kill()
	cmd.Wait()
	if done, err = Clean(t.Context(), h.bus, h.state()); err != nil || len(done) < 5 {
		t.Error(done, err)
	}
	if after := h.trace("app.socket", "app.service"); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
	if done, err = Clean(t.Context(), h.bus, h.state()); err != nil || len(done) != 0 {
		t.Error("again:", done, err)
	}
}

func TestCleanAfterKills(t *testing.T) {
	h := boot(t, pairOfUnits())
	h.job(jobStart, "app.socket", "app.service")
	before := h.trace("app.socket", "app.service")
	own := h.config("app.service", ActionRestart)
	own.Files = map[string]string{"app.socket": "[Socket]\nListenStream=/run/own.sock\n", "app.service": plain}
	kills := 10
	if n, err := strconv.Atoi(os.Getenv("RESTARTBENCH_TEST_KILLS")); err == nil {
		kills = n
	}
	for n := range kills {
		c := h.override()
		if n%2 == 1 {
			c = own
		}
		cmd, started := h.run(c)
		select {
		case <-started:
		case <-time.After(time.Duration(rand.Int64N(int64(300 * time.Millisecond)))):
		}
		cmd.Process.Kill()
		cmd.Wait()
		if _, err := Clean(t.Context(), h.bus, h.state()); err != nil {
			t.Error(err)
		}
		h.connect() // it is up, or the socket starts it
		if after := h.trace("app.socket", "app.service"); after != before {
			t.Fatalf("kill %d: before:\n%s\nafter:\n%s", n, before, after)
		}
	}
}

func TestCleanKeepsWhatIsNotOurs(t *testing.T) {
	h := boot(t, pairOfUnits())
	cmd, started := h.run(h.override())
	<-started
	cmd.Process.Kill()
	cmd.Wait()
	files, err := filepath.Glob(filepath.Join(h.RuntimeDir(), "app.socket.d/*.conf"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	if err := os.WriteFile(files[0], []byte("[Socket]\nBacklog=65\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err = Clean(t.Context(), h.bus, h.state())
	if err == nil || !strings.Contains(err.Error(), "it stays; remove it by hand") {
		t.Error(err)
	}
	if _, err := os.Stat(files[0]); err != nil {
		t.Error(err)
	}
	os.Remove(files[0])
	if _, err := Clean(t.Context(), h.bus, h.state()); err != nil {
		t.Error(err)
	}
	if left, _ := records(h.state()); len(left) != 0 {
		t.Error(left)
	}
}

func TestUserManager(t *testing.T) {
	h := boot(t, nil)
	if err := h.StartUser(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	c := h.config("app.service", ActionRestart)
	c.Bus = Bus{User: true, Address: h.UserBusAddress(0)}
	c.Dir = filepath.Join(h.Root(), "run/user/0/systemd/user")
	c.State = filepath.Join(h.Root(), "run/user/0/restartbench/runs")
	c.Files = map[string]string{"app.socket": appSocket, "app.service": strings.Replace(appService, "PART=serve", "PART=serve:hello", 1)}
	u := h.start(c)
	e, stop := observe(t, u)
	e.await(t, "running", func() bool { return len(e.units("app.service")) > 0 })
	if err := u.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	stop()
	if err := u.Close(); err != nil {
		t.Error(err)
	}
	hello := 0
	for _, event := range e.list() {
		if event.Log != nil && event.Log.Text == "hello" && event.Log.Source == "app.service" {
			hello++
		}
	}
	if hello != 2 || len(e.gaps()) > 0 || len(e.armed()) != 1 || !e.armed()[0].Armed {
		t.Error(hello, e)
	}
	if _, err := os.Stat(c.Dir); err == nil {
		t.Error("left behind:", c.Dir)
	}
}
