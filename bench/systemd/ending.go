package systemd

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/restartbench/restartbench/bench/timeline"
)

// armed says whether the service's next start would get the socket, from what was read last.
func (o *watch) armed(p pair) *timeline.Armed {
	socket, service := p.socket.last, p.service.last
	a := &timeline.Armed{
		At: o.Clock.Now(), Service: o.shown(p.service.name), Socket: o.shown(p.socket.name),
		Active: socket.active, Sub: socket.sub, Result: socket.result,
		Joined: joined(p.service.now, p.socket.now),
	}
	open := socket.active == "active" && (socket.sub == "listening" || socket.sub == "running")
	a.Armed = open && a.Joined
	switch {
	case !open:
		a.Why = closedWhy(a, up(service.active))
	case !a.Joined:
		a.Why = a.Socket + " does not start " + a.Service + "; see Service= and Sockets="
	}
	return a
}

// joined reports whether the manager joins the two. A service learns of a socket when that is loaded, which reading it does.
func joined(service, socket properties) bool {
	return slices.Contains(service.texts("TriggeredBy"), socket.text("Id")) ||
		slices.Contains(socket.texts("Triggers"), service.text("Id"))
}

func closedWhy(a *timeline.Armed, serving bool) string {
	why := fmt.Sprintf("%s is %s (%s)", a.Socket, a.Active, a.Sub)
	if a.Result != "" && a.Result != "success" {
		why += ", with the result " + a.Result
	}
	if serving {
		return why + ": " + a.Service + " still serves on the socket that it got, and its next start gets none"
	}
	return why + ": nothing listens"
}

// starts are the moments at which a service was started, in µs of CLOCK_MONOTONIC, by invocation.
type starts map[string]uint64

// note notes the start that next shows, if prev is not of the same one.
func (s starts) note(prev, next snapshot) {
	if next.invocation == "" || s[next.invocation] != 0 {
		return
	}
	at := next.change
	if next.mainStart > prev.mainStart {
		at = next.mainStart
	}
	s[next.invocation] = max(at, 1)
}

// most is the greatest number of starts within any stretch of that length.
func (s starts) most(length time.Duration) int {
	at := slices.Sorted(maps.Values(s))
	if length == 0 {
		return len(at) // there is no limit, and so no stretch
	}
	most, from := 0, 0
	for to := range at {
		for at[to]-at[from] >= uint64(length.Microseconds()) && from < to {
			from++
		}
		most = max(most, to-from+1)
	}
	return most
}

// startLimit says how near the limit the service came; nil for other units.
func (o *watch) startLimit(u *watched) *timeline.StartLimit {
	if !isService(u.name) {
		return nil
	}
	limit := &timeline.StartLimit{At: o.Clock.Now(), Unit: o.shown(u.name), Hit: u.limited,
		Burst: int(u.now.number("StartLimitBurst")), Interval: span(u.now.number("StartLimitIntervalUSec"))}
	limit.Starts = u.starts.most(limit.Interval)
	for _, p := range o.pairs {
		limit.Hit = limit.Hit || p.service == u && p.socket.limited && p.socket.last.result == "service-start-limit-hit"
	}
	return limit
}
