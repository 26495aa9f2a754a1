package private

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// What units may do with a file system of each kind.
const (
	plain = unix.MS_NOSUID | unix.MS_NODEV
	inert = plain | unix.MS_NOEXEC
)

// layKernelFiles mounts what the kernel makes, and empty directories in memory, on the new root.
func (o order) layKernelFiles() error {
	for _, m := range []struct {
		path, kind string
		flags      uintptr
		data       string
	}{
		{"/proc", "proc", inert, ""}, // first: the others need it, and need it to be of this PID namespace
		{"/sys", "sysfs", inert | unix.MS_RDONLY, ""},
		{"/sys/fs/cgroup", "cgroup2", inert, ""},
		{"/run", "tmpfs", plain, "mode=0755"},
		{"/tmp", "tmpfs", plain, "mode=1777"},
		{"/var/tmp", "tmpfs", plain, "mode=1777"},
		{"/dev", "tmpfs", unix.MS_NOSUID, "mode=0755"},
	} {
		if err := os.MkdirAll(m.path, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		if err := mount(m.kind, m.path, m.kind, m.flags, m.data); err != nil {
			return err
		}
	}
	if err := o.protectProc(); err != nil {
		return err
	}
	if err := layDevices(); err != nil {
		return err
	}
	return layConsole()
}

// protectProc makes read-only what changes the machine's kernel. Without this, systemd raises fs.nr_open and fs.file-max.
func (o order) protectProc() error {
	for _, path := range []string{"/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus"} {
		err := bindReadOnly(path, path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if !o.OwnNetwork {
		return nil
	}
	// The network's settings are its own.
	if err := mount("/proc/sys/net", "/proc/sys/net", "", unix.MS_BIND, ""); err != nil {
		return err
	}
	attr := unix.MountAttr{Attr_clr: unix.MOUNT_ATTR_RDONLY}
	return os.NewSyscallError("mount_setattr", unix.MountSetattr(unix.AT_FDCWD, "/proc/sys/net", 0, &attr))
}

// layDevices makes a /dev with what programs expect and no hardware: no disks, and no kernel log, which systemd writes to
// where it can.
func layDevices() error {
	for _, name := range []string{"null", "zero", "full", "random", "urandom", "tty"} {
		path := filepath.Join("/dev", name)
		if err := touch(path); err != nil {
			return err
		}
		if err := mount(oldRoot+path, path, "", unix.MS_BIND, ""); err != nil {
			return err
		}
	}
	for name, target := range map[string]string{
		"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2",
		"ptmx": "pts/ptmx",
	} {
		if err := os.Symlink(target, filepath.Join("/dev", name)); err != nil {
			return err
		}
	}
	for _, m := range []struct{ path, kind, data string }{
		{"/dev/pts", "devpts", "newinstance,ptmxmode=0666,mode=0620,gid=5"}, // group tty
		{"/dev/shm", "tmpfs", "mode=1777"},
	} {
		if err := os.Mkdir(m.path, 0o755); err != nil {
			return err
		}
		if err := mount(m.kind, m.path, m.kind, unix.MS_NOSUID|unix.MS_NOEXEC, m.data); err != nil {
			return err
		}
	}
	return nil
}

// layConsole makes /dev/console a terminal, which is what systemd wants to write to, and sends both its sides to this program.
func layConsole() error {
	master, err := unix.Open("/dev/pts/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("make the console: %w", err)
	}
	defer unix.Close(master)
	if err := unix.IoctlSetPointerInt(master, unix.TIOCSPTLCK, 0); err != nil {
		return fmt.Errorf("make the console: %w", err)
	}
	number, err := unix.IoctlGetUint32(master, unix.TIOCGPTN)
	if err != nil {
		return fmt.Errorf("make the console: %w", err)
	}
	if err := touch("/dev/console"); err != nil {
		return err
	}
	if err := mount("/dev/pts/"+strconv.Itoa(int(number)), "/dev/console", "", unix.MS_BIND, ""); err != nil {
		return err
	}
	terminal, err := openConsole()
	if err != nil {
		return err
	}
	defer unix.Close(terminal)
	return send(report{File: consoleFile}, master, terminal)
}

func openConsole() (int, error) {
	fd, err := unix.Open("/dev/console", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, &fs.PathError{Op: "open", Path: "/dev/console", Err: err}
	}
	return fd, nil
}
