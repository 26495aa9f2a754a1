package report

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/restartbench/restartbench/bench/timeline"
)

func isSocket(unit string) bool { return strings.HasSuffix(unit, ".socket") }

// open tells whether a socket unit in that state holds its socket.
func open(active, sub string) bool {
	return active == "active" && (sub == "listening" || sub == "running" || sub == "")
}

// arming tells of each socket unit whether the service's next start would get its socket.
func (r *run) arming() []Socket {
	all := []Socket{}
	for i, a := range r.armed {
		if i+1 < len(r.armed) && r.armed[i+1].Socket == a.Socket && r.armed[i+1].Service == a.Service {
			continue // a later one says it better
		}
		why := strings.Replace(a.Why, a.Socket+" is ", "it is ", 1)
		all = append(all, Socket{Unit: a.Socket, Service: a.Service, Armed: ref(a.Armed), Active: a.Active, Sub: a.Sub, Result: a.Result, Why: why})
	}
	for _, name := range r.header.Scenario.Units {
		if isSocket(name) && !slices.ContainsFunc(all, func(s Socket) bool { return s.Unit == name }) {
			all = append(all, r.infer(name))
		}
	}
	return all
}

// infer tells it from the socket unit's last state. A closed one is not armed, whoever manages it. That an open one is
// joined to the service shows only where it cannot be otherwise: the embedded manager knows no other way.
func (r *run) infer(name string) Socket {
	s := Socket{Unit: name, Service: r.header.Scenario.Unit}
	u := lastOf(r.sockets, name, r.drained())
	if u == nil {
		return s
	}
	s.Active, s.Sub, s.Result = u.Active, u.Sub, u.Result
	switch {
	case !r.complete():
	case !open(u.Active, u.Sub):
		s.Armed, s.Why = ref(false), "it is "+stateWords(u.Active, u.Sub)
		if !succeeded(u.Result) {
			s.Why += ", with the result " + u.Result
		}
	case r.header.Scenario.Manager == "embedded":
		s.Armed = ref(true)
	}
	return s
}

// lastOf is a unit's last event before a moment, or nil.
func lastOf(units []timeline.Unit, name string, before time.Duration) (last *timeline.Unit) {
	for i := range units {
		if units[i].Name == name && units[i].At < before {
			last = &units[i]
		}
	}
	return last
}

func succeeded(result string) bool { return result == "" || result == "success" }

// stateWords is a state as systemctl writes it: "active (listening)".
func stateWords(active, sub string) string {
	if sub == "" {
		return active
	}
	return fmt.Sprintf("%s (%s)", active, sub)
}

// gaveUp tells whether systemd closed the socket for a limit, which takes the port with it (systemd.socket(5), TriggerLimitBurst=;
// systemd.unit(5), StartLimitBurst=).
func (s *Socket) gaveUp() bool {
	return s.Active == "failed" && (s.Result == "service-start-limit-hit" || s.Result == "trigger-limit-hit")
}

func (s *Socket) disarmed() bool { return s.Armed != nil && !*s.Armed }

// disarming is what became of the socket, in a clause.
func (s *Socket) disarming() string {
	if s.gaveUp() {
		return fmt.Sprintf("%s failed with %s, and its port is closed", s.Unit, s.Result)
	}
	return s.Unit + " is no longer armed"
}

// startLimits tells how near each unit came to its start limit: the last that was said of it.
func (r *run) startLimits() []StartLimit {
	all := []StartLimit{}
	for i, l := range r.limits {
		if i+1 < len(r.limits) && r.limits[i+1].Unit == l.Unit {
			continue
		}
		all = append(all, StartLimit{l.Unit, uint64(max(0, l.Starts)), uint64(max(0, l.Burst)), Duration(l.Interval), l.Hit})
	}
	return all
}

// automatic counts the starts that nobody asked for (Restart=), while the load went on; nil: the unit was not watched.
// Their count begins anew when the unit is started by hand. Where it is not kept, the waits for RestartSec= tell.
func (r *run) automatic() *uint64 {
	if len(r.units) == 0 {
		return nil
	}
	counted, waits, last := uint64(0), uint64(0), 0
	for _, u := range r.units {
		n := max(0, u.NRestarts)
		if u.At >= r.began() && u.At < r.drained() {
			if n < last {
				last = 0
			}
			counted += uint64(n - last)
			if u.Sub == "auto-restart" {
				waits++
			}
		}
		last = n
	}
	if counted == 0 {
		counted = waits
	}
	return ref(counted)
}
