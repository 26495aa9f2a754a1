package scenarios

import (
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// same compares the values of scenarios, wherever they came from.
var same = cmpopts.IgnoreUnexported(Scenario{})

// flagMade is a scenario as a command line makes it.
func flagMade() *Scenario {
	s := &Scenario{Name: "flags"}
	s.Load.Target = "http://127.0.0.1:8080/"
	s.Restart.Command = []string{"systemctl", "restart", "app"}
	return s
}

func TestFinishFillsDefaults(t *testing.T) {
	s := flagMade()
	if err := s.Finish(); err != nil {
		t.Fatal(err)
	}
	want := &Scenario{
		Name:    "flags",
		Manager: ManagerAuto,
		Load: Load{
			Target:      "http://127.0.0.1:8080/",
			Rate:        200,
			Duration:    Duration(6 * time.Second),
			Connections: ConnectionsMixed,
			Method:      "GET",
			Timeout:     Duration(5 * time.Second),
		},
		Restart: Restart{
			Action:  ActionCommand,
			Command: []string{"systemctl", "restart", "app"},
			At:      Duration(2 * time.Second),
			Times:   1,
			Every:   Duration(3 * time.Second),
			Timeout: Duration(30 * time.Second),
		},
		Journal: Journal{Patterns: listeningFailures},
		Warmup:  Duration(500 * time.Millisecond),
		Settle:  Duration(time.Second),
	}
	if diff := cmp.Diff(want, s, same); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if err := s.Finish(); err != nil {
		t.Errorf("finishing again: %v", err)
	}
	if diff := cmp.Diff(want, s, same); diff != "" {
		t.Errorf("finishing again changed it, -want +got:\n%s", diff)
	}
}

func TestFinishFillsUnitAndSignal(t *testing.T) {
	s := flagMade()
	s.Restart.Command = nil
	s.Restart.Action = ActionKill
	s.Units = map[string]string{"app.service": "[Service]\nExecStart=/bin/x\n", "app.socket": "[Socket]\nListenStream=80\n"}
	if err := s.Finish(); err != nil {
		t.Fatal(err)
	}
	if s.Restart.Unit != "app.service" || s.Restart.Signal != "SIGKILL" {
		t.Errorf("unit %q, signal %q", s.Restart.Unit, s.Restart.Signal)
	}
}

func TestFinishNoneIgnoresRestart(t *testing.T) {
	s := flagMade()
	s.Restart.Action = ActionNone
	if err := s.Finish(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Restart{Action: ActionNone}, s.Restart); diff != "" {
		t.Error(diff)
	}
}

func TestWarmupOfZeroIsNoWarmup(t *testing.T) {
	written, err := Parse("x.yaml", []byte("name: a\nwarmup: 0s\nload: {target: 'http://localhost/'}\nrestart: {action: none}\n"))
	if err != nil {
		t.Fatal(err)
	}
	set := flagMade()
	if err := errors.Join(set.Set("warmup", "0s"), set.Finish()); err != nil {
		t.Fatal(err)
	}
	if written.Warmup != 0 || set.Warmup != 0 {
		t.Errorf("warmup %v and %v, want 0", written.Warmup, set.Warmup)
	}
	text, err := written.YAML()
	if err != nil || !strings.Contains(string(text), "warmup: 0s\n") {
		t.Errorf("%v: not in\n%s", err, text)
	}
}

func TestFlagsOverFile(t *testing.T) {
	const targets = "name: a\nload:\n  targets: t.txt\n"
	const kill = "name: a\nload:\n  target: http://localhost/\nunits:\n  app.service: |\n    [Service]\nrestart:\n  action: kill\n  signal: SIGTERM\n"
	const private = "name: a\nmanager: private\nneeds: {/bin/x: get x}\nunits:\n  app.service: |\n    [Service]\nload: {target: 'http://x/'}\nrestart: {unit: app.service}\n"
	tests := []struct {
		name, yaml string
		flags      func(*Scenario) error
		check      func(*Scenario) bool
	}{
		{"a flag wins", kill,
			func(s *Scenario) error { return s.Set("load.rate", "50") },
			func(s *Scenario) bool { return s.Load.Rate == 50 }},
		{"a list", kill,
			func(s *Scenario) error { return s.Set("load.expect_status", "200, 204") },
			func(s *Scenario) bool { return reflect.DeepEqual(s.Load.ExpectStatus, []int{200, 204}) }},
		{"a target replaces targets", targets,
			func(s *Scenario) error {
				return errors.Join(s.Set("load.target", "http://localhost/"), s.Set("restart.action", "none"))
			},
			func(s *Scenario) bool { return s.Load.Targets == "" && s.Load.Target != "" }},
		{"an action replaces its signal", kill,
			func(s *Scenario) error { return s.Set("restart.action", "restart") },
			func(s *Scenario) bool { return s.Restart.Signal == "" && s.Restart.Action == ActionRestart }},
		{"a command replaces the action", kill,
			func(s *Scenario) error {
				s.Restart.Command = []string{"x"}
				s.Assigned("restart.command")
				return nil
			},
			func(s *Scenario) bool { return s.Restart.Action == ActionCommand && s.Restart.Signal == "" }},
		{"a service replaces units", private,
			func(s *Scenario) error { return s.Set("service", "web") },
			func(s *Scenario) bool {
				return s.Service == "web.service" && s.Units == nil && s.Needs == nil && s.Restart.Unit == "web.service" && s.Manager == ManagerAuto
			}},
		{"units replace a service", "name: a\nservice: web\nmanager: user\nload: {target: 'http://x/'}\nrestart: {unit: web}\n",
			func(s *Scenario) error {
				s.Units = map[string]string{"app.service": "[Service]\n"}
				s.Assigned("units")
				return nil
			},
			func(s *Scenario) bool {
				return s.Service == "" && s.Restart.Unit == "app.service" && s.Manager == ManagerUser
			}},
		{"a manager", private,
			func(s *Scenario) error { return s.Set("manager", "user") },
			func(s *Scenario) bool { return s.Manager == ManagerUser && len(s.Units) == 1 }},
		{"patterns", private,
			func(s *Scenario) error { s.Journal.Patterns = nil; s.Assigned("journal.patterns"); return nil },
			func(s *Scenario) bool { return s.Journal.Patterns == nil }},
		{"none replaces all", kill,
			func(s *Scenario) error { return s.Set("restart.action", "none") },
			func(s *Scenario) bool { return reflect.DeepEqual(s.Restart, Restart{Action: ActionNone}) }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s, err := Decode("x.yaml", []byte(test.yaml))
			if err := errors.Join(err, test.flags(s), s.Finish()); err != nil {
				t.Fatal(err)
			}
			if !test.check(s) {
				t.Errorf("%+v", s)
			}
		})
	}
}

func TestFlagsAreBlamedWithoutPosition(t *testing.T) {
	s, err := Decode("x.yaml", []byte("name: a\nload:\n  target: http://localhost/\n  rate: 5\nrestart: {command: [x], times: no}\n"))
	if err == nil {
		t.Fatal("times: no is no number")
	}
	if err := s.Set("load.rate", "0"); err != nil {
		t.Fatal(err)
	}
	if err := s.Set("load.duration", "10"); err == nil || err.Error() != `load.duration: "10" has no unit; write 10s` {
		t.Error(err)
	}
	want := `x.yaml:5:32: restart.times: expects a whole number, got "no"
load.duration: "10" has no unit; write 10s
load.rate: 0 is out of range; it must be from 0.01 to 100000`
	if diff := cmp.Diff(want, s.Finish().Error()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestSetRefuses(t *testing.T) {
	for _, path := range []string{"load", "units", "restart.command", "load.headers", "load.wibble", ""} {
		if err := new(Scenario).Set(path, "x"); err == nil {
			t.Errorf("Set(%q) should fail", path)
		}
	}
}

func TestFinishRefuses(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(*Scenario)
		want  string
	}{
		{"negative", func(s *Scenario) { s.Warmup = -1 }, "warmup: -1ns is out of range; it must be from 0s to 1h"},
		{"not a number", func(s *Scenario) { s.Load.Rate = math.NaN() }, "load.rate: NaN is out of range; it must be from 0.01 to 100000"},
		{"infinite", func(s *Scenario) { s.Load.Rate = math.Inf(1) }, "load.rate: +Inf is out of range; it must be from 0.01 to 100000"},
		{"binary", func(s *Scenario) { s.Description = "\xff" }, "description: is not a text: it has bytes that are no UTF-8, or NUL"},
		{"no name", func(s *Scenario) { s.Name = "" }, "name: is missing; write a name such as my-app"},
		{"no target", func(s *Scenario) { s.Load.Target = "" }, "load.target: is missing; write the URL to request, such as http://127.0.0.1:8080/"},
		{"too short", func(s *Scenario) { s.Restart.At = Duration(5500 * time.Millisecond) },
			"load.duration: 6s is too short: the last restart comes at 5.5s and takes 1s to settle; raise it to 7s"},
		{"identity", func(s *Scenario) { s.Restart.Identity = "localhost" }, `restart.identity: "localhost" has no scheme; write http://localhost`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := flagMade()
			test.spoil(s)
			err := s.Finish()
			if err == nil || err.Error() != test.want {
				t.Errorf("got  %v\nwant %s", err, test.want)
			}
			var one *Error
			if !errors.As(err, &one) || one.Key == "" || one.File != "" {
				t.Errorf("%#v should have a key and no file", one)
			}
		})
	}
}
