package bench

import (
	"net"
	"testing"
)

func TestPortsOfUnitsAreNotThoseOfConnections(t *testing.T) {
	low, high := localPorts()
	for range 50 {
		l, err := listenFree()
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if port := l.Addr().(*net.TCPAddr).Port; low > 10_000 && port >= low && port <= high {
			t.Errorf("port %d is one of %d to %d", port, low, high)
		}
	}
}
