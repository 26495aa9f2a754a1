package accuracy

import (
	"bufio"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/restartbench/restartbench/bench/timeline"
)

// stallPause is how long a staller that catches up waits between two batches.
const stallPause = 5 * time.Millisecond

// staller serves one request at a time, and stalls once. It logs when each request was answered. It is a process of its own,
// so that each side of ten thousand connections has descriptors of its own.
type staller struct {
	clock timeline.Clock
	first uint64 // the request that it stalls at
	batch int    // answers between two pauses while there is something to catch up with
	queue chan waiting
	over  chan struct{} // closed when the load has ended
	log   stallLog
}

// stallLog is the truth. Its moments are on CLOCK_MONOTONIC, in nanoseconds.
type stallLog struct {
	Answered         []int64 // by number; 0: not
	Stalled, GoingOn int64
}

// waiting is a request that is not answered yet.
type waiting struct {
	seq uint64
	c   *net.TCPConn
}

// stallerEnv makes the test binary a staller: its value is the rate and the number of requests, with a blank between.
const stallerEnv = "RESTARTBENCH_TEST_STALLER"

// runStaller is the staller's process. It writes its address, serves until its input ends, and writes its log.
func runStaller(parameters string) error {
	var rate, n uint64
	if _, err := fmt.Sscan(parameters, &rate, &n); err != nil {
		return fmt.Errorf("reading %s=%s: %w", stallerEnv, parameters, err)
	}
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return err
	}
	s := newStaller(rate, n)
	var serving, talking sync.WaitGroup
	serving.Go(s.serve)
	talking.Go(func() { acceptAll(l, &talking, s.talk) })
	fmt.Println(l.Addr())
	io.Copy(io.Discard, os.Stdin)
	close(s.over)
	l.Close()
	serving.Wait()
	talking.Wait() // the client has closed its connections
	return gob.NewEncoder(os.Stdout).Encode(s.log)
}

// catchUpRate is in requests a second. What a stall piled up is worked off fast enough to catch up with the load, and no
// faster than the client, on the same processors, can keep up with: only so do the two agree on when an answer came.
func catchUpRate(rate uint64) uint64 { return min(4*rate, rate+5000) }

// catchUp is how long that takes at least.
func catchUp(rate uint64) time.Duration {
	return time.Duration(float64(stallFor) * float64(rate) / float64(catchUpRate(rate)-rate))
}

// newStaller is for requests numbered below n.
func newStaller(rate, n uint64) *staller {
	return &staller{
		clock: timeline.NewClock(),
		first: uint64(stallBegins.Seconds() * float64(rate)),
		batch: max(1, int(stallPause.Seconds()*float64(catchUpRate(rate)))),
		queue: make(chan waiting, n),
		over:  make(chan struct{}),
		log:   stallLog{Answered: make([]int64, n)},
	}
}

// now is CLOCK_MONOTONIC.
func (s *staller) now() int64 { return s.clock.Origin().Monotonic + int64(s.clock.Now()) }

func (s *staller) talk(c *net.TCPConn) {
	defer c.Close()
	r := bufio.NewReader(c)
	for {
		seq, ok := readSeq(r)
		if !ok || seq >= uint64(len(s.log.Answered)) {
			return
		}
		s.queue <- waiting{seq, c}
	}
}

// serve answers until all is over.
func (s *staller) serve() {
	for n := 0; ; n++ {
		var w waiting
		select {
		case w = <-s.queue:
		case <-s.over:
			return
		}
		if w.seq >= s.first && s.log.GoingOn == 0 {
			s.log.Stalled = s.now()
			time.Sleep(stallFor)
			s.log.GoingOn = s.now()
		}
		io.WriteString(w.c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		s.log.Answered[w.seq] = s.now()
		if n%s.batch == 0 && len(s.queue) > 0 {
			time.Sleep(stallPause)
		}
	}
}

// startStaller starts one for n requests. What it returns ends it, which the load must have done before, and gets its log.
func startStaller(t *testing.T, rate, n uint64) (address string, end func() stallLog) {
	t.Helper()
	cmd, in, out := stallerProcess(t, rate, n)
	ended := sync.OnceValues(func() (log stallLog, err error) {
		in.Close()
		err = gob.NewDecoder(out).Decode(&log)
		return log, errors.Join(err, cmd.Wait())
	})
	t.Cleanup(func() { ended() })
	line, err := out.ReadString('\n')
	if err != nil {
		t.Fatal("the staller did not start: ", err)
	}
	return strings.TrimSpace(line), func() stallLog {
		log, err := ended()
		if err != nil {
			t.Fatal("the staller's log: ", err)
		}
		return log
	}
}

// stallerProcess runs until its input ends, which it also does when this process is killed.
func stallerProcess(t *testing.T, rate, n uint64) (cmd *exec.Cmd, in io.Closer, out *bufio.Reader) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd = exec.Command(self)
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d %d", stallerEnv, rate, n))
	cmd.Stderr = os.Stderr
	in, inErr := cmd.StdinPipe()
	stdout, outErr := cmd.StdoutPipe()
	if err := errors.Join(inErr, outErr, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	return cmd, in, bufio.NewReader(stdout)
}
