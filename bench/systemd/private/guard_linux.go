package private

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// Shim is the body of the hidden subcommand that Config.Shim names; args are what follows it on the command line. Errors go
// where they are read: to the caller of Boot, or to the standard error of a Command. When Shim returns an error, the program
// should print nothing and exit with the code of its ExitCode method, if it has one, or any other than 0.
//
// It is to be called instead of all else that the program does: it changes what the process and its thread are.
func Shim(args []string) error {
	// What the kernel ties to a thread stays with this one: PR_SET_PDEATHSIG of the children, and the namespaces.
	runtime.LockOSThread()
	switch {
	case len(args) == 1 && args[0] == "guard":
		return reported(runGuard())
	case len(args) == 1 && args[0] == "init":
		return reported(runInit())
	case len(args) > 3 && args[0] == "enter":
		return runEnter(args[1], args[2], args[3:])
	case len(args) > 1 && args[0] == "inside":
		return runInside(args[1:])
	}
	return errors.New("shim: it is not meant to be called by hand")
}

func reported(err error) error {
	if err != nil {
		sendFailure(err)
	}
	return err
}

// runGuard is the guard process: see the package comment.
func runGuard() error {
	signal.Ignore(syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM, syscall.SIGPIPE)
	unix.CloseOnExec(lineFD)
	unix.CloseOnExec(orderFD)
	o, err := readOrder()
	if err != nil {
		return err
	}
	group, err := newCgroup()
	if err != nil {
		return err
	}
	err = o.guard(group)
	return errors.Join(err, group.remove())
}

// guard starts process 1 and returns when it has ended, by itself or because this program has ended.
func (o order) guard(group *cgroup) error {
	first, err := o.startInit(group)
	if err != nil {
		return err
	}
	send(report{PID: first.Process.Pid})
	var wanted atomic.Bool
	go func() {
		awaitHangup(lineFD)
		wanted.Store(true)
		first.Process.Kill() // it ends a PID namespace's init whatever that does about signals (pid_namespaces(7))
	}()
	err = first.Wait() // no sooner than all else in its PID namespace has ended
	if wanted.Load() {
		return nil
	}
	if err == nil {
		return errors.New("systemd ended: exit status 0")
	}
	return fmt.Errorf("systemd ended: %w", err)
}

// startInit starts process 1 in its namespaces. Its control group namespace is not among them: that has to begin in the
// control group, where the process is only once it has begun.
func (o order) startInit(group *cgroup) (*exec.Cmd, error) {
	inherited, err := initFiles()
	if err != nil {
		return nil, err
	}
	defer closeAll(inherited)
	flags := uintptr(unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC)
	if o.OwnNetwork {
		flags |= unix.CLONE_NEWNET
	}
	first := &exec.Cmd{
		Path:       "/proc/self/exe", // the program's file may have been replaced or removed
		Args:       append(append([]string{}, o.Shim...), "init"),
		Dir:        "/",
		Env:        []string{},
		ExtraFiles: inherited,
		SysProcAttr: &syscall.SysProcAttr{
			Setsid:      true,
			Cloneflags:  flags,
			UseCgroupFD: true,
			CgroupFD:    int(group.dir.Fd()),
		},
	}
	err = first.Start()
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.ENOSPC):
		return nil, missing("namespaces", err)
	case err != nil:
		return nil, fmt.Errorf("guard: start process 1: %w", err)
	}
	return first, nil
}

// initFiles are the descriptors that process 1 inherits.
func initFiles() ([]*os.File, error) {
	line, err := unix.FcntlInt(lineFD, unix.F_DUPFD_CLOEXEC, 0) // the guard goes on using its own
	if err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	// The write end is never closed: the kernel does that when this process ends.
	var alive [2]int
	if err := unix.Pipe2(alive[:], unix.O_CLOEXEC); err != nil {
		return nil, os.NewSyscallError("pipe2", err)
	}
	return []*os.File{
		os.NewFile(uintptr(line), "line"),
		os.NewFile(orderFD, "order"),
		os.NewFile(uintptr(alive[0]), "alive"),
	}, nil
}

// awaitHangup returns when the other end of a socket or pipe has been closed for good.
func awaitHangup(fd int) {
	for !hungUp(fd, -1) {
	}
}

// hungUp waits, at most the given milliseconds, for the other end of fd to be closed. A signal can end the wait early.
func hungUp(fd, timeout int) bool {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
	n, err := unix.Poll(fds, timeout)
	return err == nil && n > 0
}
