package supervisor

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"syscall"
	"time"

	systemd "github.com/coreos/go-systemd/v22/unit"
)

// socketUnit is a .socket file, read.
type socketUnit struct {
	name         string
	listen       []address
	backlog      int // negative: as large as the kernel allows
	noDelay      bool
	reusePort    bool
	fdName       string
	service      string
	mode         uint32
	removeOnStop bool
	triggers     ratelimit
}

// serviceUnit is a .service file, read.
type serviceUnit struct {
	name         string
	kind         string // Type=
	command      command
	env          map[string]string
	dir          string // WorkingDirectory=
	dirOptional  bool   // it began with "-"
	startTimeout time.Duration
	stopTimeout  time.Duration
	killSignal   syscall.Signal
	killMode     string
	sendSIGKILL  bool
	restart      string
	restartDelay time.Duration
	clean        exitStatuses
	sockets      []string
	notifyAccess string
	starts       ratelimit
}

// exitStatuses is a set of exit codes and signals.
type exitStatuses struct {
	codes   []int
	signals []syscall.Signal
}

// ignored is a setting that the embedded manager does not honour.
type ignored struct {
	unit, section, key string
}

func (i ignored) String() string {
	return fmt.Sprintf("[%s] %s= is ignored by the embedded manager; run under systemd to include its effect", i.section, i.key)
}

// unitSet is what all unit files of a supervisor say.
type unitSet struct {
	sockets  map[string]*socketUnit
	services map[string]*serviceUnit
	ignored  []ignored
}

// parseUnits reads unit files. Its error joins every problem found.
func parseUnits(files map[string]string) (unitSet, error) {
	set := unitSet{sockets: map[string]*socketUnit{}, services: map[string]*serviceUnit{}}
	var problems []error
	for _, name := range slices.Sorted(maps.Keys(files)) {
		problems = append(problems, set.parse(name, files[name]))
	}
	if len(files) == 0 {
		problems = append(problems, errors.New("no units to supervise"))
	}
	if err := errors.Join(problems...); err != nil {
		return set, err
	}
	return set, set.check()
}

// parse reads one unit file into the set.
func (set *unitSet) parse(name, text string) error {
	options, err := systemd.DeserializeOptions(strings.NewReader(withoutComments(text)))
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	stem, suffix := name, ""
	if dot := strings.LastIndex(name, "."); dot >= 0 {
		stem, suffix = name[:dot], name[dot:]
	}
	switch {
	case stem == "" || strings.ContainsAny(name, "/ "):
		return fmt.Errorf("%q is not a unit's name", name)
	case suffix == ".socket":
		u := newSocketUnit(name)
		set.sockets[name] = u
		return assign(set, u, name, options, nil, "Socket", socketKeys)
	case suffix == ".service":
		u := newServiceUnit(name)
		set.services[name] = u
		return assign(set, u, name, options, unitKeys, "Service", serviceKeys)
	}
	return fmt.Errorf("%s: the embedded manager knows .socket and .service units only", name)
}

// withoutComments drops comment lines. systemd drops them before it joins continued lines; go-systemd would not.
func withoutComments(text string) string {
	lines := strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n")
	return strings.Join(slices.DeleteFunc(lines, func(line string) bool {
		line = strings.TrimLeft(line, blanks)
		return strings.HasPrefix(line, "#") || strings.HasPrefix(line, ";")
	}), "\n")
}

// assign carries out each assignment of a unit file, in order, and notes those that have no effect here.
func assign[U any](set *unitSet, u *U, name string, options []*systemd.UnitOption, common map[string]setter[U],
	section string, own map[string]setter[U]) error {
	tables := map[string]map[string]setter[U]{"Unit": common, section: own}
	var problems []error
	for _, o := range options {
		value := strings.TrimSpace(strings.ReplaceAll(o.Value, "\\\n", " "))
		apply := tables[o.Section][o.Name]
		if apply == nil {
			set.ignore(ignored{name, o.Section, o.Name})
		} else if err := apply(u, value); err != nil {
			problems = append(problems, fmt.Errorf("%s: [%s] %s=%s: %w", name, o.Section, o.Name, value, err))
		}
	}
	return errors.Join(problems...)
}

// ignore notes a setting that has no effect here, once, unless it needs none.
func (set *unitSet) ignore(note ignored) {
	if !quiet(note.section, note.key) && !slices.Contains(set.ignored, note) {
		set.ignored = append(set.ignored, note)
	}
}

// quiet says whether a setting needs nothing here, so that ignoring it changes nothing.
func quiet(section, key string) bool {
	if section == "Install" || strings.HasPrefix(section, "X-") || strings.HasPrefix(key, "X-") {
		return true
	}
	return section == "Unit" && slices.Contains(quietKeys, key)
}

// check looks at the units together.
func (set *unitSet) check() error {
	var problems []error
	for _, name := range slices.Sorted(maps.Keys(set.sockets)) {
		u := set.sockets[name]
		if len(u.listen) == 0 {
			problems = append(problems, fmt.Errorf("%s: [Socket] ListenStream= is missing", name))
		}
		if set.services[u.service] == nil {
			problems = append(problems, fmt.Errorf("%s: its service %s is not among the units; add it, or set [Socket] Service=", name, u.service))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(set.services)) {
		problems = append(problems, set.checkService(set.services[name])...)
	}
	return errors.Join(problems...)
}

func (set *unitSet) checkService(u *serviceUnit) (problems []error) {
	if len(u.command.words) == 0 {
		problems = append(problems, fmt.Errorf("%s: [Service] ExecStart= is missing", u.name))
	}
	for _, socket := range u.sockets {
		if set.sockets[socket] == nil {
			problems = append(problems, fmt.Errorf("%s: [Service] Sockets=%s: is not among the units; add it", u.name, socket))
		}
	}
	// As systemd does: a service that must report to be ready has to be heard.
	if u.notifyAccess == "" || u.notifyAccess == "none" {
		u.notifyAccess = "none"
		if u.kind == "notify" {
			u.notifyAccess = "main"
		}
	}
	return problems
}

func newSocketUnit(name string) *socketUnit {
	return &socketUnit{
		name:     name,
		backlog:  -1,
		fdName:   name,
		service:  strings.TrimSuffix(name, ".socket") + ".service",
		mode:     0o666,
		triggers: ratelimit{interval: 2 * time.Second, burst: 20},
	}
}

func newServiceUnit(name string) *serviceUnit {
	return &serviceUnit{
		name:         name,
		kind:         "simple",
		env:          map[string]string{},
		startTimeout: 90 * time.Second,
		stopTimeout:  90 * time.Second,
		killSignal:   syscall.SIGTERM,
		killMode:     "control-group",
		sendSIGKILL:  true,
		restart:      "no",
		restartDelay: 100 * time.Millisecond,
		starts:       ratelimit{interval: 10 * time.Second, burst: 5},
	}
}
