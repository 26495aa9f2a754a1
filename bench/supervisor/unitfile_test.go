package supervisor

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestUnitErrors(t *testing.T) {
	service := "[Service]\nExecStart=/bin/true\n"
	for _, c := range []struct {
		name  string
		units map[string]string
		want  []string // parts of the error
	}{
		{"none", nil, []string{"no units"}},
		{"kind", map[string]string{"a.timer": ""}, []string{"a.timer", ".socket and .service"}},
		{"name", map[string]string{"x/a.service": service}, []string{"not a unit's name"}},
		{"garbage", map[string]string{"a.service": "[Service\n"}, []string{"a.service", "section"}},
		{"no ExecStart", map[string]string{"a.service": "[Service]\n"}, []string{"a.service: [Service] ExecStart= is missing"}},
		{"two ExecStart", map[string]string{"a.service": service + "ExecStart=/bin/true\n"}, []string{"a second command"}},
		{"prefix", map[string]string{"a.service": "[Service]\nExecStart=!/bin/true\n"}, []string{`prefix "!"`}},
		{"relative", map[string]string{"a.service": "[Service]\nExecStart=bin/true\n"}, []string{"absolute path"}},
		{"Type", map[string]string{"a.service": service + "Type=forking\n"}, []string{"a.service: [Service] Type=forking: ", "simple, exec, notify"}},
		{"all of them", map[string]string{"a.service": service + "KillMode=none\nRestartSec=soon\nKillSignal=SIGFOO\nSendSIGKILL=perhaps\nSuccessExitStatus=256\n"},
			[]string{"KillMode=none", "RestartSec=soon", "KillSignal=SIGFOO", "SendSIGKILL=perhaps", "SuccessExitStatus=256"}},
		{"Environment", map[string]string{"a.service": service + "Environment=A=1 B C\n"}, []string{`"B" is not NAME=value`}},
		{"specifier", map[string]string{"a.service": service + "WorkingDirectory=%h\n"}, []string{"%h", "%n"}},
		{"limit", map[string]string{"a.service": service + "[Unit]\nStartLimitBurst=-1\n"}, []string{"[Unit] StartLimitBurst=-1"}},
		{"Sockets", map[string]string{"a.service": service + "Sockets=b.socket\n"}, []string{"Sockets=b.socket", "add it"}},
		{"no service", map[string]string{"a.socket": "[Socket]\nListenStream=80\n"}, []string{"a.socket", "a.service is not among the units"}},
		{"no ListenStream", map[string]string{"a.socket": "[Socket]\nListenStream=80\nListenStream=\n", "a.service": service}, []string{"ListenStream= is missing"}},
		{"host", map[string]string{"a.socket": "[Socket]\nListenStream=localhost:80\n", "a.service": service}, []string{"127.0.0.1:80"}},
		{"port", map[string]string{"a.socket": "[Socket]\nListenStream=99999\n", "a.service": service}, []string{"not a port"}},
		{"Accept", map[string]string{"a.socket": "[Socket]\nListenStream=80\nAccept=yes\n", "a.service": service}, []string{"Accept=no"}},
		{"FileDescriptorName", map[string]string{"a.socket": "[Socket]\nListenStream=80\nFileDescriptorName=a:b\n", "a.service": service}, []string{"without a colon"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := New(Config{Units: c.units})
			if err == nil {
				t.Fatal("no error")
			}
			for _, part := range c.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q is not in: %v", part, err)
				}
			}
		})
	}
}

func TestUnitFiles(t *testing.T) {
	set, err := parseUnits(map[string]string{
		"a.socket": `
[Unit]
Description=x
BindsTo=a.service
BindsTo=b.service
[Socket]
ListenStream=1
ListenStream=
ListenStream=8080
ListenStream=[::1]:81
ListenStream=@name
; a comment
Backlog=4294967295
RemoveOnStop=on
FreeBind=yes
[X-Ours]
Any=thing
`,
		"a.service": `
[Service]
ExecStart=-/bin/echo one \
# a comment within \
   two \; "three four"
Environment=A=1 "B=2 3"
Environment=A=4
TimeoutSec=1min 30s
TimeoutStartSec=0
SuccessExitStatus=1 2
SuccessExitStatus=
SuccessExitStatus=TERM 7
Type=notify
[Install]
WantedBy=multi-user.target
`})
	if err != nil {
		t.Fatal(err)
	}
	k, s := set.sockets["a.socket"], set.services["a.service"]
	if diff := cmp.Diff([]address{{"tcp", ":8080"}, {"tcp", "[::1]:81"}, {"unix", "@name"}}, k.listen, cmp.AllowUnexported(address{})); diff != "" {
		t.Error(diff)
	}
	if k.backlog != 1<<31-1 || !k.removeOnStop || k.fdName != "a.socket" {
		t.Errorf("%+v", k)
	}
	if diff := cmp.Diff([]string{"/bin/echo", "one", "two", ";", "three four"}, s.command.words); diff != "" || !s.command.ignoreFailure {
		t.Error(diff, s.command.ignoreFailure)
	}
	if diff := cmp.Diff(map[string]string{"A": "4", "B": "2 3"}, s.env); diff != "" {
		t.Error(diff)
	}
	if s.startTimeout != infinity || s.stopTimeout != 90*time.Second || s.notifyAccess != "main" || len(s.clean.codes) != 1 || len(s.clean.signals) != 1 {
		t.Errorf("%+v", s)
	}
	want := []ignored{{"a.socket", "Unit", "BindsTo"}, {"a.socket", "Socket", "FreeBind"}}
	if diff := cmp.Diff(want, set.ignored, cmp.AllowUnexported(ignored{})); diff != "" {
		t.Error(diff)
	}
}

// The package comment lists the keys that are honoured.
func TestDocListsKeys(t *testing.T) {
	text, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string][]string{}
	for _, match := range regexp.MustCompile(`(?m)^//\t\[(\w+)\]( quietly)? (.*)$`).FindAllStringSubmatch(string(text), -1) {
		keys := strings.Split(match[3], ", ")
		slices.Sort(keys)
		listed[match[1]+match[2]] = keys
	}
	quietSorted := slices.Sorted(slices.Values(quietKeys))
	want := map[string][]string{
		"Unit": slices.Sorted(maps.Keys(unitKeys)), "Unit quietly": quietSorted,
		"Socket": slices.Sorted(maps.Keys(socketKeys)), "Service": slices.Sorted(maps.Keys(serviceKeys)),
	}
	if diff := cmp.Diff(want, listed); diff != "" {
		t.Error(diff)
	}
}
