package supervisor

import (
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// notifySocket is the NOTIFY_SOCKET of a service. The loop reads it itself, without waiting: so it can read all there is
// before it handles an exit, and a service that reports to be ready and exits is seen to do both, in that order.
type notifySocket struct {
	file *os.File
	path string
}

// openNotify makes a socket at path.
func openNotify(path string) (*notifySocket, error) {
	if len(path) > sunPath {
		return nil, fmt.Errorf("notify socket %s: longer than %d bytes; use a shorter directory", path, sunPath)
	}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return nil, fmt.Errorf("make a notify socket: %w", err)
	}
	defer conn.Close()
	file, err := detach(conn, path)
	if err != nil {
		return nil, fmt.Errorf("make a notify socket: %w", err)
	}
	if err := passCredentials(int(file.Fd())); err != nil {
		file.Close()
		return nil, fmt.Errorf("ask for senders on a notify socket: %w", err)
	}
	return &notifySocket{file, path}, nil
}

func (n *notifySocket) close() {
	n.file.Close()
	os.Remove(n.path)
}

// notification is one message.
type notification struct {
	pid  int // of the sender, 0 where the system does not tell
	text string
}

// read returns a message, or false when there is none.
func (n *notifySocket) read() (notification, bool) {
	buf, oob := make([]byte, 4096), make([]byte, 256)
	for {
		size, oobSize, _, _, err := unix.Recvmsg(int(n.file.Fd()), buf, oob, unix.MSG_DONTWAIT)
		switch {
		case err == syscall.EINTR:
		case err != nil:
			return notification{}, false
		default:
			closeRights(oob[:oobSize])
			return notification{sender(oob[:oobSize]), string(buf[:size])}, true
		}
	}
}

// closeRights closes descriptors that came with a message. A sender of BARRIER=1 waits for that (sd_notify_barrier(3)).
func closeRights(oob []byte) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return
	}
	for i := range messages {
		fds, err := unix.ParseUnixRights(&messages[i])
		for _, fd := range fds {
			if err == nil {
				unix.Close(fd)
			}
		}
	}
}

// accepts says whether NotifyAccess= lets a process send notifications.
func (s *service) accepts(pid int) bool {
	if pid == 0 || pid == s.pid {
		return true
	}
	if s.notifyAccess != "all" {
		return false
	}
	group, err := unix.Getpgid(pid)
	return err != nil || group == s.group // a sender that has gone already gets the benefit of the doubt
}

// notified takes every message there is.
func (s *service) notified() {
	if s.notify == nil {
		return
	}
	for {
		n, ok := s.notify.read()
		if !ok {
			return
		}
		if s.group == 0 {
			continue // a late one, of a start that is over
		}
		if !s.accepts(n.pid) {
			s.warnOnce(fmt.Sprintf("ignored a notification from process %d: NotifyAccess=%s takes those of the main process, %d",
				n.pid, s.notifyAccess, s.pid))
			continue
		}
		for line := range strings.Lines(n.text) {
			s.notifiedOf(strings.TrimRight(line, "\n"))
		}
	}
}

// notifiedOf handles one assignment of a message (sd_notify(3)).
func (s *service) notifiedOf(line string) {
	switch {
	case line == "READY=1" && s.kind == "notify" && s.state == starting:
		s.enterRunning()
	case line == "STOPPING=1" && s.state == running:
		s.enterStopping()
	case strings.HasPrefix(line, "STATUS="):
		s.sup.output.line(s.name, line)
	}
}
