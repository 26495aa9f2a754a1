package supervisor

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestSplitWords(t *testing.T) {
	for _, c := range []struct {
		text string
		want []string
	}{
		{"", nil},
		{"  a\tb  ", []string{"a", "b"}},
		{`'a b' "c d" e'f 'g`, []string{"a b", "c d", "ef g"}},
		{`"" ''`, []string{"", ""}},
		{`a\x20b \101 \u00e9 \s\t`, []string{"a b", "A", "é", " \t"}},
		{`'it\'s' "say \"x\""`, []string{"it's", `say "x"`}},
		{`\q \xZZ \d+`, []string{`\q`, `\xZZ`, `\d+`}},
	} {
		got, err := splitWords(c.text)
		if diff := cmp.Diff(c.want, got); err != nil || diff != "" {
			t.Errorf("%q: %v %s", c.text, err, diff)
		}
	}
	for _, bad := range []string{`'a`, `"a`, `a\`, `\x00`} {
		if got, err := splitWords(bad); err == nil {
			t.Errorf("%q: got %q", bad, got)
		}
	}
}

func TestExpand(t *testing.T) {
	env := map[string]string{"A": "1 '2 3'", "EMPTY": ""}
	for _, c := range []struct {
		word string
		want []string
	}{
		{"$A", []string{"1", "2 3"}},
		{"${A}", []string{"1 '2 3'"}},
		{"x${A}y", []string{"x1 '2 3'y"}},
		{"$EMPTY", nil},
		{"${EMPTY}", []string{""}},
		{"$NONE", nil},
		{"x$A", []string{"x$A"}},
		{"$$A $${A}", []string{"$A ${A}"}},
		{"${A", []string{"${A"}},
		{"$", []string{"$"}},
	} {
		got := command{words: []string{"p", c.word}}.expand(env)
		if diff := cmp.Diff(append([]string{"p"}, c.want...), got); diff != "" {
			t.Errorf("%s: %s", c.word, diff)
		}
	}
}

// quote writes a word such that splitWords reads it back.
func quote(word string) string {
	var out strings.Builder
	out.WriteByte('"')
	for _, b := range []byte(word) {
		fmt.Fprintf(&out, `\x%02x`, b)
	}
	out.WriteByte('"')
	return out.String()
}

func TestSplitWordsReadsWhatIsQuoted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		words := rapid.SliceOf(rapid.StringMatching(`[^\x00]*`)).Draw(t, "words")
		var quoted []string
		for _, word := range words {
			quoted = append(quoted, quote(word))
		}
		got, err := splitWords(strings.Join(quoted, " "))
		if err != nil || strings.Join(got, "\x00") != strings.Join(words, "\x00") || len(got) != len(words) {
			t.Fatalf("%q: %v", got, err)
		}
	})
}

func FuzzSplitWords(f *testing.F) {
	for _, seed := range []string{`a 'b c' "d"`, `\x41\u00e9`, `'`, `\`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		words, err := splitWords(text)
		if err != nil {
			return
		}
		var quoted []string
		for _, word := range words {
			quoted = append(quoted, quote(word))
		}
		if strings.Contains(text, "\x00") {
			return // cannot come out of an escape, but can be there as itself
		}
		again, err := splitWords(strings.Join(quoted, "\t"))
		if diff := cmp.Diff(words, again); err != nil || diff != "" {
			t.Errorf("%q: %v %s", text, err, diff)
		}
	})
}

func FuzzUnits(f *testing.F) {
	f.Add("[Service]\nExecStart=/bin/x \\\n y\nType=notify\n")
	f.Add("[Unit]\nStartLimitBurst=1\n[Service]\nEnvironment=A=%n\n")
	f.Fuzz(func(t *testing.T, text string) {
		parseUnits(map[string]string{"a.service": text, "a.socket": strings.ReplaceAll(text, "Service]", "Socket]")})
	})
}

func TestTimespans(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"2": 2 * time.Second, "500ms": 500 * time.Millisecond, "1min 30s": 90 * time.Second, "1min30s": 90 * time.Second,
		"1.5s": 1500 * time.Millisecond, "infinity": infinity, "0": 0, " 3 us ": 3 * time.Microsecond, "1h 1": time.Hour + time.Second,
		"99999y": infinity, "1 month": 2629800 * time.Second, "5µs": 5 * time.Microsecond,
	} {
		if got, err := parseTimespan(text); err != nil || got != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, bad := range []string{"", "s", "-1", "1x", "1.s", "1e3", "0x1", "infinity 1", "1 2x"} {
		if got, err := parseTimespan(bad); err == nil {
			t.Errorf("%q: got %v", bad, got)
		}
	}
}

func TestTimespanReadsGoDurations(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := time.Duration(rapid.Int64Range(0, int64(1000*time.Hour)/1000).Draw(t, "µs")) * time.Microsecond
		got, err := parseTimespan(want.String())
		if diff := got - want; err != nil || diff < -time.Microsecond || diff > time.Microsecond {
			t.Fatalf("%v: %v, %v", want, got, err)
		}
	})
}

func FuzzTimespan(f *testing.F) {
	f.Add("1min 30s")
	f.Fuzz(func(t *testing.T, text string) {
		if d, err := parseTimespan(text); err == nil && d < 0 {
			t.Errorf("%q: %v", text, d)
		}
	})
}
