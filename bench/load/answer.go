package load

import (
	"bytes"
	"strings"
)

// answer is what a lane has to know of an answer's header.
type answer struct {
	status int
	header int   // bytes
	body   int64 // bytes that follow the header
	close  bool  // the server will close the connection
}

// reading is how far an answer's header could be read.
type reading uint8

const (
	incomplete reading = iota
	simple
	strange // it takes all of HTTP to read it, or it is wrong
)

// readAnswer reads the header of an answer to a request other than HEAD, if that is simple: HTTP/1.1, a status that has a
// body (RFC 9110, section 6.4.1), lines that end in CRLF, a Content-Length that is given once, no Transfer-Encoding.
// What it takes for simple, http.ReadResponse reads in the same way.
func readAnswer(b []byte) (a answer, r reading) {
	end := bytes.Index(b, []byte("\r\n\r\n"))
	if end < 0 {
		return a, begun(b)
	}
	a.header, a.body = end+4, -1
	line, rest := cutLine(b[:end])
	if !a.readStatus(line) {
		return a, strange
	}
	for len(rest) > 0 {
		line, rest = cutLine(rest)
		if !a.readField(line) {
			return a, strange
		}
	}
	if a.body < 0 {
		return a, strange
	}
	return a, simple
}

// begun tells whether what has come of a header may still become a simple one.
func begun(b []byte) reading {
	const prefix = "HTTP/1.1 "
	if n := min(len(b), len(prefix)); string(b[:n]) != prefix[:n] {
		return strange
	}
	a := answer{body: -1}
	for ok := a.readStatus; ; ok = a.readField {
		i := bytes.IndexByte(b, '\n')
		switch {
		case i < 0:
			return incomplete
		case i == 0, b[i-1] != '\r', !ok(b[:i-1]):
			return strange
		}
		b = b[i+1:]
	}
}

// cutLine cuts off the first line, without its CRLF.
func cutLine(b []byte) (line, rest []byte) {
	if i := bytes.Index(b, []byte("\r\n")); i >= 0 {
		return b[:i], b[i+2:]
	}
	return b, nil
}

// readStatus reads "HTTP/1.1 200 OK".
func (a *answer) readStatus(line []byte) bool {
	const prefix = "HTTP/1.1 "
	if len(line) < len(prefix)+4 || string(line[:len(prefix)]) != prefix || line[len(prefix)+3] != ' ' || !printable(line) {
		return false
	}
	for _, c := range line[len(prefix) : len(prefix)+3] {
		if c < '0' || c > '9' {
			return false
		}
		a.status = 10*a.status + int(c-'0')
	}
	return a.status >= 200 && a.status != 204 && a.status != 304
}

// readField reads "Name: value".
func (a *answer) readField(line []byte) bool {
	name, value, ok := bytes.Cut(line, []byte(":"))
	if !ok || len(name) == 0 || !printable(value) {
		return false
	}
	for _, c := range name {
		if c != '-' && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') {
			return false
		}
	}
	value = bytes.Trim(value, " \t")
	switch {
	case is(name, "Content-Length"):
		return a.readLength(value)
	case is(name, "Connection"):
		a.close = a.close || is(value, "close")
		return is(value, "close") || is(value, "keep-alive")
	case is(name, "Transfer-Encoding"), is(name, "Trailer"):
		return false
	}
	return true
}

func (a *answer) readLength(value []byte) bool {
	const digits = 18 // fit into 63 bits
	if a.body >= 0 || len(value) == 0 || len(value) > digits {
		return false
	}
	a.body = 0
	for _, c := range value {
		if c < '0' || c > '9' {
			return false
		}
		a.body = 10*a.body + int64(c-'0')
	}
	return true
}

func is(b []byte, s string) bool { return len(b) == len(s) && strings.EqualFold(string(b), s) }

func printable(b []byte) bool {
	for _, c := range b {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}
