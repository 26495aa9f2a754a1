package scenarios

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// TestYAMLRoundTrips: Parse reads back what YAML writes, whatever texts a scenario holds.
func TestYAMLRoundTrips(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawScenario(t)
		if err := s.Finish(); err != nil {
			t.Fatalf("the generator made an invalid scenario: %v", err)
		}
		roundTrip(t, s)
	})
}

// roundTrip checks that s survives being written and read.
func roundTrip(t interface {
	Helper()
	Fatalf(string, ...any)
}, s *Scenario) {
	t.Helper()
	text, err := s.YAML()
	if err != nil {
		t.Fatalf("%v", err)
	}
	again, err := Parse("again.yaml", text)
	if err != nil {
		t.Fatalf("%v\nin\n%s", err, text)
	}
	if diff := cmp.Diff(s, again, same); diff != "" {
		t.Fatalf("read back differently (-written +read):\n%s\n%s", diff, text)
	}
	if second, err := again.YAML(); err != nil || string(second) != string(text) {
		t.Fatalf("written differently the second time (%v):\n%s\n%s", err, text, second)
	}
}

func drawScenario(t *rapid.T) *Scenario {
	text := rapid.OneOf(rapid.String(), rapid.StringMatching(`( |\t|\n|#|: |- |[a-z]|"|'|\{|\}|\r|~|null|1|yes|é){0,12}`)).
		Filter(func(s string) bool {
			return !strings.Contains(s, "\x00") && !strings.Contains(s, "{{") && strings.ToValidUTF8(s, "") == s
		})
	line := text.Filter(func(s string) bool { return !strings.ContainsAny(s, "\r\n") })
	s := &Scenario{
		Name:        rapid.StringMatching(`[a-z0-9][a-z0-9._-]{0,20}`).Draw(t, "name"),
		Description: text.Draw(t, "description"),
		Warmup:      duration(t, "warmup", 0, time.Hour),
		Settle:      duration(t, "settle", 100*time.Millisecond, time.Second),
	}
	s.Assigned("warmup")
	s.Load = Load{
		Target:       "http://localhost:8080/?" + rapid.StringMatching(`[a-z=&%20:]{0,9}`).Draw(t, "query"),
		Rate:         rapid.Float64Range(50, 1000).Draw(t, "rate"),
		Duration:     duration(t, "duration", time.Minute, time.Hour),
		Connections:  rapid.SampledFrom([]string{"", ConnectionsFresh, ConnectionsMixed}).Draw(t, "connections"),
		Method:       "POST",
		Headers:      rapid.MapOfN(rapid.StringMatching(`X-[a-z0-9]{1,5}`), line, 0, 3).Draw(t, "headers"),
		Body:         text.Draw(t, "body"),
		ExpectStatus: rapid.SliceOfN(rapid.IntRange(100, 599), 0, 3).Draw(t, "statuses"),
	}
	s.Restart = Restart{
		Command:  append([]string{"x"}, rapid.SliceOfN(text, 0, 3).Draw(t, "command")...),
		Identity: rapid.SampledFrom([]string{"", "https://localhost/"}).Draw(t, "identity"),
	}
	if rapid.Bool().Draw(t, "units") {
		s.Units = map[string]string{"a.service": "[Service]\n" + text.Draw(t, "unit"), "0.socket": text.Draw(t, "unit") + "\n[Socket]\n"}
	}
	setting := line.Filter(oneLine)
	switch directives := rapid.MapOfN(rapid.StringMatching(`[A-Z][A-Za-z0-9]{0,9}`), setting, 1, 3); {
	case rapid.Bool().Draw(t, "journal"):
		s.Journal.Patterns = rapid.SliceOfN(rapid.StringMatching(`[a-z]{1,9}(\([a-z]\)|\.|\\s)?`), 1, 3).Draw(t, "patterns")
	case s.Units == nil:
		s.Service = rapid.StringMatching(`[a-z0-9]{1,9}(@[a-z]{1,3})?(\.service)?`).Draw(t, "service")
		s.Override.Socket = directives.Draw(t, "socket")
		s.Override.Service = directives.Draw(t, "override")
		s.Journal.Patterns = nil
		s.Assigned("journal.patterns")
	default:
		s.Needs = rapid.MapOfN(rapid.StringMatching(`/[a-z/.]{1,9}`), line, 1, 3).Draw(t, "needs")
	}
	if len(s.Load.Headers) == 0 {
		s.Load.Headers = nil
	}
	if len(s.Load.ExpectStatus) == 0 {
		s.Load.ExpectStatus = nil
	}
	for i, word := range s.Restart.Command {
		if word == "|" {
			s.Restart.Command[i] = "/"
		}
	}
	return s
}

func duration(t *rapid.T, label string, low, high time.Duration) Duration {
	return Duration(rapid.Int64Range(int64(low), int64(high)).Draw(t, label))
}

func TestDurationRoundTrips(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := duration(t, "d", 0, 1<<62)
		var again Duration
		if text, err := d.MarshalText(); err != nil || again.UnmarshalText(text) != nil || again != d {
			t.Fatalf("%d is written as %s and read as %d", d, text, again)
		}
	})
}

func TestDurationIsShort(t *testing.T) {
	for text, want := range map[string]string{"60s": "1m", "90s": "1m30s", "1h0m0s": "1h", "61m": "1h1m", "3601s": "1h0m1s", "1500ms": "1.5s", "0": "0s"} {
		if d, err := ParseDuration(text); err != nil || d.String() != want {
			t.Errorf("%s: %v, %v, want %s", text, d, err, want)
		}
	}
}

func TestDurationExplains(t *testing.T) {
	for text, want := range map[string]string{
		"":          `"" is no duration; write a number and its unit, such as 1.5s, 200ms or 2m`,
		"10":        `"10" has no unit; write 10s`,
		"5 s":       `"5 s" is no duration; write 5s`,
		"5S":        `"5S" is no duration; write 5s`,
		"10sec":     `"10sec" is no duration; write 10s`,
		"3 min":     `"3 min" is no duration; write 3m`,
		"200 msec":  `"200 msec" is no duration; write 200ms`,
		"200millis": `"200millis" is no duration; write 200ms`,
		"1.5d":      `"1.5d" is in days; write 36h`,
		"2hours":    `"2hours" is no duration; write 2h`,
		"5 usec":    `"5 usec" is no duration; write 5us`,
		"5x":        `"5x" has an unknown unit; write ms, s, m or h, as in 5s`,
		"-5s":       `"-5s" is negative; write how long, such as 5s`,
	} {
		if _, err := ParseDuration(text); err == nil || err.Error() != want {
			t.Errorf("%q\ngot  %v\nwant %s", text, err, want)
		}
	}
}

// FuzzParse: no input makes Parse panic, every error has a message, and what parses round-trips.
func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"*.yaml", "testdata/*.yaml"} {
		names, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, name := range names {
			data, err := os.ReadFile(name)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	for _, text := range []string{
		"name: a\nservice: app\noverride: {socket: {Backlog: 64, SocketMode: 0660, NoDelay: true}, service: {RestartSec: .5}}\nload: {target: 'http://x/'}\n",
		"name: a\nservice: a@b.service\nmanager: user\nload: {target: 'http://x/'}\nrestart: {action: crash-loop}\njournal: {patterns: []}\n",
		"name: a\nneeds: {/bin/x: get x, /a.b/c: ''}\nload: {target: 'http://x/'}\nrestart: {action: none}\njournal: {patterns: ['a(b)?c']}\n",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Parse("fuzz.yaml", data)
		if err != nil {
			if strings.TrimSpace(err.Error()) == "" || s != nil {
				t.Fatalf("%#v with %v", err, s)
			}
			return
		}
		roundTrip(t, s)
		if _, err := s.Expand(func(name string) (string, error) { return fmt.Sprint(len(name)), nil }); err != nil {
			t.Fatal(err)
		}
	})
}
