package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// patience bounds every wait for something that must happen.
const patience = 10 * time.Second

// child is the sample service in a process of its own.
type child struct {
	cmd   *exec.Cmd
	lines chan string // of its stderr, closed at its end
	ended chan error  // what exec.Cmd.Wait said
}

// startChild runs serve with args. The listeners are passed as systemd would.
func startChild(t *testing.T, env []string, listeners []*os.File, args ...string) *child {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	// Under the race detector a process sleeps a second before it exits, unless told not to.
	cmd.Env = append(os.Environ(), testMainEnv+"=serve", "GORACE=atexit_sleep_ms=0")
	if len(listeners) > 0 {
		cmd.ExtraFiles = listeners
		cmd.Env = append(cmd.Env, fmt.Sprintf("LISTEN_FDS=%d", len(listeners)))
	}
	cmd.Env = append(cmd.Env, env...)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &child{cmd: cmd, lines: make(chan string, 1000), ended: make(chan error, 1)}
	go c.follow(stderr)
	t.Cleanup(func() {
		cmd.Process.Kill()
		for range c.lines {
		}
	})
	return c
}

func (c *child) follow(stderr io.Reader) {
	for s := bufio.NewScanner(stderr); s.Scan(); {
		c.lines <- s.Text()
	}
	c.ended <- c.cmd.Wait() // only after the pipe is read, see StderrPipe
	close(c.lines)
}

// line waits for a line on stderr that matches, and returns its submatches.
func (c *child) line(t *testing.T, pattern string) []string {
	t.Helper()
	re, timeout := regexp.MustCompile(pattern), time.After(patience)
	for {
		select {
		case line, ok := <-c.lines:
			if !ok {
				t.Fatalf("child ended without a line like %q", pattern)
			}
			if m := re.FindStringSubmatch(line); m != nil {
				return m
			}
		case <-timeout:
			t.Fatalf("no line like %q within %v", pattern, patience)
		}
	}
}

// stop sends SIGTERM and returns how the child ended.
func (c *child) stop(t *testing.T) error {
	t.Helper()
	c.signal(t, syscall.SIGTERM)
	return c.wait(t)
}

func (c *child) signal(t *testing.T, sig os.Signal) {
	t.Helper()
	if err := c.cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
}

func (c *child) wait(t *testing.T) error {
	t.Helper()
	select {
	case err := <-c.ended:
		return err
	case <-time.After(patience):
		t.Fatalf("child still runs after %v", patience)
		return nil
	}
}

// stderr returns the rest of what the child said. It waits for its end.
func (c *child) stderr() string {
	var b strings.Builder
	for line := range c.lines {
		b.WriteString(line + "\n")
	}
	return b.String()
}

// holdListener listens on a loopback port, and returns the socket as a file to pass on.
func holdListener(t *testing.T) (*os.File, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() // the file holds the socket
	return listenerFile(t, l.(*net.TCPListener)), l.Addr().String()
}

func listenerFile(t *testing.T, l interface{ File() (*os.File, error) }) *os.File {
	t.Helper()
	f, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// fetch makes one request on a connection of its own.
func fetch(network, address, path string) (status int, body string, err error) {
	conn, err := net.DialTimeout(network, address, patience)
	if err != nil {
		return 0, "", err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n", path)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0, "", err
	}
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), err
}

func TestAnswers(t *testing.T) {
	started := time.Date(2025, 1, 2, 3, 4, 5, 6, time.FixedZone("", 3600))
	identity := fmt.Sprintf("pid=%d started=2025-01-02T02:04:05.000000006Z\n", os.Getpid())
	for _, tt := range []struct {
		name, target string
		status       int
		body         string
	}{
		{"root", "/", 200, "ok\n"},
		{"any path", "/no/such", 200, "ok\n"},
		{"unclean path is not redirected", "//a/../b", 200, "ok\n"},
		{"health", "/healthz", 200, "ok\n"},
		{"whoami", "/whoami", 200, identity},
		{"slow", "/slow?for=1ms", 200, "ok\n"},
		{"slow for nothing", "/slow?for=0s", 200, "ok\n"},
		{"slow without for", "/slow", 400, string(bodyBadFor)},
		{"slow without unit", "/slow?for=5", 400, string(bodyBadFor)},
		{"slow negative", "/slow?for=-1s", 400, string(bodyBadFor)},
		{"slow beyond the bound", "/slow?for=1m1ns", 400, string(bodyBadFor)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			newSampleService(serveOptions{}, started).ServeHTTP(w, httptest.NewRequest("GET", tt.target, nil))
			if w.Code != tt.status || w.Body.String() != tt.body {
				t.Errorf("got %d %q, want %d %q", w.Code, w.Body, tt.status, tt.body)
			}
		})
	}
}

func TestFailEvery(t *testing.T) {
	s := newSampleService(serveOptions{failEvery: 3}, time.Now())
	var got []int
	for _, path := range []string{"/", "/", "/healthz", "/whoami", "/a", "/", "/", "/"} {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		got = append(got, w.Code)
	}
	if want := "[200 200 200 200 500 200 200 500]"; fmt.Sprint(got) != want {
		t.Errorf("statuses %v, want %s: the probes do not count", got, want)
	}
}

func TestTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSampleService(serveOptions{work: 30 * time.Millisecond, readyDelay: time.Second}, time.Now())
		expect := func(target string, status int, took time.Duration) {
			t.Helper()
			w, began := httptest.NewRecorder(), time.Now()
			s.ServeHTTP(w, httptest.NewRequest("GET", target, nil))
			if w.Code != status || time.Since(began) != took {
				t.Errorf("%s: %d after %v, want %d after %v", target, w.Code, time.Since(began), status, took)
			}
		}
		expect("/", 200, 30*time.Millisecond)
		expect("/healthz", 503, 0)
		expect("/whoami", 200, 0)
		expect("/slow?for=500ms", 200, 500*time.Millisecond)
		time.Sleep(470*time.Millisecond - time.Nanosecond)
		expect("/healthz", 503, 0)
		time.Sleep(time.Nanosecond)
		expect("/healthz", 200, 0)
	})
}

func TestWorkOfClientsThatLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSampleService(serveOptions{work: time.Second}, time.Now())
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		r, began := httptest.NewRequestWithContext(ctx, "GET", "/", nil), time.Now()
		func() {
			defer func() {
				if p := recover(); p != http.ErrAbortHandler || time.Since(began) != 100*time.Millisecond {
					t.Errorf("recovered %v after %v, want an abort when the client left", p, time.Since(began))
				}
			}()
			s.ServeHTTP(httptest.NewRecorder(), r)
		}()
		s.lameDuck.Store(true) // now it may be the drain that ended the input
		w := httptest.NewRecorder()
		began = time.Now()
		s.ServeHTTP(w, r)
		if w.Code != 200 || time.Since(began) != time.Second {
			t.Errorf("in a drain: %d after %v", w.Code, time.Since(began))
		}
	})
}

func TestBodyIsConsumed(t *testing.T) {
	body := bytes.NewReader(make([]byte, 1<<20))
	newSampleService(serveOptions{}, time.Now()).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("POST", "/", body))
	if body.Len() != 0 {
		t.Errorf("%d bytes of the body left unread", body.Len())
	}
}

func TestBadFlags(t *testing.T) {
	for _, tt := range []struct {
		name string
		args []string
		want string
	}{
		{"nothing to serve on", nil, "no socket to serve on: LISTEN_FDS is not set"},
		{"argument", []string{"8080"}, "unknown command"},
		{"negative drain", []string{"--drain=-1s"}, "--drain -1s: must not be negative"},
		{"negative start delay", []string{"--start-delay=-1s"}, "--start-delay -1s"},
		{"negative work", []string{"--work=-1s"}, "--work -1s"},
		{"negative ready delay", []string{"--ready-delay=-1s"}, "--ready-delay -1s"},
		{"negative fail-every", []string{"--fail-every=-1"}, "--fail-every"},
		{"no port", []string{"--listen=localhost"}, "--listen localhost: want host:port or unix:PATH"},
		{"no path", []string{"--listen=unix:"}, "--listen unix:: want unix:PATH"},
		{"directory is missing", []string{"--listen=unix:/no/such/socket"}, "--listen unix:/no/such/socket: listen unix"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cmd := newServeCmd()
			cmd.SetArgs(append([]string{}, tt.args...))
			cmd.SetOut(io.Discard)
			cmd.SetErr(io.Discard)
			if err := cmd.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}

func TestBadSockets(t *testing.T) {
	tcp, _ := holdListener(t)
	udp, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	datagram := listenerFile(t, udp)
	for _, tt := range []struct {
		name    string
		env     []string
		sockets []*os.File
		args    []string
		want    string
	}{
		{"both", nil, []*os.File{tcp}, []string{"--listen=127.0.0.1:0"}, "both --listen 127.0.0.1:0 and LISTEN_FDS=1"},
		{"for another process", []string{"LISTEN_PID=1"}, []*os.File{tcp}, nil, "LISTEN_FDS=1 LISTEN_PID=1: no socket for this process"},
		{"datagram", nil, []*os.File{tcp, datagram}, nil, "descriptor 4 is not a listening stream socket"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := startChild(t, tt.env, tt.sockets, tt.args...)
			if err := c.wait(t); err == nil {
				t.Error("exited 0")
			}
			if got := c.stderr(); !strings.Contains(got, tt.want) {
				t.Errorf("stderr %q, want one with %q", got, tt.want)
			}
		})
	}
}

func TestServesEverySocketPassed(t *testing.T) {
	tcp, address := holdListener(t)
	path := filepath.Join(shortTempDir(t), "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := startChild(t, nil, []*os.File{tcp, listenerFile(t, l)}, "--drain=1s")
	for _, at := range [][2]string{{"tcp", address}, {"unix", path}} {
		status, body, err := fetch(at[0], at[1], "/whoami")
		if want := fmt.Sprintf("pid=%d started=", c.cmd.Process.Pid); status != 200 || err != nil || !strings.HasPrefix(body, want) {
			t.Errorf("%s: %d %q %v, want 200 %q", at[0], status, body, err, want)
		}
	}
	if err := c.stop(t); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Errorf("the inherited socket lost its path: %v", err)
	}
}

func TestListensOnUnixSocketAfterKill(t *testing.T) {
	path := filepath.Join(shortTempDir(t), "s")
	for _, sig := range []os.Signal{syscall.SIGKILL, syscall.SIGTERM} {
		c := startChild(t, nil, nil, "--listen=unix:"+path)
		c.line(t, "listening on")
		if status, _, err := fetch("unix", path, "/"); status != 200 || err != nil {
			t.Errorf("got %d %v", status, err)
		}
		c.signal(t, sig)
		c.wait(t)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("SIGTERM left the socket behind: %v", err)
	}
}

func TestLeavesASocketInUse(t *testing.T) {
	path := filepath.Join(shortTempDir(t), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := openListener("unix:" + path); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("error %v, want EADDRINUSE", err)
	}
}

func TestNotifiesManager(t *testing.T) {
	path := filepath.Join(shortTempDir(t), "n")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetReadDeadline(time.Now().Add(patience))
	expect := func(want string) {
		t.Helper()
		buf := make([]byte, 100)
		if n, err := conn.Read(buf); err != nil || string(buf[:n]) != want {
			t.Fatalf("notified %q %v, want %q", buf[:n], err, want)
		}
	}
	c := startChild(t, []string{"NOTIFY_SOCKET=" + path}, nil, "--listen=127.0.0.1:0")
	expect("READY=1")
	address := c.line(t, `listening on (\S+)`)[1]
	if status, _, err := fetch("tcp", address, "/"); status != 200 || err != nil {
		t.Errorf("once ready: %d %v", status, err)
	}
	c.signal(t, syscall.SIGINT)
	expect("STOPPING=1")
	if err := c.wait(t); err != nil {
		t.Errorf("after SIGINT: %v", err)
	}
}

func TestStopsDuringStartDelay(t *testing.T) {
	c := startChild(t, nil, nil, "--listen=127.0.0.1:0", "--start-delay=1h")
	c.line(t, "starting in 1h")
	if err := c.stop(t); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
	if rest := c.stderr(); strings.Contains(rest, "listening") {
		t.Errorf("it listened: %q", rest)
	}
}

// shortTempDir is a temporary directory with a name short enough for a socket's path (104 bytes on macOS).
func shortTempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "rb")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// nullWriter is a http.ResponseWriter that allocates nothing itself.
type nullWriter http.Header

func (w nullWriter) Header() http.Header         { return http.Header(w) }
func (w nullWriter) Write(b []byte) (int, error) { return len(b), nil }
func (w nullWriter) WriteHeader(int)             {}

func TestHandlerDoesNotAllocate(t *testing.T) {
	s, w, r := newSampleService(serveOptions{failEvery: 2}, time.Now()), nullWriter{}, httptest.NewRequest("GET", "/", nil)
	s.lameDuck.Store(true)
	if n := testing.AllocsPerRun(100, func() { s.ServeHTTP(w, r) }); n > 0 {
		t.Errorf("%v allocations for a request", n)
	}
}
