package supervisor

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
)

// ErrClosed is the error of every command to a supervisor that is closed, or was never started.
var ErrClosed = errors.New("the embedded manager is not running")

// StartError says why a unit did not start, or did not stay.
type StartError struct {
	Unit    string
	Result  string // systemd's word: exit-code, signal, core-dump, timeout, protocol, resources, start-limit-hit, canceled
	Address string // of a socket that could not be opened: its ListenStream=
	Status  Exit   // of a service whose main process ended
	Err     error  // what happened, and what to do
}

func (e *StartError) Error() string { return fmt.Sprintf("start %s: %s: %v", e.Unit, e.Result, e.Err) }

func (e *StartError) Unwrap() error { return e.Err }

// Exit is how a main process ended. The zero Exit says that it has not ended, or ended with code 0; see Ended.
type Exit struct {
	Ended  bool
	Code   int            // when Signal is 0
	Signal syscall.Signal // that killed it, or 0
	Core   bool           // it dumped core
}

func (e Exit) String() string {
	switch {
	case !e.Ended:
		return "has not ended"
	case e.Core:
		return fmt.Sprintf("dumped core (%v)", e.Signal)
	case e.Signal != 0:
		return fmt.Sprintf("was killed by signal %d (%v)", int(e.Signal), e.Signal)
	}
	return fmt.Sprintf("exited with code %d", e.Code)
}

// listenError says what to do about a socket that could not be opened.
func listenError(a address, err error) error {
	hint := ""
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		hint = "; stop what listens there, or choose another ListenStream="
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		hint = "; no interface of this machine has that address"
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		hint = "; it takes more privileges, choose another ListenStream="
	}
	return fmt.Errorf("listen on %s: %w%s", a, cause(err), hint)
}

// cause strips net's wrapping, which repeats the address.
func cause(err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return err
}

// unknownUnit names the units there are.
func unknownUnit(name string, known []string) error {
	return fmt.Errorf("no unit %s under the embedded manager, only %s", name, strings.Join(known, ", "))
}
