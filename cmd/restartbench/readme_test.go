package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestReadme does what the README tells its reader to do. Blocks whose first line is a comment with a file's name are
// written to that file; each `$ restartbench …` of a console block is run, in order, in one directory; `echo $?` shows its
// exit code. Numbers differ from run to run, so of the output shown the words must come again, line by line.
func TestReadme(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	program := buildProgram(t)
	commands := 0
	for _, b := range blocks(string(text)) {
		if file, ok := b.file(); ok {
			if err := os.WriteFile(filepath.Join(dir, file), []byte(b.text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if b.language == "console" {
			commands += runConsole(t, program, dir, b.text)
		}
	}
	if commands == 0 {
		t.Error("the README shows no command")
	}
}

// buildProgram builds what a reader has, in the directory that it returns. A test binary with the race detector in it is not
// that: it sleeps for a second whenever it exits, which is a long restart.
func buildProgram(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if out, err := exec.Command("go", "build", "-o", dir, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return dir
}

type block struct{ language, text string }

var fence = regexp.MustCompile("(?ms)^```(\\w*)\n(.*?)^```$")

func blocks(text string) (all []block) {
	for _, m := range fence.FindAllStringSubmatch(text, -1) {
		all = append(all, block{m[1], m[2]})
	}
	return all
}

var fileComment = regexp.MustCompile(`^# ([\w.-]+\.(?:yaml|socket|service))\n`)

func (b block) file() (string, bool) {
	m := fileComment.FindStringSubmatch(b.text)
	if m == nil {
		return "", false
	}
	return m[1], true
}

// runConsole runs the commands of a console block and compares what they print with what is shown.
func runConsole(t *testing.T, program, dir, text string) (commands int) {
	t.Helper()
	code := 0
	for _, step := range strings.Split("\n"+text, "\n$ ")[1:] {
		line, shown, _ := strings.Cut(step, "\n")
		switch {
		case line == "echo $?":
			if got := strconv.Itoa(code); strings.TrimSpace(shown) != got {
				t.Errorf("exit code %s, the README says %s", got, strings.TrimSpace(shown))
			}
		case strings.HasPrefix(line, "restartbench "):
			commands++
			var out string
			for try := 1; try == 1 || try < 5 && code == exitBlind; try++ { // other tests share the machine
				out, code = runLine(t, program, dir, line)
			}
			compareWords(t, line, shown, out)
		}
	}
	return commands
}

func runLine(t *testing.T, program, dir, line string) (stdout string, code int) {
	t.Helper()
	var out, stderr bytes.Buffer
	cmd := exec.Command("sh", "-c", line)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &out, &stderr
	cmd.Env = append(os.Environ(), "XDG_STATE_HOME="+dir, "PATH="+program+":"+os.Getenv("PATH"))
	err := cmd.Run()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	t.Logf("$ %s\n%s%s", line, &stderr, &out)
	return out.String(), cmd.ProcessState.ExitCode()
}

var word = regexp.MustCompile(`[A-Za-z_][A-Za-z_'-]+`)

// varying are words that come and go with chance: how a cut-off request looks to its client, and units of time.
var varying = map[string]bool{"reset": true, "eof": true, "truncated": true, "ms": true, "request": true, "requests": true, "was": true, "were": true}

func compareWords(t *testing.T, command, shown, got string) {
	t.Helper()
	have := map[string]bool{}
	for _, w := range word.FindAllString(got, -1) {
		have[w] = true
	}
	for _, w := range word.FindAllString(shown, -1) {
		if !have[w] && !varying[w] {
			t.Errorf("%s: the README shows %q, which is not printed any more", command, w)
		}
	}
}
