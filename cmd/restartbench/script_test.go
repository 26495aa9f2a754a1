package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/restartbench/restartbench/bench/timeline"
	"github.com/restartbench/restartbench/cmd/restartbench/internal/trial"
)

// TestScript runs the command line as its users do, a file a subject.
func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Setup: func(e *testscript.Env) error {
			e.Setenv("GORACE", "atexit_sleep_ms=0") // or each command takes a second more with the race detector
			e.Setenv("XDG_STATE_HOME", filepath.Join(e.WorkDir, "state"))
			e.Setenv("TMPDIR", filepath.Join(e.WorkDir, "tmp"))
			return os.Mkdir(filepath.Join(e.WorkDir, "tmp"), 0o755)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"nothing-left": nothingLeft,
			"await-load":   awaitLoad,
			"run-file":     writeRunFile,
			"take-port":    takePort,
			"free-port":    putFreePort,
			"await-port":   awaitPort,
			"expand":       expandFile,
			"exit-code":    exitCodeIs,
		},
		RequireExplicitExec: true,
	})
}

// nothingLeft fails if a process started by this script lives on, or a temporary file does.
func nothingLeft(ts *testscript.TestScript, _ bool, _ []string) {
	deadline := time.Now().Add(5 * time.Second)
	for {
		err := leftIn(ts.Getenv("WORK"), filepath.Join(ts.Getenv("WORK"), "tmp"))
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%v", err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// leftIn finds what a run left behind, if its environment named the directory work: processes, and files in tmp. A service
// has little of that environment, but its NOTIFY_SOCKET= lies in the directory; the guard has none of it, and ends with
// removing its run's files from tmp.
func leftIn(work, tmp string) error {
	environs, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, file := range environs {
		env, err := os.ReadFile(file)
		if err == nil && bytes.Contains(env, []byte(work)) {
			return fmt.Errorf("still running: %s", file)
		}
	}
	files, err := os.ReadDir(tmp)
	if err == nil && len(files) > 0 {
		err = fmt.Errorf("%s holds %v", tmp, files)
	}
	return err
}

// awaitLoad waits until the run file holds requests: await-load FILE.
func awaitLoad(ts *testscript.TestScript, _ bool, args []string) {
	deadline := time.Now().Add(20 * time.Second)
	for !holdsRequests(ts.MkAbs(args[0])) {
		if time.Now().After(deadline) {
			ts.Fatalf("%s holds no requests", args[0])
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func holdsRequests(file string) bool {
	f, err := os.Open(file)
	if err != nil {
		return false
	}
	defer f.Close()
	r, err := timeline.NewReader(f)
	if err != nil {
		return false
	}
	defer r.Close()
	for e, err := r.Next(); err == nil; e, err = r.Next() {
		if e.Requests != nil {
			return true
		}
	}
	return false
}

// writeRunFile writes the beginning of a run file of some version: run-file FILE VERSION.
func writeRunFile(ts *testscript.TestScript, _ bool, args []string) {
	z, err := zstd.NewWriter(nil)
	ts.Check(err)
	text := fmt.Sprintf(`{"header":{"format":%q,"version":%s}}`+"\n", timeline.Format, args[1])
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), z.EncodeAll([]byte(text), nil), 0o644))
}

// takePort listens on a port until the script ends, and puts its number into $port.
func takePort(ts *testscript.TestScript, _ bool, _ []string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { l.Close() })
	ts.Setenv("port", strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
}

// exitCodeIs runs a command and wants its exit code: exit-code CODE COMMAND [ARG...].
//
// Other tests share the machine. A run that was inconclusive because it got too little of it is made again, as the report
// advises.
func exitCodeIs(ts *testscript.TestScript, _ bool, args []string) {
	for try := 1; ; try++ {
		got := "0"
		if err := ts.Exec(args[1], args[2:]...); err != nil {
			got = strings.TrimPrefix(err.Error(), "exit status ")
		}
		switch {
		case got == args[0]:
			return
		case got == "3" && try < trial.Attempts:
			continue
		}
		ts.Fatalf("%s ended with %q, want exit code %s", strings.Join(args[1:], " "), got, args[0])
	}
}

// putFreePort puts the number of a port that nobody listens on into $port.
func putFreePort(ts *testscript.TestScript, _ bool, _ []string) {
	port, err := freePort()
	ts.Check(err)
	ts.Setenv("port", strconv.Itoa(port))
}

// awaitPort waits until somebody listens: await-port PORT.
func awaitPort(ts *testscript.TestScript, _ bool, args []string) {
	deadline := time.Now().Add(20 * time.Second)
	for {
		c, err := net.Dial("tcp", "127.0.0.1:"+args[0])
		if err == nil {
			c.Close()
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("nobody listens: %v", err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// expandFile replaces $name by the script's variables: expand FILE.
func expandFile(ts *testscript.TestScript, _ bool, args []string) {
	file := ts.MkAbs(args[0])
	text, err := os.ReadFile(file)
	ts.Check(err)
	ts.Check(os.WriteFile(file, []byte(os.Expand(string(text), ts.Getenv)), 0o644))
}
