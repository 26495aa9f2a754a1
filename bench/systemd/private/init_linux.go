package private

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// runInit is process 1 until it becomes systemd. It returns only if that fails.
func runInit() error {
	o, err := readOrder()
	if err != nil {
		return err
	}
	for _, fd := range []int{lineFD, orderFD, guardFD} {
		unix.CloseOnExec(fd)
	}
	if err := dieWithParent(guardFD); err != nil {
		return err
	}
	syscall.Umask(0o022)
	if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil {
		return missing("namespaces", os.NewSyscallError("unshare", err))
	}
	if err := o.layRoot(); err != nil {
		return err
	}
	if err := o.layFiles(); err != nil {
		return err
	}
	if err := sendNotifySocket(); err != nil {
		return fmt.Errorf("make the notification socket: %w", err)
	}
	if err := dropCapabilities(o.OwnNetwork); err != nil {
		return err
	}
	return fmt.Errorf("execute %s: %w", o.Systemd, o.execSystemd())
}

// dieWithParent asks for SIGKILL at the end of the thread that forked this process. The pipe tells whether it has ended before
// that: getppid(2) is 0 for a parent in another PID namespace.
func dieWithParent(pipe int) error {
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return os.NewSyscallError("prctl", err)
	}
	if hungUp(pipe, 0) {
		return errors.New("its parent has ended")
	}
	return nil
}

// execSystemd becomes systemd. Its standard streams are the console, for what it says before the journal runs.
func (o order) execSystemd() error {
	console, err := openConsole()
	if err != nil {
		return err
	}
	for fd := range 3 {
		if err := unix.Dup3(console, fd, 0); err != nil {
			return os.NewSyscallError("dup3", err)
		}
	}
	args := []string{o.Systemd, "--system", "--unit=" + bootTarget}
	return syscall.Exec(o.Systemd, args, []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"LANG=C.UTF-8",
		"TERM=dumb",
		"SYSTEMD_COLORS=0",
		"container=restartbench",  // systemd leaves the machine's hardware alone, and tells of its readiness
		"NOTIFY_SOCKET=" + notify, // where
	})
}

// notify is the socket where systemd says READY=1.
const notify = "/run/restartbench/notify"

// sendNotifySocket binds a socket inside and sends it to this program, which reads it outside.
func sendNotifySocket() error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: notify}); err != nil {
		return os.NewSyscallError("bind", err)
	}
	return send(report{File: notifyFile}, fd)
}

// kept are the capabilities that systemd and all its units have at most: those that systemd-nspawn(1) leaves a container
// (--capability=). The others could change the machine: its clock, its kernel modules, its kernel log.
var kept = map[uintptr]bool{
	unix.CAP_AUDIT_CONTROL: true, unix.CAP_AUDIT_WRITE: true, unix.CAP_CHOWN: true, unix.CAP_DAC_OVERRIDE: true,
	unix.CAP_DAC_READ_SEARCH: true, unix.CAP_FOWNER: true, unix.CAP_FSETID: true, unix.CAP_IPC_OWNER: true,
	unix.CAP_KILL: true, unix.CAP_LEASE: true, unix.CAP_LINUX_IMMUTABLE: true, unix.CAP_MKNOD: true,
	unix.CAP_NET_BIND_SERVICE: true, unix.CAP_NET_BROADCAST: true, unix.CAP_NET_RAW: true, unix.CAP_SETFCAP: true,
	unix.CAP_SETGID: true, unix.CAP_SETPCAP: true, unix.CAP_SETUID: true, unix.CAP_SYS_ADMIN: true,
	unix.CAP_SYS_BOOT: true, unix.CAP_SYS_CHROOT: true, unix.CAP_SYS_NICE: true, unix.CAP_SYS_PTRACE: true,
	unix.CAP_SYS_RESOURCE: true, unix.CAP_SYS_TTY_CONFIG: true,
}

// dropCapabilities takes effect at execve(2): the bounding set of this thread limits what systemd gets.
func dropCapabilities(ownNetwork bool) error {
	for c := uintptr(0); ; c++ {
		if kept[c] || ownNetwork && c == unix.CAP_NET_ADMIN {
			continue
		}
		err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0)
		if errors.Is(err, unix.EINVAL) {
			return nil // the kernel has no more
		}
		if err != nil {
			return fmt.Errorf("drop capability %d: %w", c, err)
		}
	}
}
