package scenarios

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
	"time"
)

func TestDemoIsALadder(t *testing.T) {
	var names []string
	for _, s := range Demo() {
		names = append(names, s.Name)
		wall := time.Duration(s.Warmup + s.Load.Duration)
		if wall > 5*time.Second || s.Load.Rate != 200 || s.Load.Connections != ConnectionsMixed || time.Duration(s.Restart.At) != time.Second {
			t.Errorf("%s is not like the others, or takes too long: %v", s.Name, wall)
		}
		if !strings.Contains(s.Units["app.service"], "--start-delay 250ms --work 20ms") {
			t.Errorf("%s runs another service:\n%s", s.Name, s.Units["app.service"])
		}
	}
	if strings.Join(names, " ") != "plain activated graceful" {
		t.Error(names)
	}
}

func TestBuiltins(t *testing.T) {
	var names []string
	for _, s := range Builtins() {
		names = append(names, s.Name)
	}
	if strings.Join(names, " ") != "plain activated graceful proxyd node-exporter" {
		t.Error(names)
	}
}

// TestBuiltinsNeedWhatTheyRun: every program that a unit starts is this one, or among the needs.
func TestBuiltinsNeedWhatTheyRun(t *testing.T) {
	for _, s := range Builtins() {
		for name, text := range s.Units {
			for line := range strings.Lines(text) {
				start, ok := strings.CutPrefix(line, "ExecStart=")
				program, _, _ := strings.Cut(start, " ")
				if ok && program != "{{restartbench}}" && s.Needs[program] == "" {
					t.Errorf("%s: %s runs %s, which is not in needs", s.Name, name, program)
				}
			}
		}
	}
}

func TestBuiltinShowsItsComments(t *testing.T) {
	for _, name := range builtins {
		s, text, err := Builtin(name)
		if err != nil || s.Name != name || !strings.HasPrefix(string(text), "# "+name+": ") {
			t.Errorf("%s: %v\n%s", name, err, text)
		}
	}
}

func TestOpen(t *testing.T) {
	file, data, err := Open("plain")
	if err != nil || len(data) == 0 || file != "built-in plain.yaml" {
		t.Error(file, err)
	}
	if file, data, err = Open("testdata/empty.yaml"); err != nil || len(data) != 0 || file != "testdata/empty.yaml" {
		t.Error(file, err)
	}
	if _, _, err = Open("./plain"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

func TestOpenUnknown(t *testing.T) {
	for name, want := range map[string]string{
		"gracefull": `no built-in scenario is called "gracefull"; did you mean "graceful"? (built in: plain, activated, graceful, proxyd, node-exporter; a file's name needs a slash or .yaml, as ./gracefull)`,
		"wibble":    `no built-in scenario is called "wibble" (built in: plain, activated, graceful, proxyd, node-exporter; a file's name needs a slash or .yaml, as ./wibble)`,
	} {
		_, _, err := Open(name)
		var unknown *UnknownError
		if !errors.As(err, &unknown) || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}
