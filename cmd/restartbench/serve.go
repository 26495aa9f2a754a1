package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"
)

// serveOptions are the flags of serve. Each but listen is a way in which a restart can hurt.
type serveOptions struct {
	listen     string        // host:port or unix:PATH; empty means LISTEN_FDS
	drain      time.Duration // limit of the graceful stop; 0 means none
	startDelay time.Duration // from process start to the first accept
	work       time.Duration // that one request takes
	readyDelay time.Duration // from the first accept to a healthy /healthz
	failEvery  uint64        // each Nth request is answered 500; 0 means none
}

func newServeCmd() *cobra.Command {
	var opts serveOptions
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run a sample HTTP service that can restart well or badly",
		Long: `Run a sample HTTP service, to have something to restart.

It serves on every socket that its supervisor passes (LISTEN_FDS, as systemd's
socket activation does), or else on the address given with --listen. It sends
READY=1 once it accepts and STOPPING=1 when SIGTERM or SIGINT arrives, so it
suits Type=notify. A second signal ends it at once.

  /             200 after --work; so does every path not listed here
  /slow?for=D   200 after D, at most ` + maxSlow.String() + `
  /whoami       200 with the process id and the time it started
  /healthz      503 until --ready-delay has passed, then 200`,
		Example: `  restartbench serve --listen 127.0.0.1:8080
  systemd-socket-activate -l 8080 restartbench serve --drain 5s`,
		Args:         cobra.NoArgs,
		SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := opts.validate(); err != nil {
				return err
			}
			return serve(cmd.Context(), opts, cmd.ErrOrStderr())
		},
	}
	opts.register(cmd)
	return cmd
}

func (o *serveOptions) register(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.listen, "listen", "", "`address` to listen on, host:port or unix:PATH (default: the sockets in LISTEN_FDS)")
	f.DurationVar(&o.drain, "drain", 0, "stop gracefully within this `limit`; 0 exits at once and loses what is in flight")
	f.DurationVar(&o.startDelay, "start-delay", 0, "wait before listening and READY=1, as a slow start does")
	f.DurationVar(&o.work, "work", 0, "time that each request takes")
	f.DurationVar(&o.readyDelay, "ready-delay", 0, "answer /healthz with 503 for this long after the start delay")
	f.Uint64Var(&o.failEvery, "fail-every", 0, "answer each `N`th request with 500; 0 for none")
}

func (o *serveOptions) validate() error {
	for _, d := range []struct {
		flag  string
		value time.Duration
	}{
		{"drain", o.drain}, {"start-delay", o.startDelay}, {"work", o.work}, {"ready-delay", o.readyDelay},
	} {
		if d.value < 0 {
			return fmt.Errorf("--%s %v: must not be negative", d.flag, d.value)
		}
	}
	if o.listen == "" {
		return nil
	}
	_, _, err := splitListenAddress(o.listen)
	return err
}

// serve runs the sample service until ctx ends or a SIGTERM or SIGINT arrives.
// Its error is nil if it stopped without cutting off a request that --drain promised to finish.
func serve(ctx context.Context, opts serveOptions, stderr io.Writer) error {
	// Before all else, so that the signal counts during the start delay too.
	ctx, restoreSignals := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer restoreSignals()
	// The default action returns with the first signal: a second one kills a drain that takes too long.
	context.AfterFunc(ctx, restoreSignals)

	logger := log.New(stderr, "serve: ", 0)
	listeners, err := passedListeners(opts.listen)
	if err != nil {
		return err
	}
	if opts.startDelay > 0 {
		logger.Printf("starting in %v", opts.startDelay)
		if !pause(ctx, opts.startDelay) {
			closeListeners(listeners)
			return notifyManager(daemon.SdNotifyStopping)
		}
	}
	// After the delay: a program that starts slowly does not have its port yet, and refuses its clients.
	if len(listeners) == 0 {
		if listeners, err = openListener(opts.listen); err != nil {
			return err
		}
	}
	return newSampleServer(opts, listeners, logger).run(ctx)
}

// passedListeners returns the sockets of LISTEN_FDS, see sd_listen_fds(3), and removes them from the
// environment. It returns none if there are none and the user gave an address instead.
func passedListeners(address string) ([]net.Listener, error) {
	fds, pid := os.Getenv("LISTEN_FDS"), os.Getenv("LISTEN_PID")
	listeners, err := activation.Listeners()
	if err != nil {
		return nil, fmt.Errorf("taking the sockets of LISTEN_FDS: %w", err)
	}
	switch {
	case len(listeners) > 0 && address != "":
		// Either choice would leave one of the two addresses silently unserved.
		closeListeners(listeners)
		return nil, fmt.Errorf("both --listen %s and LISTEN_FDS=%s: drop --listen to serve on the passed sockets", address, fds)
	case len(listeners) == 0 && address == "" && fds != "":
		return nil, fmt.Errorf("LISTEN_FDS=%s LISTEN_PID=%s: no socket for this process (pid %d); a wrapper must exec it, or use --listen", fds, pid, os.Getpid())
	case len(listeners) == 0 && address == "":
		return nil, errors.New("no socket to serve on: LISTEN_FDS is not set; use --listen, or start it from a socket unit")
	}
	return listeners, adoptListeners(listeners)
}

// adoptListeners checks that each passed descriptor is a stream socket, and leaves a unix socket's path
// alone: it belongs to the process that passed the socket and still listens on it.
func adoptListeners(listeners []net.Listener) error {
	const firstFD = 3 // SD_LISTEN_FDS_START
	for i, l := range listeners {
		if l == nil {
			closeListeners(listeners)
			return fmt.Errorf("LISTEN_FDS: descriptor %d is not a listening stream socket; use ListenStream=", firstFD+i)
		}
		if u, ok := l.(*net.UnixListener); ok {
			u.SetUnlinkOnClose(false)
		}
	}
	return nil
}

func openListener(address string) ([]net.Listener, error) {
	network, host, err := splitListenAddress(address)
	if err != nil {
		return nil, err
	}
	if network == "unix" {
		if err := removeStaleSocket(host); err != nil {
			return nil, err
		}
	}
	l, err := net.Listen(network, host)
	if err != nil {
		return nil, fmt.Errorf("--listen %s: %w", address, err)
	}
	return []net.Listener{l}, nil
}

func splitListenAddress(s string) (network, address string, err error) {
	if path, ok := strings.CutPrefix(s, "unix:"); ok {
		if path == "" {
			return "", "", fmt.Errorf("--listen %s: want unix:PATH", s)
		}
		return "unix", path, nil
	}
	if _, _, err := net.SplitHostPort(s); err != nil {
		return "", "", fmt.Errorf("--listen %s: want host:port or unix:PATH: %w", s, err)
	}
	return "tcp", s, nil
}

// removeStaleSocket removes what a killed process left behind, without which bind(2) fails with
// EADDRINUSE. A socket that somebody listens on, and a file that is no socket, stay.
func removeStaleSocket(path string) error {
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Type() != fs.ModeSocket {
		return nil // absent, or for bind(2) to complain about
	}
	conn, err := net.Dial("unix", path)
	if err == nil {
		return conn.Close()
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return nil
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("removing stale socket: %w", err)
	}
	return nil
}

func closeListeners(listeners []net.Listener) {
	for _, l := range listeners {
		if l != nil {
			l.Close()
		}
	}
}

// notifyManager sends a state of sd_notify(3), to nobody if NOTIFY_SOCKET is not set.
func notifyManager(state string) error {
	if _, err := daemon.SdNotify(false, state); err != nil {
		return fmt.Errorf("sending %s to NOTIFY_SOCKET: %w", state, err)
	}
	return nil
}
