package report

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"github.com/restartbench/restartbench/bench/timeline"
)

var update = flag.Bool("update", false, "rewrite golden files")

// held is a restart behind a socket: what is due while it lasts waits and is answered by the new process.
func held() *story {
	return tell(200, 6*second).at(2*second).restart(300*ms).between(2*second, 2300*ms).waits(2310 * ms)
}

// refused is a restart of a service that owns its port.
func refused() *story {
	s := tell(200, 6*second).at(2*second).restart(300*ms).between(2*second, 2300*ms).fail(timeline.Refused, ms)
	s.header.Scenario.Units = []string{unit}
	return s
}

func three() *story {
	s := tell(200, 12*second)
	for _, at := range []time.Duration{2 * second, 5 * second, 8 * second} {
		s.at(at).restart(300*ms).between(at, at+300*ms).waits(at + 310*ms)
	}
	return s
}

// want is what a story's report says. Negative: nil.
type want struct {
	verdict  Result
	requests [3]uint64
	dropped  [3]uint64
	recovery time.Duration // of the first restart
	outage   time.Duration // of the first restart
	held     int
	reasons  []string // how each begins
}

const none = -1

// told is a story and what its report says.
type told struct {
	name  string
	story func() *story
	want  want
}

var stories = slices.Concat(plainStories, systemdStories, inFlightStories)

var plainStories = []told{
	{"held", held, want{Pass, [3]uint64{396, 64, 740}, [3]uint64{}, 300 * ms, none, 56, nil}},
	{"refused", refused, want{Fail, [3]uint64{396, 64, 740}, [3]uint64{0, 60, 0}, 300 * ms, 295 * ms, 0,
		[]string{"60 of 64 exposed requests were dropped"}}},
	{"nothing to notice", func() *story { return tell(200, 6*second).at(2 * second).restart(300 * ms) },
		want{Pass, [3]uint64{396, 64, 740}, [3]uint64{}, 300 * ms, none, 0, nil}},
	{"one cut off in flight", func() *story {
		return held().between(1985*ms, 1990*ms).fail(timeline.EOF, 16*ms)
	}, want{Fail, [3]uint64{396, 64, 740}, [3]uint64{0, 1, 0}, 300 * ms, 0, 56, []string{"1 of 64 exposed requests was dropped"}}},
	{"keep-alive collisions", func() *story {
		return held().between(1990*ms, 2000*ms).fail(timeline.Reset, 11*ms)
	}, want{Fail, [3]uint64{396, 64, 740}, [3]uint64{0, 2, 0}, 300 * ms, 0, 56, []string{"2 of 64 exposed requests were dropped"}}},
	{"dropped after", func() *story { return held().between(5*second, 5010*ms).fail(timeline.Reset, ms) },
		want{Fail, [3]uint64{396, 64, 740}, [3]uint64{0, 0, 2}, 300 * ms, none, 56, []string{"2 of 740 requests were dropped after things had settled"}}},
	{"dropped before", func() *story { return refused().between(second, 1010*ms).fail(timeline.Reset, ms) },
		want{Inconclusive, [3]uint64{396, 64, 740}, [3]uint64{2, 60, 0}, 300 * ms, 295 * ms, 0,
			[]string{"2 of 396 requests failed before the restart", "60 of 64 exposed requests were dropped"}}},

	{"three restarts", three, want{Pass, [3]uint64{396, 192, 1812}, [3]uint64{}, 300 * ms, none, 168, nil}},
	{"three restarts, one drops", func() *story { return three().between(5*second, 5100*ms).fail(timeline.Refused, ms) },
		want{Fail, [3]uint64{396, 192, 1812}, [3]uint64{0, 20, 0}, 300 * ms, none, 148, []string{"20 of 192 exposed requests were dropped"}}},
	{"waits for two restarts", func() *story {
		s := tell(200, 8*second).at(2*second).restart(300*ms).between(2*second, 2300*ms).waits(2310 * ms)
		s.at(4*second).restart(300*ms).between(4*second, 4300*ms).waits(4310 * ms)
		return s.between(2100*ms, 2105*ms).takes(2250 * ms)
	}, want{Pass, [3]uint64{396, 128, 1076}, [3]uint64{}, 300 * ms, none, 112, nil}},
	{"restart again too soon", func() *story {
		s := tell(200, 6*second).at(2*second).restart(300*ms).between(2*second, 2300*ms).waits(2310 * ms)
		return s.at(3*second).restart(300*ms).between(3*second, 3300*ms).waits(3310 * ms)
	}, want{Inconclusive, [3]uint64{396, 264, 540}, [3]uint64{}, none, none, 112, []string{"restart 1: the next restart came too soon to tell whether it recovered: that takes 1.00 s"}}},
	{"cut off by the next restart", func() *story {
		s := tell(200, 7*second).at(2*second).restart(300*ms).between(2*second, 2300*ms).waits(2310 * ms)
		s.at(3400*ms).restart(300*ms).between(3400*ms, 3700*ms).waits(3710 * ms)
		return s.between(3385*ms, 3400*ms).fail(timeline.EOF, 16*ms)
	}, want{Fail, [3]uint64{396, 128, 876}, [3]uint64{0, 3, 0}, 300 * ms, none, 112, []string{"3 of 128 exposed requests were dropped"}}},
	{"one restart of two", func() *story { s := held(); s.header.Scenario.Restarts = 2; return s },
		want{Inconclusive, [3]uint64{396, 64, 740}, [3]uint64{}, 300 * ms, none, 56, []string{"1 of 2 restarts were made"}}},

	{"the restart fails", func() *story {
		s := tell(200, 6*second).at(2*second).request().completes(100*ms, "failed", "app.service: exit-code")
		s.log(2050*ms, "cannot open config.yaml")
		return s.state(2001*ms, "failed", "failed", 0).between(2*second, 6*second).fail(timeline.Refused, ms)
	}, want{Fail, [3]uint64{396, 804, 0}, [3]uint64{0, 800, 0}, none, 3995 * ms, none, []string{"800 of 804 exposed requests were dropped",
		"the restart failed: app.service: exit-code", "did not recover: no 1.00 s passed without a failed request before the load ended, 3.90 s later",
		"no proof of a restart: no new main process of app.service answered"}}},
	{"the restart times out", func() *story {
		s := tell(200, 6*second).at(2*second).request().completes(3*second, "timeout", "not done after 3s")
		return s.state(2001*ms, "inactive", "dead", 0).process(2002*ms, "activating", "start").between(2*second, 6*second).fail(timeline.ResponseTimeout, 500*ms)
	}, want{Fail, [3]uint64{396, 804, 0}, [3]uint64{0, 800, 0}, none, 3995 * ms, none, []string{"800 of 804 exposed requests were dropped", "the restart timed out: not done after 3s", "did not recover", "no proof of a restart: no new main process of app.service answered"}}},
	{"crash loop", func() *story {
		s := tell(200, 8*second).at(2*second).restart(10*ms).between(2*second, 4*second).fail(timeline.Refused, ms)
		for _, at := range []time.Duration{2500 * ms, 3 * second, 3500 * ms} {
			s.state(at, "activating", "auto-restart", 0).process(at+100*ms, "active", "running")
		}
		return s
	}, want{Fail, [3]uint64{396, 404, 800}, [3]uint64{0, 400, 0}, 2 * second, 1995 * ms, 0, []string{"400 of 404 exposed requests were dropped",
		"app.service was restarted automatically 3 times: it crashed or was killed"}}},
	{"Type=simple behind a socket", func() *story {
		return tell(200, 6*second).at(2*second).restart(3*ms).between(2*second, 3*second).waits(3010 * ms)
	}, want{Pass, [3]uint64{396, 202, 602}, [3]uint64{}, 990 * ms, none, 198, nil}},
	{"stop, and the socket starts it", func() *story {
		s := tell(200, 6*second).at(2*second).request().completes(20*ms, timeline.Done, "")
		s.header.Scenario.Action = "stop"
		s.state(2010*ms, "inactive", "dead", 0).process(2030*ms, "activating", "start")
		return s.between(2005*ms, 2300*ms).waits(2310 * ms)
	}, want{Pass, [3]uint64{396, 60, 744}, [3]uint64{}, 280 * ms, none, 55, nil}},
	{"stop for good", func() *story {
		s := tell(200, 6*second).at(2*second).request().completes(20*ms, timeline.Done, "")
		s.header.Scenario.Action = "stop"
		return s.state(2010*ms, "inactive", "dead", 0).between(2012*ms, 6*second).fail(timeline.Refused, ms)
	}, want{Fail, [3]uint64{396, 804, 0}, [3]uint64{0, 797, 0}, none, 3980 * ms, none, []string{"797 of 804", "did not recover", "no proof of a restart"}}},
	{"kill, and RestartSec=2", func() *story {
		s := tell(200, 8*second).at(2*second).request().completes(0, timeline.Done, "")
		s.header.Scenario.Action = "kill"
		s.state(2001*ms, "activating", "auto-restart", 0).process(4001*ms, "active", "running")
		return s.between(2*second, 4010*ms).fail(timeline.Refused, ms)
	}, want{Fail, [3]uint64{396, 406, 798}, [3]uint64{0, 402, 0}, 2010 * ms, 2005 * ms, 0, []string{"402 of 406"}}},
	{"the old process serves on after the command", func() *story {
		return tell(200, 8*second).by("deploy").identity(0, "1").at(2*second).command(10*ms).identity(4500*ms, "2").
			between(4*second, 4300*ms).fail(timeline.Refused, ms)
	}, want{Fail, [3]uint64{396, 464, 740}, [3]uint64{0, 60, 0}, 2300 * ms, 295 * ms, none, []string{"60 of 464"}}},

	{"command without proof", func() *story {
		return tell(200, 6*second).by("systemctl", "restart", "app").at(2 * second).command(300 * ms)
	}, want{Inconclusive, [3]uint64{396, 64, 740}, [3]uint64{}, 300 * ms, none, none, []string{"no proof of a restart: nothing shows which process answers"}}},
	{"command without proof, and drops", func() *story {
		return tell(200, 6*second).by("docker", "restart", "app").at(2*second).command(300*ms).between(2*second, 2200*ms).fail(timeline.Refused, ms)
	}, want{Fail, [3]uint64{396, 64, 740}, [3]uint64{0, 40, 0}, 300 * ms, 195 * ms, none, []string{"40 of 64", "no proof of a restart"}}},
	{"command with proof", func() *story {
		return tell(200, 6*second).by("deploy").identity(0, "pid 1").at(2*second).command(300*ms).identity(2400*ms, "pid 2")
	}, want{Pass, [3]uint64{396, 64, 740}, [3]uint64{}, 300 * ms, none, none, nil}},
	{"command that restarts nothing", func() *story {
		return tell(200, 6*second).by("true").identity(0, "pid 1").at(2*second).command(10*ms).between(4*second, 4010*ms).fail(timeline.Reset, ms)
	}, want{Inconclusive, [3]uint64{396, 7, 797}, [3]uint64{0, 0, 2}, 10 * ms, none, none, []string{"nothing restarted: the identity URL answers as before", "2 of 797"}}},
	{"identity that changes by itself", func() *story {
		return tell(200, 6*second).by("deploy").identity(0, "1").identity(second, "2").at(2*second).command(300*ms).identity(3*second, "3")
	}, want{Inconclusive, [3]uint64{396, 64, 740}, [3]uint64{}, 300 * ms, none, none, []string{"no proof of a restart: the identity URL's answer changes by itself"}}},
	{"command that fails", func() *story {
		return tell(200, 6*second).by("deploy").identity(0, "1").at(2*second).request().completes(300*ms, "failed", "deploy: exit status 1").identity(3*second, "2")
	}, want{Inconclusive, [3]uint64{396, 64, 740}, [3]uint64{}, 300 * ms, none, none, []string{"the restart command failed: deploy: exit status 1"}}},
	{"unit that did not restart", func() *story {
		return tell(200, 6*second).at(2*second).request().completes(5*ms, timeline.Done, "")
	}, want{Inconclusive, [3]uint64{396, 5, 799}, [3]uint64{}, 5 * ms, none, none, []string{"nothing restarted: app.service has its old main process"}}},
	{"process id used again", func() *story {
		s := tell(200, 6*second).at(2*second).request().completes(300*ms, timeline.Done, "")
		s.invocation = "another"
		return s.state(2002*ms, "active", "running", 1001)
	}, want{Pass, [3]uint64{396, 64, 740}, [3]uint64{}, 300 * ms, none, 0, nil}},
	{"last answer of the old process noted late", func() *story {
		s := tell(200, 6*second).at(2*second).request().completes(10*ms, timeline.Done, "")
		s.state(2001*ms, "inactive", "dead", 0).process(2002*ms, "active", "running")
		return s.between(1980*ms, 1985*ms).takes(23*ms).between(2*second, 6*second).fail(timeline.Refused, ms)
	}, want{Fail, [3]uint64{396, 804, 0}, [3]uint64{0, 800, 0}, none, 3995 * ms, none, []string{"800 of 804", "did not recover", "no proof of a restart: no new main process of app.service answered"}}},
	{"begins a moment before the new process serves", func() *story {
		return refused().between(2295*ms, 2300*ms).takes(25*ms).between(2295*ms, 2300*ms).each(func(q *timeline.Request, _ time.Duration) { q.Outcome, q.Status = timeline.OK, 200 })
	}, want{Fail, [3]uint64{396, 64, 740}, [3]uint64{0, 59, 0}, 300 * ms, 290 * ms, 0, []string{"59 of 64"}}},

	{"truncated before the restart", func() *story { return held().cut(second) },
		want{Inconclusive, [3]uint64{197, 0, 0}, [3]uint64{}, none, none, none, []string{"the run file is truncated", "no restart was made"}}},
	{"truncated while restarting", func() *story { return held().cut(2200 * ms) },
		want{Inconclusive, [3]uint64{396, 4, 0}, [3]uint64{}, none, none, none, []string{"the run file is truncated"}}},
	{"truncated after the restart", func() *story { return refused().cut(3 * second) },
		want{Inconclusive, [3]uint64{396, 201, 0}, [3]uint64{0, 60, 0}, none, 295 * ms, 0, []string{"the run file is truncated", "60 of 201"}}},
	{"interrupted while restarting", func() *story {
		s := held()
		s.events[len(s.events)-4].Restart.Result, s.events[len(s.events)-4].Restart.At = "failed", s.on(2150*ms)
		return s.interrupt(2150 * ms)
	}, want{Inconclusive, [3]uint64{396, 4, 0}, [3]uint64{}, none, none, none, []string{"the run was interrupted"}}},
	{"could not be finished", func() *story {
		s := held().interrupt(3 * second)
		s.end.Reason, s.end.Error = timeline.Failed, "write run.zst: no space left on device"
		return s
	}, want{Inconclusive, [3]uint64{396, 201, 0}, [3]uint64{}, none, none, 56, []string{"the run could not be finished: write run.zst: no space left"}}},
	{"aborted", func() *story { return held().between(5*second, 5010*ms).fail(timeline.Aborted, ms) },
		want{Inconclusive, [3]uint64{396, 64, 738}, [3]uint64{}, 300 * ms, none, 56, []string{"2 requests were cut off by the end of the run"}}},
	{"nothing recorded", func() *story { s := tell(200, 0); s.events, s.end, s.loadEnd = nil, nil, nil; return s },
		want{Inconclusive, [3]uint64{}, [3]uint64{}, none, none, none, []string{"the run file is truncated", "no request was recorded", "no restart was made"}}},
	{"no restart", func() *story { return tell(200, 2*second) },
		want{Inconclusive, [3]uint64{400, 0, 0}, [3]uint64{}, none, none, none, []string{"no restart was made"}}},
	{"nothing before", func() *story {
		return tell(200, 6*second).warmup(10).at(10*ms).restart(300*ms).between(0, 300*ms).waits(310 * ms)
	}, want{Inconclusive, [3]uint64{0, 52, 1138}, [3]uint64{}, 300 * ms, none, none, []string{"no request was answered before the restart"}}},
	{"no request met the restart", func() *story { return tell(2, 60*second).at(2250 * ms).restart(100 * ms) },
		want{Inconclusive, [3]uint64{5, 0, 115}, [3]uint64{}, 100 * ms, none, 0, []string{"no request was exposed to a restart, which proves nothing: 5 is the least"}}},

	{"too few met the restart", func() *story {
		return tell(2, 60*second).at(4*second).restart(600*ms).between(4*second, 4600*ms).waits(4650 * ms)
	},
		want{Inconclusive, [3]uint64{8, 2, 110}, [3]uint64{}, 600 * ms, none, 2, []string{"only 2 requests were exposed to a restart, which proves nothing"}}},

	{"all 5xx after", func() *story { return held().between(2300*ms, 6*second).fail(timeline.HTTP5xx, usually) },
		want{Fail, [3]uint64{396, 804, 0}, [3]uint64{}, none, none, 56, []string{"740 requests were answered with 5xx", "did not recover: no 1.00 s passed without a failed request"}}},
	{"all 5xx", func() *story { return held().between(0, 6*second).fail(timeline.HTTP5xx, usually) },
		want{Inconclusive, [3]uint64{396, 804, 0}, [3]uint64{}, none, none, none, []string{"396 of 396 requests failed before the restart", "804 requests were answered with 5xx", "did not recover", "no proof"}}},
	{"an unexpected status", func() *story { return held().between(2350*ms, 2355*ms).fail(timeline.HTTPUnexpected, usually) },
		want{Fail, [3]uint64{396, 75, 729}, [3]uint64{}, 355 * ms, none, 56, []string{"1 request was answered with an unexpected status"}}},
	{"slower for good", func() *story { return held().between(2300*ms, 6*second).takes(50 * ms) },
		want{Fail, [3]uint64{396, 804, 0}, [3]uint64{}, none, none, 56, []string{"did not recover: every request was ok, but in no 1.00 s p95 returned to 40.0 ms or less (before: 20.0 ms)"}}},
	{"well again at the very end", func() *story { return held().between(2300*ms, 5500*ms).waits(5500 * ms) },
		want{Inconclusive, [3]uint64{396, 804, 0}, [3]uint64{}, none, none, 56, []string{"the load ended too soon to tell whether it recovered: all was well for the last 500 ms, and must be for 1.00 s"}}},
	{"too few before to know", func() *story {
		return tell(5, 32*second).at(2*second).restart(300*ms).between(2*second, 32*second).takes(50 * ms)
	}, want{Inconclusive, [3]uint64{10, 150, 0}, [3]uint64{}, none, none, 1, []string{"it may not have recovered: requests were slower than before, but 10 requests before is too few to know (20 are enough)"}}},
	{"low rate, load too short", func() *story {
		return tell(2, 12*second).at(4*second).restart(600*ms).between(4*second, 4600*ms).waits(4650 * ms)
	},
		want{Inconclusive, [3]uint64{8, 16, 0}, [3]uint64{}, none, none, 2, []string{"the load ended too soon to tell whether it recovered: that takes 25.0 s (50 requests or more at 2/s), and there were 7.40 s"}}},
	{"low rate, load long enough", func() *story {
		return tell(2, 60*second).at(4*second).restart(3*second).between(4*second, 7*second).waits(7050 * ms)
	},
		want{Pass, [3]uint64{8, 6, 106}, [3]uint64{}, 3 * second, none, 6, nil}},

	{"requests not recorded", func() *story {
		s := held().gap("load", 300, "the disk was too slow")
		s.requests = s.requests[:900]
		return s
	}, want{Inconclusive, [3]uint64{396, 64, 440}, [3]uint64{}, 300 * ms, none, 56, []string{"300 requests were not recorded: the disk was too slow"}}},
	{"generator stopped sending", func() *story { s := held(); s.requests = s.requests[:1100]; return s },
		want{Inconclusive, [3]uint64{396, 64, 640}, [3]uint64{}, 300 * ms, none, 56, []string{"the generator fell behind: it sent 1,100 of 1,200 scheduled requests"}}},
	{"generator late", func() *story { return held().between(4*second, 5*second).late(30 * ms) },
		want{Inconclusive, [3]uint64{396, 64, 740}, [3]uint64{}, 300 * ms, none, 56, []string{"the generator fell behind: 1 % of its requests went out 30.0 ms late or more"}}},
	{"sent late is not slow", func() *story { return held().between(2300*ms, 6*second).late(24 * ms) },
		want{Pass, [3]uint64{396, 64, 740}, [3]uint64{}, 300 * ms, none, 56, nil}},
	{"generator late while restarting", func() *story {
		s := tell(200, 60*second).at(2 * second).restart(300 * ms)
		return s.between(2*second, 2048*ms).late(260 * ms)
	}, want{Inconclusive, [3]uint64{396, 64, 11540}, [3]uint64{}, 300 * ms, none, 0, []string{"the generator fell behind while the service restarted: 10 of 64 exposed requests went out more than 25.0 ms late"}}},
	{"client limit", func() *story { return held().between(4*second, 4010*ms).fail(timeline.ClientLimit, ms) },
		want{Inconclusive, [3]uint64{396, 64, 740}, [3]uint64{}, 300 * ms, none, 56, []string{"2 requests failed for a limit of the generator's own machine"}}},
	{"client limit before", func() *story { return held().between(second, 1003*ms).fail(timeline.ClientLimit, ms) },
		want{Inconclusive, [3]uint64{396, 64, 740}, [3]uint64{}, 300 * ms, none, 56, []string{"1 request failed for a limit of the generator's own machine"}}},
}

func TestStories(t *testing.T) {
	for _, tc := range stories {
		t.Run(tc.name, func(t *testing.T) {
			rep := tc.story().report(t)
			got := digest(rep)
			want := tc.want
			for i, reason := range want.reasons {
				if i < len(got.reasons) && strings.HasPrefix(got.reasons[i], reason) {
					got.reasons[i] = reason
				}
			}
			if diff := cmp.Diff(fmt.Sprintf("%+v", want), fmt.Sprintf("%+v", got)); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
			var text bytes.Buffer
			if err := Render(&text, Text, Style{}, rep); err != nil {
				t.Fatal(err)
			}
			golden(t, filepath.Join("testdata", "story-"+slug(tc.name)+".txt"), text.Bytes())
		})
	}
}

// slug makes a file's name of a test's.
func slug(name string) string {
	return strings.Join(strings.FieldsFunc(strings.ToLower(name), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }), "-")
}

func digest(rep *Report) want {
	got := want{verdict: rep.Verdict.Result, recovery: none, outage: none, held: none}
	for i, p := range rep.Phases {
		got.requests[i], got.dropped[i] = p.Requests, p.Dropped
	}
	if len(rep.Restarts) > 0 {
		a := rep.Restarts[0]
		if a.Recovery != nil {
			got.recovery = time.Duration(*a.Recovery)
		}
		if a.Outage != nil {
			got.outage = time.Duration(*a.Outage)
		}
	}
	if rep.Held != nil {
		got.held = int(rep.Held.Requests)
	}
	for _, r := range rep.Verdict.Reasons {
		got.reasons = append(got.reasons, r.Text)
	}
	return got
}

// golden compares got with a file, or writes it with -update.
func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v; run go test ./report -update", err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s differs; look at it, then run go test ./report -update (-want +got):\n%s", file, diff)
	}
}
