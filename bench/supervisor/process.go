package supervisor

import (
	"encoding/gob"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// process is the main process of a service: the shim first, then the service's program.
type process struct {
	*os.Process
	service *service
	execed  bool // the loop's
}

// outcome is how a process ended, or how it failed to begin.
type outcome struct {
	process *process
	failure *shimFailure // the program could not be executed
	exit    Exit
}

// spawn starts the main process. The loop calls it, on its own thread.
func (s *service) spawn() error {
	control, theirs, err := controlPair()
	if err != nil {
		return err
	}
	defer theirs.Close()
	out, in, err := os.Pipe()
	if err != nil {
		control.Close()
		return fmt.Errorf("make a pipe for output: %w", err)
	}
	defer in.Close()
	p, err := s.startShim(in, theirs)
	if err != nil {
		out.Close()
		control.Close()
		return fmt.Errorf("start the shim %s: %w", s.sup.cfg.Shim[0], err)
	}
	s.process, s.pid, s.group = p, p.Pid, p.Pid
	s.sup.guard.add(p.Pid) // before the shim is told to go on
	s.sup.processes++
	s.sup.output.read(s.sup.life, s.name, out)
	order := s.order()
	s.sup.wait.Go(func() { s.sup.attend(p, control, order) })
	return nil
}

// startShim forks the shim: standard input is empty, the listening sockets follow from 3 on, its control is the last.
func (s *service) startShim(out, control *os.File) (*process, error) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	files := append([]*os.File{null, out, out}, s.descriptors()...)
	argv := append(s.sup.shim("exec"), strconv.Itoa(len(files)))
	p, err := os.StartProcess(argv[0], argv, &os.ProcAttr{
		Env:   []string{}, // the service's own comes with the order
		Files: append(files, control),
		Sys:   &syscall.SysProcAttr{Setpgid: true},
	})
	if err != nil {
		return nil, err
	}
	return &process{Process: p, service: s}, nil
}

// descriptors are the sockets that are passed. They go in blocking mode, as systemd passes them: a process before may have
// changed that, for everyone.
func (s *service) descriptors() (files []*os.File) {
	for _, k := range s.passed {
		for _, file := range k.files {
			unix.SetNonblock(int(file.Fd()), false)
			files = append(files, file)
		}
	}
	return files
}

// order is what the shim is to execute.
func (s *service) order() order {
	env := s.environment()
	return order{
		Parent: os.Getpid(), Args: s.command.expand(env), Env: environ(env), Dir: s.dir, DirOptional: s.dirOptional,
	}
}

// environment is what systemd gives a service of the system manager, and Environment= on top.
func (s *service) environment() map[string]string {
	env := map[string]string{"PATH": servicePath(), "INVOCATION_ID": s.invocation}
	if lang := os.Getenv("LANG"); lang != "" {
		env["LANG"] = lang
	}
	var names []string
	for _, k := range s.passed {
		for range k.files {
			names = append(names, k.fdName)
		}
	}
	if len(names) > 0 {
		env["LISTEN_FDS"], env["LISTEN_FDNAMES"] = strconv.Itoa(len(names)), strings.Join(names, ":")
	}
	if s.notify != nil {
		env["NOTIFY_SOCKET"] = s.notify.path
	}
	for name, value := range s.env {
		env[name] = value
	}
	return env
}

// servicePath is systemd's PATH; on macOS, also where its package manager puts programs.
func servicePath() string {
	path := "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	if runtime.GOOS == "darwin" {
		path += ":/opt/homebrew/bin"
	}
	return path
}

// controlPair makes the two ends of a shim's control. Ours wakes a goroutine when theirs closes.
func controlPair() (net.Conn, *os.File, error) {
	syscall.ForkLock.RLock() // no child of another goroutine may inherit them (macOS cannot make them close-on-exec at once)
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err == nil {
		unix.CloseOnExec(fds[0])
		unix.CloseOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, nil, fmt.Errorf("make a control for the shim: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "control"), os.NewFile(uintptr(fds[1]), "control")
	defer ours.Close()
	conn, err := net.FileConn(ours)
	if err != nil {
		theirs.Close()
		return nil, nil, fmt.Errorf("make a control for the shim: %w", err)
	}
	return conn, theirs, nil
}

// attend goes with a process from order to exit, and tells the loop of both.
func (s *Supervisor) attend(p *process, control net.Conn, order order) {
	var failure *shimFailure
	gob.NewEncoder(control).Encode(order) // an error means that the shim is dead, which Wait tells
	if answer, _ := io.ReadAll(control); len(answer) > 0 {
		failure = &shimFailure{Code: 1, Text: "the shim failed"}
		json.Unmarshal(answer, failure)
	}
	control.Close()
	if failure == nil {
		s.execs <- p // the control closed on execve(2)
	}
	state, err := p.Wait()
	exit := Exit{Ended: true}
	if status, ok := state.Sys().(syscall.WaitStatus); err == nil && ok && status.Signaled() {
		exit.Signal, exit.Core = status.Signal(), status.CoreDump()
	} else {
		exit.Code = state.ExitCode()
	}
	s.exits <- outcome{p, failure, exit}
}

// ended handles an exit, in the loop.
func (s *Supervisor) ended(o outcome) {
	s.processes--
	svc := o.process.service
	if svc.process != o.process {
		return // given up on, see service.enterDead
	}
	if o.failure != nil {
		if svc.problem == nil {
			svc.problem = fmt.Errorf("%w; check ExecStart= and WorkingDirectory=", o.failure)
		}
		if o.exit.Signal == 0 {
			o.exit.Code = o.failure.Code
		}
		s.output.line(svc.name, o.failure.Error())
	}
	svc.exited(o.exit)
}

// releaseGroup lets go of the process group. One that is not empty (KillMode=process leaves some) stays guarded.
func (s *service) releaseGroup() {
	if s.group == 0 {
		return
	}
	if groupAlive(s.group) {
		s.sup.lingering = append(s.sup.lingering, s.group)
		s.sup.lingerAt = time.Now().Add(s.sup.lingerEvery())
		s.sup.warn(s.name, "processes of it remain after it has stopped; they are killed when the run ends")
	} else {
		s.sup.guard.forget(s.group)
	}
	s.group = 0
}
