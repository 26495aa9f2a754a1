package bench

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/restartbench/restartbench/bench/timeline"
	"github.com/restartbench/restartbench/scenarios"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// events collects what is emitted.
type events struct {
	mu  sync.Mutex
	all []timeline.Event
}

func (e *events) emit(ev timeline.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, ev)
}

func (e *events) logs() (texts []string) {
	for _, ev := range e.all {
		if ev.Log != nil {
			texts = append(texts, ev.Log.Text)
		}
	}
	return texts
}

func newTestCommand(t *testing.T, script string) (*command, *events) {
	t.Helper()
	seen := &events{}
	c, err := newCommand([]string{"sh", "-c", script}, timeline.NewClock().Now, seen.emit)
	if err != nil {
		t.Fatal(err)
	}
	return c, seen
}

func TestCommandIsDoneWhenItsProcessHasEnded(t *testing.T) {
	pidFile := filepath.Join(t.TempDir(), "pid")
	// The daemon keeps the command's output open, as careless deploy scripts' do.
	c, seen := newTestCommand(t, "sleep 600 & echo $! >"+pidFile+"; echo started; echo careful >&2")
	if err := c.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(seen.logs(), "|"); got != "started|careful" {
		t.Errorf("logged %q", got)
	}
	daemon := readPid(t, pidFile)
	if err := syscall.Kill(daemon, 0); err != nil {
		t.Errorf("the daemon that the command left running is gone: %v", err)
	}
	syscall.Kill(daemon, syscall.SIGKILL)
}

func readPid(t *testing.T, file string) int {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

func TestCommandFailureIsItsExitStatus(t *testing.T) {
	c, _ := newTestCommand(t, "exit 7")
	if err := c.Restart(t.Context()); err == nil || !strings.Contains(err.Error(), "exit status 7") {
		t.Errorf("got %v", err)
	}
}

func TestCommandOutOfTimeIsKilledWithItsGroup(t *testing.T) {
	dir := t.TempDir()
	ready := filepath.Join(dir, "ready")
	if err := syscall.Mkfifo(ready, 0o600); err != nil {
		t.Fatal(err)
	}
	// Neither the command nor its child cares about SIGTERM.
	c, _ := newTestCommand(t, "trap '' TERM; (trap '' TERM; exec sleep 600) & echo $! >"+ready+"; wait")
	c.grace = 10 * time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() { failed <- c.Restart(ctx) }()
	child := readPid(t, ready)
	cancel()
	if err := <-failed; err == nil {
		t.Error("a command that was killed succeeded")
	}
	// The child is init's to reap, or the test runner's container's; killed it is at once.
	for range 1000 {
		if stat, err := os.ReadFile("/proc/" + strconv.Itoa(child) + "/stat"); err != nil || bytes.Contains(stat, []byte(") Z ")) {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Error("the command's child lives on")
}

func TestCommandThatIsNotThereIsFoundAtOnce(t *testing.T) {
	if _, err := newCommand([]string{"no-such-command"}, nil, nil); err == nil || !strings.Contains(err.Error(), "no-such-command") {
		t.Errorf("got %v", err)
	}
}

func TestIdentityNotesEachChangeOnce(t *testing.T) {
	var answer atomic.Value
	answer.Store("pid=1")
	asked := make(chan struct{}, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		text := answer.Load().(string)
		if text == "" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		io.WriteString(w, text+"\n")
		select {
		case asked <- struct{}{}:
		default:
		}
	}))
	defer srv.Close()
	seen := &events{}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	cfg, err := tlsConfig(scenarios.TLS{})
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(done)
		newIdentity(srv.URL, cfg, timeline.NewClock()).Observe(ctx, seen.emit)
	}()
	for _, text := range []string{"pid=1", "", "pid=2"} {
		answer.Store(text)
		for range 3 { // the answer to the second question from here on is surely this one
			<-asked
		}
	}
	cancel()
	<-done
	var got []string
	for _, e := range seen.all {
		got = append(got, e.Identity.Text)
	}
	if strings.Join(got, " ") != "pid=1 pid=2" {
		t.Errorf("noted %q", got)
	}
}

// prepared is a bench for a server of the test's own and a command.
func prepared(t *testing.T, url string, argv ...string) *Bench {
	t.Helper()
	s := &scenarios.Scenario{Name: "test"}
	s.Load.Target, s.Load.Rate, s.Load.Duration = url, 100, scenarios.Duration(3*time.Second)
	s.Restart.Command, s.Restart.At = argv, scenarios.Duration(500*time.Millisecond)
	s.Warmup = scenarios.Duration(100 * time.Millisecond)
	if err := s.Finish(); err != nil {
		t.Fatal(err)
	}
	b, err := New(s, timeline.NewClock(), Program{Path: "/restartbench", Name: "restartbench/test"})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func runToMemory(t *testing.T, ctx context.Context, b *Bench, file io.Writer) error {
	t.Helper()
	r, err := timeline.NewRecorder(file, b.clock, b.Header("test"))
	if err != nil {
		t.Fatal(err)
	}
	err = b.Run(ctx, r)
	r.Close(timeline.End{Reason: timeline.Complete})
	return err
}

func TestRunPutsTheRestartIntoTheMidstOfTheLoad(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer srv.Close()
	var file bytes.Buffer
	if err := runToMemory(t, t.Context(), prepared(t, srv.URL, "true"), &file); err != nil {
		t.Fatal(err)
	}
	rd, err := timeline.NewReader(&file)
	if err != nil {
		t.Fatal(err)
	}
	defer rd.Close()
	var load *timeline.Load
	var end *timeline.LoadEnd
	var steps []timeline.Restart
	requests := 0
	for e, err := rd.Next(); err == nil; e, err = rd.Next() {
		switch {
		case e.Load != nil:
			load = e.Load
		case e.LoadEnd != nil:
			end = e.LoadEnd
		case e.Restart != nil:
			steps = append(steps, *e.Restart)
		case e.Requests != nil:
			requests += e.Requests.N
		}
	}
	if load == nil || end == nil || len(steps) != 2 {
		t.Fatalf("load %v, end %v, steps %v", load, end, steps)
	}
	if load.Address != strings.TrimPrefix(srv.URL, "http://") {
		t.Errorf("address %q", load.Address)
	}
	if want := load.Due(load.Warmup) + 500*time.Millisecond; steps[0].At < want {
		t.Errorf("restarted at %v, want %v or a little later", steps[0].At, want)
	}
	if steps[0].Step != timeline.Requested || steps[1].Step != timeline.Completed || steps[1].Result != timeline.Done {
		t.Errorf("steps %+v", steps)
	}
	if requests != 310 || end.Scheduled != 310 {
		t.Errorf("%d requests recorded, %d scheduled, want 310", requests, end.Scheduled)
	}
}

func TestRunWithoutTargetSaysSo(t *testing.T) {
	b := prepared(t, "http://127.0.0.1:1/", "true")
	err := runToMemory(t, t.Context(), b, io.Discard)
	if err == nil || !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("got %v", err)
	}
}

func TestCancelledRunEndsAtOnce(t *testing.T) {
	stuck := make(chan struct{})
	var got atomic.Int32
	ctx, cancel := context.WithCancel(t.Context())
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if got.Add(1) == 5 {
			cancel()
		}
		if got.Load() > 2 {
			<-stuck
		}
	}))
	defer srv.Close()
	defer close(stuck)
	if err := runToMemory(t, ctx, prepared(t, srv.URL, "true"), io.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

func TestRunEndsWhenItCannotBeRecorded(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer srv.Close()
	if err := runToMemory(t, t.Context(), prepared(t, srv.URL, "true"), fullDisk{}); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got %v, want ENOSPC", err)
	}
}

func TestEveryPlaceholderOfARunIsOneValue(t *testing.T) {
	s, _, err := scenarios.Builtin("graceful")
	if err != nil {
		t.Fatal(err)
	}
	b := &Bench{kind: scenarios.ManagerEmbedded, dir: "/run/x"}
	e, err := b.expand(s, Program{Path: "/bin/restartbench"})
	if err != nil {
		t.Fatal(err)
	}
	port := strings.TrimSuffix(strings.TrimPrefix(e.Load.Target, "http://127.0.0.1:"), "/")
	if !strings.Contains(e.Units["app.socket"], "ListenStream=127.0.0.1:"+port+"\n") {
		t.Errorf("the target is %s and the socket unit is\n%s", e.Load.Target, e.Units["app.socket"])
	}
	if !strings.Contains(e.Units["app.service"], "ExecStart=/bin/restartbench serve") {
		t.Errorf("the service unit is\n%s", e.Units["app.service"])
	}
}
