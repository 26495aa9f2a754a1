package private

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	scratch = "/run"                // where the new root is built: the machine's /run is out of sight then
	newRoot = scratch + "/root"     // the overlay of the machine's root
	oldRoot = "/.restartbench-root" // where the machine's root is until all is taken from it
)

// layRoot gives this process a root directory of its own: overlays of the machine's file systems, whose upper layers are in
// memory, and fresh file systems where the machine's must not be seen or touched. All mounts are in this process's mount
// namespace, and the kernel drops them with it.
func (o order) layRoot() error {
	// First of all, so that no mount gets out, and nothing that is mounted outside comes in.
	if err := mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return missing("namespaces", err)
	}
	mounts, err := mountPoints()
	if err != nil {
		return err
	}
	files, err := o.openFiles() // before /run and /tmp are covered
	if err != nil {
		return err
	}
	defer closeAll(slices.Collect(maps.Values(files)))
	if err := mount("tmpfs", scratch, "tmpfs", 0, "mode=0755"); err != nil {
		return err
	}
	if err := layOverlays(mounts); err != nil {
		return err
	}
	if err := pivot(); err != nil {
		return err
	}
	if err := o.layKernelFiles(); err != nil {
		return err
	}
	if err := bindFiles(files); err != nil {
		return err
	}
	if err := unix.Unmount(oldRoot, unix.MNT_DETACH); err != nil {
		return fmt.Errorf("detach the machine's root: %w", err)
	}
	return os.Remove(oldRoot)
}

// mount is mount(2) with an error that says what.
func mount(source, target, kind string, flags uintptr, data string) error {
	if err := unix.Mount(source, target, kind, flags, data); err != nil {
		return fmt.Errorf("mount %s %s on %s: %w", kind, source, target, err)
	}
	return nil
}

// mountPoints are the paths of what is mounted, each once, those above before those below (proc_pid_mountinfo(5)).
func mountPoints() ([]string, error) {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	unescape := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	var points []string
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) > 4 {
			points = append(points, unescape.Replace(fields[4]))
		}
	}
	slices.Sort(points)
	return slices.Compact(points), nil
}

// openFiles opens what is to appear inside, by the path inside. This program itself is among them.
func (o order) openFiles() (map[string]*os.File, error) {
	files := map[string]*os.File{}
	wanted := maps.Clone(o.Files)
	wanted[o.Executable] = Program
	if real, err := filepath.EvalSymlinks("/etc/resolv.conf"); err == nil && fresh(real) {
		wanted[real] = real // systemd-resolved's is in /run
	}
	for from, to := range wanted {
		f, err := openPath(from)
		if err != nil {
			return nil, err
		}
		files[filepath.Clean(to)] = f
	}
	return files, nil
}

// openPath opens what is at a path, without rights to read it.
func openPath(path string) (*os.File, error) {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// procPath is a descriptor's entry in /proc: a path for those system calls that want one.
func procPath(f *os.File) string { return "/proc/self/fd/" + strconv.Itoa(int(f.Fd())) }

// layOverlays lays an overlay over the root, and over each file system mounted below it.
func layOverlays(mounts []string) error {
	for i, point := range mounts {
		if fresh(point) {
			continue
		}
		err := layOverlay(point, i)
		if err != nil && point == "/" {
			return missing("overlay", err)
		}
		// A file, or a kind of file system that takes no overlay.
		if err != nil && bindReadOnly(point, newRoot+point) != nil {
			continue // one that refuses root, as FUSE can, or does not answer: its mount point stays as it is
		}
	}
	return nil
}

// fresh says whether a mount point is below one that gets a file system of its own.
func fresh(point string) bool {
	for _, dir := range []string{"/proc", "/sys", "/dev", "/run", "/tmp", "/var/tmp", "/var/run"} {
		if point == dir || strings.HasPrefix(point, dir+"/") {
			return true
		}
	}
	return false
}

func layOverlay(point string, number int) error {
	lower, err := openPath(point)
	if err != nil {
		return err
	}
	defer lower.Close()
	target := filepath.Join(newRoot, point)
	upper := filepath.Join(scratch, "upper", strconv.Itoa(number))
	work := filepath.Join(scratch, "work", strconv.Itoa(number))
	if err := copyDir(point, upper); err != nil {
		return err
	}
	if err := errors.Join(os.MkdirAll(work, 0o755), os.MkdirAll(target, 0o755)); err != nil {
		return err
	}
	// By descriptor, because a path may hold the commas and colons that mean something here.
	layers := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", procPath(lower), upper, work)
	return mount("overlay", target, "overlay", 0, layers)
}

// copyDir makes an empty directory with the owner and mode of another: an overlay's root shows its upper layer's.
func copyDir(from, to string) error {
	var st unix.Stat_t
	if err := unix.Stat(from, &st); err != nil {
		return &fs.PathError{Op: "stat", Path: from, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return &fs.PathError{Op: "overlay", Path: from, Err: unix.ENOTDIR}
	}
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	return errors.Join(unix.Chown(to, int(st.Uid), int(st.Gid)), unix.Chmod(to, st.Mode&0o7777))
}

// bindReadOnly makes what is at one path appear at another, which must exist.
func bindReadOnly(from, to string) error {
	if err := mount(from, to, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return err
	}
	return readOnly(to)
}

// readOnly makes a mount read-only, with all mounts below.
func readOnly(path string) error {
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
	if err := unix.MountSetattr(unix.AT_FDCWD, path, unix.AT_RECURSIVE, &attr); err != nil {
		return missing("kernel", fmt.Errorf("make %s read-only: %w", path, err))
	}
	return nil
}

// pivot makes the overlay the root.
func pivot() error {
	if err := os.Mkdir(newRoot+oldRoot, 0o700); err != nil {
		return err
	}
	if err := unix.PivotRoot(newRoot, newRoot+oldRoot); err != nil {
		return os.NewSyscallError("pivot_root", err)
	}
	return os.Chdir("/")
}

// bindFiles makes the files appear. Their parents before them, should one be in another.
func bindFiles(files map[string]*os.File) error {
	for _, path := range slices.Sorted(maps.Keys(files)) {
		if err := bindFile(files[path], path); err != nil {
			return err
		}
	}
	return nil
}

func bindFile(f *os.File, path string) error {
	info, err := os.Stat(procPath(f))
	if err != nil {
		return err
	}
	if info.IsDir() {
		err = os.MkdirAll(path, 0o755)
	} else {
		err = touch(path)
	}
	if err != nil {
		return err
	}
	return bindReadOnly(procPath(f), path)
}

// touch makes an empty file to mount on, if there is none, and the directories above.
func touch(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	return f.Close()
}
