package load

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net"
	"sync"
	"time"
)

// dialer makes connections and knows every one that is open.
type dialer struct {
	network, address string // fixed, for a unix socket
	tls              *tls.Config
	ctx              context.Context // done when all is to be cut off
	cancel           context.CancelFunc

	mu      sync.Mutex
	open    map[*conn]struct{}
	ips     map[target]string      // address literal that a host was resolved to
	configs map[target]*tls.Config // for its ServerName
}

func newDialer(unixSocket string, cfg *tls.Config) *dialer {
	d := &dialer{network: "tcp", tls: cfg, open: map[*conn]struct{}{}, ips: map[target]string{}, configs: map[target]*tls.Config{}}
	if unixSocket != "" {
		d.network, d.address = "unix", unixSocket
	}
	if d.tls == nil {
		d.tls = &tls.Config{}
	}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	return d
}

// dial connects. Its errors are those of net.Dialer.
func (d *dialer) dial(to target, deadline time.Time) (*conn, error) {
	address := d.address
	if address == "" {
		address = net.JoinHostPort(d.ip(to), to.port)
	}
	nd := net.Dialer{Deadline: deadline, KeepAlive: -1}
	socket, err := nd.DialContext(d.ctx, d.network, address)
	if err != nil {
		return nil, err
	}
	c, err := d.adopt(socket, to, nil, deadline)
	if err != nil {
		return nil, err
	}
	c.synRetransmits = synRetransmits(socket)
	return c, nil
}

// adopt takes charge of a connection, of which got has been read already.
func (d *dialer) adopt(socket net.Conn, to target, got []byte, deadline time.Time) (*conn, error) {
	if err := socket.SetDeadline(deadline); err != nil {
		socket.Close()
		return nil, err
	}
	c := &conn{Conn: socket, socket: socket, to: to, headerLeft: -1}
	if len(got) > 0 {
		c.Conn = &prefixed{socket, got}
	}
	if to.tls {
		c.Conn = tls.Client(socket, d.config(to))
	}
	c.r, c.w = readers.Get().(*bufio.Reader), writers.Get().(*bufio.Writer)
	c.r.Reset(c)
	c.w.Reset(c.Conn)
	d.mu.Lock()
	d.open[c] = struct{}{}
	d.mu.Unlock()
	if err := d.ctx.Err(); err != nil { // after the registration: abort has either seen c or is seen here
		d.cutOff(c)
		return nil, err
	}
	return c, nil
}

// config is made once per endpoint: a clone is big, and connections may share one.
func (d *dialer) config(to target) *tls.Config {
	d.mu.Lock()
	defer d.mu.Unlock()
	if cfg := d.configs[to]; cfg != nil {
		return cfg
	}
	cfg := d.tls.Clone()
	cfg.NextProtos = []string{"http/1.1"}
	if cfg.ServerName == "" {
		cfg.ServerName = to.host
	}
	d.configs[to] = cfg
	return cfg
}

// resolve fixes the address of an endpoint's host.
func (d *dialer) resolve(to target, ip string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ips[to] = ip
}

func (d *dialer) ip(to target) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if ip, ok := d.ips[to]; ok {
		return ip
	}
	return to.host
}

// prefixed is a connection of which something has been read already.
type prefixed struct {
	net.Conn
	got []byte
}

func (a *prefixed) Read(p []byte) (int, error) {
	if len(a.got) == 0 {
		return a.Conn.Read(p)
	}
	n := copy(p, a.got)
	a.got = a.got[n:]
	return n, nil
}

// hangUp closes a connection that is in order.
func (d *dialer) hangUp(c *conn) {
	c.Close()
	d.forget(c)
}

// cutOff closes one that is not. TLS says no goodbye then: crypto/tls would wait up to 5 s for a peer that does not read.
func (d *dialer) cutOff(c *conn) {
	c.socket.Close()
	d.forget(c)
}

func (d *dialer) forget(c *conn) {
	d.mu.Lock()
	delete(d.open, c)
	d.mu.Unlock()
	c.r.Reset(nil)
	c.w.Reset(nil)
	readers.Put(c.r)
	writers.Put(c.w)
}

// abort ends all that waits on a connection, and every later dial.
func (d *dialer) abort() {
	d.cancel()
	d.mu.Lock()
	defer d.mu.Unlock()
	for c := range d.open {
		c.socket.SetDeadline(past)
	}
}

// past is a deadline that ends what waits for it.
var past = time.Unix(1, 0)

var (
	readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 4096) }}
	writers = sync.Pool{New: func() any { return bufio.NewWriterSize(io.Discard, 2048) }}
)
