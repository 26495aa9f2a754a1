package systemd

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// changes are what a run changes on the machine: everything that it takes to undo it.
type changes struct {
	ID     string      `json:"id"`
	PID    int         `json:"pid"`
	Boot   string      `json:"boot"`
	Files  []string    `json:"files,omitempty"`  // that it writes, each beginning with marker(ID)
	Dirs   []string    `json:"dirs,omitempty"`   // that it makes for them
	Own    []string    `json:"own,omitempty"`    // units that those files are
	Was    []wasActive `json:"was,omitempty"`    // units of others, and how they were before; sockets first
	Layers []string    `json:"layers,omitempty"` // those of them that get drop-ins
}

// wasActive is a unit as a run found it.
type wasActive struct {
	Unit   string `json:"unit"`
	Active bool   `json:"active"`
}

// marker is the first line of every file that a run writes.
func marker(id string) string {
	return "# Written by restartbench for run " + id + ". It goes when the run ends; \"restartbench clean\" removes it if the run was killed.\n"
}

// record is changes on disk, made sure of before the first of them is made. It is a file of two lines: the changes; and, once
// units are restarted for them, a word that says so. Its lock is held as long as its run lives.
type record struct {
	changes
	file    *os.File
	applied bool // units were restarted, or were about to be
}

const (
	recordSuffix = ".run"
	appliedWord  = "applied\n"
)

// newRecord writes a record to the directory. It has its name from the first moment, so that a run that is killed while
// writing it leaves nothing but what Clean looks for: one whose first line is not whole, and with it nothing on the machine.
func newRecord(dir string, c changes) (*record, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("record the run: %w", err)
	}
	f, err := createLocked(c.path(dir))
	if err != nil {
		return nil, fmt.Errorf("record the run: %w", err)
	}
	r := &record{changes: c, file: f}
	err = r.append(c.line())
	if err == nil {
		err = syncDir(dir)
	}
	if err != nil {
		return nil, fmt.Errorf("record the run: %w", errors.Join(err, r.remove(dir)))
	}
	return r, nil
}

// createLocked makes a file that is not there yet, and locks it. Between the two a Clean may take it for a dead run's and
// remove it, so it is made until it stays.
func createLocked(path string) (*os.File, error) {
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return nil, err
		}
		err = lock(f, unix.LOCK_EX)
		if err == nil {
			err = stillThere(f, path)
		}
		if err == nil {
			return f, nil
		}
		f.Close()
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, errors.Join(err, os.Remove(path))
		}
	}
}

// lock is flock(2), which signals interrupt while it waits.
func lock(f *os.File, how int) error {
	for {
		err := unix.Flock(int(f.Fd()), how)
		if !errors.Is(err, unix.EINTR) {
			return os.NewSyscallError("flock", err)
		}
	}
}

func (c changes) line() string {
	line, err := json.Marshal(c)
	if err != nil {
		panic(err) // strings, numbers and booleans
	}
	return string(line) + "\n"
}

func (c changes) path(dir string) string { return filepath.Join(dir, c.ID+recordSuffix) }

func (r *record) append(line string) error {
	if _, err := r.file.WriteString(line); err != nil {
		return err
	}
	return r.file.Sync()
}

// apply notes that units are about to be restarted.
func (r *record) apply() error {
	if r.applied {
		return nil
	}
	r.applied = true
	if r.file == nil {
		return nil
	}
	if err := r.append(appliedWord); err != nil {
		return fmt.Errorf("record the run: %w", err)
	}
	return nil
}

// close leaves the record to Clean. A record may be one in memory alone.
func (r *record) close() error {
	if r.file == nil {
		return nil
	}
	return r.file.Close()
}

// remove says that there is nothing left to undo.
func (r *record) remove(dir string) error {
	if r.file == nil {
		return nil
	}
	err := os.Remove(r.path(dir))
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, r.close())
}

// What openRecord finds instead of changes to take back.
var (
	errLive  = errors.New("its run is under way")
	errEmpty = errors.New("its run was killed before it changed anything")
)

// openRecord takes over the record of a dead run. With errEmpty it returns one that lists nothing.
func openRecord(path string) (*record, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND, 0)
	if err != nil {
		return nil, err
	}
	r := &record{file: f}
	err = r.takeOver(path)
	if err != nil && !errors.Is(err, errEmpty) {
		f.Close()
		return nil, err
	}
	return r, err
}

func (r *record) takeOver(path string) error {
	if err := lock(r.file, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			return errLive
		}
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := stillThere(r.file, path); err != nil {
		return err
	}
	lines := bufio.NewReader(r.file)
	first, err := lines.ReadString('\n')
	switch {
	case errors.Is(err, io.EOF):
		r.ID = strings.TrimSuffix(filepath.Base(path), recordSuffix)
		return errEmpty
	case err != nil:
		return err
	}
	if err := json.Unmarshal([]byte(first), &r.changes); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if r.path(filepath.Dir(path)) != path {
		return fmt.Errorf("%s: it is the record of another run, %s", path, r.ID)
	}
	second, _ := lines.ReadString('\n')
	r.applied = second != "" // even if it is cut short: it is written before units are restarted
	return nil
}

// stillThere is an error if the file was removed, by one who had the lock before.
func stillThere(f *os.File, path string) error {
	mine, err := f.Stat()
	if err != nil {
		return err
	}
	there, err := os.Stat(path)
	if err == nil && !os.SameFile(mine, there) {
		err = fs.ErrNotExist
	}
	return err
}

// records are the paths of all records in a directory.
func records(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var paths []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), recordSuffix) {
			paths = append(paths, filepath.Join(dir, e.Name()))
		}
	}
	return paths, err
}

// temporary is the name under which a file of ours is written; systemd does not read it (systemd.unit(5) wants a suffix).
func temporary(path string) string { return path + ".tmp" }

// writeOurs writes a file that begins with the marker. It is there whole or not at all, and never takes another's place.
func writeOurs(path, id, text string) error {
	f, err := os.OpenFile(temporary(path), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(marker(id) + text)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Link(f.Name(), path) // unlike rename(2) it does not replace
	}
	return errors.Join(err, os.Remove(f.Name()))
}

// removeOurs removes a file if it is the run's, and what was left of writing it.
func removeOurs(path, id string) error {
	if err := os.Remove(temporary(path)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !strings.HasPrefix(string(text), marker(id)):
		return fmt.Errorf("%s does not begin with the line of run %s any more: it stays; remove it by hand if it is not wanted", path, id)
	}
	return os.Remove(path)
}

// removeDir removes a directory of ours, unless others have put something there.
func removeDir(path string) error {
	err := os.Remove(path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTEMPTY) {
		return nil
	}
	return err
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
