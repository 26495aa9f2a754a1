package private

import (
	"bufio"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// consoleKept is how many lines a BootError can show.
const consoleKept = 20

// console keeps the last lines of what systemd wrote, and passes all on.
type console struct {
	mu    sync.Mutex
	lines []string
	log   io.Writer
}

// escapes are what systemd colours its last words with, whatever it is told (ECMA-48, control sequences).
var escapes = regexp.MustCompile("\x1b\\[[0-9;]*[A-Za-z]")

// read reads until the terminal's other side is closed for good. It must not stop before: once the terminal's buffer is full,
// systemd would wait.
func (c *console) read(r io.Reader) {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadString('\n')
		if line = strings.TrimSpace(escapes.ReplaceAllString(line, "")); line != "" {
			c.add(line)
		}
		if err != nil {
			return
		}
	}
}

func (c *console) add(line string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.lines) == consoleKept {
		c.lines = slices.Delete(c.lines, 0, 1)
	}
	c.lines = append(c.lines, line)
	if c.log != nil {
		fmt.Fprintln(c.log, line)
	}
}

func (c *console) last() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.lines)
}
