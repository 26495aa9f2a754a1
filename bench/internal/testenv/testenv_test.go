package testenv

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// spy is a test that notes how it ended. Like a real one, it ends its goroutine then.
type spy struct {
	testing.TB
	said string
}

func (s *spy) Helper() {}

func (s *spy) Skipf(format string, args ...any) {
	s.said = "skip: " + fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func (s *spy) Fatalf(format string, args ...any) {
	s.said = "fatal: " + fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func run(f func(testing.TB)) string {
	s := &spy{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(s)
	}()
	<-done
	return s.said
}

func TestMissingToolSkipsOrFails(t *testing.T) {
	need := func(tb testing.TB) { Need(tb, "go", "no-such-tool") }
	for require, want := range map[string]string{"": "skip: ", "0": "skip: ", "1": "fatal: "} {
		t.Setenv(Require, require)
		if got := run(need); !strings.HasPrefix(got, want) || !strings.Contains(got, "no-such-tool") {
			t.Errorf("%s=%s: %q, want %q and the tool's name", Require, require, got, want)
		}
	}
}

func TestToolThatIsThere(t *testing.T) {
	t.Setenv(Require, "1")
	if got := run(func(tb testing.TB) { Need(tb, "go") }); got != "" {
		t.Errorf("go is on PATH: %q", got)
	}
}
