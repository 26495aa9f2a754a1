// Package bench runs a scenario: steady load at a service, a restart mid-run, and observers that watch.
//
// What flows in: a scenarios.Scenario. What flows out: the events of the run, to a timeline.Recorder. What they mean is for
// package report to say; nothing here counts or judges.
package bench

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/restartbench/restartbench/bench/load"
	"github.com/restartbench/restartbench/bench/systemd"
	"github.com/restartbench/restartbench/bench/timeline"
	"github.com/restartbench/restartbench/scenarios"
)

// Restarter restarts what is under test.
type Restarter interface {
	// Restart does it once and returns when the job or the command has ended.
	Restart(ctx context.Context) error
}

// Manager supervises the units under test for as long as the run lasts.
type Manager interface {
	Restarter
	// Start brings the units up. Its error says which unit failed and why.
	Start(ctx context.Context) error
	// Close takes them down and leaves nothing behind.
	Close() error
}

// Observer watches something until ctx is done, and puts what it sees on the timeline.
type Observer interface {
	Observe(ctx context.Context, emit func(timeline.Event))
}

// Program is how a bench starts more of this program.
type Program struct {
	Path        string   // of the executable: {{restartbench}}
	Shim        []string // command that ends in supervisor.Shim
	PrivateShim []string // command that ends in private.Shim
	Name        string   // and version, as User-Agent
}

// Bench is one scenario, ready to run.
type Bench struct {
	scenario  *scenarios.Scenario // expanded
	yaml      []byte
	clock     timeline.Clock
	config    load.Config
	manager   Manager // nil without units
	restarter Restarter
	observers []Observer
	kind      string   // of the manager
	why       string   // that one
	version   string   // of that one, if it is a systemd
	tested    []string // names of the units under test
	unitType  string   // Type= of the unit that is restarted
	progress  progress
	units     *unitEvents
	warnings  []string // of the load

	dir string // private, of this run: {{dir}}
}

// New prepares a run: everything that can be found wrong without starting anything is found here.
func New(s *scenarios.Scenario, clock timeline.Clock, program Program) (*Bench, error) {
	b := &Bench{clock: clock, units: &unitEvents{}}
	if err := b.prepare(s, program); err != nil {
		return nil, err
	}
	return b, nil
}

func (b *Bench) prepare(s *scenarios.Scenario, program Program) (err error) {
	// Named here and made by the manager, whose guard removes it even after kill -9.
	b.dir = filepath.Join(os.TempDir(), "restartbench-"+strings.ToLower(rand.Text()))
	if err := s.CheckNeeds(); err != nil {
		return err
	}
	b.kind, b.why = choose(s, program)
	b.version = versionOf(b.kind)
	if b.scenario, err = b.expand(s, program); err != nil {
		return err
	}
	if b.yaml, err = b.scenario.YAML(); err != nil {
		return err
	}
	if b.config, err = loadConfig(b.scenario, program.Name); err != nil {
		return err
	}
	if b.config, b.warnings, err = b.config.Fit(limits(b.config.Targets)); err != nil {
		return err
	}
	if err := b.manage(program); err != nil {
		return err
	}
	if err := b.describe(); err != nil {
		return err
	}
	if o, ok := b.manager.(Observer); ok {
		b.observers = append(b.observers, o)
	}
	if url := b.scenario.Restart.Identity; url != "" {
		b.observers = append(b.observers, newIdentity(url, b.config.TLS, b.clock))
	}
	return nil
}

// describe finds out what is under test. Of a unit that exists the manager has to be asked, and it may not be there.
func (b *Bench) describe() error {
	s := b.scenario
	b.tested, b.unitType = sortedKeys(s.Units), ""
	if text, ok := s.Units[watched(s)]; ok {
		b.unitType = serviceType(text)
	}
	m, ok := b.manager.(*supervised)
	if !ok || s.Service == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	d, err := m.Describe(ctx)
	if err != nil {
		return errors.Join(err, m.Close())
	}
	b.tested, b.unitType = []string{d.Name}, d.Type
	for _, socket := range d.Sockets {
		b.tested = append(b.tested, socket.Name)
	}
	return nil
}

// Plan says what a run will do to the machine: every call, file and restart. It does none of it.
func (b *Bench) Plan(ctx context.Context) (string, error) {
	m, ok := b.manager.(*supervised)
	switch {
	case !ok || m.boot != nil:
		return fmt.Sprintf("manager %s (%s): nothing outside this run is changed\n", b.kind, b.why), nil
	}
	plan, err := m.Plan(ctx)
	if err = errors.Join(err, m.Close()); err != nil {
		return "", err
	}
	return fmt.Sprintf("manager %s (%s)\n%s", b.kind, b.why, plan), nil
}

// Length is how long the load will last at least.
func (b *Bench) Length() time.Duration { return b.config.Warmup + b.config.Duration }

// Header describes the run for its file. Tool is this program's version.
func (b *Bench) Header(tool string) timeline.Header {
	s := b.scenario
	h := timeline.Scenario{
		Name: s.Name, Description: s.Description, Manager: b.kind, ManagerVersion: b.version, Why: b.why,
		Action: s.Restart.Action, Command: s.Restart.Command,
		Target: s.Load.Target + s.Load.Targets, Connections: s.Load.Connections,
		Settle: time.Duration(s.Settle), Timeout: time.Duration(s.Load.Timeout),
		YAML: string(b.yaml), Restarts: s.Restart.Times, Patterns: s.Journal.Patterns,
		Units: b.tested, Type: b.unitType,
	}
	if b.manager != nil {
		h.Unit = watched(s)
	}
	return timeline.Header{Tool: tool, Host: host(), Scenario: h}
}

// Run does it: units up, observers on, load, restarts, the rest of the load, all off again. It returns when everything that it
// started has ended. An error means that the run could not be measured to its end; what happened until then is recorded.
func (b *Bench) Run(ctx context.Context, record *timeline.Recorder) (err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-record.Failed():
			cancel(record.Err())
		case <-ctx.Done():
		}
	}()
	defer func() {
		if cause := context.Cause(ctx); err != nil && errors.Is(err, context.Canceled) && cause != nil {
			err = cause
		}
	}()

	b.units.to(record.Emit)
	defer b.units.to(nil)
	if b.manager != nil {
		b.progress.enter("starting units")
		defer func() { err = errors.Join(err, b.manager.Close()) }()
		if err := b.manager.Start(ctx); err != nil {
			return err
		}
	}
	for _, text := range b.warnings {
		record.Emit(timeline.Event{Warning: &timeline.Warning{At: b.clock.Now(), Source: "load", Text: text}})
	}
	traffic := load.New(b.config, b.clock, record)
	address, err := b.reach(ctx, traffic)
	if err != nil {
		return err
	}
	defer b.observe(ctx, record.Emit)()
	return b.drive(ctx, cancel, traffic, address, record)
}

// drive sends the load and restarts in its midst.
func (b *Bench) drive(ctx context.Context, cancel context.CancelCauseFunc, traffic *load.Load, address string, record *timeline.Recorder) error {
	b.progress.load(traffic)
	if b.restarter != nil {
		traffic.Hold()
	}
	sent := make(chan error, 1)
	go func() {
		err := traffic.Run(ctx)
		if err != nil {
			cancel(err) // nobody is to wait for a load that does not begin
		}
		sent <- err
	}()
	err := b.restarts(ctx, traffic, address, record)
	if err != nil {
		cancel(err)
	}
	return errors.Join(err, <-sent)
}

// restarts does each restart in its time. The load goes on until the last one's job has ended, and long enough after it to
// tell whether things have settled.
func (b *Bench) restarts(ctx context.Context, traffic *load.Load, address string, record *timeline.Recorder) error {
	schedule, err := traffic.Began(ctx)
	if err != nil {
		return err
	}
	schedule.Address = address
	record.Emit(timeline.Event{Load: &schedule})
	b.progress.enter("before")
	if b.restarter == nil {
		return nil
	}
	r := b.scenario.Restart
	first := schedule.Due(schedule.Warmup) + time.Duration(r.At)
	for n := 1; n <= r.Times; n++ {
		if err := b.sleepUntil(ctx, first+time.Duration(n-1)*time.Duration(r.Every)); err != nil {
			return err
		}
		b.progress.enter(fmt.Sprintf("restart %d of %d", n, r.Times))
		b.restart(ctx, n, record.Emit)
		b.progress.enter("after")
	}
	traffic.Release(b.aftermath())
	return nil
}

// aftermath is how long the load goes on after the last restart's job at least.
func (b *Bench) aftermath() time.Duration {
	const requests = 100 // twice what a settle window must hold
	r := b.scenario.Restart
	planned := time.Duration(b.scenario.Load.Duration-r.At) - time.Duration(r.Times-1)*time.Duration(r.Every)
	return max(2*time.Duration(b.scenario.Settle), time.Duration(requests/b.config.Rate*float64(time.Second)), planned/2)
}

// restart does restart n. That it fails is a result, not an error: what its clients lose then is what is asked.
func (b *Bench) restart(ctx context.Context, n int, emit func(timeline.Event)) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(b.scenario.Restart.Timeout))
	defer cancel()
	emit(timeline.Event{Restart: &timeline.Restart{N: n, Step: timeline.Requested, At: b.clock.Now()}})
	err := b.restarter.Restart(ctx)
	done := timeline.Restart{N: n, Step: timeline.Completed, At: b.clock.Now(), Result: timeline.Done}
	if err != nil {
		done.Result, done.Detail = "failed", err.Error()
		var job *systemd.JobError
		if errors.As(err, &job) {
			done.Result = job.Result
		}
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			done.Result, done.Detail = "timeout", fmt.Sprintf("not done after %s", time.Duration(b.scenario.Restart.Timeout))
		}
	}
	emit(timeline.Event{Restart: &done})
}

// reach makes sure that the target answers before the load begins. Units of our own may still be on their way up
// (Type=simple is started before it is ready); anything else should answer at once.
func (b *Bench) reach(ctx context.Context, traffic *load.Load) (string, error) {
	b.progress.enter("reaching the target")
	patience := time.Duration(0)
	if len(b.scenario.Units) > 0 {
		patience = time.Duration(b.scenario.Restart.Timeout)
	}
	deadline := b.clock.Now() + patience
	for {
		address, err := traffic.Probe(ctx)
		if err == nil || ctx.Err() != nil || b.clock.Now() >= deadline {
			return address, err
		}
		if err := b.sleepUntil(ctx, b.clock.Now()+50*time.Millisecond); err != nil {
			return "", err
		}
	}
}

// sightLimit bounds the wait for the first look of what watches the units. A watcher that cannot see says so by itself.
const sightLimit = 15 * time.Second

// observe starts the observers and returns what ends them. It waits until the unit under test has been seen: a restart before
// that could not be told from none.
func (b *Bench) observe(ctx context.Context, emit func(timeline.Event)) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	seen := make(chan struct{})
	var once sync.Once
	watched := func(e timeline.Event) {
		emit(e)
		if e.Gap != nil || e.Unit != nil && e.Unit.Name == watched(b.scenario) {
			once.Do(func() { close(seen) })
		}
	}
	var all sync.WaitGroup
	for _, o := range b.observers {
		all.Go(func() { o.Observe(ctx, watched) })
	}
	if _, ok := b.manager.(Observer); ok {
		select {
		case <-seen:
		case <-time.After(sightLimit):
		case <-ctx.Done():
		}
	}
	return func() {
		cancel()
		all.Wait()
	}
}

func (b *Bench) sleepUntil(ctx context.Context, at time.Duration) error {
	select {
	case <-time.After(at - b.clock.Now()):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// loadConfig turns the scenario's load into the generator's.
func loadConfig(s *scenarios.Scenario, agent string) (load.Config, error) {
	header := http.Header{}
	for name, value := range s.Load.Headers {
		header.Set(name, value)
	}
	targets := []load.Target{{Method: s.Load.Method, URL: s.Load.Target, Header: header, Body: []byte(s.Load.Body)}}
	if s.Load.Targets != "" {
		var err error
		if targets, err = load.ReadTargets(s.Load.Targets, header, []byte(s.Load.Body)); err != nil {
			return load.Config{}, err
		}
	}
	tls, err := tlsConfig(s.Load.TLS)
	return load.Config{
		Targets:     targets,
		Rate:        s.Load.Rate,
		Warmup:      time.Duration(s.Warmup),
		Duration:    time.Duration(s.Load.Duration),
		Connections: load.Connections(s.Load.Connections),
		Timeout:     time.Duration(s.Load.Timeout),
		Expect:      s.Load.ExpectStatus,
		UnixSocket:  s.Load.UnixSocket,
		TLS:         tls,
		UserAgent:   agent,
		MaxInFlight: s.Load.MaxInFlight,
	}, err
}

func tlsConfig(t scenarios.TLS) (*tls.Config, error) {
	cfg := &tls.Config{ServerName: t.ServerName, InsecureSkipVerify: t.Insecure}
	if t.CA == "" {
		return cfg, nil
	}
	pem, err := os.ReadFile(t.CA)
	if err != nil {
		return nil, fmt.Errorf("load.tls.ca: %w", err)
	}
	cfg.RootCAs = x509.NewCertPool()
	if !cfg.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("load.tls.ca: %s holds no certificate in PEM format", t.CA)
	}
	return cfg, nil
}
