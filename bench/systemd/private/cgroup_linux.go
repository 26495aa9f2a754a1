package private

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// cgroupPrefix begins the names of all our control groups.
const cgroupPrefix = "restartbench-private-"

// cgroup is the control group that systemd takes for the root of the hierarchy: a child of this program's own, in the
// version 2 hierarchy. Where that hierarchy has no controllers, or does not hand them down, resource limits inside have no
// effect; systemd needs it for keeping track of processes alone.
//
// The guard holds a lock on the directory (flock(2)) as long as it lives. So one without a lock is a leftover, and no PID
// needs to be believed.
type cgroup struct {
	parent *os.File
	dir    *os.File
	name   string
}

// leftError is something that could not be removed.
type leftError struct{ err error }

func (e *leftError) Error() string { return e.err.Error() }
func (e *leftError) Unwrap() error { return e.err }

// newCgroup makes a control group, and removes leftovers beside it.
func newCgroup() (*cgroup, error) {
	parent, err := ownCgroup()
	if err != nil {
		return nil, err
	}
	sweep(parent)
	for range 10 {
		c, err := makeCgroup(parent)
		if err != nil {
			return nil, fmt.Errorf("make a control group: %w", err)
		}
		if c != nil {
			return c, nil
		}
	}
	return nil, errors.New("make a control group: others remove it")
}

// ownCgroup opens this process's control group by a mount of its own, which is in no mount namespace: the machine's may be
// elsewhere, or read-only, or not be there. It moves this thread to a control group namespace first, for two reasons: there
// the process's own group is the root of the mount, and a mount made elsewhere would set the hierarchy's options (nsdelegate
// and others in cgroups(7)) anew for the whole machine.
func ownCgroup() (*os.File, error) {
	if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil {
		return nil, missing("namespaces", os.NewSyscallError("unshare", err))
	}
	context, err := unix.Fsopen("cgroup2", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, missing("cgroup2", os.NewSyscallError("fsopen", err))
	}
	defer unix.Close(context)
	if err := unix.FsconfigCreate(context); err != nil {
		return nil, missing("cgroup2", os.NewSyscallError("fsconfig", err))
	}
	root, err := unix.Fsmount(context, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		return nil, missing("cgroup2", os.NewSyscallError("fsmount", err))
	}
	defer unix.Close(root)
	return openDir(root, ".")
}

func openDir(at int, name string) (*os.File, error) {
	fd, err := unix.Openat(at, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

// makeCgroup returns nil if another guard took it for a leftover before it was locked.
func makeCgroup(parent *os.File) (*cgroup, error) {
	name := cgroupPrefix + strconv.Itoa(os.Getpid()) + "-" + strings.ToLower(rand.Text()[:8])
	if err := unix.Mkdirat(int(parent.Fd()), name, 0o755); err != nil {
		return nil, &fs.PathError{Op: "mkdir", Path: name, Err: err}
	}
	dir, err := openDir(int(parent.Fd()), name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	c := &cgroup{parent, dir, name}
	if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX); err != nil {
		return nil, errors.Join(os.NewSyscallError("flock", err), c.remove())
	}
	if _, err := os.Stat(c.path()); errors.Is(err, fs.ErrNotExist) {
		dir.Close()
		return nil, nil
	}
	return c, nil
}

// path reaches the directory through its parent: no mount leads there.
func (c *cgroup) path() string {
	return filepath.Join("/proc/self/fd", strconv.Itoa(int(c.parent.Fd())), c.name)
}

// sweep removes what killed guards left. What it cannot remove is no reason not to boot.
func sweep(parent *os.File) {
	entries, err := os.ReadDir(filepath.Join("/proc/self/fd", strconv.Itoa(int(parent.Fd()))))
	if err != nil {
		return
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), cgroupPrefix) {
			continue
		}
		dir, err := openDir(int(parent.Fd()), e.Name())
		if err != nil {
			continue // its guard has removed it
		}
		if unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			(&cgroup{parent, dir, e.Name()}).remove()
		}
		dir.Close()
	}
}

// removeLimit is how long killed processes may take to leave a control group.
const removeLimit = 5 * time.Second

// remove kills what is in the group, if anything is, and removes it with all below.
func (c *cgroup) remove() error {
	// Empty as a rule: the end of a PID namespace's process 1 is the end of all in it.
	kill := os.WriteFile(filepath.Join(c.path(), "cgroup.kill"), []byte("1"), 0)
	began := time.Now()
	for {
		err := c.removeAll()
		if _, gone := os.Stat(c.path()); errors.Is(gone, fs.ErrNotExist) {
			return nil
		}
		if !errors.Is(err, unix.EBUSY) || time.Since(began) > removeLimit {
			return &leftError{fmt.Errorf("remove the control group: %w", errors.Join(err, kill))}
		}
		time.Sleep(time.Millisecond) // a process that was killed leaves its group a little later
	}
}

// removeAll removes the directories from the leaves up. The files in them go with them.
func (c *cgroup) removeAll() error {
	var dirs []string
	err := filepath.WalkDir(c.path(), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			dirs = append(dirs, path)
		}
		return err
	})
	for _, dir := range slices.Backward(dirs) {
		err = errors.Join(err, unix.Rmdir(dir))
	}
	return err
}
