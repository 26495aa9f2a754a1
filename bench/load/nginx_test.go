package load

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/restartbench/restartbench/bench/internal/testenv"
	"github.com/restartbench/restartbench/bench/timeline"
)

const nginxConfig = `
daemon off;
worker_processes 1;
user root; # as whom it may read PREFIX; not looked at when the test is not root
pid PREFIX/pid;
error_log PREFIX/error.log;
events { worker_connections 64; }
http {
	access_log off;
	client_body_temp_path PREFIX/body;
	proxy_temp_path PREFIX/proxy;
	fastcgi_temp_path PREFIX/fastcgi;
	uwsgi_temp_path PREFIX/uwsgi;
	scgi_temp_path PREFIX/scgi;
	server {
		listen ADDRESS;
		root PREFIX;
		keepalive_requests 3;
		client_max_body_size 1k;
		gzip on;
		gzip_min_length 1;
		gzip_types text/plain;
		default_type text/plain;
		location = /unavailable { return 503 "later"; }
		location = /away { return 302 /elsewhere; }
		location = /nothing { return 444; }
	}
}
`

// startNginx starts Debian's nginx in the foreground with a prefix of its own and returns its URL. The socket is handed
// over as to a new binary (nginx(8), USR2), so connections wait for it from the start. Without a master process nginx 1.22
// does not survive that.
func startNginx(t *testing.T) string {
	t.Helper()
	testenv.Need(t, "nginx")
	dir := t.TempDir()
	l := listen(t)
	defer l.Close()
	socket, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	config := strings.NewReplacer("PREFIX", dir, "ADDRESS", l.Addr().String()).Replace(nginxConfig)
	for name, text := range map[string]string{"nginx.conf": config, "text.txt": strings.Repeat("text ", 100), "error.log": ""} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var said bytes.Buffer
	cmd := exec.Command("nginx", "-p", dir, "-c", filepath.Join(dir, "nginx.conf"), "-e", filepath.Join(dir, "error.log"))
	cmd.Env = append(os.Environ(), "NGINX=3;")
	cmd.ExtraFiles = []*os.File{socket}
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(os.Interrupt) // the master's word to end its worker as well
		cmd.Wait()
		if log, _ := os.ReadFile(filepath.Join(dir, "error.log")); t.Failed() {
			t.Logf("nginx said %s\n%s", &said, log)
		}
	})
	return "http://" + l.Addr().String()
}

func TestNginx(t *testing.T) { eachWay(t, testNginx) }

func testNginx(t *testing.T, newClient makeClient) {
	base := startNginx(t)
	compressed := http.Header{"Accept-Encoding": {"gzip"}} // makes nginx send chunks, as it does not know the length
	for _, tt := range []struct {
		name   string
		target Target
		want   timeline.Outcome
		status int
		bytes  func(int64) bool
		reuse  string // of four requests: r reused, f fresh; nginx ends a connection after three
	}{
		{"file", Target{Method: "GET", URL: base + "/text.txt"}, timeline.OK, 200, exactly(500), "frrf"},
		{"HEAD", Target{Method: "HEAD", URL: base + "/text.txt"}, timeline.OK, 200, exactly(0), "frrf"},
		{"chunked", Target{Method: "GET", URL: base + "/text.txt", Header: compressed}, timeline.OK, 200, lessThan(100), "frrf"},
		{"HEAD chunked", Target{Method: "HEAD", URL: base + "/text.txt", Header: compressed}, timeline.OK, 200, exactly(0), "frrf"},
		{"missing", Target{Method: "GET", URL: base + "/missing"}, timeline.OK, 404, lessThan(1000), "frrf"},
		{"redirect", Target{Method: "GET", URL: base + "/away"}, timeline.OK, 302, lessThan(1000), "frrf"},
		{"503", Target{Method: "GET", URL: base + "/unavailable"}, timeline.HTTP5xx, 503, exactly(5), "frrf"},
		{"closed without an answer", Target{Method: "GET", URL: base + "/nothing"}, timeline.EOF, 0, exactly(0), "ffff"},
		{"body too large", Target{Method: "POST", URL: base + "/text.txt", Body: make([]byte, 4<<20)}, timeline.OK, 413, lessThan(1000), "ffff"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newClient(t, Config{Targets: []Target{tt.target}, Connections: KeepAlive})
			reuse := ""
			for range tt.reuse {
				r := c.send(t)
				if r.Outcome != tt.want || r.Status != tt.status || !tt.bytes(r.Bytes) {
					t.Errorf("got %s", describe(r))
				}
				reuse += map[bool]string{true: "r", false: "f"}[r.Reused]
			}
			if reuse != tt.reuse {
				t.Errorf("connections %s, want %s", reuse, tt.reuse)
			}
		})
	}
}

func exactly(n int64) func(int64) bool { return func(got int64) bool { return got == n } }

func lessThan(n int64) func(int64) bool { return func(got int64) bool { return 0 < got && got < n } }

func TestNginxUnderLoad(t *testing.T) {
	for _, connections := range []Connections{Fresh, KeepAlive, Mixed} {
		t.Run(fmt.Sprint(connections), func(t *testing.T) {
			cfg := get(startNginx(t) + "/text.txt")
			cfg.Rate, cfg.Duration, cfg.Connections = 1000, 300_000_000, connections
			record, _ := run(t, cfg)
			for _, r := range record.requests {
				if r.Outcome != timeline.OK || r.Bytes != 500 {
					t.Errorf("request %d: %s", r.Seq, describe(r))
				}
			}
			if len(record.requests) != 300 {
				t.Errorf("%d requests", len(record.requests))
			}
		})
	}
}
