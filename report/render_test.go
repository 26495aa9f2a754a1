package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	schemas "github.com/santhosh-tekuri/jsonschema/v6"
	"pgregory.net/rapid"

	"github.com/restartbench/restartbench/bench/timeline"
)

func render(t testing.TB, format Format, style Style, reports ...*Report) string {
	t.Helper()
	var out bytes.Buffer
	if err := Render(&out, format, style, reports...); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestRenderingsGolden(t *testing.T) {
	drops := three().between(5*second, 5100*ms).fail(timeline.Refused, ms)
	for name, reports := range map[string][]*Report{
		"one":      {held().report(t)},
		"several":  {drops.report(t)},
		"compare":  {refused().report(t), held().report(t), held().cut(2200 * ms).report(t)},
		"many":     manyReports(t),
		"systemd":  {crashing().watched("private", closedByLimit, fewStarts).report(t)},
		"managers": {held().report(t), held().between(2*second, 2300*ms).resends(1).watched("private", lostSocket, fewStarts).report(t)},
	} {
		golden(t, "testdata/rendered-"+name+".txt", []byte(render(t, Text, Style{}, reports...)))
		golden(t, "testdata/rendered-"+name+".md", []byte(render(t, Markdown, Style{}, reports...)))
		if name != "many" {
			golden(t, "testdata/rendered-"+name+".json", []byte(render(t, JSON, Style{}, reports...)))
		}
	}
}

// manyReports are more than one table has room for.
func manyReports(t *testing.T) (all []*Report) {
	for range 8 {
		rep := held().report(t)
		rep.Scenario.Name = "a-scenario-with-a-name"
		all = append(all, rep)
	}
	return all
}

func TestManyRestartsAreShortened(t *testing.T) {
	s := tell(100, 200*second)
	for i := range 60 {
		from := time.Duration(i+1) * 3 * second
		s.at(from).restart(300 * ms)
		if i%10 == 7 {
			s.between(from, from+100*ms).fail(timeline.Reset, ms)
		}
	}
	golden(t, "testdata/rendered-sixty.txt", []byte(render(t, Text, Style{}, s.report(t))))
}

func TestColorChangesNoWord(t *testing.T) {
	for _, s := range []*story{held(), refused(), held().cut(second)} {
		rep := s.report(t)
		colored := render(t, Text, Style{Color: true}, rep)
		plain := strings.NewReplacer("\x1b[1;32m", "", "\x1b[1;31m", "", "\x1b[1;33m", "", "\x1b[0m", "").Replace(colored)
		if plain != render(t, Text, Style{}, rep) || plain == colored {
			t.Errorf("coloured:\n%s", colored)
		}
	}
}

const hostile = "\x1b[31mred\x1b[0m | `code` <script>alert(1)</script> **bold** [a](http://evil) ![b](x) @someone #1 www.evil.com\n# heading\r\n- item\u202e\u200b\u0085\x00\xff & $x$ ~~y~~"

// hostileReport has hostile text wherever a run file can have text.
func hostileReport(t testing.TB) *Report {
	s := held().log(2100*ms, hostile).gap(hostile, 1, hostile)
	s.event(timeline.Event{Warning: &timeline.Warning{At: 1, Source: hostile, Text: hostile}})
	sc := &s.header.Scenario
	sc.Name, sc.Description, sc.Manager, sc.Why, sc.Target, sc.Connections = hostile, hostile, hostile, hostile, hostile, hostile
	sc.Command, s.load.Address = []string{hostile}, hostile
	sc.ManagerVersion, sc.Type, sc.Patterns = hostile, hostile, []string{"code", hostile}
	s.socket(2100*ms, hostile, hostile, hostile).line(2100*ms, hostile, hostile).line(2100*ms, "err", hostile)
	s.between(2050*ms, 2060*ms).fail(timeline.Reset, 100*ms)
	s.event(timeline.Event{Armed: &timeline.Armed{Service: hostile, Socket: hostile, Active: hostile, Sub: hostile, Result: hostile, Why: hostile}})
	s.event(timeline.Event{StartLimit: &timeline.StartLimit{Unit: hostile, Burst: 5, Interval: second, Hit: true}})
	for i := range s.events {
		if r := s.events[i].Restart; r != nil && r.Step == timeline.Completed {
			r.Result, r.Detail = hostile, hostile
		}
	}
	s.end.Reason, s.end.Error = timeline.Failed, hostile
	return s.report(t)
}

// checkInert fails where text holds a character that does more than be seen, or markup in Markdown.
func checkInert(t *testing.T, format Format, text string) {
	t.Helper()
	if format == JSON {
		if !json.Valid([]byte(text)) {
			t.Errorf("not JSON: %q", text)
		}
		return
	}
	for _, r := range text {
		if r != '\n' && r != ' ' && !unicode.IsPrint(r) {
			t.Errorf("%s holds %q:\n%q", format, r, text)
		}
	}
	if !utf8.ValidString(text) {
		t.Errorf("%s is not UTF-8: %q", format, text)
	}
}

func TestHostileTextStaysInert(t *testing.T) {
	rep := hostileReport(t)
	for _, reports := range [][]*Report{{rep}, {rep, rep}} {
		for _, format := range Formats() {
			text := render(t, format, Style{}, reports...)
			checkInert(t, format, text)
			if format == JSON {
				continue
			}
			for line := range strings.Lines(text) {
				if strings.HasPrefix(line, "# heading") || strings.HasPrefix(line, "- item") {
					t.Errorf("a line of its own: %q", line)
				}
			}
		}
		md := render(t, Markdown, Style{}, reports...)
		for _, markup := range []string{"<script", "**bold", "[a](", "![b", "`code", "@someone", "#1 ", "://evil", "www.evil", " | `", "$x$", "~~y"} {
			if strings.Contains(strings.NewReplacer(`\*\*bold`, "", `\[a\](`, "", `\~\~y`, "", "\\`code", "", `\$x\$`, "").Replace(md), markup) {
				t.Errorf("Markdown holds %q:\n%s", markup, md)
			}
		}
	}
}

func TestLinesFit(t *testing.T) {
	for _, tc := range stories {
		for line := range strings.Lines(render(t, Text, Style{}, tc.story().report(t))) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > columns {
				t.Errorf("%s: %d columns: %s", tc.name, n, line)
			}
		}
	}
}

func TestWrap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`([a-z–é]{1,12} ){0,20}[a-z]{1,12}`).Draw(t, "text")
		width := rapid.IntRange(1, 40).Draw(t, "width")
		lines := wrap(text, width)
		if strings.Join(lines, " ") != text {
			t.Fatalf("%q became %q", text, lines)
		}
		for _, line := range lines {
			if utf8.RuneCountInString(line) > width && len(words(line)) > 1 {
				t.Fatalf("%q is longer than %d", line, width)
			}
		}
	})
}

func TestDurationsAndPercents(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0 s", 1: "1 ns", 999: "999 ns", 1000: "1.00 µs", 999_400: "999 µs", 999_600: "1.00 ms", 12_345 * time.Microsecond: "12.3 ms",
		999_700 * time.Microsecond: "1.00 s", 59_900 * ms: "59.9 s", 90 * second: "1m30s", -5 * ms: "-5.00 ms", 59_960 * ms: "1m0s",
	} {
		if got := Duration(d).String(); got != want {
			t.Errorf("%d: %q, want %q", d, got, want)
		}
	}
	for p, want := range map[float64]string{0: "0 %", 1: "100 %", 0.999: "100 %", 0.1391: "14 %", 0.0457: "4.6 %", 0.005: "0.50 %", 0.000599: "0.060 %", 3e-7: "0.000030 %"} {
		if got := percent(p); got != want {
			t.Errorf("%v: %q, want %q", p, got, want)
		}
	}
	if got := restartNumbers([]int{1, 2, 3, 5, 7, 8}); got != "restarts 1–3, 5, 7 and 8" {
		t.Error(got)
	}
}

func TestDurationReadsBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := Duration(rapid.Int64Range(-1e14, 1e14).Draw(t, "d"))
		text, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var got Duration
		if err := json.Unmarshal(text, &got); err != nil || (got-want > 1 || want-got > 1) {
			t.Fatalf("%d became %s and then %d, %v", want, text, got, err)
		}
	})
}

func TestSchemaGolden(t *testing.T) {
	text, err := JSONSchema()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "../docs/report.schema.json", text)
}

func compile(t *testing.T) *schemas.Schema {
	t.Helper()
	text, err := JSONSchema()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := schemas.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := schemas.NewCompiler()
	if err := c.AddResource(schemaID, doc); err != nil {
		t.Fatal(err)
	}
	compiled, err := c.Compile(schemaID)
	if err != nil {
		t.Fatal(err)
	}
	return compiled
}

func TestReportsFollowTheSchema(t *testing.T) {
	schema := compile(t)
	check := func(name string, rep *Report) {
		value, err := schemas.UnmarshalJSON(strings.NewReader(render(t, JSON, Style{}, rep)))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(value); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, tc := range stories {
		check(tc.name, tc.story().report(t))
	}
	if schema.Validate(map[string]any{"schema": Schema}) == nil {
		t.Error("an empty report follows the schema")
	}
}

// TestEveryFieldIsDescribed keeps a new field from going undocumented.
func TestEveryFieldIsDescribed(t *testing.T) {
	for _, section := range sections {
		for f := range section.of.Fields() {
			if strings.TrimSuffix(fieldText(section, f), ".") == "" || !strings.HasSuffix(fieldText(section, f), ".") {
				t.Errorf("%s.%s needs a description in sentences", section.of, f.Name)
			}
			inner := f.Type
			for inner.Kind() == reflect.Pointer || inner.Kind() == reflect.Slice {
				inner = inner.Elem()
			}
			if inner.Kind() == reflect.Struct && inner != reflect.TypeFor[time.Time]() && !known(inner) {
				t.Errorf("%s is not in the reference", inner)
			}
		}
	}
}

func known(t reflect.Type) bool {
	for _, s := range sections {
		if s.of == t {
			return true
		}
	}
	return false
}

func TestOutcomesHaveMeanings(t *testing.T) {
	seen := map[string]timeline.Outcome{}
	for _, o := range timeline.Outcomes() {
		if other, twice := seen[Meaning(o)]; twice {
			t.Errorf("%s and %s mean the same", o, other)
		}
		seen[Meaning(o)] = o
	}
}

func ExampleMeaning() {
	fmt.Println(Meaning(timeline.Refused))
	// Output: nobody listened
}
