package supervisor

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// TestMain makes the test binary play every part: the shim and the guard (by its first argument), services and a supervising
// program (by an environment variable), and the tests.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "exec-shim" {
		if err := Shim(os.Args[2:]); err != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	if part := os.Getenv("PART"); part != "" {
		os.Exit(play(part))
	}
	goleak.VerifyTestMain(m)
}

// play runs one part to its end, and returns the exit code.
func play(part string) int {
	name, arg, _ := strings.Cut(part, ":")
	switch name {
	case "serve":
		return serve(arg)
	case "exit":
		code, _ := strconv.Atoi(arg)
		return code
	case "abort":
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
	case "ready-exit":
		notify("READY=1")
		return 0
	case "hang":
		time.Sleep(time.Hour)
	case "stubborn":
		signal.Ignore(syscall.SIGTERM)
		fmt.Println("ignoring SIGTERM")
		if arg == "notify" {
			notify("READY=1")
		}
		time.Sleep(time.Hour)
	case "family":
		return family(arg)
	case "flood":
		return flood()
	case "env":
		fmt.Println("pid=" + strconv.Itoa(os.Getpid()))
		for _, assignment := range os.Environ() {
			fmt.Println(assignment)
		}
		fmt.Println("args=" + strings.Join(os.Args[1:], "|"))
		return serve("")
	case "supervise":
		return supervise(arg)
	}
	return 99
}

// serve answers every connection on the passed sockets with "pid fdname\n", until SIGTERM. With an argument "notify" it
// reports to be ready, after it finds the file $GATE if that is set.
func serve(arg string) int {
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	if gate := os.Getenv("GATE"); gate != "" {
		for {
			if _, err := os.Stat(gate); err == nil {
				break
			}
			time.Sleep(time.Millisecond)
		}
	}
	if os.Getenv("LISTEN_PID") == strconv.Itoa(os.Getpid()) {
		names := strings.Split(os.Getenv("LISTEN_FDNAMES"), ":")
		for i, name := range names {
			l, err := net.FileListener(os.NewFile(uintptr(3+i), name))
			if err != nil {
				fmt.Println(err)
				return 98
			}
			go answer(l, name)
		}
	}
	if arg == "notify" {
		notify("STATUS=up\nREADY=1")
	}
	<-term
	return 0
}

func answer(l net.Listener, name string) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		fmt.Fprintf(conn, "%d %s\n", os.Getpid(), name)
		conn.Close()
	}
}

func notify(text string) {
	conn, err := net.Dial("unixgram", os.Getenv("NOTIFY_SOCKET"))
	if err != nil {
		fmt.Println(err)
		os.Exit(97)
	}
	defer conn.Close()
	conn.Write([]byte(text))
}

// family starts a child that ignores SIGTERM, says its pid, and then serves; with "notifier", the child reports to be ready.
func family(arg string) int {
	part := "stubborn"
	if arg == "notifier" {
		part = "stubborn:notify"
	}
	exe, err := os.Executable()
	if err != nil {
		fmt.Println(err)
		return 96
	}
	child := exec.Command(exe)
	child.Env = append(os.Environ(), "PART="+part)
	out, err := child.StdoutPipe()
	if err == nil {
		err = child.Start()
	}
	if err != nil {
		fmt.Println(err)
		return 96
	}
	bufio.NewReader(out).ReadString('\n') // it ignores SIGTERM from now on
	fmt.Printf("child %d\n", child.Process.Pid)
	return serve("")
}

func flood() int {
	line := strings.Repeat("x", 10000) + "\n"
	for range 3 * lineBurst / 2 {
		io.WriteString(os.Stdout, line[len(line)-50:])
	}
	io.WriteString(os.Stdout, line)
	return serve("notify")
}

// supervise is a program that supervises the unit files in a directory, until its standard input ends.
func supervise(dir string) int {
	units := map[string]string{}
	for _, pattern := range []string{"*.socket", "*.service"} {
		files, _ := filepath.Glob(filepath.Join(dir, pattern))
		for _, path := range files {
			text, _ := os.ReadFile(path)
			units[filepath.Base(path)] = string(text)
		}
	}
	if err := superviseUnits(units, filepath.Join(dir, "run")); err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}
