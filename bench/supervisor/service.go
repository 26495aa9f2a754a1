package supervisor

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"

	"github.com/restartbench/restartbench/bench/timeline"
)

// The states of a service, beside inactive and failed. The final ones come after the main process has gone, while other
// processes of its group remain.
var (
	starting     = state{"activating", "start"}
	running      = state{"active", "running"}
	stopSigterm  = state{"deactivating", "stop-sigterm"}
	stopSigkill  = state{"deactivating", "stop-sigkill"}
	finalSigterm = state{"deactivating", "final-sigterm"}
	finalSigkill = state{"deactivating", "final-sigkill"}
	autoRestart  = state{"activating", "auto-restart"}
)

// The results of units that this package gives, in systemd's words. Sockets have two more.
const (
	success       = "success"
	exitCode      = "exit-code"
	bySignal      = "signal"
	coreDump      = "core-dump"
	timedOut      = "timeout"
	protocol      = "protocol"
	resources     = "resources"
	startLimitHit = "start-limit-hit"
	canceled      = "canceled" // of a job, not of a unit
)

var errServiceActive = errors.New("its service is active; stop the service first, then start the socket")

// grace is how long Start watches a service that does not report when it is ready: one that exits within it has failed to start.
const grace = 100 * time.Millisecond

// How often to look whether the last process of a group has gone: often at first, then less so.
const (
	shortestCheck = 2 * time.Millisecond
	longestCheck  = 100 * time.Millisecond
)

// job is a start, stop or restart that somebody waits for.
type job struct {
	replies chan error // has room for the one reply; nil if nobody waits
	initial bool       // of Start, which looks longer at what does not report to be ready
}

func (j *job) reply(err error) {
	if j.replies != nil {
		j.replies <- err
	}
}

// service is a .service unit: the state machine of systemd's src/core/service.c, without the states of settings that are not
// honoured. It belongs to the loop.
type service struct {
	*serviceUnit
	sup      *Supervisor
	passed   []*socket // whose descriptors it gets, in order
	triggers []*socket // that start it
	notify   *notifySocket

	state      state
	result     string
	pid        int // main process, 0 if none
	group      int // its process group, 0 if none or gone
	process    *process
	invocation string
	restarts   int       // automatic ones
	deadline   time.Time // when the state times out, zero if never
	settle     time.Time // when grace ends, zero if it does not run
	exit       Exit      // of the last main process
	problem    error     // what went wrong since the start
	forbidden  bool      // Restart= does not apply: somebody stopped it
	wantStart  bool      // start again once it has stopped
	starting   []*job
	stopping   []*job
	limitHit   bool // the last start was refused
	warned     bool
	nextCheck  time.Time // when to look whether the group has gone
	checkEvery time.Duration
}

// set changes the state and tells of it, and of a main process that comes or goes with it.
func (s *service) set(to state) {
	s.state = to
	s.sup.emit(timeline.Event{Unit: &timeline.Unit{
		At: s.sup.cfg.Now(), Name: s.name, Active: to.active, Sub: to.sub,
		MainPID: s.pid, InvocationID: s.invocation, Result: s.result,
	}})
	for _, k := range s.triggers {
		k.follow()
	}
}

// idle says whether nothing runs and nothing is about to.
func (s *service) idle() bool {
	return (s.state == inactive || s.state == failed) && !s.wantStart
}

func (s *service) deactivating() bool { return s.state.active == "deactivating" }

// expireIn sets when the state times out.
func (s *service) expireIn(d time.Duration) {
	s.deadline = time.Time{}
	if d != infinity {
		s.deadline = time.Now().Add(d)
	}
}

func (s *service) startJob(j *job) {
	if s.state == running {
		j.reply(nil)
		return
	}
	s.starting = append(s.starting, j)
	switch {
	case s.deactivating():
		s.wantStart = true
	case s.idle():
		s.restarts = 0
		s.begin()
	} // already starting, or about to once RestartSec= has passed: systemd waits for that, too
}

func (s *service) stopJob(j *job) {
	s.forbidden, s.wantStart = true, false
	s.answer(&StartError{Unit: s.name, Result: canceled, Err: errors.New("stopped before it had started")})
	switch {
	case s.idle():
		j.reply(nil)
	case s.state == autoRestart:
		s.deadline = time.Time{}
		s.set(inactive)
		j.reply(nil)
	default:
		s.stopping = append(s.stopping, j)
		s.stop()
	}
}

func (s *service) restartJob(j *job) {
	s.starting = append(s.starting, j)
	switch {
	case s.idle(), s.state == autoRestart:
		s.restarts = 0
		s.begin()
	default:
		s.forbidden, s.wantStart = true, true
		s.stop()
	}
}

// stop begins to stop what starts or runs.
func (s *service) stop() {
	if !s.deactivating() {
		s.enterSignal(stopSigterm)
	}
}

// answer replies to all who wait for the start.
func (s *service) answer(err error) {
	for _, j := range s.starting {
		j.reply(err)
	}
	s.starting, s.settle = nil, time.Time{}
}

// begin starts the service, unless it was started too often.
func (s *service) begin() {
	s.forbidden, s.wantStart, s.warned = false, false, false
	s.deadline, s.exit, s.problem = time.Time{}, Exit{}, nil
	if !s.starts.below(time.Now()) {
		s.refuse()
		return
	}
	s.result, s.invocation, s.limitHit = success, newInvocation(), false
	if err := s.spawn(); err != nil {
		s.fail(resources, err)
		s.enterDead()
		return
	}
	if s.kind == "simple" {
		s.enterRunning()
		return
	}
	s.expireIn(s.startTimeout)
	s.set(starting)
}

// newInvocation makes an invocation id: 128 random bits.
func newInvocation() string {
	id := make([]byte, 16)
	rand.Read(id) // never fails (crypto/rand)
	return hex.EncodeToString(id)
}

// refuse fails the service, and its sockets, for too many starts. As in systemd, the result of a failure before stays.
func (s *service) refuse() {
	s.fail(startLimitHit, nil)
	s.invocation = ""
	err := fmt.Errorf("StartLimitBurst=%d starts within StartLimitIntervalSec=%v are used up; wait, or raise the limit",
		s.starts.burst, s.starts.interval)
	s.limitHit = true // its sockets follow
	s.set(failed)
	s.answer(&StartError{Unit: s.name, Result: startLimitHit, Err: err})
}

// fail notes what went wrong. The first result stays.
func (s *service) fail(result string, problem error) {
	if s.result == success || s.result == "" {
		s.result = result
	}
	if s.problem == nil {
		s.problem = problem
	}
}

func (s *service) enterRunning() {
	s.deadline = time.Time{}
	s.set(running)
	var watched []*job
	for _, j := range s.starting {
		if j.initial && s.kind != "notify" {
			watched = append(watched, j) // until grace is over
		} else {
			j.reply(nil)
		}
	}
	s.starting = watched
	if s.process.execed && len(watched) > 0 {
		s.settle = time.Now().Add(s.sup.grace)
	}
}

// execed is called when the shim has become the service's program.
func (s *service) execed() {
	s.process.execed = true
	switch {
	case s.state == starting && s.kind == "exec":
		s.enterRunning()
	case s.state == running && len(s.starting) > 0:
		s.settle = time.Now().Add(s.sup.grace)
	}
}

// enterStopping is the service's own word that it stops; no signal is sent before TimeoutStopSec=.
func (s *service) enterStopping() {
	s.expireIn(s.stopTimeout)
	s.set(stopSigterm)
}

// enterSignal signals what KillMode= says, and goes on at once if there is nothing to wait for.
func (s *service) enterSignal(to state) {
	if !s.signal(to) {
		s.afterSignal(to)
		return
	}
	s.expireIn(s.stopTimeout)
	s.set(to)
	s.checkEvery = 0
	s.checkGroup()
}

// afterSignal is where a state leads when its processes have gone.
func (s *service) afterSignal(from state) {
	switch from {
	case stopSigterm, stopSigkill:
		s.enterSignal(finalSigterm)
	case finalSigterm:
		if s.sendSIGKILL {
			s.enterSignal(finalSigkill)
			return
		}
		s.enterDead()
	default:
		s.enterDead()
	}
}

// signal sends the signal of a state, and says whether there is an end of processes to wait for (systemd.kill(5)).
func (s *service) signal(to state) bool {
	deadly := to == stopSigkill || to == finalSigkill
	sig := s.killSignal
	if deadly {
		sig = syscall.SIGKILL
	}
	// A main process that has just ended may be beyond signals; its exit is on the way to the loop, and waited for.
	if s.killMode == "process" || s.killMode == "mixed" && !deadly {
		if s.pid != 0 {
			s.process.Signal(sig)
		}
		return s.pid != 0
	}
	return killGroup(s.group, sig) || s.pid != 0
}

// exited handles the end of a main process.
func (s *service) exited(status Exit) {
	s.notified() // what it said before comes first
	s.exit, s.pid, s.process = status, 0, nil
	result := s.judge(status)
	if s.state == starting && s.kind == "notify" && result == success {
		result = protocol
	}
	when := "right after its start"
	if s.state == starting {
		when = "before it was ready"
	}
	s.fail(result, fmt.Errorf("its main process %v %s", status, when))
	switch s.state {
	case starting, running:
		s.settle, s.deadline = time.Time{}, time.Time{}
		s.enterSignal(stopSigterm)
	case stopSigterm, stopSigkill:
		s.enterSignal(finalSigterm)
	case finalSigterm, finalSigkill:
		s.checkGroup()
	}
}

// cleanSignals end a service without failure (systemd.service(5), SuccessExitStatus=).
var cleanSignals = []syscall.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM, syscall.SIGPIPE}

// judge gives the result that an exit stands for.
func (s *service) judge(status Exit) string {
	signaled := status.Signal != 0
	switch {
	case s.command.ignoreFailure:
		return success
	case !signaled && (status.Code == 0 || slices.Contains(s.clean.codes, status.Code)):
		return success
	case !signaled:
		return exitCode
	case slices.Contains(cleanSignals, status.Signal), slices.Contains(s.clean.signals, status.Signal):
		return success
	case status.Core:
		return coreDump
	}
	return bySignal
}

// checkGroup goes on once the last process of the group has gone. No event tells of that, so the loop asks now and then.
func (s *service) checkGroup() {
	if !s.waitsForGroup() {
		return
	}
	if !groupAlive(s.group) {
		s.afterSignal(s.state)
		return
	}
	s.checkEvery = min(max(2*s.checkEvery, shortestCheck), longestCheck)
	s.nextCheck = time.Now().Add(s.checkEvery)
}

// waitsForGroup says whether the main process has gone and others are awaited.
func (s *service) waitsForGroup() bool { return s.pid == 0 && s.group != 0 && s.deactivating() }

// enterDead ends a start: the unit is inactive, failed, or waits to be restarted.
func (s *service) enterDead() {
	s.deadline, s.pid, s.process = time.Time{}, 0, nil
	s.releaseGroup()
	again := s.wantStart
	end := inactive
	if s.result != success {
		end = failed
	}
	if !again && !s.forbidden && !s.sup.closing && s.shallRestart() {
		end = autoRestart
		s.expireIn(s.restartDelay)
	}
	s.set(end)
	s.stopped()
	if again {
		s.restarts = 0
		s.begin()
		return
	}
	s.answer(&StartError{Unit: s.name, Result: s.result, Status: s.exit, Err: s.problem})
}

// stopped replies to all who wait for the stop.
func (s *service) stopped() {
	for _, j := range s.stopping {
		j.reply(nil)
	}
	s.stopping = nil
}

// shallRestart is Restart=, by the table in systemd.service(5).
func (s *service) shallRestart() bool {
	switch s.restart {
	case "always":
		return true
	case "on-success":
		return s.result == success
	case "on-failure":
		return s.result != success
	case "on-abnormal":
		return s.result != success && s.result != exitCode
	case "on-abort":
		return s.result == bySignal || s.result == coreDump
	}
	return false // no, and on-watchdog: nothing here has a watchdog
}

// expired handles the time-out of a state.
func (s *service) expired() {
	s.deadline = time.Time{}
	switch s.state {
	case starting:
		s.fail(timedOut, fmt.Errorf("it was not ready within TimeoutStartSec=%v", s.startTimeout))
		s.enterSignal(stopSigterm)
	case stopSigterm:
		s.fail(timedOut, nil)
		if s.sendSIGKILL {
			s.enterSignal(stopSigkill)
		} else {
			s.enterSignal(finalSigterm)
		}
	case finalSigterm, stopSigkill, finalSigkill:
		s.fail(timedOut, nil)
		s.afterSignal(s.state)
	case autoRestart:
		s.restarts++
		s.begin()
	}
}

// settled ends grace: the service stays up.
func (s *service) settled() { s.answer(nil) }

// warnOnce warns, once for each start.
func (s *service) warnOnce(text string) {
	if !s.warned {
		s.warned = true
		s.sup.warn(s.name, text)
	}
}

func (s *service) status() Status {
	return Status{
		Active: s.state.active, Sub: s.state.sub, MainPID: s.pid, InvocationID: s.invocation,
		Result: s.result, NRestarts: s.restarts,
	}
}
