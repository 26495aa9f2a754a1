package main

import (
	"bytes"
	"context"
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
	"time"
)

// targetConfig is the whole of nginx's. Without a master process there is one to start, to stall and to end. A stalled
// target keeps its connections in the backlog, so that is as long as the kernel allows.
const targetConfig = `
daemon off;
master_process off;
worker_processes 1;
pid PREFIX/nginx.pid;
error_log PREFIX/nginx.log;
events { worker_connections 65536; }
http {
	access_log off;
	keepalive_requests 1000000000;
	client_body_temp_path PREFIX/body;
	proxy_temp_path PREFIX/proxy;
	fastcgi_temp_path PREFIX/fastcgi;
	uwsgi_temp_path PREFIX/uwsgi;
	scgi_temp_path PREFIX/scgi;
	server {
		listen ADDRESS backlog=65535;
		location / { return 200 "ok"; }
	}
}
`

// target is nginx on loopback, the one that all generators request from.
type target struct {
	cmd   *exec.Cmd
	ended chan error // closed after nginx's end was told
	url   string
}

// startTarget starts nginx in the directory and returns once it answers. A port that another program took between its
// choice and nginx's start is given up for a new one.
func startTarget(ctx context.Context, nginx, dir string) (*target, error) {
	var err error
	for range 3 {
		var t *target
		if t, err = startTargetOnce(ctx, nginx, dir); err == nil {
			return t, nil
		}
	}
	return nil, err
}

func startTargetOnce(ctx context.Context, nginx, dir string) (*target, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	path, log := filepath.Join(dir, "nginx.conf"), filepath.Join(dir, "nginx.log")
	text := strings.NewReplacer("PREFIX", dir, "ADDRESS", address).Replace(targetConfig)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		return nil, err
	}
	t := &target{url: "http://" + address + "/", ended: make(chan error, 1)}
	t.cmd = exec.Command(nginx, "-p", dir, "-c", path, "-e", log)
	t.cmd.SysProcAttr = dieWithParent()
	if err := t.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting nginx: %w", err)
	}
	go func() {
		t.ended <- t.cmd.Wait()
		close(t.ended)
	}()
	if err := t.await(ctx); err != nil {
		t.stop()
		said, _ := os.ReadFile(log)
		return nil, fmt.Errorf("starting nginx: %w: %s", err, bytes.TrimSpace(said))
	}
	return t, nil
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("finding a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// await returns once the target answers.
func (t *target) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 10*time.Second, errors.New("no answer in 10s"))
	defer cancel()
	for {
		if answersOK(ctx, t.url) {
			return nil
		}
		select {
		case err := <-t.ended:
			return fmt.Errorf("it ended: %w", err)
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func answersOK(ctx context.Context, url string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	req.Close = true
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return err == nil && string(body) == "ok"
}

// stall stops the target for about d and returns for how long it really stood still, from when the kernel showed it
// stopped to just before it was told to go on.
func (t *target) stall(ctx context.Context, d time.Duration) (time.Duration, error) {
	if err := t.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		return 0, fmt.Errorf("stopping nginx: %w", err)
	}
	err := t.awaitStopped(ctx)
	began := time.Now()
	if err == nil {
		err = rest(ctx, d)
	}
	stood := time.Since(began)
	if err := errors.Join(err, t.cmd.Process.Signal(syscall.SIGCONT)); err != nil {
		return stood, fmt.Errorf("stalling nginx: %w", err)
	}
	return stood, nil
}

// awaitStopped waits until /proc says that the process is stopped.
func (t *target) awaitStopped(ctx context.Context) error {
	for {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", t.cmd.Process.Pid))
		if err != nil {
			return err
		}
		if _, state, _ := bytes.Cut(stat, []byte(") ")); bytes.HasPrefix(state, []byte("T")) {
			return nil
		}
		if err := rest(ctx, 100*time.Microsecond); err != nil {
			return err
		}
	}
}

// stop ends nginx, also a stopped one, and returns once it is gone.
func (t *target) stop() {
	t.cmd.Process.Kill()
	for range t.ended {
	}
}

// rest sleeps for d, or until ctx ends, which is its error.
func rest(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
