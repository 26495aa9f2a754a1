package load

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"

	vegeta "github.com/tsenart/vegeta/v12/lib"
)

// request is a Target made ready to be sent again and again: nothing of it is parsed or rendered twice.
type request struct {
	url        string
	to         target
	parsed     *http.Request // shared and only read: http.ReadResponse asks it for the method
	head       []byte        // as on the wire, without the empty line that ends a header
	close      string        // header line that a fresh connection's request has in addition
	body       []byte
	replayable bool
	slow       atomic.Bool  // it takes all of HTTP to send it or to read its answers
	simple     atomic.Int32 // answers that a lane could read, less those that it could not; see score
}

// prepare makes a Target ready. Its error names the URL.
func prepare(t Target, userAgent string) (*request, error) {
	if err := t.check(); err != nil {
		return nil, err
	}
	req, err := (&vegeta.Target{Method: t.Method, URL: t.URL, Header: t.Header, Body: t.Body}).Request()
	if err != nil {
		return nil, err
	}
	complete(req, userAgent)
	var wire bytes.Buffer
	if err := req.Write(&wire); err != nil {
		return nil, fmt.Errorf("%s: %w", t.URL, err)
	}
	head, body, _ := bytes.Cut(wire.Bytes(), []byte("\r\n\r\n"))
	q := &request{url: t.URL, to: endpoint(req.URL), parsed: req, head: append(bytes.Clone(head), "\r\n"...), body: body,
		replayable: replayable(req)}
	if !has(req.Header, "Connection") {
		q.close = "Connection: close\r\n"
	}
	q.slow.Store(q.to.tls || req.Method == http.MethodHead || len(q.head)+len(q.body) > maxPlain)
	return q, nil
}

// complete does to a request what net/http's client would do. vegeta keeps the names of headers as they are spelt in a
// targets file, and net/http knows its own only by their canonical names.
func complete(req *http.Request, userAgent string) {
	for name, values := range req.Header {
		if strings.EqualFold(name, "Host") && len(values) > 0 {
			req.Host = values[0]
			delete(req.Header, name)
		}
	}
	switch {
	case len(req.Header["User-Agent"]) > 0:
	case has(req.Header, "User-Agent"): // under another spelling, which is sent; net/http's own must not be
		req.Header["User-Agent"] = []string{""}
	case userAgent != "":
		req.Header.Set("User-Agent", userAgent)
	}
	if user := req.URL.User; user != nil && !has(req.Header, "Authorization") {
		password, _ := user.Password()
		req.SetBasicAuth(user.Username(), password)
	}
}

func has(header http.Header, name string) bool {
	for n := range header {
		if strings.EqualFold(n, name) {
			return true
		}
	}
	return false
}

// write sends the request, with its number unless that is empty.
func (q *request) write(w *bufio.Writer, seq string, fresh bool) error {
	w.Write(q.head) // a bufio.Writer keeps its first error for Flush
	if seq != "" {
		w.WriteString(seqHeader + ": ")
		w.WriteString(seq)
		w.WriteString("\r\n")
	}
	if fresh {
		w.WriteString(q.close) // as clients without keep-alive do: the server is told
	}
	w.WriteString("\r\n")
	w.Write(q.body)
	return w.Flush()
}

// score notes whether a lane could read an answer. Once it could read fewer than it could not, q is slow. Many good answers
// make up for some strange ones: the few that a restart causes must not change how the rest is measured.
func (q *request) score(good bool) {
	const most = 100
	switch n := q.simple.Load(); {
	case good && n < most:
		q.simple.Add(1)
	case !good && q.simple.Add(-1) < 0:
		q.slow.Store(true)
	}
}

// appendTo renders what write writes.
func (q *request) appendTo(b []byte, seq uint64, fresh bool) []byte {
	b = append(b, q.head...)
	b = append(b, seqHeader+": "...)
	b = strconv.AppendUint(b, seq, 10)
	b = append(b, "\r\n"...)
	if fresh {
		b = append(b, q.close...)
	}
	b = append(b, "\r\n"...)
	return append(b, q.body...)
}

// seqHeader is how vegeta passes a request's number, and how the service can log it.
const seqHeader = "X-Vegeta-Seq"

// replayable says whether clients that retry on their own would send req again (net/http's Request.isReplayable).
func replayable(req *http.Request) bool {
	switch req.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return true
	}
	return has(req.Header, "Idempotency-Key") || has(req.Header, "X-Idempotency-Key")
}

// endpoint is where a URL is served: scheme and host:port.
func endpoint(u *url.URL) target {
	port := u.Port()
	if port == "" {
		port = "80"
		if u.Scheme == "https" {
			port = "443"
		}
	}
	return target{tls: u.Scheme == "https", host: u.Hostname(), port: port}
}
