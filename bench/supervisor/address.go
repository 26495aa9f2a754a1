package supervisor

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
)

// address is one ListenStream=.
type address struct {
	network string // tcp, tcp4 or unix
	text    string // as net.Listen takes it: host:port, a path, or @name
}

func (a address) String() string { return a.text }

// path is the file of a unix socket that has one.
func (a address) path() string {
	if a.network != "unix" || strings.HasPrefix(a.text, "@") {
		return ""
	}
	return a.text
}

// sunPath is the room for a unix socket's name: 108 bytes on Linux, 104 on macOS and the BSDs, with the zero at its end.
const sunPath = 103

// parseAddress reads a ListenStream= value (systemd.socket(5)).
func parseAddress(value string) (address, error) {
	switch {
	case strings.HasPrefix(value, "/"), strings.HasPrefix(value, "@"):
		if len(value) > sunPath {
			return address{}, fmt.Errorf("longer than the %d bytes that a unix socket's name can have", sunPath)
		}
		if value[0] == '/' {
			value = filepath.Clean(value)
		}
		return address{"unix", value}, nil
	case !strings.Contains(value, ":"):
		if port, err := strconv.ParseUint(value, 10, 16); err != nil || port == 0 {
			return address{}, errors.New("not a port, ADDRESS:PORT, [IPv6]:PORT, /path or @name")
		}
		return address{"tcp", ":" + value}, nil // all addresses, of IPv6 and IPv4
	}
	return parseTCP(value)
}

func parseTCP(value string) (address, error) {
	ap, err := netip.ParseAddrPort(value)
	if err != nil {
		if host, port, err := net.SplitHostPort(value); err == nil && host == "localhost" {
			return address{}, fmt.Errorf("systemd takes no host names here; write 127.0.0.1:%s or [::1]:%s", port, port)
		}
		return address{}, errors.New("not a port, ADDRESS:PORT, [IPv6]:PORT, /path or @name")
	}
	if ap.Port() == 0 {
		return address{}, errors.New("port 0 is not a port to listen on")
	}
	if ap.Addr().Is4() {
		return address{"tcp4", ap.String()}, nil
	}
	return address{"tcp", ap.String()}, nil
}
