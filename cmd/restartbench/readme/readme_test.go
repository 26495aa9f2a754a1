package readme

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/restartbench/restartbench/cmd/restartbench/internal/trial"
)

func TestMain(m *testing.M) {
	trial.Prefer()
	os.Exit(m.Run())
}

const inconclusive = 3 // exit code

// TestReadme does what the README tells its reader to do. Blocks whose first line is a comment with a file's name are
// written to that file; each `$ restartbench …` of a console block is run, in order, in one directory; `echo $?` shows its
// exit code. Numbers differ from run to run, so of the output shown the words must come again, line by line.
func TestReadme(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	bin := t.TempDir()
	if err := trial.Build(filepath.Join(bin, "restartbench")); err != nil {
		t.Fatal(err)
	}
	commands := 0
	for _, b := range blocks(string(text)) {
		if file, ok := b.file(); ok {
			if err := os.WriteFile(filepath.Join(dir, file), []byte(b.text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if b.language == "console" {
			commands += runConsole(t, bin, dir, b.text)
		}
	}
	if commands == 0 {
		t.Error("the README shows no command")
	}
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
func runConsole(t *testing.T, bin, dir, text string) (commands int) {
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
			var missing []string
			if missing, code = runUntilShown(t, bin, dir, line, shown); len(missing) > 0 {
				t.Errorf("%s: the README shows %q, which is not printed any more", line, missing)
			}
		}
	}
	return commands
}

// runUntilShown runs a command until it prints what is shown. It may take several times: other tests share the machine, so that
// a run is inconclusive, and a restart may happen to meet no request in flight.
func runUntilShown(t *testing.T, bin, dir, line, shown string) (missing []string, code int) {
	t.Helper()
	for try := 1; ; try++ {
		var out string
		out, code = runLine(t, bin, dir, line)
		missing = missingWords(shown, out)
		if try == trial.Attempts || code != inconclusive && (len(missing) == 0 || try >= 3) {
			return missing, code
		}
	}
}

func runLine(t *testing.T, bin, dir, line string) (stdout string, code int) {
	t.Helper()
	var out, stderr bytes.Buffer
	cmd := exec.Command("sh", "-c", line)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &out, &stderr
	cmd.Env = append(os.Environ(), "XDG_STATE_HOME="+dir, "PATH="+bin+":"+os.Getenv("PATH"))
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

// missingWords are those of what is shown that got does not have.
func missingWords(shown, got string) (missing []string) {
	have := map[string]bool{}
	for _, w := range word.FindAllString(got, -1) {
		have[w] = true
	}
	for _, w := range word.FindAllString(shown, -1) {
		if !have[w] && !varying[w] {
			missing = append(missing, w)
		}
	}
	return missing
}
