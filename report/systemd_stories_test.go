package report

import (
	"slices"
	"testing"
	"time"

	"github.com/restartbench/restartbench/bench/timeline"
)

var (
	stillArmed = timeline.Armed{Armed: true, Active: "active", Sub: "running", Result: "success", Joined: true}
	lostSocket = timeline.Armed{Active: "failed", Sub: "failed", Result: "resources", Joined: true,
		Why: "app.socket is failed (failed), with the result resources: app.service still serves on the socket that it got, and its next start gets none"}
	closedByLimit = timeline.Armed{Active: "failed", Sub: "failed", Result: "service-start-limit-hit", Joined: true,
		Why: "app.socket is failed (failed), with the result service-start-limit-hit: nothing listens"}
	fewStarts = timeline.StartLimit{Starts: 2, Burst: 5, Interval: 10 * second}
)

// does says what is done to the service in place of a restart.
func (s *story) does(action string) *story { s.header.Scenario.Action = action; return s }

func (s *story) patterns(p ...string) *story { s.header.Scenario.Patterns = p; return s }

func (s *story) kind(kind string) *story { s.header.Scenario.Type = kind; return s }

// service puts a state of app.service on the timeline, with its automatic restarts.
func (s *story) service(t time.Duration, active, sub, result string, pid, automatic int) *story {
	return s.event(timeline.Event{Unit: &timeline.Unit{At: s.on(t), Name: unit, Active: active, Sub: sub, MainPID: pid,
		InvocationID: s.invocation, Result: result, NRestarts: automatic}})
}

// simple is a restart of a Type=simple service: it runs at once, and answers after a second.
func simple() *story {
	s := tell(200, 6*second).at(2*second).request().completes(3*ms, timeline.Done, "")
	return s.state(2001*ms, "inactive", "dead", 0).process(2002*ms, "active", "running").between(2*second, 3*second).waits(3010 * ms)
}

// crashing is a service that is killed until its start limit closes the socket.
func crashing() *story {
	s := tell(200, 8*second).does("crash-loop").at(2*second).request().completes(1500*ms, timeline.Done, "")
	for i := range 4 {
		at := 2001*ms + time.Duration(i)*300*ms
		s.service(at, "activating", "auto-restart", "signal", 0, i)
		s.process(at+100*ms, "active", "running")
		s.events[len(s.events)-1].Unit.NRestarts = i + 1
	}
	s.service(3300*ms, "failed", "failed", "signal", 0, 4)
	return s.socket(3301*ms, "failed", "failed", "service-start-limit-hit").between(3300*ms, 8*second).fail(timeline.Refused, ms).
		between(2*second, 2001*ms).fail(timeline.Reset, 500*time.Microsecond)
}

// unavailable is a restart that ends in failure.
func unavailable(result, detail string) *story {
	s := tell(200, 6*second).at(2*second).request().completes(100*ms, result, detail)
	return s.service(2001*ms, "inactive", "dead", "success", 0, 0).service(2100*ms, "failed", "failed", "exit-code", 0, 0).
		between(2*second, 6*second).fail(timeline.Refused, ms)
}

// undisturbed is a job that a service lives through.
func undisturbed(action, result, detail string) *story {
	return tell(200, 6*second).does(action).at(2*second).request().completes(50*ms, result, detail)
}

// systemdStories tell what only systemd shows.
var systemdStories = []told{
	{"still armed", func() *story { return held().watched("private", stillArmed, fewStarts) },
		want{Pass, [3]uint64{396, 64, 740}, [3]uint64{}, 300 * ms, none, 56, nil}},
	{"socket restarted while the service runs", func() *story {
		s := undisturbed("restart-socket", "failed", "app.socket: resources")
		return s.socket(2001*ms, "inactive", "dead", "success").socket(2002*ms, "failed", "failed", "resources").watched("private", lostSocket, fewStarts)
	}, want{Fail, [3]uint64{396, 15, 789}, [3]uint64{}, 50 * ms, none, none, []string{
		"the restart of the socket failed: app.socket: resources", "app.socket is no longer armed: it is failed (failed), with the result resources"}}},
	{"socket and service are not joined", func() *story {
		a := timeline.Armed{Active: "active", Sub: "listening", Result: "success", Why: "app.socket does not start app.service; see Service= and Sockets="}
		return held().watched("user", a, fewStarts)
	}, want{Fail, [3]uint64{396, 64, 740}, [3]uint64{}, 300 * ms, none, 56, []string{"app.socket is no longer armed: app.socket does not start"}}},
	{"armed or not was not observed", func() *story {
		s := held()
		s.header.Scenario.Manager = "system"
		return s.event(timeline.Event{Gap: &timeline.Gap{Observer: "units", From: s.on(5 * second), To: s.on(7 * second), Why: "the connection to systemd was lost"}})
	}, want{Inconclusive, [3]uint64{396, 64, 740}, [3]uint64{}, 300 * ms, none, 56, []string{"whether app.socket is still armed was not observed"}}},
	{"embedded socket that closed", func() *story {
		return held().socket(4*second, "failed", "failed", "trigger-limit-hit")
	}, want{Fail, [3]uint64{396, 64, 740}, [3]uint64{}, 300 * ms, none, 56, []string{"app.socket failed with trigger-limit-hit: its port is closed"}}},
	{"embedded socket that is taken down at the end", func() *story {
		return held().socket(7*second, "inactive", "dead", "success")
	}, want{Pass, [3]uint64{396, 64, 740}, [3]uint64{}, 300 * ms, none, 56, nil}},
	{"crash loop until the start limit", func() *story {
		return crashing().watched("private", closedByLimit, timeline.StartLimit{Starts: 5, Burst: 5, Interval: 10 * second, Hit: true})
	}, want{Fail, [3]uint64{396, 1204, 0}, [3]uint64{0, 941, 0}, none, 5995 * ms, 0, []string{"941 of 1,204 exposed requests were dropped", "did not recover",
		"app.socket failed with service-start-limit-hit", "app.service hit its start limit: systemd refused a start after 5 starts in 10 s"}}},
	{"near the start limit", func() *story {
		return held().watched("system", stillArmed, timeline.StartLimit{Starts: 5, Burst: 5, Interval: 10 * second})
	}, want{Pass, [3]uint64{396, 64, 740}, [3]uint64{}, 300 * ms, none, 56, nil}},
	{"no start limit", func() *story { return held().watched("system", stillArmed, timeline.StartLimit{Starts: 2, Burst: 5}) },
		want{Pass, [3]uint64{396, 64, 740}, [3]uint64{}, 300 * ms, none, 56, nil}},

	{"Type=simple answers late", simple, want{Pass, [3]uint64{396, 202, 602}, [3]uint64{}, 990 * ms, none, 198, nil}},
	{"Type=exec answers late", func() *story { return simple().kind("exec") },
		want{Pass, [3]uint64{396, 202, 602}, [3]uint64{}, 990 * ms, none, 198, nil}},
	{"Type=notify too early", func() *story { return simple().kind("notify") },
		want{Pass, [3]uint64{396, 202, 602}, [3]uint64{}, 990 * ms, none, 198, nil}},
	{"Type=simple answers late, three times", func() *story {
		s := tell(200, 15*second)
		for i, at := range []time.Duration{2 * second, 6 * second, 10 * second} {
			s.at(at).request().completes(3*ms, timeline.Done, "")
			s.state(at+ms, "inactive", "dead", 0).process(at+2*ms, "active", "running")
			s.between(at, at+second).waits(at + second + time.Duration(i+1)*10*ms)
		}
		return s
	}, want{Pass, [3]uint64{396, 610, 1994}, [3]uint64{}, 990 * ms, none, 598, nil}},
	{"low rate hides when it was ready", func() *story {
		return tell(2, 60*second).kind("simple").at(4010 * ms).restart(10 * ms)
	}, want{Inconclusive, [3]uint64{8, 1, 111}, [3]uint64{}, 10 * ms, none, 0, []string{"only 1 request was exposed"}}},

	{"accept queue full", func() *story {
		s := tell(200, 15*second).at(2 * second).restart(3 * second)
		s.between(2*second, 5*second).waits(5010*ms).between(2330*ms, 5*second).waits(6200*ms).between(2330*ms, 4*second).resends(2)
		return s.between(4*second, 5*second).resends(1)
	}, want{Pass, [3]uint64{396, 604, 2000}, [3]uint64{}, 3 * second, none, 598, nil}},
	{"accept queue full, from afar", func() *story {
		s := held().between(2*second, 2300*ms).resends(1)
		s.load.Address = "192.0.2.1:80"
		return s
	}, want{Pass, [3]uint64{396, 64, 740}, [3]uint64{}, 300 * ms, none, 56, nil}},

	{"address already in use", func() *story {
		return unavailable("failed", "app.service: exit-code").patterns("address already in use", "failed to listen").
			line(1500*ms, "info", "listen: address already in use").
			line(2050*ms, "err", "listen tcp 127.0.0.1:8080: bind: Address already in use").line(2060*ms, "crit", "giving up").line(2070*ms, "crit", "giving up")
	}, want{Fail, [3]uint64{396, 804, 0}, [3]uint64{0, 800, 0}, none, 3995 * ms, none, []string{"800 of 804", "the restart failed: app.service: exit-code", "did not recover",
		"app.service wrote \"listen tcp 127.0.0.1:8080: bind: Address already in use\"", "no proof of a restart"}}},
	{"a line that matches though nothing was lost", func() *story {
		return held().patterns("failed to listen", "(").line(2050*ms, "warning", "metrics: Failed to listen on :9090")
	}, want{Pass, [3]uint64{396, 64, 740}, [3]uint64{}, 300 * ms, none, 56, nil}},
	{"lines of the units taken down", func() *story { return held().line(7500*ms, "err", "terminated") }, want{Pass, [3]uint64{396, 64, 740}, [3]uint64{}, 300 * ms, none, 56, nil}},

	{"the restart was canceled", func() *story { return unavailable("canceled", "") }, want{Fail, [3]uint64{396, 804, 0}, [3]uint64{0, 800, 0}, none, 3995 * ms, none, []string{"800 of 804", "did not recover", "no proof of a restart", "the restart was canceled: another job took its place"}}},
	{"the reload was skipped", func() *story { return undisturbed("reload", "skipped", "") }, want{Inconclusive, [3]uint64{396, 15, 789}, [3]uint64{}, 50 * ms, none, none, []string{"the reload was skipped: it does not apply"}}},
	{"a dependency failed", func() *story { return unavailable("dependency", "") }, want{Fail, [3]uint64{396, 804, 0}, [3]uint64{0, 800, 0}, none, 3995 * ms, none, []string{"800 of 804", "the restart failed, because a unit that it depends on did not start", "did not recover", "no proof of a restart"}}},
	{"reload", func() *story { return undisturbed("reload", timeline.Done, "") }, want{Pass, [3]uint64{396, 15, 789}, [3]uint64{}, 50 * ms, none, none, nil}},
	{"daemon-reexec", func() *story { return undisturbed("daemon-reexec", timeline.Done, "") }, want{Pass, [3]uint64{396, 15, 789}, [3]uint64{}, 50 * ms, none, none, nil}},

	{"crashed twice by itself", func() *story {
		s := held().service(4*second, "activating", "auto-restart", "exit-code", 0, 0)
		s.process(4100*ms, "active", "running").events[len(s.events)-1].Unit.NRestarts = 1
		s.service(4500*ms, "activating", "auto-restart", "exit-code", 0, 1)
		s.process(4600*ms, "active", "running").events[len(s.events)-1].Unit.NRestarts = 2
		return s.between(3990*ms, 4*second).fail(timeline.Reset, 5*ms)
	}, want{Fail, [3]uint64{396, 64, 740}, [3]uint64{0, 0, 2}, 300 * ms, none, 56,
		[]string{"2 of 740", "app.service was restarted automatically twice: it crashed or was killed"}}},
	{"crashed, but nothing was lost", func() *story {
		s := held().service(4*second, "activating", "auto-restart", "exit-code", 0, 0)
		s.process(4100*ms, "active", "running").events[len(s.events)-1].Unit.NRestarts = 1
		return s
	}, want{Pass, [3]uint64{396, 64, 740}, [3]uint64{}, 300 * ms, none, 56, nil}},
	{"each drop under its step", func() *story {
		s := tell(200, 6*second).at(2*second).request().completes(300*ms, timeline.Done, "")
		s.service(2010*ms, "deactivating", "stop-sigterm", "success", 1001, 0).service(2050*ms, "inactive", "", "success", 0, 0)
		s.socket(2051*ms, "inactive", "dead", "success").process(2060*ms, "activating", "start").socket(2200*ms, "active", "running", "success")
		s.state(2300*ms, "active", "running", 1002)
		s.between(2*second, 2006*ms).fail(timeline.EOF, 15*ms).between(2020*ms, 2050*ms).fail(timeline.Reset, ms)
		s.between(2050*ms, 2200*ms).fail(timeline.Refused, 4*ms).between(2200*ms, 2250*ms).fail(timeline.ResponseTimeout, second)
		return s.between(4*second, 4010*ms).fail(timeline.Reset, ms)
	}, want{Fail, [3]uint64{396, 64, 740}, [3]uint64{0, 48, 2}, 300 * ms, 245 * ms, 0, []string{"48 of 64", "2 of 740"}}},
	{"drops while the units were not seen", func() *story {
		s := refused()
		return s.event(timeline.Event{Gap: &timeline.Gap{Observer: "units", From: s.on(2100 * ms), To: s.on(2200 * ms), Why: "systemd was reloading"}})
	}, want{Fail, [3]uint64{396, 64, 740}, [3]uint64{0, 60, 0}, 300 * ms, 295 * ms, 0, []string{"60 of 64"}}},
}

// A watcher that looked too late proves nothing: neither that there is a new process, nor that there is none.
func TestUnseenBeforeIsNotTheOldProcess(t *testing.T) {
	s := refused()
	restarted := s.on(2 * second)
	s.events = slices.DeleteFunc(s.events, func(e timeline.Event) bool {
		return e.Unit != nil && e.Unit.At < restarted
	})
	rep := s.report(t)
	if rep.Restarts[0].Restarted != nil || rep.Verdict.Result != Fail {
		t.Errorf("restarted %v (%s), verdict %+v; want unknown, and a fail for what was lost", rep.Restarts[0].Restarted, rep.Restarts[0].Evidence, rep.Verdict)
	}
}
