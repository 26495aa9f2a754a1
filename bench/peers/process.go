package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// process is a program under way, with a launcher between.
type process struct {
	cmd     *exec.Cmd
	ctx     context.Context
	release context.CancelFunc
	name    string
	account *os.File
	output  bytes.Buffer
	said    bytes.Buffer
}

// start starts a program that must end within limit, or when ctx does. The caller must wait for it.
func (l *lab) start(ctx context.Context, limit time.Duration, args ...string) (*process, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", args[0], err)
	}
	defer w.Close()
	p := &process{account: r, name: filepath.Base(args[0])}
	p.ctx, p.release = context.WithTimeoutCause(ctx, limit, fmt.Errorf("still running after %v", limit))
	p.cmd = exec.CommandContext(p.ctx, l.self, append([]string{launchWord}, args...)...)
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = l.dir, &p.output, &p.said
	p.cmd.ExtraFiles = []*os.File{w}
	p.cmd.SysProcAttr = dieWithParent()
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(syscall.SIGTERM) }
	p.cmd.WaitDelay = 5 * time.Second
	if err := p.cmd.Start(); err != nil {
		r.Close()
		p.release()
		return nil, fmt.Errorf("starting %s: %w", p.name, err)
	}
	return p, nil
}

// wait returns what the program cost and printed, once it has ended with one of the codes.
func (p *process) wait(codes ...int) (usage, []byte, error) {
	defer p.release()
	defer p.account.Close()
	err := p.cmd.Wait()
	if p.ctx.Err() != nil {
		return usage{}, nil, fmt.Errorf("%s: %w", p.name, context.Cause(p.ctx))
	}
	if err != nil {
		return usage{}, nil, fmt.Errorf("%s: %w%s", p.name, err, p.lastWords())
	}
	var u usage
	if err := json.NewDecoder(io.LimitReader(p.account, 1<<10)).Decode(&u); err != nil {
		return usage{}, nil, fmt.Errorf("reading what %s cost: %w", p.name, err)
	}
	if !slices.Contains(codes, u.Code) {
		return usage{}, nil, fmt.Errorf("%s ended with code %d%s", p.name, u.Code, p.lastWords())
	}
	return u, p.output.Bytes(), nil
}

// lastWords are the end of what the program wrote to standard error, for an error.
func (p *process) lastWords() string {
	text := strings.TrimSpace(p.said.String())
	if text == "" {
		return ""
	}
	return ": " + text[max(0, len(text)-500):]
}

// do is start and wait in one.
func (l *lab) do(ctx context.Context, limit time.Duration, codes []int, args ...string) (usage, []byte, error) {
	p, err := l.start(ctx, limit, args...)
	if err != nil {
		return usage{}, nil, err
	}
	return p.wait(codes...)
}
