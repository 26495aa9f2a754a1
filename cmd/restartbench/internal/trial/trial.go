// Package trial is what tests that run the built program share: they want their part of the machine, and try again when they
// did not get it.
package trial

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
)

// Attempts is how often a run is made at most that comes out inconclusive because it got too little of the machine. It takes
// some when other programs keep it busy: one stall of 25 ms is enough to spoil a short run.
const Attempts = 12

// Prefer has the kernel prefer this process and its children, for the sake of load generators that must be on time, while
// other packages are tested or compiled. Only root may ask for that; without it more runs have to be made again.
func Prefer() {
	const nice = -10
	threads, _ := filepath.Glob("/proc/self/task/*")
	for _, thread := range threads {
		if id, err := strconv.Atoi(filepath.Base(thread)); err == nil {
			_ = syscall.Setpriority(syscall.PRIO_PROCESS, id, nice) // whoever may not, goes without
		}
	}
}

// Build builds the program as a file, without the race detector, which would have it sleep for a second whenever it exits.
func Build(file string) error {
	out, err := exec.Command("go", "build", "-o", file, "github.com/restartbench/restartbench/cmd/restartbench").CombinedOutput()
	if err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	return nil
}
