package bench

import (
	"fmt"
	"math/rand/v2"
	"net"
)

// listenFree listens on a loopback port that nobody listens on, and that the kernel does not give to connections of its own
// accord (ip(7), ip_local_port_range) if there is such a one: while a service that owns its port restarts, the load's own
// connections could take it.
func listenFree() (net.Listener, error) {
	const lowest, tries = 10_000, 100 // most services that a machine has by default listen below
	low, _ := localPorts()
	for range tries {
		if low <= lowest {
			break
		}
		if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", lowest+rand.IntN(low-lowest))); err == nil {
			return l, nil
		}
	}
	return net.Listen("tcp", "127.0.0.1:0")
}

// localPorts is the range of ports that connections are made from, 0 where it is not known.
func localPorts() (low, high int) {
	if n, _ := fmt.Sscan(sysctl("net/ipv4/ip_local_port_range"), &low, &high); n != 2 || high < low {
		return 0, 0
	}
	return low, high
}
