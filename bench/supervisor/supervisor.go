package supervisor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/restartbench/restartbench/bench/timeline"
)

// Config is what a Supervisor works with.
type Config struct {
	Units  map[string]string    // name of a unit file → its text
	Emit   func(timeline.Event) // takes Unit, Log, Warning and Gap events; called from several goroutines
	Now    func() time.Duration // the run's clock
	Shim   []string             // command that runs this program such that it calls Shim with the arguments that follow
	Dir    string               // private directory, for notify sockets; its path should be short
	OwnDir bool                 // Dir does not exist: make it, and remove it with all in it at Close or if this program is killed
}

// Status is the state of a unit, in systemd's words. The zero Status is that of no unit.
type Status struct {
	Active, Sub  string
	MainPID      int    // 0: none
	InvocationID string // of the current or last start
	Result       string
	NRestarts    int // automatic restarts since somebody last started the unit
}

// closePatience is how long Close waits for services to stop by themselves, if TimeoutStopSec= is longer.
const closePatience = 5 * time.Second

// lingerCheck is how often to look after processes that KillMode= or SendSIGKILL= leaves behind.
const lingerCheck = time.Second

// Supervisor is an embedded manager. Its methods can be called from any goroutine.
type Supervisor struct {
	cfg     Config
	ignored []ignored
	grace   time.Duration // how long Start watches a service that does not report to be ready

	// How others reach the loop.
	commands chan func()
	execs    chan *process
	exits    chan outcome
	begun    atomic.Bool
	done     chan struct{}  // closed when the loop is over
	wait     sync.WaitGroup // all goroutines but the output's
	closer   sync.Once

	// The loop's own.
	services  map[string]*service
	sockets   map[string]*socket
	poller    *poller
	guard     *guard
	guardGone chan struct{} // closed when the guard has ended; nil once that is noted
	output    *output
	life      context.Context // until the loop is over
	end       context.CancelFunc
	processes int   // started and not yet waited for
	lingering []int // process groups of services that are stopped
	lingerAt  time.Time
	closing   bool
	killAt    time.Time // when Close loses patience
}

// unit is what commands apply to: a service or a socket.
type unit interface {
	startJob(*job)
	stopJob(*job)
	restartJob(*job)
	status() Status
}

// New reads the units. Its error joins every problem found, each of which names unit, section and key.
func New(cfg Config) (*Supervisor, error) {
	set, err := parseUnits(cfg.Units)
	if err != nil {
		return nil, err
	}
	if len(cfg.Shim) == 0 {
		return nil, errors.New("the embedded manager needs a command for its shim")
	}
	shim, err := exec.LookPath(cfg.Shim[0])
	if err != nil {
		return nil, fmt.Errorf("find the shim: %w", err)
	}
	cfg.Shim = append([]string{shim}, cfg.Shim[1:]...)
	life, end := context.WithCancel(context.Background())
	s := &Supervisor{
		cfg: cfg, ignored: set.ignored, grace: grace,
		commands: make(chan func()), execs: make(chan *process), exits: make(chan outcome),
		done: make(chan struct{}), guardGone: make(chan struct{}), life: life, end: end,
		services: map[string]*service{}, sockets: map[string]*socket{},
	}
	s.adopt(set)
	return s, nil
}

// adopt makes units of what their files say, and ties sockets to services.
func (s *Supervisor) adopt(set unitSet) {
	for name, u := range set.services {
		s.services[name] = &service{serviceUnit: u, sup: s, state: inactive}
	}
	for _, name := range slices.Sorted(maps.Keys(set.sockets)) {
		k := &socket{socketUnit: set.sockets[name], sup: s, state: inactive}
		k.service = s.services[k.socketUnit.service]
		k.service.triggers = append(k.service.triggers, k)
		s.sockets[name] = k
	}
	for _, svc := range s.services {
		for _, name := range svc.sockets {
			svc.pass(s.sockets[name])
		}
		for _, k := range svc.triggers {
			svc.pass(k)
		}
	}
}

// pass makes a service get the descriptors of a socket, once.
func (s *service) pass(k *socket) {
	if !slices.Contains(s.passed, k) {
		s.passed = append(s.passed, k)
	}
}

// Services are the names of the .service units, sorted.
func (s *Supervisor) Services() []string { return slices.Sorted(maps.Keys(s.services)) }

// Sockets are the names of the .socket units, sorted.
func (s *Supervisor) Sockets() []string { return slices.Sorted(maps.Keys(s.sockets)) }

// Start opens every socket and then starts every service, all at once. It returns when each service with Type=notify has
// reported to be ready, and each other one is executed and has stayed for a tenth of a second. (systemd would start a service
// with a socket on the first connection; a run wants it warm. Connections start it again later.) Its error joins a
// *StartError for each unit that did not start. Whether or not it fails, Close must be called. It can be called once.
func (s *Supervisor) Start(ctx context.Context) error {
	if s.begun.Swap(true) {
		return errors.New("the embedded manager can be started only once")
	}
	for _, note := range s.ignored {
		s.warn(note.unit, note.String())
	}
	if err := s.launch(); err != nil {
		close(s.done)
		return err
	}
	opened := make(chan error, 1)
	if err := s.post(func() { opened <- s.openSockets() }); err != nil {
		return err
	}
	if err := <-opened; err != nil {
		return err
	}
	return s.startServices(ctx)
}

// launch starts the goroutines and the guard.
func (s *Supervisor) launch() (err error) {
	s.output = startOutput(s.cfg.Now, s.cfg.Emit, s.wait.Go)
	s.wait.Add(1)
	if s.poller, err = startPoller(s.wait.Done); err != nil {
		s.wait.Done()
		return err
	}
	// The guard first: from then on nothing is made that it does not know of.
	if s.guard, err = startGuard(s.shim("guard")); err != nil {
		s.poller.close()
		return err
	}
	s.wait.Go(func() {
		s.guard.wait()
		close(s.guardGone)
	})
	if err := errors.Join(s.makeDir(), s.openNotifies()); err != nil {
		s.poller.close()
		s.closeNotifies()
		s.guard.close()
		return err
	}
	s.wait.Go(func() { s.loop(s.guardGone) })
	return nil
}

func (s *Supervisor) makeDir() error {
	if !s.cfg.OwnDir {
		return nil
	}
	s.guard.remove(s.cfg.Dir)
	if err := os.Mkdir(s.cfg.Dir, 0o700); err != nil {
		return fmt.Errorf("make the embedded manager's directory: %w", err)
	}
	return nil
}

// shim is the command line of a mode of the shim.
func (s *Supervisor) shim(mode string) []string { return append(slices.Clone(s.cfg.Shim), mode) }

func (s *Supervisor) openNotifies() (err error) {
	for i, name := range s.Services() {
		svc := s.services[name]
		if svc.notifyAccess == "none" {
			continue
		}
		path := filepath.Join(s.cfg.Dir, "notify"+strconv.Itoa(i))
		os.Remove(path) // of a run before
		if svc.notify, err = openNotify(path); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func (s *Supervisor) closeNotifies() {
	for _, svc := range s.services {
		if svc.notify != nil {
			svc.notify.close()
			svc.notify = nil
		}
	}
}

func (s *Supervisor) openSockets() error {
	var problems []error
	for _, name := range s.Sockets() {
		problems = append(problems, s.sockets[name].open())
	}
	return errors.Join(problems...)
}

// startServices starts all services and waits for each.
func (s *Supervisor) startServices(ctx context.Context) error {
	var jobs []*job
	for _, name := range s.Services() {
		j := &job{replies: make(chan error, 1), initial: true}
		jobs = append(jobs, j)
		if err := s.post(func() { s.command(name, j, unit.startJob) }); err != nil {
			return err
		}
	}
	var problems []error
	for i, name := range s.Services() {
		problems = append(problems, s.await(ctx, "start "+name, jobs[i]))
	}
	return errors.Join(problems...)
}

// Restart stops a unit and starts it. It returns when the start job is done: for Type=notify when the service has reported to
// be ready, for Type=exec when its program is executed, for Type=simple when it is forked. Its error is a *StartError if the
// unit did not start.
func (s *Supervisor) Restart(ctx context.Context, name string) error {
	return s.do(ctx, "restart "+name, name, unit.restartJob)
}

// Stop stops a unit, and returns when it is stopped. While a service's socket listens, the next connection starts it again.
func (s *Supervisor) Stop(ctx context.Context, name string) error {
	return s.do(ctx, "stop "+name, name, unit.stopJob)
}

// StartUnit starts a unit, and returns as Restart does. A unit that runs is left alone.
func (s *Supervisor) StartUnit(ctx context.Context, name string) error {
	return s.do(ctx, "start "+name, name, unit.startJob)
}

// Kill sends a signal to a service's main process, and returns when it is sent.
func (s *Supervisor) Kill(ctx context.Context, name string, sig syscall.Signal) error {
	kill := func(u unit, j *job) {
		svc, ok := u.(*service)
		if !ok || svc.pid == 0 {
			j.reply(fmt.Errorf("kill %s: it has no main process", name))
			return
		}
		if err := svc.process.Signal(sig); err != nil {
			j.reply(fmt.Errorf("kill %s: %w", name, err))
			return
		}
		j.reply(nil)
	}
	return s.do(ctx, "kill "+name, name, kill)
}

// Status is the state of a unit. It also works after Close.
func (s *Supervisor) Status(name string) (status Status) {
	replies := make(chan Status, 1)
	if s.post(func() { replies <- s.statusOf(name) }) == nil {
		return <-replies
	}
	<-s.done // nothing changes any more
	return s.statusOf(name)
}

func (s *Supervisor) statusOf(name string) Status {
	if u := s.unit(name); u != nil {
		return u.status()
	}
	return Status{}
}

// Close stops every service, with SIGKILL after TimeoutStopSec= or 5 s, closes the sockets and unlinks those of unix that it
// made. It returns when every process and goroutine has ended. It can be called again.
func (s *Supervisor) Close() error {
	if !s.begun.Swap(true) {
		close(s.done)
	}
	s.post(s.beginClose)
	<-s.done
	var err error
	s.closer.Do(func() {
		s.end()
		s.wait.Wait()
		if s.output != nil {
			s.output.close()
		}
		if s.cfg.OwnDir {
			err = os.RemoveAll(s.cfg.Dir) // in case that the guard was killed
		}
	})
	return err
}

// unit finds a unit by its name, nil if there is none.
func (s *Supervisor) unit(name string) unit {
	if svc, ok := s.services[name]; ok {
		return svc
	}
	if k, ok := s.sockets[name]; ok {
		return k
	}
	return nil
}

// post has the loop call f.
func (s *Supervisor) post(f func()) error {
	if !s.begun.Load() {
		return ErrClosed
	}
	select {
	case s.commands <- f:
		return nil
	case <-s.done:
		return ErrClosed
	}
}

// do has the loop carry out a command on a unit, and waits for the reply.
func (s *Supervisor) do(ctx context.Context, what, name string, command func(unit, *job)) error {
	j := &job{replies: make(chan error, 1)}
	if err := s.post(func() { s.command(name, j, command) }); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return s.await(ctx, what, j)
}

// command carries out a command, in the loop.
func (s *Supervisor) command(name string, j *job, command func(unit, *job)) {
	u := s.unit(name)
	switch {
	case u == nil:
		j.reply(unknownUnit(name, append(s.Sockets(), s.Services()...)))
	case s.closing:
		j.reply(ErrClosed)
	default:
		command(u, j)
	}
}

// await waits for the reply to a job.
func (s *Supervisor) await(ctx context.Context, what string, j *job) error {
	select {
	case err := <-j.replies:
		return err
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", what, context.Cause(ctx))
	}
}

func (s *Supervisor) emit(event timeline.Event) { s.cfg.Emit(event) }

func (s *Supervisor) warn(source, text string) {
	s.emit(timeline.Event{Warning: &timeline.Warning{At: s.cfg.Now(), Source: source, Text: text}})
}
