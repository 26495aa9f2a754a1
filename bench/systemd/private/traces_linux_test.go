package private_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"

	"github.com/restartbench/restartbench/bench/systemd/private"
	"github.com/restartbench/restartbench/bench/systemd/private/privatetest"
)

// machine is what a test can see of the machine and what no private systemd may change.
type machine struct {
	Mounts  string
	Control []string          // control groups that no guard holds
	Run     []string          // names in /run and /var/tmp
	Tmp     []string          // names in /tmp that systemd could have made
	Written []string          // names that the tests write inside
	Text    map[string]string // files' contents
	Host    string
}

func look(t *testing.T) machine {
	t.Helper()
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	m := machine{Host: host, Text: map[string]string{}, Control: leftovers(t)}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	m.Mounts = string(mounts)
	m.Run = append(names("/run", ""), names("/var/tmp", "")...)
	m.Tmp = names("/tmp", "systemd-")
	for _, name := range []string{".X11-unix", ".ICE-unix", ".XIM-unix", ".font-unix", ".Test-unix"} { // as systemd-tmpfiles makes
		m.Tmp = append(m.Tmp, names("/tmp", name)...)
	}
	for _, path := range []string{
		"/proc/sys/fs/nr_open", "/proc/sys/fs/file-max", "/proc/sys/net/unix/max_dgram_qlen", "/proc/sys/kernel/core_pattern",
		"/etc/machine-id",
	} {
		text, _ := os.ReadFile(path)
		m.Text[path] = string(text)
	}
	for _, dir := range []string{"/", "/etc", "/root", "/var/lib/systemd"} {
		m.Written = append(m.Written, names(dir, "written-by-restartbench")...)
	}
	return m
}

func names(dir, prefix string) []string {
	var names []string
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix) {
			names = append(names, filepath.Join(dir, e.Name()))
		}
	}
	return names
}

// leftovers are control groups of private systemds without a guard. Those of other processes' systems are none.
func leftovers(t *testing.T) []string {
	t.Helper()
	var left []string
	err := filepath.WalkDir("/sys/fs/cgroup", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() || !strings.HasPrefix(d.Name(), "restartbench-private-") {
			return nil // a directory that has gone meanwhile is no error
		}
		dir, err := os.Open(path)
		if err != nil {
			return nil
		}
		defer dir.Close()
		if unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			left = append(left, path)
		}
		return fs.SkipDir
	})
	if err != nil {
		t.Fatal(err)
	}
	return left
}

// processes are those that belong to a system booted by this test binary: guards and shims by their command line, and all
// that is inside by its PID namespace and the program that is mounted there.
func processes(t *testing.T) []string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.Stat(self)
	if err != nil {
		t.Fatal(err)
	}
	var ours []string
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		command, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
		shim := bytes.HasPrefix(command, []byte(self+"\x00private-shim\x00"))
		inside, err := os.Stat(filepath.Join(dir, "root", private.Program))
		if shim || err == nil && os.SameFile(inside, program) && namespace(dir) != namespace("/proc/self") {
			ours = append(ours, filepath.Base(dir)+" "+string(bytes.ReplaceAll(command, []byte{0}, []byte{' '})))
		}
	}
	return ours
}

func namespace(process string) string {
	ns, _ := os.Readlink(filepath.Join(process, "ns/pid"))
	return ns
}

// compare fails the test if something of a system is there, or the machine has changed. What a killed program leaves has a
// moment to go; and so has a control group that another test's guard has made and is about to lock.
func compare(t *testing.T, before machine) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		now := look(t)
		// What was there before may be gone: it was another's, about to be locked.
		now.Control = slices.DeleteFunc(now.Control, func(path string) bool { return slices.Contains(before.Control, path) })
		before := before
		before.Control = nil
		left, diff := processes(t), cmp.Diff(before, now, cmpopts.EquateEmpty())
		if left == nil && diff == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("processes: %q\nmachine:\n%s", left, diff)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// written are files that the machine must not get.
var written = []string{
	"/written-by-restartbench", "/etc/written-by-restartbench", "/root/written-by-restartbench",
	"/var/lib/systemd/written-by-restartbench", "/tmp/systemd-written", "/run/written", "/var/tmp/written",
}

func TestLeavesNothing(t *testing.T) {
	before := look(t)
	var times []time.Duration
	for range 8 {
		began := time.Now()
		s := privatetest.Boot(t, private.Config{})
		times = append(times, time.Since(began))
		output(t, s, "sh", "-c", "touch "+strings.Join(written, " ")+" && hostname x")
		if len(processes(t)) < 3 {
			t.Fatal("the test does not see the processes")
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		compare(t, before)
	}
	slices.Sort(times)
	t.Logf("%d boots: %v at least, median %v, %v at most", len(times), times[0], times[len(times)/2], times[len(times)-1])
}

// program starts this test binary as a program that boots a system.
func program(t *testing.T) (*exec.Cmd, *bufio.Reader) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "boot")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, bufio.NewReader(out)
}

func TestKilled(t *testing.T) {
	privatetest.Boot(t, private.Config{}).Close() // skips where it cannot
	before := look(t)
	cmd, out := program(t)
	if line, _ := out.ReadString('\n'); line != "booted: <nil>\n" {
		t.Errorf("the program says %q", line)
	}
	cmd.Process.Kill()
	cmd.Wait()
	compare(t, before)
}

// The moments are spread over the boot, from before the guard runs till after systemd is ready.
func TestKilledDuringBoot(t *testing.T) {
	began := time.Now()
	privatetest.Boot(t, private.Config{}).Close()
	boot := time.Since(began)
	before := look(t)
	moments := 20
	if n, err := strconv.Atoi(os.Getenv("RESTARTBENCH_TEST_KILLS")); err == nil {
		moments = n
	}
	for i := range moments {
		cmd, _ := program(t)
		time.Sleep(boot * time.Duration(4*i) / time.Duration(3*moments))
		cmd.Process.Kill()
		cmd.Wait()
		compare(t, before)
	}
}

// A killed guard takes the system with it. Its control groups are left, and the next boot removes them.
func TestGuardKilled(t *testing.T) {
	before := look(t)
	s := privatetest.Boot(t, private.Config{})
	pid := parent(t, s.PID())
	guard, err := os.FindProcess(pid)
	if err != nil {
		t.Fatal(err)
	}
	guard.Kill()
	<-s.Done()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	mine := func(path string) bool { return strings.Contains(path, fmt.Sprintf("/restartbench-private-%d-", pid)) }
	if !slices.ContainsFunc(leftovers(t), mine) {
		t.Log("no control group is left: another boot has removed it already, or the test is blind")
	}
	if err := privatetest.Boot(t, private.Config{}).Close(); err != nil {
		t.Error(err)
	}
	compare(t, before)
}

func parent(t *testing.T, pid int) int {
	t.Helper()
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	ppid, err := strconv.Atoi(fields[1])
	if err != nil {
		t.Fatal(err)
	}
	return ppid
}

func TestCancelled(t *testing.T) {
	privatetest.Boot(t, private.Config{}).Close()
	before := look(t)
	for _, after := range []time.Duration{0, 10 * time.Millisecond, 50 * time.Millisecond, 80 * time.Millisecond} {
		t.Run(fmt.Sprint(after), func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), after)
			defer cancel()
			s, err := private.Boot(ctx, private.Config{Shim: privatetest.ShimArgs(t)})
			if err == nil {
				s.Close()
				t.Skip("it had booted by then")
			}
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
			compare(t, before)
		})
	}
}

// Signals that a terminal sends to all processes of its foreground group do not reach the guard.
func TestInterruptedGroup(t *testing.T) {
	s := privatetest.Boot(t, private.Config{})
	own, err := unix.Getpgid(0)
	if err != nil {
		t.Fatal(err)
	}
	group, err := unix.Getpgid(parent(t, s.PID()))
	if err != nil || group == own {
		t.Errorf("the guard's process group is %d, %v", group, err)
	}
	if err := syscall.Kill(-group, syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	if got := output(t, s, "systemctl", "is-system-running"); got != "running\n" {
		t.Errorf("the system is %s", got)
	}
}
