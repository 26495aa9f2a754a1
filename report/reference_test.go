package report

import (
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/restartbench/restartbench/bench/timeline"
)

const referenceFile = "../docs/report.md"

// section is one object of the JSON.
type section struct {
	path string
	of   reflect.Type
}

var sections = []section{
	{"", reflect.TypeFor[Report]()},
	{"host", reflect.TypeFor[timeline.Host]()},
	{"clock", reflect.TypeFor[timeline.Origin]()},
	{"scenario", reflect.TypeFor[Scenario]()},
	{"verdict", reflect.TypeFor[Verdict]()},
	{"verdict.reasons[]", reflect.TypeFor[Reason]()},
	{"load", reflect.TypeFor[Load]()},
	{"phases[]", reflect.TypeFor[Phase]()},
	{"phases[].fresh, phases[].reused", reflect.TypeFor[Kind]()},
	{"phases[].latency, and of fresh and reused", reflect.TypeFor[Latency]()},
	{"restarts[]", reflect.TypeFor[Restart]()},
	{"proof", reflect.TypeFor[Proof]()},
	{"held", reflect.TypeFor[Held]()},
	{"drops[]", reflect.TypeFor[Class]()},
	{"sockets[]", reflect.TypeFor[Socket]()},
	{"start_limits[]", reflect.TypeFor[StartLimit]()},
	{"transitions[]", reflect.TypeFor[Transition]()},
	{"gaps[]", reflect.TypeFor[Gap]()},
	{"warnings[], logs[], log_findings[]", reflect.TypeFor[Note]()},
}

// TestReference keeps the tables of docs/report.md what the code says.
func TestReference(t *testing.T) {
	text, err := os.ReadFile(referenceFile)
	if err != nil {
		t.Fatal(err)
	}
	got := between(t, string(text), "outcomes", outcomeReference())
	got = between(t, got, "bounds", boundReference())
	got = between(t, got, "fields", fieldReference())
	golden(t, referenceFile, []byte(got))
}

// between replaces what stands between two marks.
func between(t *testing.T, text, mark, content string) string {
	t.Helper()
	begin, end := fmt.Sprintf("<!-- %s: generated -->\n", mark), fmt.Sprintf("<!-- %s: end -->", mark)
	before, rest, ok := strings.Cut(text, begin)
	_, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		t.Fatalf("%s has no %q or %q", referenceFile, begin, end)
	}
	return before + begin + "\n" + content + "\n" + end + after
}

func outcomeReference() string {
	var b strings.Builder
	fmt.Fprint(&b, "| outcome | means | dropped? |\n|---|---|---|\n")
	for _, o := range timeline.Outcomes() {
		counts := "no, counted on its own"
		switch {
		case o.Dropped():
			counts = "yes"
		case o == timeline.OK:
			counts = "no"
		case o == timeline.ClientLimit:
			counts = "no; the run is inconclusive"
		case o == timeline.Aborted:
			counts = "no; in no phase"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", o, Meaning(o), counts)
	}
	return b.String()
}

func boundReference() string {
	var b strings.Builder
	fmt.Fprint(&b, "| bound | value | what it decides |\n|---|---|---|\n")
	row := func(name string, value any, what string) { fmt.Fprintf(&b, "| %s | %v | %s |\n", name, value, what) }
	share := func(v float64) string { return fmt.Sprintf("%g %%", v*100) }
	row("lag", Duration(LagBound), "The 99th percentile of sent minus scheduled, beyond which the generator fell behind.")
	row("achieved", share(AchievedBound), "The least share of the scheduled requests that must have been sent.")
	row("late while restarting", share(LateBound), "The largest share of the exposed requests that may have gone out later than the lag bound.")
	row("waited", share(WaitedBound)+" of `load.max_in_flight`", "The most requests that may have waited for others to end.")
	row("exposed", fmt.Sprintf("%d requests", ExposedLeast), "The fewest that must overlap restarts for a pass.")
	row("tolerance", fmt.Sprintf("%d × p95, at least p95 + %s", slackFactor, Duration(slackAtLeast)),
		"How slow a request may be and still count as fast as before; p95 is that of `before`.")
	row("slow share", share(slowShare), "The share of a settle window that may be slower than that, which is what a tolerable p95 means.")
	row("settle window", fmt.Sprintf("`settle`, and %d requests or more", settleLeast), "How long all must be well.")
	row("baseline", fmt.Sprintf("%d requests", baselineLeast), "The fewest before the restart for which slowness alone can fail a run.")
	row("ready late", Duration(readyLate), "How much later than its job's end a service may begin to answer before the report warns of it.")
	row("notice", Duration(noticeWithin), "How much later than its clients a manager may learn that a process has ended.")
	row("tail", fmt.Sprintf("%d requests", tailLeast), "So many good ones at the very end may have been a recovery that the end of the load cut short.")
	return b.String()
}

func fieldReference() string {
	var b strings.Builder
	for i, s := range sections {
		if i > 0 {
			fmt.Fprintln(&b)
		}
		if s.path == "" {
			fmt.Fprint(&b, "### The report\n\n")
		} else {
			fmt.Fprintf(&b, "### `%s`\n\n", s.path)
		}
		fmt.Fprint(&b, "| field | type | meaning |\n|---|---|---|\n")
		for f := range s.of.Fields() {
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", jsonName(f), kind(f.Type), fieldText(s, f))
		}
	}
	return b.String()
}

func fieldText(s section, f reflect.StructField) string {
	text := f.Tag.Get("jsonschema_description")
	if text == "" {
		text = described[[2]string{s.path, jsonName(f)}]
	}
	if strings.Contains(string(f.Tag), ",omitempty") {
		text += " Left out when empty."
	}
	var values []string
	for option := range strings.SplitSeq(f.Tag.Get("jsonschema"), ",") {
		if value, ok := strings.CutPrefix(option, "enum="); ok {
			values = append(values, "`"+value+"`")
		}
	}
	if values != nil {
		text += " One of " + strings.Join(values, ", ") + "."
	}
	return text
}

func kind(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[Duration]():
		return "seconds"
	case t == reflect.TypeFor[time.Time]():
		return "time (RFC 3339)"
	case t.Kind() == reflect.Pointer:
		return kind(t.Elem()) + " or null"
	case t.Kind() == reflect.Slice:
		return "list of " + strings.TrimSuffix(kind(t.Elem()), "s") + "s"
	case t.Kind() == reflect.Map:
		return "counts by name"
	case t.Kind() == reflect.Struct:
		return "object"
	case t.Kind() == reflect.String:
		return "text"
	case t.Kind() == reflect.Bool:
		return "true or false"
	}
	return "number"
}
