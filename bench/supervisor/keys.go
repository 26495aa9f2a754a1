package supervisor

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// setter carries out one assignment to a unit. An empty value resets what an assignment of that key can add to.
type setter[U any] func(u *U, value string) error

// The keys that are honoured, by section. The package comment lists them too; a test compares.
var (
	socketKeys = map[string]setter[socketUnit]{
		"ListenStream":            (*socketUnit).setListen,
		"Backlog":                 (*socketUnit).setBacklog,
		"NoDelay":                 flag(func(u *socketUnit) *bool { return &u.noDelay }),
		"ReusePort":               flag(func(u *socketUnit) *bool { return &u.reusePort }),
		"FileDescriptorName":      (*socketUnit).setFDName,
		"Service":                 (*socketUnit).setService,
		"Accept":                  (*socketUnit).setAccept,
		"SocketMode":              (*socketUnit).setMode,
		"RemoveOnStop":            flag(func(u *socketUnit) *bool { return &u.removeOnStop }),
		"TriggerLimitIntervalSec": span(func(u *socketUnit) *time.Duration { return &u.triggers.interval }),
		"TriggerLimitBurst":       count(func(u *socketUnit) *uint64 { return &u.triggers.burst }),
	}
	unitKeys = map[string]setter[serviceUnit]{
		"StartLimitIntervalSec": span(func(u *serviceUnit) *time.Duration { return &u.starts.interval }),
		"StartLimitBurst":       count(func(u *serviceUnit) *uint64 { return &u.starts.burst }),
	}
	serviceKeys = map[string]setter[serviceUnit]{
		"Type":              choice(func(u *serviceUnit) *string { return &u.kind }, "simple", "exec", "notify"),
		"ExecStart":         (*serviceUnit).setExecStart,
		"Environment":       (*serviceUnit).setEnvironment,
		"WorkingDirectory":  (*serviceUnit).setDir,
		"TimeoutStartSec":   timeout(func(u *serviceUnit) *time.Duration { return &u.startTimeout }),
		"TimeoutStopSec":    timeout(func(u *serviceUnit) *time.Duration { return &u.stopTimeout }),
		"TimeoutSec":        (*serviceUnit).setTimeouts,
		"KillSignal":        (*serviceUnit).setKillSignal,
		"KillMode":          choice(func(u *serviceUnit) *string { return &u.killMode }, "control-group", "mixed", "process"),
		"SendSIGKILL":       flag(func(u *serviceUnit) *bool { return &u.sendSIGKILL }),
		"Restart":           choice(func(u *serviceUnit) *string { return &u.restart }, restartPolicies...),
		"RestartSec":        span(func(u *serviceUnit) *time.Duration { return &u.restartDelay }),
		"SuccessExitStatus": (*serviceUnit).setSuccess,
		"Sockets":           (*serviceUnit).setSockets,
		"NotifyAccess":      choice(func(u *serviceUnit) *string { return &u.notifyAccess }, "none", "main", "exec", "all"),
	}
	restartPolicies = []string{"no", "always", "on-success", "on-failure", "on-abnormal", "on-abort", "on-watchdog"}
	quietKeys       = []string{"Description", "Documentation", "Requires", "Wants", "After", "Before"}
)

// flag sets a systemd boolean.
func flag[U any](field func(*U) *bool) setter[U] {
	return func(u *U, value string) (err error) {
		*field(u), err = parseBool(value)
		return err
	}
}

// span sets a time span.
func span[U any](field func(*U) *time.Duration) setter[U] {
	return func(u *U, value string) (err error) {
		*field(u), err = parseTimespan(value)
		return err
	}
}

// timeout sets a time span in which 0 means never, as systemd has it for timeouts of services.
func timeout[U any](field func(*U) *time.Duration) setter[U] {
	return func(u *U, value string) error {
		d, err := parseTimespan(value)
		if d == 0 {
			d = infinity
		}
		*field(u) = d
		return err
	}
}

// count sets a number that is not negative.
func count[U any](field func(*U) *uint64) setter[U] {
	return func(u *U, value string) error {
		n, err := strconv.ParseUint(value, 10, 32)
		if err != nil {
			return errors.New("not a whole number from 0 to 4294967295")
		}
		*field(u) = n
		return nil
	}
}

// choice sets one of a few words.
func choice[U any](field func(*U) *string, words ...string) setter[U] {
	return func(u *U, value string) error {
		if !slices.Contains(words, value) {
			return fmt.Errorf("the embedded manager knows %s", strings.Join(words, ", "))
		}
		*field(u) = value
		return nil
	}
}

func parseBool(value string) (bool, error) {
	switch strings.ToLower(value) {
	case "1", "yes", "y", "true", "t", "on":
		return true, nil
	case "0", "no", "n", "false", "f", "off":
		return false, nil
	}
	return false, errors.New("not a boolean; write yes or no")
}

func (u *socketUnit) setListen(value string) error {
	if value == "" {
		u.listen = nil
		return nil
	}
	value, err := specifiers(value, u.name)
	if err != nil {
		return err
	}
	a, err := parseAddress(value)
	u.listen = append(u.listen, a)
	return err
}

func (u *socketUnit) setBacklog(value string) error {
	n, err := strconv.ParseUint(value, 10, 32)
	if err != nil {
		return errors.New("not a whole number from 0 to 4294967295")
	}
	u.backlog = int(min(n, 1<<31-1)) // listen(2) takes an int; the kernel caps it further, to net.core.somaxconn
	return nil
}

func (u *socketUnit) setFDName(value string) error {
	if value == "" {
		u.fdName = u.name
		return nil
	}
	value, err := specifiers(value, u.name)
	if err != nil {
		return err
	}
	bad := func(r rune) bool { return r <= ' ' || r >= 0x7f || r == ':' }
	if len(value) > 255 || strings.ContainsFunc(value, bad) {
		return errors.New("not up to 255 printable ASCII characters without a colon")
	}
	u.fdName = value
	return nil
}

func (u *socketUnit) setService(value string) (err error) {
	u.service, err = specifiers(value, u.name)
	if err == nil && !strings.HasSuffix(u.service, ".service") {
		err = errors.New("not the name of a .service unit")
	}
	return err
}

func (u *socketUnit) setAccept(value string) error {
	accept, err := parseBool(value)
	if accept {
		err = errors.New("the embedded manager does not start a process for each connection; use Accept=no or run under systemd")
	}
	return err
}

func (u *socketUnit) setMode(value string) error {
	mode, err := strconv.ParseUint(value, 8, 32)
	if err != nil || mode > 0o7777 {
		return errors.New("not an octal file mode such as 0660")
	}
	u.mode = uint32(mode)
	return nil
}

func (u *serviceUnit) setExecStart(value string) error {
	if value == "" {
		u.command = command{}
		return nil
	}
	if len(u.command.words) > 0 {
		return errors.New("a second command; the types that the embedded manager knows take one (an empty ExecStart= resets it)")
	}
	c, err := parseCommand(value, u.name)
	u.command = c
	return err
}

func (u *serviceUnit) setEnvironment(value string) error {
	if value == "" {
		clear(u.env)
		return nil
	}
	words, err := splitWords(value)
	if err != nil {
		return err
	}
	for _, word := range words {
		if word, err = specifiers(word, u.name); err != nil {
			return err
		}
		name, text, ok := strings.Cut(word, "=")
		if !ok || !validName(name) {
			return fmt.Errorf("%q is not NAME=value; quote a value that has blanks", word)
		}
		u.env[name] = text
	}
	return nil
}

func (u *serviceUnit) setDir(value string) error {
	value, err := specifiers(value, u.name)
	if err != nil {
		return err
	}
	u.dir, u.dirOptional = strings.CutPrefix(value, "-")
	if u.dir != "" && !filepath.IsAbs(u.dir) {
		return errors.New("not an absolute path")
	}
	return nil
}

func (u *serviceUnit) setTimeouts(value string) error {
	set := timeout(func(u *serviceUnit) *time.Duration { return &u.startTimeout })
	err := set(u, value)
	u.stopTimeout = u.startTimeout
	return err
}

func (u *serviceUnit) setKillSignal(value string) (err error) {
	u.killSignal, err = parseSignal(value)
	return err
}

// parseSignal reads a signal's name, with or without SIG, or its number.
func parseSignal(value string) (syscall.Signal, error) {
	if n, err := strconv.Atoi(value); err == nil && n > 0 && n < 65 {
		return syscall.Signal(n), nil
	}
	name := value
	if !strings.HasPrefix(name, "SIG") {
		name = "SIG" + name
	}
	if signal := unix.SignalNum(name); signal != 0 {
		return signal, nil
	}
	return 0, fmt.Errorf("%q is not a signal such as SIGTERM", value)
}

// exitNames are the names of exit statuses, after sysexits.h, that systemd.exec(5) knows.
var exitNames = []string{
	"USAGE", "DATAERR", "NOINPUT", "NOUSER", "NOHOST", "UNAVAILABLE", "SOFTWARE", "OSERR", "OSFILE", "CANTCREAT", "IOERR",
	"TEMPFAIL", "PROTOCOL", "NOPERM", "CONFIG",
}

const firstExitName = 64 // EX_USAGE

func (u *serviceUnit) setSuccess(value string) error {
	if value == "" {
		u.clean = exitStatuses{}
	}
	for _, word := range strings.Fields(value) {
		if i := slices.Index(exitNames, word); i >= 0 {
			u.clean.codes = append(u.clean.codes, firstExitName+i)
			continue
		}
		if code, err := strconv.ParseUint(word, 10, 8); err == nil {
			u.clean.codes = append(u.clean.codes, int(code))
			continue
		}
		signal, err := parseSignal(word)
		if err != nil {
			return fmt.Errorf("%q is not an exit code, a name of one, or a signal", word)
		}
		u.clean.signals = append(u.clean.signals, signal)
	}
	return nil
}

func (u *serviceUnit) setSockets(value string) error {
	for _, name := range strings.Fields(value) {
		name, err := specifiers(name, u.name)
		if err != nil {
			return err
		}
		if !strings.HasSuffix(name, ".socket") {
			return fmt.Errorf("%q is not the name of a .socket unit", name)
		}
		u.sockets = append(u.sockets, name)
	}
	if value == "" {
		u.sockets = nil
	}
	return nil
}
