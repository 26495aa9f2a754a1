package load

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/restartbench/restartbench/bench/timeline"
)

// startTLS starts net/http's server with httptest's certificate, which is good for example.com, 127.0.0.1 and ::1.
// It returns authorities that know the certificate.
func startTLS(t *testing.T, l net.Listener, cfg *tls.Config) (*httptest.Server, *x509.CertPool) {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.TLS.ServerName) }))
	if l != nil {
		s.Listener.Close()
		s.Listener = l
	}
	s.TLS = cfg
	s.Config.ErrorLog = quiet()
	s.StartTLS()
	t.Cleanup(s.Close)
	known := x509.NewCertPool()
	known.AddCert(s.Certificate())
	return s, known
}

func TestTLS(t *testing.T) {
	s, known := startTLS(t, nil, nil)
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	for _, tt := range []struct {
		name string
		host string
		tls  *tls.Config
		want timeline.Outcome
		sni  int64 // length of the server name that the server is told
	}{
		{"known authority, by address", "127.0.0.1", &tls.Config{RootCAs: known}, timeline.OK, 0},
		{"known authority, by name", "example.com", &tls.Config{RootCAs: known}, timeline.OK, int64(len("example.com"))},
		{"unknown authority", "127.0.0.1", &tls.Config{RootCAs: x509.NewCertPool()}, timeline.TLS, 0},
		{"the system's authorities", "127.0.0.1", nil, timeline.TLS, 0},
		{"another name", "localhost", &tls.Config{RootCAs: known}, timeline.TLS, 0},
		{"server_name", "localhost", &tls.Config{RootCAs: known, ServerName: "example.com"}, timeline.OK, int64(len("example.com"))},
		{"insecure", "localhost", &tls.Config{InsecureSkipVerify: true}, timeline.OK, int64(len("localhost"))},
		{"no common version", "127.0.0.1", &tls.Config{RootCAs: known, MaxVersion: tls.VersionTLS11}, timeline.TLS, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := get("https://" + net.JoinHostPort(tt.host, port))
			cfg.TLS = tt.tls
			c := newClient(t, cfg)
			c.dialer.resolve(c.requests[0].to, "127.0.0.1")
			r := c.send(t)
			if r.Outcome != tt.want || r.Bytes != tt.sni || r.Connect <= 0 {
				t.Errorf("got %s, want %s", describe(r), tt.want)
			}
			if again := c.send(t); again.Reused != (tt.want == timeline.OK) {
				t.Errorf("the next request: %s", describe(again))
			}
		})
	}
}

func TestTLSOverUnixSocket(t *testing.T) {
	l := listenUnix(t)
	_, known := startTLS(t, l, nil)
	cfg := overUnix(l.Addr().String())
	cfg.Targets[0].URL = "https://example.com/"
	cfg.TLS = &tls.Config{RootCAs: known}
	if r := newClient(t, cfg).send(t); r.Outcome != timeline.OK || r.Bytes != int64(len("example.com")) {
		t.Errorf("got %s", describe(r))
	}
}

func TestServerThatWantsACertificate(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} { // 1.3 says so only after the handshake
		t.Run(tls.VersionName(version), func(t *testing.T) {
			s, known := startTLS(t, nil, &tls.Config{ClientAuth: tls.RequireAnyClientCert, MaxVersion: version})
			cfg := get(s.URL)
			cfg.TLS = &tls.Config{RootCAs: known}
			if r := newClient(t, cfg).send(t); r.Outcome != timeline.TLS {
				t.Errorf("got %s", describe(r))
			}
		})
	}
}

// What the connection did to a handshake keeps its own name.
func TestHandshakeOutcomes(t *testing.T) {
	hello := func(p *peer) { p.r.ReadByte() } // the first byte of the client's hello, and what came with it
	for _, tt := range []struct {
		name    string
		provoke func(*peer)
		timeout time.Duration
		want    timeline.Outcome
	}{
		{"plain http", func(p *peer) { hello(p); p.answer("HTTP/1.1 400 Bad Request\r\n\r\n"); p.left() }, 0, timeline.TLS},
		{"closed", hello, 0, timeline.EOF},
		{"closed in a record", func(p *peer) { hello(p); p.Write([]byte{22, 3, 3, 1}) }, 0, timeline.EOF},
		{"reset", func(p *peer) { hello(p); p.reset() }, 0, timeline.Reset},
		{"silent", func(p *peer) { p.left() }, short, timeline.ResponseTimeout},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := get(strings.Replace(serve(t, tt.provoke), "http:", "https:", 1))
			cfg.Timeout = tt.timeout
			if r := newClient(t, cfg).send(t); r.Outcome != tt.want || r.Hidden || r.Connect <= 0 {
				t.Errorf("got %s, want %s", describe(r), tt.want)
			}
		})
	}
}

func TestTLSAnswersCutOff(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer string
		want   timeline.Outcome
	}{
		{"before the header", "", timeline.EOF},
		{"in the body", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", timeline.Truncated},
		// close_notify would have to end it (RFC 8446, section 6.1), but crypto/tls takes a bare FIN between two records too.
		{"in a body without length", "HTTP/1.0 200 OK\r\n\r\nabc", timeline.OK},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, known := startTLS(t, nil, nil)
			s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				c, _, err := w.(http.Hijacker).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				io.WriteString(c, tt.answer)
				c.(*tls.Conn).NetConn().Close()
			})
			cfg := get(s.URL)
			cfg.TLS = &tls.Config{RootCAs: known}
			if r := newClient(t, cfg).send(t); r.Outcome != tt.want {
				t.Errorf("got %s, want %s", describe(r), tt.want)
			}
		})
	}
}
