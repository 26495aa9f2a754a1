package load

import (
	"bufio"
	"bytes"
	"net/http"
	"testing"
)

var headers = map[string]struct {
	text string
	want answer
	how  reading
}{
	"plain":                {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", answer{200, 38, 2, false}, simple},
	"no reason":            {"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok", answer{200, 36, 2, false}, simple},
	"names in any case":    {"HTTP/1.1 503 No\r\ncontent-LENGTH:0\r\nconnection: Close\r\n\r\n", answer{503, 56, 0, true}, simple},
	"kept alive":           {"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", answer{200, 62, 2, false}, simple},
	"cut in the status":    {"HTTP/1.1 20", answer{}, incomplete},
	"cut before the end":   {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n", answer{}, incomplete},
	"bare line feeds":      {"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", answer{}, strange},
	"HTTP/1.0, at once":    {"HTTP/1.0 ", answer{}, strange},
	"a banner":             {"SSH-2.0-x\r\n", answer{}, strange},
	"bad line, at once":    {"HTTP/1.1 200 OK\r\nno colon\r\n", answer{}, strange},
	"nothing yet":          {"", answer{}, incomplete},
	"cut in a line's end":  {"HTTP/1.1 200 OK\r", answer{}, incomplete},
	"no length":            {"HTTP/1.1 200 OK\r\n\r\n", answer{}, strange},
	"two lengths":          {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok", answer{}, strange},
	"sign":                 {"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok", answer{}, strange},
	"endless length":       {"HTTP/1.1 200 OK\r\nContent-Length: 9999999999999999999\r\n\r\n", answer{}, strange},
	"chunked":              {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", answer{}, strange},
	"chunked with length":  {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", answer{}, strange},
	"HTTP/1.0":             {"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", answer{}, strange},
	"announcement":         {"HTTP/1.1 103 Early Hints\r\nContent-Length: 0\r\n\r\n", answer{}, strange},
	"no content":           {"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", answer{}, strange},
	"not modified":         {"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", answer{}, strange},
	"several options":      {"HTTP/1.1 200 OK\r\nConnection: close, x\r\nContent-Length: 2\r\n\r\nok", answer{}, strange},
	"folded":               {"HTTP/1.1 200 OK\r\nA: b\r\n Content-Length: 2\r\n\r\nok", answer{}, strange},
	"space in a name":      {"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok", answer{}, strange},
	"no colon":             {"HTTP/1.1 200 OK\r\nContent-Length\r\n\r\nok", answer{}, strange},
	"line feed in a value": {"HTTP/1.1 200 OK\r\nA: b\nContent-Length: 2\r\n\r\nok", answer{}, strange},
	"four digits":          {"HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nok", answer{}, strange},
	"garbage":              {"garbage\r\n\r\n", answer{}, strange},
}

func TestReadAnswer(t *testing.T) {
	for name, tt := range headers {
		t.Run(name, func(t *testing.T) {
			got, how := readAnswer([]byte(tt.text))
			if how != tt.how || how == simple && got != tt.want {
				t.Errorf("got %+v (%d), want %+v (%d)", got, how, tt.want, tt.how)
			}
		})
	}
}

// FuzzReadAnswer wants what lanes read themselves to mean what it means to package http.
func FuzzReadAnswer(f *testing.F) {
	for _, tt := range headers {
		f.Add([]byte(tt.text))
	}
	req, err := http.NewRequest(http.MethodGet, "http://service/", nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got, how := readAnswer(text)
		if how != simple {
			return
		}
		r := bufio.NewReaderSize(bytes.NewReader(text), len(text)+16)
		want, err := http.ReadResponse(r, req)
		if err != nil {
			t.Fatalf("simple, but package http says %v", err)
		}
		header := len(text) - r.Buffered()
		if got != (answer{want.StatusCode, header, want.ContentLength, want.Close}) {
			t.Errorf("got %+v, package http has status %d, header of %d bytes, length %d, close %t", got, want.StatusCode, header, want.ContentLength, want.Close)
		}
	})
}
