package scenarios

import (
	"errors"
	"io/fs"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func withPlaceholders() *Scenario {
	s := &Scenario{Name: "a", Units: map[string]string{
		"app.service": "[Service]\nExecStart={{restartbench}} serve --listen 127.0.0.1:{{port}} --admin {{ port:admin }}\nEnvironment=T={{.State}}\n",
	}}
	s.Load.Target = "http://127.0.0.1:{{port}}/"
	s.Load.UnixSocket = "{{dir}}/app.sock"
	s.Load.Headers = map[string]string{"X-Port": "{{port}}"}
	s.Load.Method, s.Load.Body = "POST", "{{body}}"
	s.Restart.Action, s.Restart.Identity = ActionKill, "http://127.0.0.1:{{port:admin}}/"
	return s
}

func TestExpand(t *testing.T) {
	s := withPlaceholders()
	if err := s.Finish(); err != nil {
		t.Fatal(err)
	}
	before := s.Clone()
	asked := map[string]int{}
	got, err := s.Expand(func(name string) (string, error) {
		asked[name]++
		return "<" + name + ">", nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := before.Clone()
	want.Units["app.service"] = "[Service]\nExecStart=<restartbench> serve --listen 127.0.0.1:<port> --admin <port:admin>\nEnvironment=T={{.State}}\n"
	want.Load.Target = "http://127.0.0.1:<port>/"
	want.Load.UnixSocket = "<dir>/app.sock"
	want.Load.Headers["X-Port"] = "<port>"
	want.Restart.Identity = "http://127.0.0.1:<port:admin>/"
	if diff := cmp.Diff(want, got, same); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if diff := cmp.Diff(before, s, same); diff != "" {
		t.Errorf("Expand changed the original:\n%s", diff)
	}
	if diff := cmp.Diff(map[string]int{"dir": 1, "port": 1, "port:admin": 1, "restartbench": 1}, asked); diff != "" {
		t.Errorf("asked:\n%s", diff)
	}
}

func TestExpandFails(t *testing.T) {
	_, err := withPlaceholders().Expand(func(name string) (string, error) {
		if name == "dir" {
			return "", fs.ErrPermission
		}
		return name, nil
	})
	if !errors.Is(err, fs.ErrPermission) || err.Error() != "expanding {{dir}}: permission denied" {
		t.Error(err)
	}
}
