package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// maxSlow bounds /slow, so that no client can keep a handler for ever.
const maxSlow = time.Minute

// sampleService answers the requests. It knows nothing of sockets; of the drain it knows only that
// it has begun.
type sampleService struct {
	opts     serveOptions
	identity []byte
	accepted time.Time // when it began to accept; --ready-delay counts from here

	drained  chan struct{} // closed at the end of a drain: what is in flight then is cut off
	lameDuck atomic.Bool   // each answer now asks its client to open a new connection next time
	requests atomic.Uint64 // to /, counted for --fail-every
}

func newSampleService(opts serveOptions, now time.Time) *sampleService {
	return &sampleService{
		opts:     opts,
		identity: fmt.Appendf(nil, "pid=%d started=%s\n", os.Getpid(), now.UTC().Format(time.RFC3339Nano)),
		accepted: now,
		drained:  make(chan struct{}),
	}
}

// ServeHTTP dispatches without http.ServeMux, which would redirect unclean paths where this service
// promises an answer to any.
func (s *sampleService) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// A socket that is closed with unread data in it sends RST, which can destroy the answer on its way
	// to the client. net/http leaves the body unread if the request says "Connection: close".
	if r.ContentLength != 0 {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			panic(http.ErrAbortHandler) // the client is gone
		}
	}
	switch r.URL.Path {
	case "/healthz":
		s.health(w)
	case "/whoami":
		s.reply(w, http.StatusOK, s.identity)
	case "/slow":
		s.slow(w, r)
	default:
		s.work(w, r)
	}
}

// The bodies and header values of all answers, shared because nobody changes them.
var (
	bodyOK       = []byte("ok\n")
	bodyFail     = []byte("failed, as --fail-every asks\n")
	bodyNotReady = []byte("not ready\n")
	bodyBadFor   = []byte("want /slow?for=DURATION, from 0s to " + maxSlow.String() + "\n")
	plainText    = []string{"text/plain; charset=utf-8"}
	closeConn    = []string{"close"}
)

func (s *sampleService) work(w http.ResponseWriter, r *http.Request) {
	s.takeTime(r, s.opts.work)
	if n := s.opts.failEvery; n > 0 && s.requests.Add(1)%n == 0 {
		s.reply(w, http.StatusInternalServerError, bodyFail)
		return
	}
	s.reply(w, http.StatusOK, bodyOK)
}

func (s *sampleService) slow(w http.ResponseWriter, r *http.Request) {
	d, err := time.ParseDuration(r.URL.Query().Get("for"))
	if err != nil || d < 0 || d > maxSlow {
		s.reply(w, http.StatusBadRequest, bodyBadFor)
		return
	}
	s.takeTime(r, d)
	s.reply(w, http.StatusOK, bodyOK)
}

// health stays 200 during the drain: on an inherited socket the next process answers the next check,
// and a load balancer that was told 503 would take a service out that never was away.
func (s *sampleService) health(w http.ResponseWriter) {
	if time.Since(s.accepted) < s.opts.readyDelay {
		s.reply(w, http.StatusServiceUnavailable, bodyNotReady)
		return
	}
	s.reply(w, http.StatusOK, bodyOK)
}

// takeTime returns after d, or gives the request up when its client has.
func (s *sampleService) takeTime(r *http.Request, d time.Duration) {
	if d <= 0 {
		return
	}
	end := time.Now().Add(d)
	if pause(r.Context(), d) {
		return
	}
	if !s.lameDuck.Load() {
		panic(http.ErrAbortHandler)
	}
	// The drain may have ended the connection's input. To net/http that is a client that left, but
	// it is there and waits. See closeSilent.
	select {
	case <-time.After(time.Until(end)):
	case <-s.drained:
		panic(http.ErrAbortHandler)
	}
}

// reply is the only place that answers. It looks at lameDuck last of all, so a request that was in
// flight when the drain began still closes its connection instead of leaving it idle.
func (s *sampleService) reply(w http.ResponseWriter, status int, body []byte) {
	h := w.Header()
	h["Content-Type"] = plainText
	if s.lameDuck.Load() {
		h["Connection"] = closeConn
	}
	w.WriteHeader(status)
	w.Write(body) // an error means that the client is gone
}

// sampleServer puts a sampleService on its listeners.
type sampleServer struct {
	service   *sampleService
	http      *http.Server
	listeners []net.Listener
	conns     *connTable
	drainFor  time.Duration
	log       *log.Logger

	accepting sync.WaitGroup // one accept loop for each listener
	failed    chan error     // why an accept loop ended
}

func newSampleServer(opts serveOptions, listeners []net.Listener, logger *log.Logger) *sampleServer {
	service, conns := newSampleService(opts, time.Now()), newConnTable()
	return &sampleServer{
		service:   service,
		http:      &http.Server{Handler: service, ConnState: conns.observe, ErrorLog: logger},
		listeners: listeners,
		conns:     conns,
		drainFor:  opts.drain,
		log:       logger,
		failed:    make(chan error, len(listeners)),
	}
}

// run serves until ctx ends, then stops as gracefully as --drain allows.
func (s *sampleServer) run(ctx context.Context) error {
	defer s.close()
	s.accept()
	if err := notifyManager(daemon.SdNotifyReady); err != nil {
		return err
	}
	select {
	case err := <-s.failed:
		return err
	case <-ctx.Done():
	}
	if err := notifyManager(daemon.SdNotifyStopping); err != nil {
		s.log.Print(err) // no reason to lose requests
	}
	if s.drainFor == 0 {
		return nil
	}
	return s.drain(s.drainFor)
}

func (s *sampleServer) accept() {
	for _, l := range s.listeners {
		s.log.Printf("listening on %s", l.Addr())
		s.accepting.Go(func() {
			s.failed <- fmt.Errorf("accepting on %s: %w", l.Addr(), s.http.Serve(l))
		})
	}
}

// stopAccepting closes the listeners. When it returns, each connection that was accepted is in the
// table: http.Server.Serve reports a connection before it accepts the next or returns. An accept(2)
// that has succeeded while the listener closes is not lost either: package net closes the
// descriptor only after it has handed that connection on.
func (s *sampleServer) stopAccepting() {
	closeListeners(s.listeners)
	s.accepting.Wait()
}

// close ends everything at once.
func (s *sampleServer) close() {
	s.http.Close()
	s.stopAccepting()
}

// pause waits for d and reports whether ctx lasted that long.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
