package load

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/restartbench/restartbench/bench/timeline"
)

// sockaddr is what connect(2) takes. A lane has its own: connecting writes to it.
type sockaddr = unix.Sockaddr

// reachable finds the address that a lane connects to, nil where it cannot: it does not look up names.
func (d *dialer) reachable(to target) sockaddr {
	if d.network == "unix" {
		return &unix.SockaddrUnix{Name: d.address}
	}
	ip, err := netip.ParseAddr(d.ip(to))
	ip = ip.Unmap()
	port, portErr := strconv.ParseUint(to.port, 10, 16)
	switch {
	case err != nil || portErr != nil || ip.Zone() != "":
		return nil
	case ip.Is4():
		return &unix.SockaddrInet4{Port: int(port), Addr: ip.As4()}
	}
	return &unix.SockaddrInet6{Port: int(port), Addr: ip.As16()}
}

// sendPlain sends a request on a connection of the lane's own.
func (l *lane) sendPlain(q *request, to sockaddr, seq uint64, now time.Duration) {
	fresh := l.fresh(seq)
	if !fresh {
		if w := l.kept(q.to); w != nil {
			l.begin(w, q, seq, now, fresh)
			w.r.Reused = true
			l.write(w)
			return
		}
		if l.pool.has(q.to) { // one that was handed over and kept
			l.handOver(func() { l.whole(q, seq, now) })
			return
		}
	}
	l.connect(q, to, seq, now, fresh)
}

// kept takes a kept-alive connection that the server has left alone. A client that finds it closed does not use it; a
// server that closes it a moment later cuts off a request, and that is what a keep-alive collision is.
func (l *lane) kept(to target) *wire {
	for idle := l.idle[to]; len(idle) > 0; idle = l.idle[to] {
		fd := idle[len(idle)-1]
		l.idle[to] = idle[:len(idle)-1]
		l.idles--
		if rawUntouched(fd) {
			return l.wires[fd]
		}
		l.drop(fd)
	}
	return nil
}

// begin makes w the newest of those under way.
func (l *lane) begin(w *wire, q *request, seq uint64, now time.Duration, fresh bool) {
	w.q, w.to, w.fresh = q, q.to, fresh
	w.r = timeline.Request{Seq: seq, Sent: now}
	w.got, w.received, w.body, w.inBody, w.sendErr = w.got[:0], 0, 0, false, nil
	w.prev, w.next = l.last, nil
	if l.last == nil {
		l.first = w
	} else {
		l.last.next = w
	}
	l.last = w
	l.underWay++
}

// leave takes w out of those under way.
func (l *lane) leave(w *wire) {
	if w.prev == nil {
		l.first = w.next
	} else {
		w.prev.next = w.next
	}
	if w.next == nil {
		l.last = w.prev
	} else {
		w.next.prev = w.prev
	}
	w.prev, w.next = nil, nil
	l.underWay--
}

// connect makes a connection and sends the request as soon as it is there. Over loopback that is at once.
func (l *lane) connect(q *request, to unix.Sockaddr, seq uint64, now time.Duration, fresh bool) {
	w := l.newWire()
	l.begin(w, q, seq, now, fresh)
	fd, err := unix.Socket(family(to), unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		l.notConnected(w, err)
		return
	}
	w.fd = fd
	for fd >= len(l.wires) {
		l.wires = append(l.wires, make([]*wire, fd+1-len(l.wires)+64)...)
	}
	l.wires[fd] = w
	err = unix.Connect(fd, to)
	if err != nil && !errors.Is(err, unix.EINPROGRESS) {
		l.notConnected(w, err)
		return
	}
	w.connecting = err != nil
	if w.connecting && !l.connected(w) {
		return
	}
	if err := l.poller.add(fd, w.connecting); err != nil {
		l.notConnected(w, err)
		return
	}
	if !w.connecting {
		w.r.Connect = l.clock.Now() - w.r.Sent
		l.write(w)
	}
}

func family(to unix.Sockaddr) int {
	switch to.(type) {
	case *unix.SockaddrInet4:
		return unix.AF_INET
	case *unix.SockaddrInet6:
		return unix.AF_INET6
	}
	return unix.AF_UNIX
}

// States of a TCP connection (include/net/tcp_states.h).
const (
	tcpSynSent = 2
	tcpSynRecv = 3
)

// connected looks how far the connection has come, and clears w.connecting when it is there. It returns false if it
// failed, which ends the request. The state is looked at before the error: what fails in between is seen, too.
func (l *lane) connected(w *wire) bool {
	info, infoErr := unix.GetsockoptTCPInfo(w.fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	code, err := unix.GetsockoptInt(w.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && code != 0 {
		err = unix.Errno(code)
	}
	switch {
	case err != nil:
		l.notConnected(w, err)
		return false
	case infoErr != nil, info.State == tcpSynSent, info.State == tcpSynRecv:
		return true
	case toItself(w.fd):
		// Gone at once, so that the service can have its port back.
		_ = unix.SetsockoptLinger(w.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
		l.notConnected(w, unix.ECONNREFUSED)
		return false
	}
	// Nothing else has been sent yet, so the total of retransmits is the handshake's.
	w.r.Retransmits = int(info.Total_retrans)
	w.connecting = false
	return true
}

// toItself says that a connection is one to itself: nobody listens, and the kernel happened to connect from the very port
// that was connected to (RFC 9293, section 3.5, simultaneous open).
func toItself(fd int) bool {
	from, err := unix.Getsockname(fd)
	if err != nil {
		return false
	}
	to, err := unix.Getpeername(fd)
	if err != nil {
		return false
	}
	switch from := from.(type) {
	case *unix.SockaddrInet4:
		to, ok := to.(*unix.SockaddrInet4)
		return ok && from.Port == to.Port && from.Addr == to.Addr
	case *unix.SockaddrInet6:
		to, ok := to.(*unix.SockaddrInet6)
		return ok && from.Port == to.Port && from.Addr == to.Addr
	}
	return false
}

func (l *lane) notConnected(w *wire, err error) {
	w.r.Connect = l.clock.Now() - w.r.Sent
	w.r.Outcome = connectOutcome(os.NewSyscallError("connect", err))
	l.end(w, false)
}

// write sends the request. A failure to send is no failure yet: a server may answer and close before it has read all.
func (l *lane) write(w *wire) {
	l.out = w.q.appendTo(l.out[:0], w.r.Seq, w.fresh)
	n, err := rawWrite(w.fd, l.out)
	switch {
	case err == nil && n < len(l.out), errors.Is(err, unix.EAGAIN):
		l.passOn(w, append([]byte(nil), l.out[max(0, n):]...))
	case err != nil:
		w.sendErr = err
		l.read(w)
	}
}

// happened deals with what epoll tells of a descriptor.
func (l *lane) happened(fd int, ended bool) {
	if fd >= len(l.wires) || l.wires[fd] == nil {
		return // closed since
	}
	w := l.wires[fd]
	switch {
	case w.q == nil: // idle: if it is more than room to send, the server says something unasked, most likely goodbye
		if !rawUntouched(fd) {
			l.forgetIdle(w)
			l.drop(fd)
		}
		return
	case w.connecting:
		if !l.connected(w) || w.connecting {
			return
		}
		w.r.Connect = l.clock.Now() - w.r.Sent
		w.shut = ended
		l.write(w)
		if l.wires[fd] == w && w.q != nil {
			l.read(w) // the event may have told of an answer as well
		}
		return
	}
	w.shut = ended
	l.read(w)
}

func (l *lane) forgetIdle(w *wire) {
	idle := l.idle[w.to]
	for i := len(idle) - 1; i >= 0; i-- {
		if idle[i] == w.fd {
			l.idle[w.to] = append(idle[:i], idle[i+1:]...)
			l.idles--
			return
		}
	}
}

// read reads what is there of an answer. Events come once for each change, so it reads all of it.
func (l *lane) read(w *wire) {
	for range greedy {
		n, err := rawRead(w.fd, l.buffer)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
			return
		case err != nil:
			l.failed(w, err)
			return
		case n == 0:
			l.failed(w, io.EOF)
			return
		}
		w.received += int64(n)
		if !l.take(w, l.buffer[:n]) {
			return
		}
		if n < len(l.buffer) && !w.shut {
			return // there is no more: what comes next is a new event
		}
	}
	l.poller.again(w.fd) // others want their turn
}

// take reads a piece of an answer. It returns false when w is no longer under way in this lane.
func (l *lane) take(w *wire, piece []byte) bool {
	if !w.inBody {
		head := piece
		if len(w.got) > 0 {
			w.got = append(w.got, piece...)
			head = w.got
		}
		a, how := readAnswer(head)
		switch {
		case how == strange, how == incomplete && len(head) > maxGot:
			w.got = append(w.got[:0], head...)
			w.q.score(false)
			l.passOn(w, nil)
			return false
		case how == incomplete:
			w.got = append(w.got[:0], head...)
			return true
		}
		w.header(a)
		piece = head[a.header:]
	}
	w.body -= int64(len(piece))
	w.r.Bytes += int64(len(piece)) + min(0, w.body)
	if w.body > 0 {
		return true
	}
	w.r.Outcome = l.judge(w.r.Status)
	l.end(w, w.reusable && w.body == 0 && !w.shut && w.sendErr == nil)
	return false
}

// header notes what an answer's header says.
func (w *wire) header(a answer) {
	w.inBody, w.body, w.r.Status = true, a.body, a.status
	w.reusable = !a.close && !w.fresh
	w.q.score(true)
}

// failed ends a request whose connection did.
func (l *lane) failed(w *wire, err error) {
	if w.inBody {
		w.r.Outcome = bodyOutcome(io.ErrUnexpectedEOF, err)
		l.end(w, false)
		return
	}
	if isReset(w.sendErr) || isClientLimit(w.sendErr) {
		err = w.sendErr // where sending learnt of a reset, reading saw a clean close
	}
	w.r.Outcome = headerOutcome(err, w.received)
	w.r.Hidden = w.r.Reused && w.received == 0 && w.q.replayable && (w.r.Outcome == timeline.Reset || w.r.Outcome == timeline.EOF)
	l.end(w, false)
}

// end records w's request, and keeps its connection or closes it.
func (l *lane) end(w *wire, keep bool) {
	w.r.Done = l.clock.Now()
	if l.aborted.Load() && w.r.Outcome.Dropped() {
		w.r.Outcome, w.r.Hidden = timeline.Aborted, false
	}
	l.leave(w)
	l.ended(w.r)
	w.q = nil
	switch {
	case keep && l.idles < maxIdle:
		l.idle[w.to] = append(l.idle[w.to], w.fd)
		l.idles++
	case w.fd >= 0:
		l.drop(w.fd)
	default:
		l.spare = append(l.spare, w)
	}
}

// drop closes a connection that no request is under way on.
func (l *lane) drop(fd int) {
	w := l.wires[fd]
	l.wires[fd] = nil
	rawClose(fd)
	if len(l.spare) < maxIdle {
		l.spare = append(l.spare, w)
	}
}

func (l *lane) newWire() *wire {
	n := len(l.spare)
	if n == 0 {
		return &wire{fd: -1}
	}
	w := l.spare[n-1]
	l.spare = l.spare[:n-1]
	*w = wire{fd: -1, got: w.got[:0]}
	return w
}

// passOn hands over a request under way: unsent is yet to be sent of it, w.got has come of its answer.
func (l *lane) passOn(w *wire, unsent []byte) {
	l.leave(w)
	l.wires[w.fd] = nil
	l.poller.remove(w.fd)
	file := os.NewFile(uintptr(w.fd), "")
	socket, err := net.FileConn(file) // a duplicate
	file.Close()
	if err != nil {
		w.r.Outcome, w.r.Done = timeline.ClientLimit, l.clock.Now()
		l.ended(w.r)
		return
	}
	l.handOver(func() { l.rest(w, socket, unsent) })
}
