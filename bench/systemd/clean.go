package systemd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
)

// Clean takes back what runs left behind that were killed. It goes by their records in the directory state (empty: where they
// are by default), and does not touch those of runs that live: they hold a lock. It returns what it did, a line each.
//
// After a reboot nothing is left but, where state outlives it, the record; then only that goes, and what it lists.
func Clean(ctx context.Context, bus Bus, state string) (done []string, err error) {
	if state == "" {
		state = bus.stateDir()
	}
	paths, err := records(state)
	if err != nil {
		return nil, fmt.Errorf("look for what runs left behind: %w", err)
	}
	c := &cleaner{conn: &Conn{bus: bus}, state: state}
	for _, path := range paths {
		err = errors.Join(err, c.clean(ctx, path))
	}
	return c.done, errors.Join(err, c.conn.Close())
}

type cleaner struct {
	conn  *Conn
	state string
	done  []string
}

func (c *cleaner) clean(ctx context.Context, path string) error {
	r, err := openRecord(path)
	switch {
	case errors.Is(err, errLive):
		c.done = append(c.done, "leave alone what belongs to "+path+": "+err.Error())
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return nil // another has just cleaned it
	case errors.Is(err, errEmpty):
		c.done = append(c.done, "remove "+path+": "+err.Error())
		return r.remove(c.state)
	case err != nil:
		return fmt.Errorf("clean: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, closeLimit)
	defer cancel()
	w := workshop{c.conn, r.changes}
	if r.Boot != bootID() {
		w.Own, w.Was = nil, nil // units that were up then say nothing about now
	}
	did, err := w.takeBack(ctx, r.applied)
	c.done = append(c.done, did...)
	if err != nil {
		r.close()
		return fmt.Errorf("clean what run %s (process %d) left behind: %w", r.ID, r.PID, err)
	}
	c.done = append(c.done, "remove "+path)
	return r.remove(c.state)
}
