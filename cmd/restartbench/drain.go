package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// maxGrace bounds how long a drain waits for connections on which nothing may ever come. A pool
// that is in use sends something within it; one that is not must not hold a restart for seconds.
const maxGrace = 500 * time.Millisecond

// drain stops the server without losing a request, within limit.
//
// http.Server.Shutdown does not do that. It closes idle connections at once, also those with a
// request on the way. And from its first moment on, net/http reads the request of a connection that
// was accepted before and then closes it without an answer (the shuttingDown test after readRequest
// in conn.serve). So it is not used at all; these steps are:
//
//  1. Lame duck: go on accepting and answering, but ask each client to close. Idle connections are
//     used up by their own clients. SetKeepAlivesEnabled(false) would close them instead.
//  2. Close the listeners. If somebody else holds them too, what was not accepted waits in the
//     kernel's queue for the next process; if nobody does, it is refused.
//  3. Answer what was accepted. A connection that was just accepted has its request right behind it.
//  4. Close the connections that stayed silent, and wait for the answers still in flight.
//
// One loss is left, which HTTP/1.1 has no cure for: a request that is under way to a connection in
// the very moment when step 4 closes it, after silence for the whole grace.
func (s *sampleServer) drain(limit time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	// Half of a short limit, so that the steps after it have their share too.
	grace := min(limit/2, maxGrace)
	forIdle, cancelIdle := context.WithTimeout(ctx, grace)
	defer cancelIdle()

	defer close(s.service.drained)
	s.service.lameDuck.Store(true)
	s.conns.waitFor(forIdle, noneIdle)
	s.stopAccepting()
	s.conns.waitFor(forIdle, noneOpen) // an answer that had begun before the first step leaves its connection idle
	forNew, cancelNew := context.WithTimeout(ctx, grace)
	defer cancelNew()
	s.conns.waitFor(forNew, noneNew)
	if n := s.conns.closeSilentUntilNoneOpen(ctx); n > 0 {
		return fmt.Errorf("drain: requests still in flight at the limit of %v, and cut off: %d", limit, n)
	}
	return nil
}

// connTable knows the state of each accepted connection. Its observe is a http.Server's ConnState.
type connTable struct {
	mu      sync.Mutex
	states  map[net.Conn]http.ConnState
	counts  connCounts
	changed chan struct{} // holds a token if something happened since the last look
}

// connCounts counts connections by state. New and idle ones are silent: no complete request header
// has come. The active ones have a request in flight.
type connCounts [http.StateClosed + 1]int

func noneNew(n connCounts) bool { return n[http.StateNew] == 0 }

func noneIdle(n connCounts) bool { return n[http.StateIdle] == 0 }

func noneOpen(n connCounts) bool {
	return n[http.StateNew]+n[http.StateIdle]+n[http.StateActive] == 0
}

func newConnTable() *connTable {
	return &connTable{states: make(map[net.Conn]http.ConnState), changed: make(chan struct{}, 1)}
}

func (t *connTable) observe(c net.Conn, state http.ConnState) {
	t.mu.Lock()
	if old, ok := t.states[c]; ok {
		t.counts[old]--
	}
	if state == http.StateClosed || state == http.StateHijacked {
		delete(t.states, c)
	} else {
		t.states[c] = state
		t.counts[state]++
	}
	t.mu.Unlock()
	select {
	case t.changed <- struct{}{}:
	default:
	}
}

// waitFor waits until done holds, or ctx ends. It has a single caller at a time, which takes all tokens.
func (t *connTable) waitFor(ctx context.Context, done func(connCounts) bool) {
	for !done(t.count()) {
		if !t.waitForChange(ctx) {
			return
		}
	}
}

// closeSilentUntilNoneOpen closes the silent connections, and those that fall silent later, until
// all are closed or ctx ends. It returns the number of requests in flight then.
func (t *connTable) closeSilentUntilNoneOpen(ctx context.Context) (inFlight int) {
	t.closeSilent()
	for !noneOpen(t.count()) && t.waitForChange(ctx) {
		t.closeSilent()
	}
	return t.count()[http.StateActive]
}

// closeSilent ends the input of the silent connections, and net/http closes each of them once it has
// read to that end. Close would destroy a request that has arrived already while its goroutine waits
// for a CPU; after CloseRead, Linux still delivers what had been queued, and it is answered.
// (BSD and macOS discard it.)
func (t *connTable) closeSilent() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for c, state := range t.states {
		if state == http.StateActive {
			continue
		}
		if half, ok := c.(interface{ CloseRead() error }); ok { // TCP and unix
			half.CloseRead()
		} else {
			c.Close()
		}
	}
}

func (t *connTable) waitForChange(ctx context.Context) bool {
	select {
	case <-t.changed:
		return true
	case <-ctx.Done():
		return false
	}
}

func (t *connTable) count() connCounts {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.counts
}
