package load

import (
	"fmt"
	"math"
	"time"
)

// Limits are what this machine grants a client.
type Limits struct {
	Descriptors int  // that this process may have open (getrlimit(2), RLIMIT_NOFILE); 0: unknown
	Ports       int  // that connections may be made from (ip(7), ip_local_port_range); 0: unknown
	Reuse       bool // a port in TIME_WAIT is used again after a second (tcp_tw_reuse), not after a minute
}

const (
	spareDescriptors   = 128                    // for all that is not a request: units, observers, the run file, the runtime
	allowance          = 2 * time.Second        // a stall that a load should be able to sit out without a request waiting
	leastAllowance     = 100 * time.Millisecond // one that it must be
	perLaneDescriptors = ahead + 4              // timers, epoll, event, and a duplicate of a connection that is handed over
	timeWait           = 60 * time.Second
	timeWaitReused     = time.Second
)

// Fit makes the load fit this machine's limits: where MaxInFlight is left to it, it is lowered to what they allow. Its error
// says what does not fit and what to do, before anything is sent. The warnings are of what may not suffice, by how the
// service behaves.
func (c Config) Fit(has Limits) (fitting Config, warnings []string, err error) {
	given := c.MaxInFlight > 0
	if !given {
		c.MaxInFlight = DefaultMaxInFlight
	}
	for _, l := range []limit{
		{c.roomByDescriptors(has), "file descriptors", fmt.Sprintf("this process may open %d", has.Descriptors),
			"raise the limit (ulimit -n, or LimitNOFILE= of a service)"},
		{c.roomByPorts(has), "local ports", fmt.Sprintf("this machine has %d", has.Ports),
			"widen net.ipv4.ip_local_port_range, spread the targets over more addresses"},
	} {
		most := c.underWayAfter(c.Timeout)
		if most <= l.room {
			continue
		}
		if least := c.underWayAfter(leastAllowance); given || l.room < least {
			if !given {
				most = least
			}
			return c, nil, fmt.Errorf("load: %g requests/s with up to %d under way take more %s than there are (%s, which is room for %d requests): %s, or lower load.rate, load.timeout or load.max_in_flight",
				c.Rate, most, l.of, l.has, max(0, l.room), l.raise)
		}
		short := l.room < c.underWayAfter(allowance)
		c.MaxInFlight = l.room
		if short {
			warnings = append(warnings, fmt.Sprintf("there are %s for %d requests under way at once: in a stall of more than %v, requests that are due wait until others have ended; to have them sent, %s",
				l.of, l.room, time.Duration(float64(l.room)/c.Rate*float64(time.Second)).Round(10*time.Millisecond), l.raise))
		}
	}
	return c, append(warnings, c.portsRunOut(has)...), nil
}

// limit is one that requests under way come up against.
type limit struct {
	room           int // requests
	of, has, raise string
}

// underWayAfter is how many requests can be under way when nothing has been answered for so long.
func (c Config) underWayAfter(stall time.Duration) int {
	return min(c.MaxInFlight, int(math.Ceil(c.Rate*min(c.Timeout, stall).Seconds()))+1)
}

func (c Config) roomByDescriptors(has Limits) int {
	if has.Descriptors == 0 {
		return math.MaxInt
	}
	return has.Descriptors - spareDescriptors - c.lanes()*perLaneDescriptors - c.kept()
}

// roomByPorts is of one source address: each destination may use all of its ports.
func (c Config) roomByPorts(has Limits) int {
	if has.Ports == 0 || c.UnixSocket != "" {
		return math.MaxInt
	}
	return has.Ports*c.destinations() - c.kept()
}

// kept is how many idle connections there may be: each lane's, and those that were handed over.
func (c Config) kept() int { return (c.lanes() + 1) * maxIdle }

func (c Config) destinations() int {
	seen := map[target]bool{}
	for _, t := range c.Targets {
		if q, err := prepare(t, ""); err == nil {
			seen[q.to] = true
		}
	}
	return max(1, len(seen))
}

// portsRunOut warns if connections come so fast that the ports of those that are closed are all still waiting. They wait
// only where the client closes first. A service that heeds "Connection: close" mostly closes before it.
func (c Config) portsRunOut(has Limits) []string {
	fresh := c.freshRate()
	if has.Ports == 0 || c.UnixSocket != "" || fresh == 0 {
		return nil
	}
	wait := timeWait
	if has.Reuse {
		wait = timeWaitReused
	}
	lasts := time.Duration(float64(has.Ports*c.destinations()) / fresh * float64(time.Second))
	if lasts >= min(wait, c.Warmup+c.Duration) {
		return nil
	}
	return []string{fmt.Sprintf("%g new connections a second use up this machine's %d local ports in %v, if the service leaves it to its clients to close: "+
		"requests would end as client_limit; widen net.ipv4.ip_local_port_range, set net.ipv4.tcp_tw_reuse=1, or use connections: keepalive",
		fresh, has.Ports, lasts.Round(100*time.Millisecond))}
}

// freshRate is how many requests a second get a connection of their own.
func (c Config) freshRate() float64 {
	switch c.Connections {
	case Fresh:
		return c.Rate
	case Mixed:
		return c.Rate / 2
	}
	return 0
}
