package scenarios

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite golden files")

// golden compares got with a file, or writes it with -update.
func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v; run go test ./scenarios -update", err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s differs; look at it, then run go test ./scenarios -update (-want +got):\n%s", file, diff)
	}
}

// TestErrors holds every message that a wrong scenario can get: testdata/NAME.yaml fails with testdata/NAME.err.
func TestErrors(t *testing.T) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no test data: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			_, err = Parse(filepath.Base(file), data)
			if err == nil {
				t.Fatal("parsed, should fail")
			}
			var all Errors
			if !errors.As(err, &all) {
				t.Fatalf("%T, should be Errors", err)
			}
			golden(t, strings.TrimSuffix(file, ".yaml")+".err", []byte(err.Error()+"\n"))
		})
	}
}

// TestErrorsAreBounded: what is no scenario at all is refused in few words and little time.
func TestErrorsAreBounded(t *testing.T) {
	_, err := Parse("x.yaml", []byte("name: a\nload:\n  expect_status: ["+strings.Repeat("1,", 1000)+"]\n"))
	lines := strings.Split(err.Error(), "\n")
	if last := lines[len(lines)-1]; len(lines) != errorsMax+1 || last != "x.yaml: there are more mistakes; correct these first" {
		t.Errorf("%d lines, the last is %q", len(lines), last)
	}
	_, err = Parse("x.yaml", []byte(strings.Repeat("GET http://localhost/\n", 20000)))
	if want := "x.yaml:1:1: has 440000 bytes, and no scenario needs more than 262144; is this the right file?"; err.Error() != want {
		t.Error(err)
	}
}
