package main

import (
	"bufio"
	"bytes"
	"context"
	"debug/buildinfo"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// facts are what the figures depend on.
type facts struct {
	Date         string `json:"date"`
	Command      string `json:"command"`
	CPU          string `json:"cpu"`
	Memory       string `json:"memory"`
	Kernel       string `json:"kernel"`
	LoadAverage  string `json:"load_average"` // before the first measure: of what else the machine did
	Go           string `json:"go"`
	Restartbench string `json:"restartbench"` // revision of the tree
	Vegeta       string `json:"vegeta"`
	Nginx        string `json:"nginx"`
	Wrk          string `json:"wrk"`
	Pairs        int    `json:"pairs"`
}

// observe reads the facts. What cannot be read is "unknown".
func observe(ctx context.Context, l *lab, o options) facts {
	average, _, _ := strings.Cut(read("/proc/loadavg"), " ")
	return facts{
		Date:         time.Now().UTC().Format(time.DateOnly),
		Command:      strings.Join(append([]string{"go -C bench/peers run ."}, o.args...), " "),
		CPU:          fmt.Sprintf("%d × %s", runtime.NumCPU(), field("/proc/cpuinfo", "model name")),
		Memory:       memory(),
		Kernel:       runtime.GOOS + " " + read("/proc/sys/kernel/osrelease"),
		LoadAverage:  average,
		Go:           runtime.Version(),
		Restartbench: revision(ctx, l.root),
		Vegeta:       moduleVersion(l.vegeta.program),
		Nginx:        version(ctx, l.target.cmd.Path),
		Wrk:          version(ctx, l.wrk),
		Pairs:        o.pairs,
	}
}

// unknown stands for a fact that could not be read.
const unknown = "unknown"

func read(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return unknown
	}
	return strings.TrimSpace(string(text))
}

// field is the first value of a key in a file of "key: value" lines.
func field(path, key string) string {
	for line := range strings.Lines(read(path)) {
		if k, v, _ := strings.Cut(line, ":"); strings.TrimSpace(k) == key {
			return strings.TrimSpace(v)
		}
	}
	return unknown
}

// revision is the commit of the tree, and whether it has changes.
func revision(ctx context.Context, root string) string {
	text, err := command(ctx, root, "git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*")
	if err != nil {
		return unknown
	}
	return text
}

// memory is how much the machine has.
func memory() string {
	var kib float64
	if _, err := fmt.Sscanf(field("/proc/meminfo", "MemTotal"), "%f kB", &kib); err != nil {
		return unknown
	}
	return inBytes.format(kib * 1024)
}

// moduleVersion is the version of the module that a program was built from.
func moduleVersion(program string) string {
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		return unknown
	}
	return info.Main.Version
}

// version is the first line of what a program prints for -v, but for its name. wrk prints it and ends with 1.
func version(ctx context.Context, program string) string {
	if program == "" {
		return "not used"
	}
	out, _ := exec.CommandContext(ctx, program, "-v").CombinedOutput()
	line := bufio.NewScanner(bytes.NewReader(out))
	if !line.Scan() {
		return unknown
	}
	text, _, _ := strings.Cut(line.Text(), " Copyright")
	return strings.TrimPrefix(strings.TrimPrefix(text, "nginx version: nginx/"), "wrk ")
}

func (f facts) markdown() string {
	return fmt.Sprintf("Measured on %s by `%s`, pairs: %d, on %s, %s of memory, %s (load average before: %s), %s, "+
		"restartbench %s, vegeta %s, nginx %s, wrk %s.\n", f.Date, f.Command, f.Pairs, f.CPU, f.Memory, f.Kernel, f.LoadAverage,
		f.Go, f.Restartbench, f.Vegeta, f.Nginx, f.Wrk)
}
