package main

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"testing"
)

// freePort is a TCP port of the loopback interface that nobody listens on. It is none of those that the kernel gives to
// connections (ip_local_port_range in ip(7)): the tests beside make so many of those that one may have the port before it is
// listened on.
func freePort() (port int, err error) {
	from, to := 10000, 32768
	if text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range"); err == nil {
		fmt.Sscan(string(text), &to)
	}
	if to <= from {
		return 0, fmt.Errorf("no port from %d is outside of net.ipv4.ip_local_port_range, which begins at %d", from, to)
	}
	for range 100 {
		port = from + rand.IntN(to-from)
		var l net.Listener
		if l, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			return port, l.Close()
		}
	}
	return 0, err
}

func freeTCPPort(t *testing.T) string {
	t.Helper()
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(port)
}
