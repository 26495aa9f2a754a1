package load

import (
	"net"

	"golang.org/x/sys/unix"
)

// synRetransmits is how often the SYN of a new connection was sent again: nothing else has been sent on it yet, so
// TCP_INFO's total is the handshake's (tcp(7); tcpi_total_retrans in linux/tcp.h).
func synRetransmits(socket net.Conn) int {
	tcp, ok := socket.(*net.TCPConn)
	if !ok {
		return 0
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return 0
	}
	var n int
	raw.Control(func(fd uintptr) {
		if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			n = int(info.Total_retrans)
		}
	})
	return n
}
