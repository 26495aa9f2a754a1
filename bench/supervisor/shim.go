package supervisor

import (
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"
)

// order tells the shim what to execute. It travels as gob: JSON would alter arguments that are not UTF-8.
type order struct {
	Parent      int // pid of the supervisor
	Args        []string
	Env         []string
	Dir         string
	DirOptional bool
}

// Exit codes of systemd for what goes wrong between fork and execve (systemd.exec(5), "Process Exit Codes").
const (
	exitChdir = 200
	exitExec  = 203
)

// shimFailure is why the shim executed nothing.
type shimFailure struct {
	Code int
	Text string
}

func (f *shimFailure) Error() string { return f.Text }

// Shim is the body of the hidden subcommand that Config.Shim names; args are what follows it on the command line. With
// "exec" it waits to be told what to execute, and becomes that. With "guard" it is the guard, until the supervisor ends. When
// it returns an error, the program should print nothing and exit with a code other than 0. The package comment says what
// both are for.
func Shim(args []string) error {
	switch {
	case len(args) == 2 && args[0] == "exec":
		fd, err := strconv.Atoi(args[1])
		if err != nil {
			return fmt.Errorf("shim: descriptor %q: %w", args[1], err)
		}
		return runShim(fd)
	case len(args) == 1 && args[0] == "guard":
		return runGuard(os.Stdin)
	}
	return errors.New("shim: it is not meant to be called by hand")
}

// runShim carries out the order that comes through the control fd. It returns only if that fails.
func runShim(fd int) error {
	runtime.LockOSThread() // PR_SET_PDEATHSIG is per thread, and stays with the one that calls execve
	syscall.CloseOnExec(fd)
	control := os.NewFile(uintptr(fd), "control")
	var o order
	if err := gob.NewDecoder(control).Decode(&o); err != nil {
		return fmt.Errorf("shim: no order came: %w", err) // the supervisor is dead
	}
	if err := dieWithParent(); err != nil {
		return fmt.Errorf("shim: %w", err)
	}
	if os.Getppid() != o.Parent {
		return errors.New("shim: the supervisor is dead")
	}
	failure := o.execute()
	if err := json.NewEncoder(control).Encode(failure); err != nil {
		return fmt.Errorf("shim: %w", errors.Join(failure, err))
	}
	return failure
}

// execute becomes the service's program. It returns only if that fails.
func (o order) execute() *shimFailure {
	if o.Dir != "" {
		if err := os.Chdir(o.Dir); err != nil && !(o.DirOptional && errors.Is(err, fs.ErrNotExist)) {
			return &shimFailure{exitChdir, fmt.Sprintf("cannot change to its directory: %v", err)}
		}
	} else if err := os.Chdir("/"); err != nil { // systemd's default
		return &shimFailure{exitChdir, err.Error()}
	}
	program, err := find(o.Args[0], o.Env)
	if err != nil {
		return &shimFailure{exitExec, fmt.Sprintf("cannot execute its program: %v", err)}
	}
	resetSignals()
	err = syscall.Exec(program, o.Args, o.ownEnv())
	return &shimFailure{exitExec, fmt.Sprintf("cannot execute %s: %v", program, err)}
}

// ownEnv is the environment with what only the process itself knows.
func (o order) ownEnv() []string {
	pid := strconv.Itoa(os.Getpid())
	env := append(o.Env, "SYSTEMD_EXEC_PID="+pid)
	for _, assignment := range o.Env {
		if strings.HasPrefix(assignment, "LISTEN_FDS=") {
			return append(env, "LISTEN_PID="+pid)
		}
	}
	return env
}

// find looks a plain name up in the service's PATH.
func find(program string, env []string) (string, error) {
	for _, assignment := range env {
		if path, ok := strings.CutPrefix(assignment, "PATH="); ok {
			if err := os.Setenv("PATH", path); err != nil {
				return "", err
			}
		}
	}
	return exec.LookPath(program)
}

// resetSignals gives the service the signal dispositions that systemd does: SIGPIPE is ignored (IgnoreSIGPIPE=), nothing else
// is, even if this program was started by nohup or in the background.
func resetSignals() {
	signal.Ignore(syscall.SIGPIPE)
	for _, sig := range []os.Signal{syscall.SIGHUP, syscall.SIGINT} {
		if signal.Ignored(sig) {
			signal.Notify(make(chan os.Signal, 1), sig) // execve makes a caught signal a default one
		}
	}
}
