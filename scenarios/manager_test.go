package scenarios

import (
	"errors"
	"io/fs"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestServiceIsCompleted(t *testing.T) {
	for name, want := range map[string]string{
		"app": "app.service", "app.service": "app.service", "my.app": "my.app.service", "app@1": "app@1.service", `a\x2db`: `a\x2db.service`,
	} {
		s := &Scenario{Name: "a", Service: name, Load: Load{Target: "http://localhost/"}}
		if err := s.Finish(); err != nil || s.Service != want || s.Restart.Unit != want || s.Restart.Action != ActionRestart {
			t.Errorf("%s: %q, restart.unit %q, %v", name, s.Service, s.Restart.Unit, err)
		}
	}
}

func TestServiceAgainAnother(t *testing.T) {
	s := &Scenario{Name: "a", Load: Load{Target: "http://localhost/"}}
	for _, name := range []string{"one", "two"} {
		if err := errors.Join(s.Set("service", name), s.Finish()); err != nil || s.Restart.Unit != name+".service" {
			t.Errorf("%s: %q, %v", name, s.Restart.Unit, err)
		}
	}
}

// TestActionsAndManagers: what a manager cannot do is refused, and auto leaves the choice to the run.
func TestActionsAndManagers(t *testing.T) {
	beyond := map[string]bool{ActionReload: true, ActionReloadOrRestart: true, ActionRestartSocket: true, ActionDaemonReexec: true}
	for _, action := range actions {
		for _, manager := range managers {
			if action == ActionCommand || action == ActionNone || manager == ManagerNone {
				continue
			}
			s := &Scenario{Name: "a", Manager: manager, Load: Load{Target: "http://localhost/"}, Restart: Restart{Action: action},
				Units: map[string]string{"a.service": "[Service]\n", "a.socket": "[Socket]\n"}}
			err := s.Finish()
			if refused := beyond[action] && manager == ManagerEmbedded; (err != nil) != refused {
				t.Errorf("%s with manager %s: %v", action, manager, err)
			}
			if needs := s.NeedsSystemd(); (needs == "restart.action: "+action) != beyond[action] {
				t.Errorf("%s needs %q", action, needs)
			}
		}
	}
}

func TestOverrideKeepsWhatIsWritten(t *testing.T) {
	s, err := Parse("x.yaml", []byte(`name: a
service: app
override:
  socket: {Backlog: 64, SocketMode: 0660, NoDelay: true, ReusePort: no}
  service: {RestartSec: .50, LimitNOFILE: 0x10, Environment: "A=b", ExecStartPre: ""}
load: {target: 'http://x/'}
`))
	if err != nil {
		t.Fatal(err)
	}
	want := Override{
		Socket:  map[string]string{"Backlog": "64", "SocketMode": "0660", "NoDelay": "true", "ReusePort": "no"},
		Service: map[string]string{"RestartSec": ".50", "LimitNOFILE": "0x10", "Environment": "A=b", "ExecStartPre": ""},
	}
	if diff := cmp.Diff(want, s.Override); diff != "" {
		t.Error(diff)
	}
	if s.NeedsSystemd() != "override" {
		t.Error(s.NeedsSystemd())
	}
	roundTrip(t, s)
}

func TestCheckNeeds(t *testing.T) {
	s := &Scenario{Name: "a", Needs: map[string]string{"/": "mkfs", "/nonexistent/x": "apt-get install x", "/nonexistent/y": "", "testdata/empty.yaml": "no"}}
	err := s.CheckNeeds()
	const want = "a needs / (it is a directory): mkfs\na needs /nonexistent/x: apt-get install x\na needs /nonexistent/y"
	var need *NeedError
	if err == nil || err.Error() != want || !errors.As(err, &need) || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	if err := new(Scenario).CheckNeeds(); err != nil {
		t.Error(err)
	}
}
