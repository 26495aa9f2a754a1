package load

import (
	"bufio"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestReadTargets(t *testing.T) {
	body := writeFile(t, "body", "from a file")
	want := []Target{
		{"GET", "http://a:1/x", http.Header{"X-All": {"1"}}, []byte("default")},
		{"POST", "https://b/y", http.Header{"X-All": {"1"}, "X-Own": {"2"}}, []byte("from a file")},
	}
	for name, text := range map[string]string{
		"http": "# a comment\nGET http://a:1/x\n\nPOST https://b/y\nX-Own: 2\n@" + body + "\n",
		"json": `{"method":"GET","url":"http://a:1/x"}` + "\n" +
			`{"method":"POST","url":"https://b/y","header":{"X-Own":["2"]},"body":"ZnJvbSBhIGZpbGU="}` + "\n",
		"json without a newline at its end": `{"method":"GET","url":"http://a:1/x"}` + "\n" +
			`{"method":"POST","url":"https://b/y","header":{"X-Own":["2"]},"body":"ZnJvbSBhIGZpbGU="}`,
		"http without a newline at its end": "GET http://a:1/x\n\nPOST https://b/y\nX-Own: 2\n@" + body,
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ReadTargets(writeFile(t, "targets", text), http.Header{"X-All": {"1"}}, []byte("default"))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestReadTargetsNamesTheFile(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"empty", "", "no targets"},
		{"only comments", "# nothing\n", "no targets"},
		{"no URL", "GET\n", "bad target"},
		{"no method", "http://a/\n", "bad"},
		{"relative", "GET /x\n", `target 1: "/x" is not an http or https URL`},
		{"another scheme", "GET http://a/\n\nGET ftp://a/\n", `target 2: "ftp://a/" is not`},
		{"no host", "GET http:///x\n", "with a host"},
		{"body file missing", "GET http://a/\n@/no/such/body\n", "/no/such/body"},
		{"line too long", "GET http://a/\nX: " + strings.Repeat("x", bufio.MaxScanTokenSize) + "\n\nGET http://b/\n", "line 2 is longer"},
		{"json damaged", `{"method":"GET"` + "\n" + `{"method":"GET","url":"http://a/"}` + "\n", "target 1: "},
		{"json without url", `{"method":"GET","url":"http://a/"}` + "\n" + `{"method":"GET"}` + "\n", "target 2: target: required url is missing"},
		{"json with a bad method", `{"method":"G T","url":"http://a/"}` + "\n", `target 1: net/http: invalid method "G T"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := writeFile(t, "my-targets", tt.text)
			_, err := ReadTargets(file, nil, nil)
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), file) {
				t.Errorf("error %v, want the file's name and %q", err, tt.want)
			}
		})
	}
	if _, err := ReadTargets("/no/such/file", nil, nil); err == nil || !strings.Contains(err.Error(), "/no/such/file") {
		t.Errorf("error %v", err)
	}
}

func FuzzReadTargets(f *testing.F) {
	f.Add("GET http://a:1/x\nX-Own: 2\n\nPOST https://b/y\n")
	f.Add(`{"method":"POST","url":"https://b/y","header":{"X-Own":["2"]},"body":"ZnJvbSBhIGZpbGU="}`)
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "@") {
			t.Skip("would read a file")
		}
		targets, err := parseTargets([]byte(text), http.Header{"X-All": {"1"}}, nil)
		if err != nil {
			return
		}
		if len(targets) == 0 {
			t.Fatal("no target and no error")
		}
		for _, target := range targets {
			if _, err := prepare(target, "rb"); err != nil {
				t.Errorf("%q is accepted and cannot be sent: %v", target, err)
			}
		}
	})
}
