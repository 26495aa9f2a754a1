//go:build !linux

package load

import "time"

// Where there is no epoll, lanes hand over every request.

type sockaddr any

func (d *dialer) reachable(target) sockaddr { return nil }

func (l *lane) sendPlain(*request, sockaddr, uint64, time.Duration) {}

func (l *lane) happened(int, bool) {}

func (l *lane) end(*wire, bool) {}

func (l *lane) drop(int) {}

// poller waits for moments alone.
type poller struct{ event chan struct{} }

func newPoller() (*poller, error) { return &poller{make(chan struct{}, 1)}, nil }

func (p *poller) wait(limit time.Duration, _ func(int, bool)) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-p.event:
	}
}

func (p *poller) set(int, time.Duration, time.Duration) {}

func (p *poller) poke() {
	select {
	case p.event <- struct{}{}:
	default:
	}
}

func (p *poller) close() {}
