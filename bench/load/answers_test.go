package load

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/restartbench/restartbench/bench/timeline"
)

// An answer is written as is, whereupon the server closes, or waits for the next request on the same connection.
var answers = []struct {
	name   string
	method string // GET if empty
	answer string
	close  bool

	want  timeline.Outcome
	code  int
	bytes int64
	reuse bool // the next request goes out on the same connection
}{
	{name: "content length", answer: okAnswer, code: 200, bytes: 2, reuse: true},
	{name: "empty body", answer: "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", code: 200, reuse: true},
	{name: "no reason phrase", answer: "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", code: 200, reuse: true},
	{name: "HEAD has a length and no body", method: "HEAD", answer: "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", code: 200, reuse: true},
	{name: "HEAD chunked", method: "HEAD", answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", code: 200, reuse: true},
	{name: "204", answer: "HTTP/1.1 204 No Content\r\n\r\n", code: 204, reuse: true},
	{name: "304 has a length and no body", answer: "HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n", code: 304, reuse: true},
	{name: "302 is not followed", answer: "HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n", code: 302, reuse: true},
	{name: "404", answer: "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", code: 404, reuse: true},
	{name: "500", answer: "HTTP/1.1 500 Oops\r\nContent-Length: 2\r\n\r\nno", want: timeline.HTTP5xx, code: 500, bytes: 2, reuse: true},
	{name: "503 and close", answer: "HTTP/1.1 503 Later\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", close: true,
		want: timeline.HTTP5xx, code: 503},
	{name: "100 first", answer: "HTTP/1.1 100 Continue\r\n\r\n" + okAnswer, code: 200, bytes: 2, reuse: true},
	{name: "100, 103, 103", answer: "HTTP/1.1 100 Continue\r\n\r\n" + strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: </s>\r\n\r\n", 2) + okAnswer,
		code: 200, bytes: 2, reuse: true},
	{name: "101 leaves HTTP", answer: "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", code: 101},
	{name: "chunked", answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n1\r\nd\r\n0\r\n\r\n", code: 200, bytes: 4, reuse: true},
	{name: "chunked with trailers", answer: "HTTP/1.1 200 OK\r\nTrailer: A\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nA: 1\r\nB: 2\r\n\r\n",
		code: 200, bytes: 3, reuse: true},
	{name: "connection close", answer: "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", code: 200, bytes: 2},
	{name: "until the connection ends", answer: "HTTP/1.1 200 OK\r\n\r\nsome text", close: true, code: 200, bytes: 9},
	{name: "HTTP/1.0 without length", answer: "HTTP/1.0 200 OK\r\n\r\nsome text", close: true, code: 200, bytes: 9},
	{name: "HTTP/1.0 with length", answer: "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", code: 200, bytes: 2},
	{name: "HTTP/1.0 kept alive", answer: "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", code: 200, bytes: 2, reuse: true},
	{name: "junk behind the answer", answer: okAnswer + "HTTP/1.1 500 Unasked\r\n\r\n", code: 200, bytes: 2},
	{name: "answer as it closes", answer: okAnswer, close: true, code: 200, bytes: 2},
	{name: "long header", answer: "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("a", maxHeader/2) + "\r\nContent-Length: 0\r\n\r\n", code: 200, reuse: true},

	{name: "header too long", answer: "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("a", maxHeader+1), want: timeline.Malformed},
	{name: "bare line feeds", answer: "HTTP/1.1 200 OK\nContent-Length: 2\n\nok", code: 200, bytes: 2, reuse: true},
	{name: "bare line feeds of HTTP/1.0", answer: "HTTP/1.0 200 OK\n\nok", close: true, code: 200, bytes: 2},

	{name: "banner", answer: "SSH-2.0-OpenSSH_9.2\r\n", want: timeline.Malformed},
	{name: "not HTTP", answer: "SSH-2.0-OpenSSH_9.2\r\n\r\n", want: timeline.Malformed},
	{name: "status line malformed", answer: "HTTP/1.1 OK\r\n\r\n", want: timeline.Malformed},
	{name: "status not a number", answer: "HTTP/1.1 2xx OK\r\n\r\n", want: timeline.Malformed},
	{name: "status below 100", answer: "HTTP/1.1 000 Nothing\r\n\r\n" + okAnswer, want: timeline.Malformed},
	{name: "HTTP/2 unasked", answer: "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n", want: timeline.Malformed},
	{name: "header malformed", answer: "HTTP/1.1 200 OK\r\nno colon\r\n\r\n", want: timeline.Malformed},
	{name: "length not a number", answer: "HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\nok", want: timeline.Malformed},
	{name: "chunk malformed", answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\nabc\r\n", want: timeline.Malformed, code: 200},
	{name: "chunk longer than it says", answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n",
		want: timeline.Malformed, code: 200, bytes: 1},

	{name: "closed without a word", close: true, want: timeline.EOF},
	{name: "status line cut", answer: "HTTP/1.1 2", close: true, want: timeline.Truncated},
	{name: "header cut", answer: "HTTP/1.1 200 OK\r\nContent-Le", close: true, want: timeline.Truncated},
	{name: "cut after 100", answer: "HTTP/1.1 100 Continue\r\n\r\n", close: true, want: timeline.Truncated},
	{name: "body cut", answer: "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok", close: true, want: timeline.Truncated, code: 200, bytes: 2},
	{name: "body missing", answer: "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", close: true, want: timeline.Truncated, code: 200},
	{name: "chunk cut", answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", close: true, want: timeline.Truncated, code: 200, bytes: 2},
	{name: "last chunk missing", answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n", close: true,
		want: timeline.Truncated, code: 200, bytes: 2},
	{name: "trailer cut", answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nA: ", close: true,
		want: timeline.Truncated, code: 200, bytes: 2},
	{name: "trailer missing", answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n", close: true,
		want: timeline.Truncated, code: 200, bytes: 2},
}

func TestAnswers(t *testing.T) { eachWay(t, testAnswers) }

func testAnswers(t *testing.T, newClient makeClient) {
	for _, tt := range answers {
		t.Run(tt.name, func(t *testing.T) {
			url := serve(t, func(p *peer) {
				for p.request() != nil {
					p.answer(tt.answer)
					if tt.close {
						return
					}
				}
			})
			cfg := get(url)
			if tt.method != "" {
				cfg.Targets[0].Method = tt.method
			}
			c := newClient(t, cfg)
			r := c.send(t)
			if r.Outcome != tt.want || r.Status != tt.code || r.Bytes != tt.bytes || r.Reused {
				t.Errorf("got %s", describe(r))
			}
			if tt.close {
				waitSpoilt(t, c)
			}
			if again := c.send(t); again.Reused != tt.reuse || again.Outcome != tt.want {
				t.Errorf("the next request: %s, want reused %t", describe(again), tt.reuse)
			}
		})
	}
}

func TestBodiesAreNotKeptInMemory(t *testing.T) { eachWay(t, testBodiesAreNotKeptInMemory) }

func testBodiesAreNotKeptInMemory(t *testing.T, newClient makeClient) {
	const size = 32 << 20
	block := make([]byte, 64<<10)
	url := serve(t, func(p *peer) {
		for p.request() != nil {
			p.answer(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", size))
			for range size / len(block) {
				p.Write(block)
			}
		}
	})
	c := newClient(t, get(url))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	r := c.send(t)
	runtime.ReadMemStats(&after)
	if r.Outcome != timeline.OK || r.Bytes != size {
		t.Errorf("got %s", describe(r))
	}
	if got := after.TotalAlloc - before.TotalAlloc; got > 1<<20 {
		t.Errorf("%d bytes allocated for a body of %d", got, size)
	}
}

// seen is what a server saw of a request.
type seen struct {
	line, host, agent, header, body string
	length                          int64
	close                           bool
}

func TestRequestsAsTheServerSeesThem(t *testing.T) { eachWay(t, testRequestsAsTheServerSeesThem) }

func testRequestsAsTheServerSeesThem(t *testing.T, newClient makeClient) {
	got := make(chan seen, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- seen{r.Method + " " + r.RequestURI, r.Host, r.UserAgent(), r.Header.Get("X-A"), string(body), r.ContentLength, r.Close}
	}))
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	header := func(pairs ...string) http.Header {
		h := http.Header{}
		for i := 0; i < len(pairs); i += 2 {
			h[pairs[i]] = append(h[pairs[i]], pairs[i+1])
		}
		return h
	}
	for _, tt := range []struct {
		name        string
		target      Target
		connections Connections
		want        seen
	}{
		{"plain", Target{Method: "GET", URL: server.URL + "/a?b=c%20d"}, KeepAlive, seen{line: "GET /a?b=c%20d", host: host, agent: "rb/1"}},
		{"no path", Target{Method: "GET", URL: server.URL}, KeepAlive, seen{line: "GET /", host: host, agent: "rb/1"}},
		{"fresh", Target{Method: "GET", URL: server.URL}, Fresh, seen{line: "GET /", host: host, agent: "rb/1", close: true}},
		{"body", Target{Method: "POST", URL: server.URL, Body: []byte("hello")}, KeepAlive,
			seen{line: "POST /", host: host, agent: "rb/1", body: "hello", length: 5}},
		{"no body", Target{Method: "POST", URL: server.URL}, KeepAlive, seen{line: "POST /", host: host, agent: "rb/1"}},
		{"header", Target{Method: "GET", URL: server.URL, Header: header("X-A", "1", "User-Agent", "own", "Host", "h")}, KeepAlive,
			seen{line: "GET /", host: "h", agent: "own", header: "1"}},
		{"header in lower case", Target{Method: "GET", URL: server.URL, Header: header("x-a", "1", "user-agent", "own", "host", "h")}, KeepAlive,
			seen{line: "GET /", host: "h", agent: "own", header: "1"}},
		{"own connection header", Target{Method: "GET", URL: server.URL, Header: header("Connection", "close")}, Fresh,
			seen{line: "GET /", host: host, agent: "rb/1", close: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newClient(t, Config{Targets: []Target{tt.target}, Connections: tt.connections, UserAgent: "rb/1"})
			if r := c.send(t); r.Outcome != timeline.OK {
				t.Fatalf("got %s", describe(r))
			}
			if got := <-got; got != tt.want {
				t.Errorf("the server saw\n%+v, want\n%+v", got, tt.want)
			}
		})
	}
}

func TestRequestCarriesNumberAndCredentials(t *testing.T) {
	eachWay(t, testRequestCarriesNumberAndCredentials)
}

func testRequestCarriesNumberAndCredentials(t *testing.T, newClient makeClient) {
	heads := make(chan http.Header, 10)
	url := serve(t, func(p *peer) {
		for req := p.request(); req != nil; req = p.request() {
			heads <- req.Header
			p.answer(okAnswer)
		}
	})
	c := newClient(t, get(strings.Replace(url, "//", "//me:secret@", 1)))
	for _, want := range []string{"0", "1"} {
		c.send(t)
		head := <-heads
		if !slices.Equal(head[seqHeader], []string{want}) || head.Get("Authorization") != "Basic bWU6c2VjcmV0" {
			t.Errorf("sent %v", head)
		}
	}
}

func TestNetHTTPServer(t *testing.T) { eachWay(t, testNetHTTPServer) }

func testNetHTTPServer(t *testing.T, newClient makeClient) {
	mux := http.NewServeMux()
	mux.HandleFunc("/plain", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "plain") })
	mux.HandleFunc("/chunked", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-T")
		for range 3 {
			io.WriteString(w, "abc")
			w.(http.Flusher).Flush()
		}
		w.Header().Set("X-T", "1")
	})
	mux.HandleFunc("/hints", func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusEarlyHints)
		io.WriteString(w, "x")
	})
	mux.HandleFunc("/close", func(w http.ResponseWriter, r *http.Request) { w.Header().Set("Connection", "close") })
	mux.HandleFunc("/nothing", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("/panic", func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) })
	mux.HandleFunc("/half", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "10")
		io.WriteString(w, "half")
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	for _, tt := range []struct {
		method, path string
		want         timeline.Outcome
		code         int
		bytes        int64
		reuse        bool
	}{
		{"GET", "/plain", timeline.OK, 200, 5, true},
		{"HEAD", "/plain", timeline.OK, 200, 0, true},
		{"POST", "/plain", timeline.OK, 200, 5, true},
		{"GET", "/chunked", timeline.OK, 200, 9, true},
		{"HEAD", "/chunked", timeline.OK, 200, 0, true},
		{"GET", "/hints", timeline.OK, 200, 1, true},
		{"GET", "/close", timeline.OK, 200, 0, false},
		{"GET", "/nothing", timeline.OK, 204, 0, true},
		{"GET", "/nowhere", timeline.OK, 404, 19, true},
		{"GET", "/panic", timeline.EOF, 0, 0, false},
		{"GET", "/half", timeline.Truncated, 200, 4, false},
	} {
		t.Run(tt.method+tt.path, func(t *testing.T) {
			target := Target{Method: tt.method, URL: server.URL + tt.path}
			if tt.method == "POST" {
				target.Body = bytes.Repeat([]byte("x"), 100_000)
			}
			c := newClient(t, Config{Targets: []Target{target}, Connections: KeepAlive})
			r := c.send(t)
			if r.Outcome != tt.want || r.Status != tt.code || r.Bytes != tt.bytes {
				t.Errorf("got %s", describe(r))
			}
			if again := c.send(t); again.Reused != tt.reuse {
				t.Errorf("the next request: %s, want reused %t", describe(again), tt.reuse)
			}
		})
	}
}

const tooLarge = "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"

func TestAnswerBeforeTheBodyIsRead(t *testing.T) { eachWay(t, testAnswerBeforeTheBodyIsRead) }

func testAnswerBeforeTheBodyIsRead(t *testing.T, newClient makeClient) {
	header := func(p *peer) bool { _, err := http.ReadRequest(p.r); return err == nil }
	for name, talk := range map[string]func(*peer, <-chan struct{}){
		"and close": func(p *peer, _ <-chan struct{}) {
			if header(p) {
				p.answer(tooLarge)
			}
		},
		"and read no more": func(p *peer, over <-chan struct{}) {
			if header(p) {
				p.answer(tooLarge)
				<-over
			}
		},
		"and read on": func(p *peer, _ <-chan struct{}) {
			if header(p) {
				p.answer(tooLarge)
				p.left()
			}
		},
	} {
		for _, size := range []int{10, inline, inline + 1, 16 << 20} {
			t.Run(fmt.Sprintf("%s, %d bytes", name, size), func(t *testing.T) {
				over := make(chan struct{})
				url := serve(t, func(p *peer) { talk(p, over) })
				defer close(over)
				c := newClient(t, Config{Targets: []Target{{Method: "POST", URL: url, Body: make([]byte, size)}}, Connections: KeepAlive})
				if r := c.send(t); r.Outcome != timeline.OK || r.Status != 413 || r.Bytes != 2 {
					t.Errorf("got %s", describe(r))
				}
			})
		}
	}
}

func TestLongBodiesArriveWholeOnOneConnection(t *testing.T) {
	eachWay(t, testLongBodiesArriveWholeOnOneConnection)
}

func testLongBodiesArriveWholeOnOneConnection(t *testing.T, newClient makeClient) {
	lengths := make(chan int64, 10)
	url := serve(t, func(p *peer) {
		for {
			req, err := http.ReadRequest(p.r)
			if err != nil {
				return
			}
			n, _ := io.Copy(io.Discard, req.Body)
			lengths <- n
			p.answer(okAnswer)
		}
	})
	const size = 5 << 20
	c := newClient(t, Config{Targets: []Target{{Method: "PUT", URL: url, Body: make([]byte, size)}}, Connections: KeepAlive})
	for i := range 5 {
		if r := c.send(t); r.Outcome != timeline.OK || r.Reused != (i > 0) {
			t.Errorf("request %d: %s", i, describe(r))
		}
		if n := <-lengths; n != size {
			t.Errorf("request %d: %d bytes arrived, want %d", i, n, size)
		}
	}
}

func TestExpectStatus(t *testing.T) { eachWay(t, testExpectStatus) }

func testExpectStatus(t *testing.T, newClient makeClient) {
	for _, tt := range []struct {
		status int
		expect []int
		want   timeline.Outcome
	}{
		{200, nil, timeline.OK},
		{404, nil, timeline.OK},
		{499, nil, timeline.OK},
		{500, nil, timeline.HTTP5xx},
		{599, nil, timeline.HTTP5xx},
		{200, []int{200, 204}, timeline.OK},
		{204, []int{200, 204}, timeline.OK},
		{404, []int{200, 204}, timeline.HTTPUnexpected},
		{302, []int{200}, timeline.HTTPUnexpected},
		{503, []int{503}, timeline.OK},
		{200, []int{503}, timeline.HTTPUnexpected},
		{500, []int{503}, timeline.HTTP5xx},
	} {
		t.Run(fmt.Sprint(tt.status, tt.expect), func(t *testing.T) {
			url := serve(t, func(p *peer) {
				p.request()
				p.answer(fmt.Sprintf("HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n", tt.status))
				p.left()
			})
			cfg := get(url)
			cfg.Expect = tt.expect
			if r := newClient(t, cfg).send(t); r.Outcome != tt.want || r.Status != tt.status {
				t.Errorf("got %s, want %s", describe(r), tt.want)
			}
		})
	}
}
