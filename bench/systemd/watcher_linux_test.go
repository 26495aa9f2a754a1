package systemd

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestWatchManyRestarts(t *testing.T) {
	h := boot(t, pairOfUnits())
	h.job(jobStart, "app.socket", "app.service")
	e, stop := h.watch(h.bus, "app.service")
	const restarts = 25
	var want []string
	for range restarts {
		h.job(jobRestart, "app.service")
		want = append(want, h.stamps("app.service")...)
	}
	stop()
	at := map[time.Duration]string{}
	steps := e.units("app.service")[1:]
	for i, s := range steps {
		at[s.At] = s.Active
		if i > 0 && s.At < steps[i-1].At {
			t.Errorf("step %d goes back in time", i)
		}
	}
	// Sub-states may add to these four, nothing may be missing.
	for i, stamp := range want {
		us, _ := strconv.ParseInt(stamp, 10, 64)
		active := []string{"deactivating", "inactive", "activating", "active"}[i%4]
		if got := at[h.clock.FromMonotonic(us*1000)]; got != active {
			t.Errorf("%s µs: got %q, want %q", stamp, got, active)
		}
	}
	if gaps := e.gaps(); len(gaps) > 0 || len(want) != 4*restarts || t.Failed() {
		t.Error(len(want), e)
	}
}

// stamps are the moments of a unit's last restart, as systemctl shows them: ActiveExit, InactiveEnter, InactiveExit, ActiveEnter.
func (h *host) stamps(unit string) []string {
	h.t.Helper()
	var properties []string
	for _, name := range []string{"ActiveExit", "InactiveEnter", "InactiveExit", "ActiveEnter"} {
		properties = append(properties, name+"TimestampMonotonic")
	}
	shown := map[string]string{}
	for line := range strings.Lines(h.ctl("show", "-p", strings.Join(properties, ","), unit)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		shown[name] = value
	}
	var all []string
	for _, name := range properties {
		all = append(all, shown[name])
	}
	return all
}

func TestWatchStopAndTrigger(t *testing.T) {
	h := boot(t, pairOfUnits())
	h.job(jobStart, "app.socket", "app.service")
	e, stop := h.watch(h.bus, "app.service")
	before := e.units("app.service")[0]
	h.job(jobStop, "app.service")
	if _, err := h.connect(); err != nil {
		t.Fatal(err)
	}
	stop()
	steps := e.units("app.service")
	last := steps[len(steps)-1]
	if last.Active != "active" || last.InvocationID == before.InvocationID || last.MainPID == before.MainPID || last.MainPID == 0 {
		t.Error(e)
	}
	sockets := e.units("app.socket")
	if len(sockets) != 3 || sockets[0].Sub != "running" || sockets[1].Sub != "listening" || sockets[2].Sub != "running" {
		t.Error(e)
	}
	if a := e.armed(); len(a) != 1 || !a[0].Armed || !a[0].Joined || a[0].Why != "" {
		t.Error(e)
	}
	if gaps := e.gaps(); len(gaps) != 0 {
		t.Error(gaps)
	}
}

func TestWatchAutomaticRestarts(t *testing.T) {
	units := pairOfUnits()
	units["app.service"] = "[Unit]\nStartLimitBurst=9\nStartLimitIntervalSec=60\n[Service]\nType=notify\nRestart=always\nRestartSec=0\n" + execute("serve")
	h := boot(t, units)
	h.job(jobStart, "app.service")
	e, stop := h.watch(h.bus, "app.service")
	for n := range 5 {
		if err := h.conn.Kill(t.Context(), "app.service", syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		e.await(t, "restarted", func() bool {
			all := e.units("app.service")
			last := all[len(all)-1]
			return last.NRestarts == n+1 && last.Active == "active"
		})
	}
	stop()
	limits := e.limits()
	if len(limits) != 1 || limits[0].Starts != 6 || limits[0].Burst != 9 || limits[0].Interval != time.Minute || limits[0].Hit {
		t.Error(e)
	}
	if gaps := e.gaps(); len(gaps) != 0 {
		t.Error(e)
	}
}

func TestWatchRestartSocket(t *testing.T) {
	units := pairOfUnits()
	units["app.service"] = plain // with Requires= the service would be restarted as well
	h := boot(t, units)
	h.job(jobStart, "app.socket", "app.service")
	e, stop := h.watch(h.bus, "app.service")
	err := (&Restarter{Conn: h.conn, Action: ActionRestartSocket, Unit: "app.service"}).Restart(t.Context())
	stop()
	var job *JobError
	if !errors.As(err, &job) || job.Result != "failed" || job.Unit != "app.socket" {
		t.Error(err)
	}
	a := e.armed()
	if len(a) != 1 || a[0].Armed || a[0].Why != "app.socket is inactive (dead): app.service still serves on the socket that it got, and its next start gets none" {
		t.Error(e)
	}
}

func TestWatchReexec(t *testing.T) {
	h := boot(t, pairOfUnits())
	h.job(jobStart, "app.socket", "app.service")
	e, stop := h.watch(h.bus, "app.service")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for range 3 {
		if err := (&Restarter{Conn: h.conn, Action: ActionDaemonReexec, Unit: "app.service"}).Restart(ctx); err != nil {
			t.Fatal(err)
		}
		h.job(jobRestart, "app.service")
	}
	want := h.show("app.service", "InvocationID")
	stop()
	steps := e.units("app.service")
	if last := steps[len(steps)-1]; last.InvocationID != want || last.Active != "active" {
		t.Error(want, e)
	}
	if a := e.armed(); len(a) != 1 || !a[0].Armed {
		t.Error(e)
	}
	seen := map[string]bool{}
	for _, s := range steps {
		seen[s.InvocationID] = true
	}
	if len(seen) < 4 && len(e.gaps()) == 0 {
		t.Errorf("%d of 4 invocations seen, and no gap: %s", len(seen), e)
	}
}
