package supervisor

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// guard is the supervisor's hold on the guard process: see the package comment.
type guard struct {
	pipe    *os.File
	orders  *json.Encoder
	process *os.Process
}

// guardOrder is one line that the guard reads. One field of the first four is filled in.
type guardOrder struct {
	Add    int    `json:",omitempty"` // kill this process group at the end
	Forget int    `json:",omitempty"` // do not
	Unlink string `json:",omitempty"` // unlink this unix socket at the end
	Remove string `json:",omitempty"` // remove this directory at the end
	Keep   bool   `json:",omitempty"` // with Unlink: do not
}

// startGuard starts the guard process. It inherits nothing but its end of the pipe.
func startGuard(argv []string) (*guard, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make the guard's pipe: %w", err)
	}
	defer r.Close()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		w.Close()
		return nil, fmt.Errorf("start the guard: %w", err)
	}
	defer null.Close()
	p, err := os.StartProcess(argv[0], argv, &os.ProcAttr{
		Dir:   "/",
		Env:   []string{},
		Files: []*os.File{r, null, null},
		Sys:   &syscall.SysProcAttr{Setsid: true}, // a Ctrl-C must not reach it
	})
	if err != nil {
		w.Close()
		return nil, fmt.Errorf("start the guard %s: %w", argv[0], err)
	}
	return &guard{pipe: w, orders: json.NewEncoder(w), process: p}, nil
}

// Each order is one write(2) smaller than PIPE_BUF, so the guard never sees half of one. A failed write means that the guard
// is dead; the loop learns that by its exit.
func (g *guard) add(group int)                   { g.orders.Encode(guardOrder{Add: group}) }
func (g *guard) forget(group int)                { g.orders.Encode(guardOrder{Forget: group}) }
func (g *guard) unlink(path string)              { g.orders.Encode(guardOrder{Unlink: path}) }
func (g *guard) unlinked(path string)            { g.orders.Encode(guardOrder{Unlink: path, Keep: true}) }
func (g *guard) remove(dir string)               { g.orders.Encode(guardOrder{Remove: dir}) }
func (g *guard) wait() (*os.ProcessState, error) { return g.process.Wait() }

// close ends the guard. It kills what it was not told to forget.
func (g *guard) close() { g.pipe.Close() }

// guarded is what the guard process has to clear away.
type guarded struct {
	groups map[int]bool
	files  map[string]bool
	dirs   map[string]bool
}

// runGuard is the guard process. The end of orders is the end of the supervisor, however that came about.
func runGuard(orders io.Reader) error {
	signal.Ignore(syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM, syscall.SIGPIPE)
	left := guarded{map[int]bool{}, map[string]bool{}, map[string]bool{}}
	decoder := json.NewDecoder(orders)
	for {
		var o guardOrder
		if err := decoder.Decode(&o); err != nil {
			return left.clear()
		}
		left.note(o)
	}
}

func (left guarded) note(o guardOrder) {
	switch {
	case o.Add != 0:
		left.groups[o.Add] = true
	case o.Forget != 0:
		delete(left.groups, o.Forget)
	case o.Unlink != "" && o.Keep:
		delete(left.files, o.Unlink)
	case o.Unlink != "":
		left.files[o.Unlink] = true
	case o.Remove != "":
		left.dirs[o.Remove] = true
	}
}

// clear kills every group, more than once: SIGKILL takes all members at a time, but a member that is just changing its group
// may come late. Then it removes files.
func (left guarded) clear() error {
	for range 200 {
		for group := range left.groups {
			killGroup(group, syscall.SIGKILL)
			if !groupAlive(group) {
				delete(left.groups, group)
			}
		}
		if len(left.groups) == 0 {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	for path := range left.files {
		os.Remove(path)
	}
	for dir := range left.dirs {
		os.RemoveAll(dir)
	}
	if len(left.groups) > 0 {
		return fmt.Errorf("guard: %d process groups survive SIGKILL", len(left.groups))
	}
	return nil
}
