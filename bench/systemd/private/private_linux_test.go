package private_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	systemd "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"
	"go.uber.org/goleak"

	"github.com/restartbench/restartbench/bench/systemd/private"
	"github.com/restartbench/restartbench/bench/systemd/private/privatetest"
)

// The test binary is also the shim, the service of the tests, and a program that boots a system and is killed.
func TestMain(m *testing.M) {
	privatetest.Shim()
	switch {
	case len(os.Args) > 1 && os.Args[1] == "serve":
		serve()
	case len(os.Args) > 1 && os.Args[1] == "boot":
		bootAndWait()
	}
	goleak.VerifyTestMain(m)
}

// serve answers on the socket it was given with what it sees, one line each.
func serve() {
	fmt.Println("serving as", os.Getpid())
	l, err := net.FileListener(os.NewFile(3, "listener"))
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		status, _ := os.ReadFile("/proc/self/status")
		fmt.Fprintln(w, "no new privileges:", bytes.Contains(status, []byte("NoNewPrivs:\t1")))
		fmt.Fprintln(w, "/etc writable:", os.WriteFile("/etc/restartbench-test", nil, 0o600) == nil)
		fmt.Fprintln(w, "/tmp writable:", os.WriteFile("/tmp/restartbench-test", nil, 0o600) == nil)
		_, err := os.Stat("/tmp/outside")
		fmt.Fprintln(w, "the system's /tmp visible:", err == nil)
		home, err := os.ReadDir("/root")
		fmt.Fprintln(w, "/root visible:", err == nil && len(home) > 0)
	}))
	os.Exit(1)
}

// bootAndWait boots a system, says so, and keeps it until it is killed.
func bootAndWait() {
	_, err := private.Boot(context.Background(), private.Config{Shim: []string{os.Args[0], "private-shim"}})
	fmt.Println("booted:", err)
	select {}
}

// output runs a command inside that has to succeed.
func output(t *testing.T, s *private.System, name string, args ...string) string {
	t.Helper()
	out, err := s.Output(t.Context(), name, args...)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func TestBoot(t *testing.T) {
	began := time.Now()
	s := privatetest.Boot(t, private.Config{Log: t.Output()})
	t.Logf("booted in %v", time.Since(began))
	if got := output(t, s, "systemctl", "is-system-running"); got != "running\n" {
		t.Errorf("the system is %s", got)
	}
	if got := output(t, s, "cat", "/proc/1/comm"); got != "systemd\n" {
		t.Errorf("process 1 is %s", got)
	}
	if failed := output(t, s, "systemctl", "list-units", "--failed", "--no-legend"); failed != "" {
		t.Errorf("failed units:\n%s", failed)
	}
	began = time.Now()
	for range 2 {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	t.Logf("closed in %v", time.Since(began))
	if _, err := s.Output(t.Context(), "true"); err == nil {
		t.Error("a command ran in a system that is closed")
	}
}

const appSocket = `[Socket]
ListenStream=127.0.0.1:%d
NoDelay=true
ReusePort=false
`

const appService = `[Unit]
Requires=app.socket
After=app.socket
[Service]
ExecStart=` + private.Program + ` serve
Restart=on-failure
RestartSec=2
NoNewPrivileges=true
PrivateTmp=true
ProtectSystem=strict
ProtectHome=true
`

// freePort is a TCP port of the loopback interface that nobody listens on.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// A connection from outside activates a service that runs this very program, wherever that lies.
func TestSocketActivation(t *testing.T) {
	port := freePort(t)
	s := privatetest.Boot(t, private.Config{Log: t.Output(), Units: map[string]string{
		"app.socket":  fmt.Sprintf(appSocket, port),
		"app.service": appService,
	}})
	output(t, s, "systemctl", "start", "app.socket")
	output(t, s, "touch", "/tmp/outside", "/root/something")
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	r, err := client.Get(fmt.Sprintf("http://127.0.0.1:%d/", port))
	if err != nil {
		t.Fatal(err, output(t, s, "journalctl", "--no-pager"))
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	const want = `no new privileges: true
/etc writable: false
/tmp writable: true
the system's /tmp visible: false
/root visible: false
`
	if string(body) != want {
		t.Errorf("the service sees:\n%swant:\n%s", body, want)
	}
	if line := journalLine(t, s); !strings.HasPrefix(line, "serving as ") {
		t.Errorf("the journal has %q", line)
	}
}

// journalLine is the first line that the service printed, as the journal has it.
func journalLine(t *testing.T, s *private.System) string {
	t.Helper()
	out := output(t, s, "journalctl", "-o", "json", "-u", "app.service", "_TRANSPORT=stdout")
	var entry struct {
		Message string `json:"MESSAGE"`
	}
	first, _, _ := strings.Cut(out, "\n")
	if err := json.Unmarshal([]byte(first), &entry); err != nil {
		t.Fatalf("%v in %q", err, first)
	}
	return entry.Message
}

// The system bus takes this process for root, and starts a unit that was written after the boot.
func TestDialBus(t *testing.T) {
	s := privatetest.Boot(t, private.Config{})
	conn, err := systemd.NewConnection(func() (*dbus.Conn, error) { return s.DialBus(t.Context()) })
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	text := "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n"
	if err := os.WriteFile(filepath.Join(s.RuntimeDir(), "late.service"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	startUnit(t, conn, "late.service")
}

func startUnit(t *testing.T, conn *systemd.Conn, unit string) {
	t.Helper()
	if err := conn.ReloadContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	done := make(chan string, 1)
	if _, err := conn.StartUnitContext(t.Context(), unit, "replace", done); err != nil {
		t.Fatal(err)
	}
	if result := <-done; result != "done" {
		t.Fatalf("the job's result is %s", result)
	}
	p, err := conn.GetUnitPropertyContext(t.Context(), unit, "ActiveState")
	if err != nil || p.Value.Value() != "active" {
		t.Errorf("the unit is %v, %v", p, err)
	}
}

func TestStartUser(t *testing.T) {
	s := privatetest.Boot(t, private.Config{})
	output(t, s, "useradd", "--create-home", "--uid", "4711", "tester") // in the overlay
	for _, uid := range []int{0, 4711} {
		t.Run(fmt.Sprint(uid), func(t *testing.T) {
			if err := s.StartUser(t.Context(), uid); err != nil {
				t.Fatal(err, output(t, s, "journalctl", "--no-pager"))
			}
			conn, err := systemd.NewConnection(func() (*dbus.Conn, error) { return s.DialUserBus(t.Context(), uid) })
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			state, err := conn.SystemStateContext(t.Context())
			if err != nil || state.Value.Value() != "running" {
				t.Errorf("the user manager is %v, %v", state, err)
			}
		})
	}
	if _, err := os.ReadDir("/home/tester"); err == nil {
		t.Error("the machine has a new home directory")
	}
}

func TestCommand(t *testing.T) {
	s := privatetest.Boot(t, private.Config{})
	for _, test := range []struct {
		name   string
		script string
		code   int
	}{
		{"succeeds", "true", 0},
		{"fails", "exit 3", 3},
		{"is killed", "kill -KILL $$", 128 + 9},
		{"is not found", "exec /no/such/program", 127},
	} {
		t.Run(test.name, func(t *testing.T) {
			cmd := s.Command(t.Context(), "sh", "-c", test.script)
			cmd.Run()
			if got := cmd.ProcessState.ExitCode(); got != test.code {
				t.Errorf("exit code %d, want %d", got, test.code)
			}
		})
	}
	if got := output(t, s, "grep", "^0:", "/proc/self/cgroup"); got != "0::/commands\n" {
		t.Errorf("a command is in the control group %q", got)
	}
	cmd := s.Command(t.Context(), "cat")
	cmd.Stdin = strings.NewReader("through")
	if out, err := cmd.Output(); err != nil || string(out) != "through" {
		t.Errorf("cat: %q, %v", out, err)
	}
	cmd = s.Command(t.Context(), "sh", "-c", `trap 'exit 7' TERM; echo ready; while :; do sleep 0.01; done`)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	bufio.NewReader(out).ReadString('\n')
	cmd.Process.Signal(syscall.SIGTERM)
	if cmd.Wait(); cmd.ProcessState.ExitCode() != 7 {
		t.Errorf("after SIGTERM: %v, want the command's own exit code 7", cmd.ProcessState)
	}
}

// The end of its context is the end of the command itself, and not only of the process between.
func TestCommandCancelled(t *testing.T) {
	s := privatetest.Boot(t, private.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	cmd := s.Command(ctx, "sh", "-c", "echo ready; exec sleep 4711")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	bufio.NewReader(out).ReadString('\n')
	cancel()
	io.Copy(io.Discard, out) // until the last process with its standard output has ended
	cmd.Wait()
}

func TestFiles(t *testing.T) {
	dir := t.TempDir() // below /tmp
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("outside"), 0o644); err != nil {
		t.Fatal(err)
	}
	s := privatetest.Boot(t, private.Config{Files: map[string]string{
		file: "/tmp/a/file",
		dir:  "/srv/no/such/dir",
	}})
	for _, path := range []string{"/tmp/a/file", "/srv/no/such/dir/file"} {
		if got := output(t, s, "cat", path); got != "outside" {
			t.Errorf("%s holds %q", path, got)
		}
		if err := s.Command(t.Context(), "sh", "-c", "echo inside > "+path).Run(); err == nil {
			t.Errorf("%s can be written", path)
		}
	}
}

func TestOwnNetwork(t *testing.T) {
	port := freePort(t)
	s := privatetest.Boot(t, private.Config{OwnNetwork: true, Units: map[string]string{
		"app.socket":  fmt.Sprintf(appSocket, port),
		"app.service": appService,
	}})
	output(t, s, "systemctl", "start", "app.socket")
	output(t, s, "sysctl", "-w", "net.core.somaxconn=17")
	if text, err := os.ReadFile("/proc/sys/net/core/somaxconn"); err != nil || string(text) == "17\n" {
		t.Errorf("net.core.somaxconn of the machine: %q, %v", text, err)
	}
	address := fmt.Sprintf("127.0.0.1:%d", port)
	if conn, err := net.Dial("tcp", address); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("from outside: %v, %v", conn, err)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: s.Dial}, Timeout: 10 * time.Second}
	r, err := client.Get("http://" + address)
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
}

func TestTwoAtOnce(t *testing.T) {
	a, b := privatetest.Boot(t, private.Config{}), privatetest.Boot(t, private.Config{})
	if a.PID() == b.PID() || output(t, a, "cat", "/etc/machine-id") == output(t, b, "cat", "/etc/machine-id") {
		t.Error("they are one")
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	if got := output(t, b, "systemctl", "is-system-running"); got != "running\n" {
		t.Errorf("the other system is %s", got)
	}
}

func TestSystemEnds(t *testing.T) {
	privatetest.Boot(t, private.Config{}).Close() // skips where it cannot
	s, err := private.Boot(t.Context(), private.Config{Shim: privatetest.ShimArgs(t)})
	if err != nil {
		t.Fatal(err)
	}
	p, err := os.FindProcess(s.PID())
	if err != nil {
		t.Fatal(err)
	}
	p.Kill()
	<-s.Done()
	if err := s.Close(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("Close: %v, want an error that says that systemd was killed", err)
	}
}

func TestBootFails(t *testing.T) {
	privatetest.Boot(t, private.Config{}).Close() // skips where it cannot
	for name, units := range map[string]map[string]string{
		"no target": {"restartbench.target": "[Unit]\nRequires=no-such.service\nAfter=no-such.service\n"},
		"no bus":    {"dbus.socket": "[Socket]\nListenStream=/proc/no/such\n"},
	} {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			_, err := private.Boot(t.Context(), private.Config{Shim: privatetest.ShimArgs(t), Units: units})
			var failed *private.BootError
			if !errors.As(err, &failed) || len(failed.Lines) == 0 {
				t.Fatalf("%v, want a BootError with systemd's last lines", err)
			}
			t.Logf("after %v: %v", time.Since(began), err)
		})
	}
}

func TestConfigMistakes(t *testing.T) {
	shim := privatetest.ShimArgs(t)
	for name, c := range map[string]private.Config{
		"no shim":            {},
		"relative shim":      {Shim: []string{"restartbench"}},
		"unit outside":       {Shim: shim, Units: map[string]string{"../x.service": ""}},
		"relative file":      {Shim: shim, Files: map[string]string{"/etc/hosts": "hosts"}},
		"file over the root": {Shim: shim, Files: map[string]string{"/etc": "/"}},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := private.Boot(t.Context(), c); err == nil {
				t.Error("no error")
			}
		})
	}
}

func TestNotRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("it needs root to become somebody else")
	}
	cmd := exec.Command("/proc/self/exe", "boot")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}, Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, _ := bufio.NewReader(out).ReadString('\n')
	cmd.Process.Kill()
	cmd.Wait()
	if !strings.Contains(line, "no root") {
		t.Errorf("Boot as nobody: %q", line)
	}
}
