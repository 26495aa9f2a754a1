package load

import (
	"context"
	"fmt"
	"net"

	"github.com/restartbench/restartbench/bench/timeline"
)

// UnreachableError says that a target did not answer before the load began.
type UnreachableError struct {
	URL     string
	Address string // what was connected to
	Outcome timeline.Outcome
	Err     error
}

func (e *UnreachableError) Error() string {
	return fmt.Sprintf("%s is not reachable at %s: %s: %v", e.URL, e.Address, e.Outcome, e.Err)
}

func (e *UnreachableError) Unwrap() error { return e.Err }

// Probe sends one request to every endpoint of the targets, none of which counts, and fixes the address that each host
// name stands for, so that the name service is no part of what is measured. It returns the first endpoint's address.
// Its error is an *UnreachableError, of ctx, or of a target that cannot be sent.
func (l *Load) Probe(ctx context.Context) (address string, err error) {
	if l.err != nil {
		return "", l.err
	}
	// A transport of its own, so that ctx cuts off the probe and not the load.
	t := newTransport(l.cfg, l.requests, l.clock, nil)
	defer t.close()
	defer context.AfterFunc(ctx, t.abort)()

	seen := map[target]bool{}
	for _, q := range l.requests {
		if seen[q.to] {
			continue
		}
		seen[q.to] = true
		at, err := l.probe(ctx, t, q)
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		if err != nil {
			return "", err
		}
		if address == "" {
			address = at
		}
	}
	return address, nil
}

// probe tries the addresses of a host in the resolver's order until one answers.
func (l *Load) probe(ctx context.Context, t *transport, q *request) (string, error) {
	if t.dialer.network == "unix" {
		return t.dialer.address, l.ask(t, q, t.dialer.address)
	}
	ips, err := l.lookup(ctx, q.to.host)
	if err != nil {
		return "", &UnreachableError{q.url, q.to.host, timeline.ConnectError, err}
	}
	var first error
	for _, ip := range ips {
		address := net.JoinHostPort(ip, q.to.port)
		t.dialer.resolve(q.to, ip)
		err := l.ask(t, q, address)
		if err == nil {
			l.transport.dialer.resolve(q.to, ip)
			return address, nil
		}
		if first == nil {
			first = err
		}
	}
	return "", first
}

// ask sends one request on a fresh connection. Any complete answer will do: what it says is for the load to count.
func (l *Load) ask(t *transport, q *request, address string) error {
	r := timeline.Request{Sent: l.clock.Now()}
	if err := t.exchange(q, "", true, &r); err != nil {
		return &UnreachableError{q.url, address, r.Outcome, err}
	}
	return nil
}
