package private

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// exitCode is the exit code of a command that ran inside.
type exitCode int

func (e exitCode) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// ExitCode is the code that the program should exit with.
func (e exitCode) ExitCode() int { return int(e) }

// runEnter is the outer process of a Command. It enters the namespaces of process pid, if its mount namespace is still the
// one it should be, and starts the inner process there: a process cannot change its own PID namespace (setns(2)).
func runEnter(pid, mounts string, argv []string) error {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT)
	if err := enter(filepath.Join("/proc", pid), mounts); err != nil {
		fmt.Fprintf(os.Stderr, "enter the private systemd: %v\n", err)
		return err
	}
	alive, held, err := os.Pipe() // hangs up when this process ends
	if err != nil {
		return err
	}
	defer held.Close()
	inner := &exec.Cmd{
		Path:       "/proc/self/exe", // reachable whatever the mounts are
		Args:       append(shimArgs(), append([]string{"inside"}, argv...)...),
		Stdin:      os.Stdin,
		Stdout:     os.Stdout,
		Stderr:     os.Stderr,
		ExtraFiles: []*os.File{alive},
	}
	if err := inner.Start(); err != nil {
		return err
	}
	alive.Close()
	go passOn(signals, inner.Process)
	return exitOf(inner.Wait())
}

// shimArgs is this program's command line up to the word "enter".
func shimArgs() []string {
	for i, arg := range os.Args {
		if arg == "enter" {
			return append([]string{}, os.Args[:i]...)
		}
	}
	return os.Args[:1]
}

// enter moves this process into a control group of the system whose process 1 has the entry dir in /proc, and this thread into
// its namespaces.
func enter(dir, mounts string) error {
	var files []*os.File
	defer func() { closeAll(files) }()
	for _, name := range []string{"cgroup", "ipc", "uts", "net", "pid", "mnt"} {
		f, err := os.Open(filepath.Join(dir, "ns", name))
		if err != nil {
			return errors.Join(errors.New("it has ended"), err)
		}
		files = append(files, f)
	}
	// The mount namespace is open now. If it is the right one, so were those before it, unless PIDs came round in between.
	if now, err := os.Readlink(filepath.Join(dir, "ns", "mnt")); err != nil || now != mounts {
		return errors.New("it has ended")
	}
	if err := joinCommands(dir); err != nil {
		return err
	}
	if err := unix.Unshare(unix.CLONE_FS); err != nil { // mount namespaces are for threads with a root directory of their own
		return os.NewSyscallError("unshare", err)
	}
	for _, f := range files {
		if err := unix.Setns(int(f.Fd()), 0); err != nil {
			return fmt.Errorf("setns %s: %w", f.Name(), err)
		}
	}
	return nil
}

// joinCommands moves this process out of the machine's control groups. Once in the system's namespace that could not be done:
// its old group would be out of sight.
func joinCommands(dir string) error {
	group := filepath.Join(dir, "root/sys/fs/cgroup/commands")
	if err := os.Mkdir(group, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return os.WriteFile(filepath.Join(group, "cgroup.procs"), []byte("0"), 0) // 0 is the writer
}

// passOn passes signals on until this process ends.
func passOn(signals <-chan os.Signal, to *os.Process) {
	for s := range signals {
		if s == syscall.SIGQUIT {
			s = syscall.SIGKILL // the context of the Command has ended
		}
		to.Signal(s)
	}
}

// exitOf is the exit code as a shell has it.
func exitOf(err error) error {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return err
	}
	if status := exit.Sys().(syscall.WaitStatus); status.Signaled() {
		return exitCode(128 + int(status.Signal()))
	}
	return exitCode(exit.ExitCode())
}

// insideFD is the pipe that hangs up when the outer process ends.
const insideFD = 3

// runInside is the inner process of a Command until it becomes the command.
func runInside(argv []string) error {
	unix.CloseOnExec(insideFD)
	err := dieWithParent(insideFD)
	if err == nil {
		err = execute(argv)
	}
	fmt.Fprintln(os.Stderr, err)
	return exitCode(127)
}

func execute(argv []string) error {
	path, err := exec.LookPath(argv[0])
	if err != nil {
		return err
	}
	return fmt.Errorf("execute %s: %w", path, syscall.Exec(path, argv, os.Environ()))
}
