package systemd

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/restartbench/restartbench/bench/timeline"
)

// Journal observes what the journal has of some units: their own lines, and what systemd says about them.
type Journal struct {
	Clock timeline.Clock
	Units []string
	User  bool // they are units of the user's manager
	// Command makes the command that runs journalctl; nil: exec.CommandContext. Its process must end with the context.
	Command func(ctx context.Context, name string, args ...string) *exec.Cmd
	// Name says how a unit is called on the timeline; nil: as it is.
	Name func(unit string) string

	after string // the cursor to begin behind
}

// Mark has Observe begin with what is written from now on. Without it, Observe begins where the journal ends when it is called.
func (j *Journal) Mark(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, journalLimit)
	defer cancel()
	out, complaint, err := j.output(ctx, "-n", "0", "--show-cursor")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(out)) {
		if cursor, ok := strings.CutPrefix(line, "-- cursor: "); ok {
			j.after = strings.TrimSpace(cursor)
		}
	}
	// An ordinary user may read nothing but his own lines, and journalctl takes that for no error.
	if strings.Contains(complaint, "not seeing messages") || strings.Contains(complaint, "insufficient permissions") {
		return errors.New("this user may not read the units' journal: add him to the group systemd-journal, or run as root")
	}
	return nil
}

// journalLimit bounds each journalctl that is to answer and end.
const journalLimit = 5 * time.Second

// reading is one Observe.
type reading struct {
	*Journal
	emit func(timeline.Event)
	boot string
	seen string // cursor of the last entry
}

// Observe emits the units' lines from the mark on, until ctx is done. Those written before that moment are all emitted
// when it returns, or there is a gap.
func (j *Journal) Observe(ctx context.Context, emit func(timeline.Event)) {
	r := &reading{Journal: j, emit: emit, boot: bootID()}
	from := j.Clock.Now()
	if j.after == "" {
		if err := j.Mark(context.WithoutCancel(ctx)); err != nil {
			<-ctx.Done()
			r.gap(from, err)
			return
		}
	}
	r.seen = j.after
	early := r.follow(ctx)
	<-ctx.Done()
	// Whatever became of the follower: one more journalctl reads what it has not.
	if err := r.rest(); err != nil {
		r.gap(from, errors.Join(err, early))
	}
}

func (r *reading) gap(from time.Duration, err error) {
	why := strings.ReplaceAll(err.Error(), "\n", "; ")
	r.emit(timeline.Event{Gap: &timeline.Gap{Observer: "journal", From: from, To: r.Clock.Now(), Why: why}})
}

// follow reads until ctx is done, or journalctl ends.
func (r *reading) follow(ctx context.Context) error {
	cmd := r.command(ctx, append(r.matches(), "-f", "--no-tail")...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = journalLimit
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return journalError(err, "")
	}
	err = r.read(out)
	if waited := cmd.Wait(); ctx.Err() == nil {
		err = journalError(cmp.Or(waited, err, errors.New("it ended by itself")), complaint.String())
	}
	return err
}

// rest reads what is behind the last entry seen, after the journal has taken all that was sent to it.
func (r *reading) rest() error {
	ctx, cancel := context.WithTimeout(context.Background(), journalLimit)
	defer cancel()
	// An ordinary user may not ask for it; what journald has received by now is on disk a moment later all the same.
	r.command(ctx, "--sync").Run()
	out, _, err := r.output(ctx, r.matches()...)
	if err != nil {
		return err
	}
	return r.read(bytes.NewReader(out))
}

// matches are the arguments that select the entries to come, and perhaps the last one seen. For --after-cursor loses one: where the
// entry at the cursor is not of our units, it skips the first that is (seen in systemd 252).
func (r *reading) matches() []string {
	args := []string{"-q", "-o", "json", "--all", "--no-pager"}
	if r.seen != "" { // or else the journal was empty
		args = append(args, "--cursor="+r.seen)
	}
	for _, u := range r.Units {
		if r.User {
			args = append(args, "--user-unit="+u)
		} else {
			args = append(args, "--unit="+u)
		}
	}
	return args
}

// read emits each entry. A last line without its end is no entry yet.
func (r *reading) read(from io.Reader) error {
	lines := bufio.NewReader(from)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) || errors.Is(err, os.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		e, err := parseEntry(line)
		if err != nil {
			return err
		}
		if e.cursor == r.seen {
			continue
		}
		r.seen = e.cursor
		if e.boot == r.boot || r.boot == "" {
			r.emit(timeline.Event{Log: r.event(e)})
		}
	}
}

func (r *reading) event(e entry) *timeline.Log {
	source := e.unit
	if r.Name != nil {
		source = r.Name(source)
	}
	return &timeline.Log{At: r.Clock.FromMonotonic(e.at * 1000), Source: source, Text: e.text, Priority: e.priority}
}

func (j *Journal) command(ctx context.Context, args ...string) *exec.Cmd {
	if j.Command != nil {
		return j.Command(ctx, "journalctl", args...)
	}
	return exec.CommandContext(ctx, "journalctl", args...)
}

// output runs a journalctl that ends by itself.
func (j *Journal) output(ctx context.Context, args ...string) (out []byte, complaint string, err error) {
	cmd := j.command(ctx, args...)
	cmd.WaitDelay = time.Second
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err = cmd.Output()
	if ctx.Err() != nil {
		err = fmt.Errorf("no answer within %s", journalLimit)
	}
	return out, stderr.String(), journalError(err, stderr.String())
}

// journalError says what journalctl said, and what to do.
func journalError(err error, complaint string) error {
	if err == nil {
		return nil
	}
	if said := strings.TrimSpace(complaint); said != "" {
		err = fmt.Errorf("%w: %s", err, said)
	}
	if errors.Is(err, exec.ErrNotFound) {
		return fmt.Errorf("read the journal: %w; install systemd's journalctl", err)
	}
	return fmt.Errorf("read the journal: journalctl: %w", err)
}

// entry is what we need of a journal entry (systemd.journal-fields(7)).
type entry struct {
	cursor, boot, unit, text, priority string
	at                                 int64 // µs of CLOCK_MONOTONIC at which journald received it
}

// parseEntry reads a line of journalctl -o json.
func parseEntry(line []byte) (entry, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(line, &fields); err != nil {
		return entry{}, fmt.Errorf("read the journal: journalctl's output: %w", err)
	}
	text := func(name string) string { return fieldText(fields[name]) }
	at, err := strconv.ParseInt(text("__MONOTONIC_TIMESTAMP"), 10, 64)
	if err != nil {
		return entry{}, fmt.Errorf("read the journal: __MONOTONIC_TIMESTAMP: %w", err)
	}
	return entry{
		cursor: text("__CURSOR"),
		boot:   text("_BOOT_ID"),
		// UNIT is what systemd speaks about; the unit that speaks is _SYSTEMD_UNIT.
		unit: cmp.Or(text("USER_UNIT"), text("UNIT"), text("_SYSTEMD_USER_UNIT"), text("_SYSTEMD_UNIT"), text("OBJECT_SYSTEMD_UNIT")),
		text: text("MESSAGE"), priority: priority(text("PRIORITY")),
		at: at,
	}, nil
}

// fieldText reads a field: a string; an array of bytes if it is no UTF-8; an array of either if it is there several times.
func fieldText(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	var numbers []int // not bytes: encoding/json would take those for base64
	if json.Unmarshal(raw, &numbers) == nil {
		b := make([]byte, len(numbers))
		for i, n := range numbers {
			b[i] = byte(n)
		}
		return strings.ToValidUTF8(string(b), "\uFFFD")
	}
	var several []json.RawMessage
	if json.Unmarshal(raw, &several) == nil && len(several) > 0 {
		return fieldText(several[0])
	}
	return ""
}

// priority is syslog's level in journalctl's words.
func priority(number string) string {
	words := []string{"emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"}
	n, err := strconv.Atoi(number)
	if err != nil || n < 0 || n >= len(words) {
		return ""
	}
	return words[n]
}

// bootID is this boot's, as the journal writes it; empty where there is none.
func bootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.ReplaceAll(strings.TrimSpace(string(id)), "-", "")
}
