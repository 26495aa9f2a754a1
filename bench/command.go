package bench

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/restartbench/restartbench/bench/timeline"
)

// commandSource names a restart command's output on the timeline.
const commandSource = "restart command"

// command is the Restarter that runs a program of the user's, without a shell.
//
// The program and what it starts share a process group. When time runs out or the run is called off, the group gets
// SIGTERM and a moment later SIGKILL. Once the program has ended its group is left alone: what it left running is what it
// was meant to leave, perhaps the very service under test. For the same reason its output goes to a file and not to a
// pipe: closing a pipe would kill such a service, and waiting for its end would make the restart look long.
type command struct {
	argv  []string
	grace time.Duration // from SIGTERM to SIGKILL
	now   func() time.Duration
	emit  func(timeline.Event)
}

func newCommand(argv []string, now func() time.Duration, emit func(timeline.Event)) (*command, error) {
	if _, err := exec.LookPath(argv[0]); err != nil {
		return nil, fmt.Errorf("restart.command: %w", err)
	}
	return &command{argv, 2 * time.Second, now, emit}, nil
}

// Restart runs the command once. It fails when the command does, with its exit status.
func (c *command) Restart(ctx context.Context) error {
	output, err := os.CreateTemp("", "restartbench-output-")
	if err != nil {
		return err
	}
	defer output.Close()
	if err := os.Remove(output.Name()); err != nil { // it lives on for as long as someone has it open
		return err
	}
	cmd := exec.CommandContext(ctx, c.argv[0], c.argv[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = c.grace
	cmd.Stdout, cmd.Stderr = output, output
	err = cmd.Run()
	if ctx.Err() != nil && cmd.Process != nil {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // what of the group outlived SIGTERM
	}
	c.log(output)
	if err != nil {
		return fmt.Errorf("%s: %w", c.argv[0], err)
	}
	return nil
}

// log puts the end of the output on the timeline.
func (c *command) log(output *os.File) {
	const most = 16 << 10
	end, err := output.Seek(0, io.SeekEnd)
	if err != nil {
		return
	}
	lines := bufio.NewScanner(io.NewSectionReader(output, max(0, end-most), most))
	lines.Buffer(nil, 2*most)
	for lines.Scan() {
		c.emit(timeline.Event{Log: &timeline.Log{At: c.now(), Source: commandSource, Text: lines.Text()}})
	}
}
