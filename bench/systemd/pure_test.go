package systemd

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/restartbench/restartbench/bench/timeline"
)

func TestSteps(t *testing.T) {
	running := snapshot{active: "active", sub: "running", invocation: "a", mainPID: 1, change: 100, activeEnter: 100, inactiveExit: 90}
	again := snapshot{active: "active", sub: "running", invocation: "b", mainPID: 2, change: 240,
		activeExit: 210, inactiveEnter: 220, inactiveExit: 230, activeEnter: 240, mainStart: 230}
	type seen struct {
		At         uint64
		Active     string
		Sub        string
		Invocation string
	}
	tests := []struct {
		name       string
		prev, next snapshot
		want       []seen
	}{
		{"nothing", running, running, nil},
		{"a whole restart in one snapshot", running, again, []seen{
			{210, "deactivating", "", "a"}, {220, "inactive", "", "a"}, {230, "activating", "", "b"}, {240, "active", "running", "b"}}},
		{"two moments of one step", running, snapshot{active: "inactive", sub: "dead", invocation: "a", change: 200, activeExit: 200, inactiveEnter: 200}, []seen{
			{200, "inactive", "dead", "a"}}},
		{"two moments of one missed step", running, snapshot{active: "activating", sub: "start", invocation: "b", change: 210, activeExit: 200, inactiveEnter: 200, inactiveExit: 210}, []seen{
			{200, "inactive", "", "a"}, {210, "activating", "start", "b"}}},
		{"a sub-state", running, snapshot{active: "active", sub: "reload", invocation: "a", mainPID: 1, change: 110, activeEnter: 100}, []seen{
			{110, "active", "reload", "a"}}},
		{"the same state entered again", running, func() snapshot { s := running; s.change = 110; return s }(), nil},
		{"a new main process, dated by its start", running, func() snapshot { s := running; s.mainPID, s.mainStart = 9, 105; return s }(), []seen{
			{105, "active", "running", "a"}}},
		{"a unit loaded anew has no moments", snapshot{active: "inactive", sub: "dead", change: 100}, snapshot{active: "inactive", sub: "dead"}, nil},
		{"from failed", snapshot{active: "failed", sub: "failed", change: 100, inactiveEnter: 100}, snapshot{active: "active", sub: "running", change: 120, inactiveExit: 110, activeEnter: 120, inactiveEnter: 100}, []seen{
			{110, "activating", "", ""}, {120, "active", "running", ""}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var got []seen
			for _, s := range steps(test.prev, test.next) {
				got = append(got, seen{s.at, s.active, s.sub, s.invocation})
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestStarts(t *testing.T) {
	s := starts{}
	var prev snapshot
	for i, at := range []uint64{0, 1e6, 2e6, 9e6, 10e6, 30e6} {
		next := snapshot{invocation: string(rune('a' + i)), change: at + 7, mainStart: at + 1}
		s.note(prev, next)
		s.note(prev, next) // again, with another state
		prev = next
	}
	for length, want := range map[time.Duration]int{10 * time.Second: 4, 11 * time.Second: 5, time.Second: 1, time.Minute: 6, 0: 6} {
		if got := s.most(length); got != want {
			t.Errorf("%s: got %d, want %d", length, got, want)
		}
	}
}

func TestRename(t *testing.T) {
	names := map[string]string{"app.service": "x-app.service", "app.socket": "x-app.socket"}
	tests := []struct{ name, text, want string }{
		{"list", "[Unit]\nRequires=app.socket other.socket\nAfter = app.socket\n", "[Unit]\nRequires=x-app.socket other.socket\nAfter = x-app.socket\n"},
		{"socket", "[Socket]\nService=app.service\n", "[Socket]\nService=x-app.service\n"},
		{"continued", "After=network.target \\\n# app.socket\n app.socket\nDescription=app.socket\n", "After=network.target \\\n# app.socket\n x-app.socket\nDescription=app.socket\n"},
		{"command", "ExecStart=/bin/echo \\\n After=app.socket\n", "ExecStart=/bin/echo \\\n After=app.socket\n"},
		{"comment", "# Requires=app.socket\n;After=app.socket\n", "# Requires=app.socket\n;After=app.socket\n"},
		{"part of a name", "After=my-app.socket app.sockets\n", "After=my-app.socket app.sockets\n"},
		{"quoted", "After=\"app.socket\"", "After=x-app.socket"},
		{"empty", "", ""},
		{"no value", "After", "After"},
	}
	for _, test := range tests {
		if got := rename(test.text, names); got != test.want {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
}

func FuzzRename(f *testing.F) {
	f.Add("[Unit]\nAfter=a.socket \\\n  b.socket\n")
	f.Fuzz(func(t *testing.T, text string) {
		if got := rename(text, nil); got != text {
			t.Errorf("got %q, want %q", got, text)
		}
		there := rename(text, map[string]string{"a.socket": "\x00.socket"})
		if !strings.Contains(text, "\x00") && rename(there, map[string]string{"\x00.socket": "a.socket"}) != text &&
			!strings.ContainsAny(text, `"'`) {
			t.Errorf("not undone: %q", text)
		}
	})
}

func TestDropIn(t *testing.T) {
	got := dropIn("Service", map[string]string{"ExecStart": "/bin/true", "RestartSec": "1", "StartLimitBurst": "3"})
	want := "[Unit]\nStartLimitBurst=3\n[Service]\nExecStart=\nExecStart=/bin/true\nRestartSec=1\n"
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestConfigErrors(t *testing.T) {
	own := map[string]string{"app.service": "[Service]\nExecStart=/bin/true\n"}
	tests := []struct {
		config Config
		want   string
	}{
		{Config{Unit: "app.service", Action: "explode"}, `action "explode" is none of systemd's: choose one of restart, `},
		{Config{Unit: "app.socket", Action: ActionStop}, `unit "app.socket" is no service; its name ends in .service`},
		{Config{Unit: "other.service", Action: ActionStop, Files: own}, "unit other.service is not among the scenario's units: app.service"},
		{Config{Unit: "app.service", Action: ActionStop, Files: own, Override: Override{Socket: map[string]string{"Backlog": "1"}}}, "override is for units that exist"},
		{Config{Unit: "app.service", Action: ActionStop, Files: map[string]string{"app.service": "x", "../x.socket": ""}}, `"../x.socket" is not a name of a service or a socket unit`},
		{Config{Unit: "app.service", Action: ActionStop, Bus: Bus{Address: "unix:path=/x"}}, "Dir and State are not known there; set both"},
		{Config{Unit: "app.service", Action: ActionStop, Override: Override{Socket: map[string]string{"Backlog": "1\nExecStartPre=/bin/rm"}}}, "override.socket.Backlog: "},
	}
	for _, test := range tests {
		if _, err := New(test.config); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("got %v, want %s", err, test.want)
		}
	}
}

func TestParseEntry(t *testing.T) {
	const head = `{"__CURSOR":"s=1","__MONOTONIC_TIMESTAMP":"42","_BOOT_ID":"b"`
	tests := []struct {
		name, line string
		want       entry
	}{
		{"a unit's line", head + `,"MESSAGE":"hi","PRIORITY":"4","_SYSTEMD_UNIT":"app.service"}`, entry{unit: "app.service", text: "hi", priority: "warning"}},
		{"systemd's line about a unit", head + `,"MESSAGE":"Started","PRIORITY":"6","_SYSTEMD_UNIT":"init.scope","UNIT":"app.service"}`, entry{unit: "app.service", text: "Started", priority: "info"}},
		{"a user's unit", head + `,"MESSAGE":"hi","_SYSTEMD_UNIT":"user@0.service","_SYSTEMD_USER_UNIT":"app.service"}`, entry{unit: "app.service", text: "hi"}},
		{"bytes", head + `,"MESSAGE":[104,105,255],"UNIT":"a"}`, entry{unit: "a", text: "hi\uFFFD"}},
		{"too large to show", head + `,"MESSAGE":null,"UNIT":"a"}`, entry{unit: "a"}},
		{"a field twice", head + `,"MESSAGE":["one","two"],"UNIT":"a","PRIORITY":"9"}`, entry{unit: "a", text: "one"}},
	}
	for _, test := range tests {
		test.want.cursor, test.want.boot, test.want.at = "s=1", "b", 42
		got, err := parseEntry([]byte(test.line))
		if err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(entry{}), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s: %s", test.name, diff)
		}
	}
	for _, line := range []string{"", "{}", "-- No entries --", `{"__MONOTONIC_TIMESTAMP":"x"}`} {
		if _, err := parseEntry([]byte(line)); err == nil {
			t.Errorf("%q: no error", line)
		}
	}
}

func FuzzParseEntry(f *testing.F) {
	f.Add([]byte(`{"__CURSOR":"s=1","__MONOTONIC_TIMESTAMP":"42","MESSAGE":[104,105,255]}`))
	f.Fuzz(func(t *testing.T, line []byte) { parseEntry(line) })
}

func TestSocketName(t *testing.T) {
	for address, want := range map[string]string{
		"unix:path=/run/dbus/system_bus_socket":        "/run/dbus/system_bus_socket",
		"unix:abstract=/tmp/x,guid=1":                  "@/tmp/x",
		"unix:guid=1,path=/a%20b":                      "/a b",
		"tcp:host=localhost,port=1;unix:path=/run/bus": "/run/bus",
	} {
		if got, err := socketName(address); err != nil || got != want {
			t.Errorf("%s: got %q %v, want %q", address, got, err, want)
		}
	}
	if _, err := socketName("launchd:env=X"); err == nil {
		t.Error("no error")
	}
}

func TestUnitPath(t *testing.T) {
	for name, want := range map[string]string{
		"app.service":     "/org/freedesktop/systemd1/unit/app_2eservice",
		"0-a_b@1.service": "/org/freedesktop/systemd1/unit/_30_2da_5fb_401_2eservice",
	} {
		if got := unitPath(name); string(got) != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// TestJournalCannotBeRead has journalctl missing, failing, ending early, hanging, and talking nonsense.
func TestJournalCannotBeRead(t *testing.T) {
	shell := func(script string) func(context.Context, string, ...string) *exec.Cmd {
		return func(ctx context.Context, _ string, args ...string) *exec.Cmd {
			return exec.CommandContext(ctx, "sh", append([]string{"-c", script, "journalctl"}, args...)...)
		}
	}
	tests := []struct {
		name    string
		command func(context.Context, string, ...string) *exec.Cmd
		want    string
	}{
		{"missing", func(ctx context.Context, _ string, args ...string) *exec.Cmd {
			return exec.CommandContext(ctx, "journalctl-that-there-is-not", args...)
		}, "install systemd's journalctl"},
		{"failing", shell("echo no journal here >&2; exit 1"), "exit status 1: no journal here"},
		{"hint", shell("echo 'Hint: You are currently not seeing messages from other users' >&2"), "add him to the group systemd-journal, or run as root"},
		{"nonsense", shell("case $* in *cursor*) echo '-- cursor: s=1';; esac; echo nonsense"), "journalctl's output"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			var gaps []timeline.Gap
			j := &Journal{Clock: timeline.NewClock(), Units: []string{"app.service"}, Command: test.command}
			j.Observe(ctx, func(e timeline.Event) { gaps = append(gaps, *e.Gap) })
			if len(gaps) != 1 || gaps[0].Observer != "journal" || !strings.Contains(gaps[0].Why, test.want) || strings.Contains(gaps[0].Why, "\n") {
				t.Errorf("got %+v, want %s", gaps, test.want)
			}
		})
	}
}

func TestRecords(t *testing.T) {
	dir := t.TempDir()
	c := changes{ID: "abc", PID: 1, Boot: "b", Files: []string{"/x"}, Was: []wasActive{{"a.socket", true}}}
	r, err := newRecord(dir, c)
	if err != nil {
		t.Fatal(err)
	}
	paths, err := records(dir)
	if err != nil || len(paths) != 1 {
		t.Fatal(paths, err)
	}
	if _, err := openRecord(paths[0]); !errors.Is(err, errLive) {
		t.Error(err)
	}
	if err := errors.Join(r.apply(), r.close()); err != nil {
		t.Error(err)
	}
	again, err := openRecord(paths[0])
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(c, again.changes); diff != "" || !again.applied {
		t.Error(diff, again.applied)
	}
	if err := again.remove(dir); err != nil {
		t.Error(err)
	}
	if paths, err = records(dir); err != nil || len(paths) != 0 {
		t.Error(paths, err)
	}
}

// TestRecordCutShort has a run die while it writes its record.
func TestRecordCutShort(t *testing.T) {
	for name, text := range map[string]string{"before the first byte": "", "in the first line": `{"id":"abc","pi`} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := changes{ID: "abc"}.path(dir)
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			done, err := Clean(t.Context(), Bus{Address: "unix:path=" + dir + "/none"}, dir)
			if err != nil || len(done) != 1 || done[0] != "remove "+path+": its run was killed before it changed anything" {
				t.Error(done, err)
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
				t.Error(left, err)
			}
		})
	}
}

// TestRecordsAndCleanMeet has Cleans get at records between their creation and their lock, as they may.
func TestRecordsAndCleanMeet(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	swept := make(chan error, 1)
	go func() {
		var err error
		for err == nil && ctx.Err() == nil {
			_, err = Clean(t.Context(), Bus{Address: "unix:path=" + dir + "/none"}, dir)
		}
		swept <- err
	}()
	for range 300 {
		r, err := newRecord(dir, changes{ID: "abc"})
		if err != nil {
			t.Fatal(err)
		}
		if err := stillThere(r.file, r.path(dir)); err != nil {
			t.Error("the record of a live run:", err)
		}
		if err := r.remove(dir); err != nil {
			t.Error(err)
		}
	}
	cancel()
	if err := <-swept; err != nil {
		t.Error(err)
	}
}
