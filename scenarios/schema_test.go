package scenarios

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"
)

const (
	schemaFile    = "../docs/scenario.schema.json"
	referenceFile = "../docs/scenario.md"
)

func TestSchemaGolden(t *testing.T) {
	text, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, schemaFile, text)
}

// validate checks YAML against the generated schema.
func validate(t *testing.T, text []byte) error {
	t.Helper()
	schema, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource(schemaID, doc); err != nil {
		t.Fatal(err)
	}
	compiled, err := compiler.Compile(schemaID)
	if err != nil {
		t.Fatal(err)
	}
	var value any
	if err := yaml.Load(text, &value); err != nil {
		t.Fatal(err)
	}
	asJSON, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	instance, err := jsonschema.UnmarshalJSON(bytes.NewReader(asJSON))
	if err != nil {
		t.Fatal(err)
	}
	return compiled.Validate(instance)
}

func TestSchemaAcceptsBuiltins(t *testing.T) {
	for _, s := range Builtins() {
		_, written, _ := Builtin(s.Name)
		canonical, err := s.YAML()
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range [][]byte{written, canonical} {
			if err := validate(t, text); err != nil {
				t.Errorf("%s: %v", s.Name, err)
			}
		}
	}
}

// TestSchemaRefuses: the mistakes that a schema can express are refused by it, and by Parse.
func TestSchemaRefuses(t *testing.T) {
	for _, name := range []string{"both-targets", "enums", "list-elements", "list-root", "missing", "misspelled-section",
		"ranges", "request", "sections-only", "signal", "types", "units", "unknown-keys", "url-1", "url-2", "url-8", "durations", "method"} {
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile("testdata/" + name + ".yaml")
			if err != nil {
				t.Fatal(err)
			}
			if validate(t, text) == nil {
				t.Error("the schema accepts it")
			}
		})
	}
}

// TestSchemaRefusesEachMistake spoils a valid scenario in one place at a time.
func TestSchemaRefusesEachMistake(t *testing.T) {
	const valid = "name: a\nmanager: auto\nunits: {a.service: \"[Service]\"}\nload: {target: 'http://x/', rate: 1, duration: 1m, headers: {A: b}, " +
		"expect_status: [200], unix_socket: /x, method: GET, tls: {}}\nrestart: {action: kill, signal: SIGTERM, times: 1, identity: 'http://x/'}\n"
	if err := validate(t, []byte(valid)); err != nil {
		t.Fatal(err)
	}
	for _, change := range [][2]string{
		{"name: a", "name: A"}, {"name: a", "name: 1"}, {"name: a", "description: a"}, {"name: a", "name: a\nfoo: b"},
		{"manager: auto", "manager: systemd"},
		{"manager: auto", "service: b.service"}, {"manager: auto", "needs: {bin/x: y}"}, {"manager: auto", "needs: [/bin/x]"},
		{"manager: auto", "override: {timer: {A: b}}"}, {"manager: auto", "override: {service: {a: b}}"},
		{"manager: auto", "override: {service: {A: [b]}}"}, {"manager: auto", `override: {service: {A: "b\nc"}}`},
		{"manager: auto", `override: {service: {A: 'b\'}}`}, {"manager: auto", "journal: {patterns: x}"}, {"manager: auto", "journal: {patterns: [1]}"},
		{"a.service", "a.timer"}, {`"[Service]"`, "{}"}, {`"[Service]"`, "1"},
		{"target: 'http://x/'", "target: x"}, {"target: 'http://x/', ", ""}, {"target: 'http://x/'", "target: 'http://x/', targets: x"},
		{"rate: 1", "rate: 0"}, {"rate: 1", "rate: 100001"}, {"rate: 1", "rate: '1'"}, {"rate: 1", "rat: 1"},
		{"duration: 1m", "duration: 10"}, {"duration: 1m", "duration: '10'"}, {"duration: 1m", "duration: 1 m"}, {"duration: 1m", "duration: 1d"},
		{"{A: b}", "{'A:': b}"}, {"{A: b}", "[A]"},
		{"[200]", "[99]"}, {"[200]", "[600]"}, {"[200]", "['200']"}, {"[200]", "200"},
		{"unix_socket: /x", "unix_socket: x"}, {"method: GET", "method: G T"}, {"tls: {}", "tls: {x: y}"},
		{"action: kill", "action: reboot"}, {"signal: SIGTERM", "signal: TERM"}, {"times: 1", "times: 0"}, {"times: 1", "times: 1.5"},
		{"times: 1", "times: 1001"}, {"identity: 'http://x/'", "identity: x"},
	} {
		text := []byte(strings.Replace(valid, change[0], change[1], 1))
		if validate(t, text) == nil {
			t.Errorf("the schema accepts %q for %q", change[1], change[0])
		}
		if _, err := Parse("x.yaml", text); err == nil {
			t.Errorf("Parse accepts %q for %q", change[1], change[0])
		}
	}
}

// TestKeysDescribeScenario: the table and the type have the same keys in the same order, and the table's texts can be read.
func TestKeysDescribeScenario(t *testing.T) {
	var paths, listed []string
	for path, v := range leaves("", reflect.ValueOf(&Scenario{}).Elem()) {
		paths = append(paths, path)
		k, _ := describe(path)
		for _, text := range []string{k.def, k.low, k.high} {
			if v.Kind() == reflect.Slice {
				v = reflect.New(v.Type().Elem()).Elem()
			}
			if text == "" {
				continue
			}
			if _, err := readText(v.Type(), text); err != nil {
				t.Errorf("%s: %v", path, err)
			}
		}
	}
	for _, k := range keys {
		if k.doc == "" || !strings.HasSuffix(k.doc, ".") {
			t.Errorf("%s needs a description in sentences", k.path)
		}
		if len(members(k.path)) == 0 {
			listed = append(listed, k.path)
		}
	}
	if strings.Join(paths, "\n") != strings.Join(listed, "\n") {
		t.Errorf("the type has\n%s\nthe table has\n%s", paths, listed)
	}
}

// TestReference keeps the tables of docs/scenario.md what the table of keys says.
func TestReference(t *testing.T) {
	text, err := os.ReadFile(referenceFile)
	if err != nil {
		t.Fatal(err)
	}
	got := between(t, string(text), "keys", reference())
	got = between(t, got, "placeholders", placeholderReference())
	got = between(t, got, "patterns", "    "+strings.Join(listeningFailures, "\n    ")+"\n")
	golden(t, referenceFile, []byte(got))
}

// TestReferenceExamples: every whole scenario in docs/scenario.md is a valid one.
func TestReferenceExamples(t *testing.T) {
	text, err := os.ReadFile(referenceFile)
	if err != nil {
		t.Fatal(err)
	}
	for i, block := range strings.Split(string(text), "```") {
		example, ok := strings.CutPrefix(block, "yaml\n")
		if i%2 == 0 || !ok || !strings.HasPrefix(example, "name:") {
			continue
		}
		if _, err := Parse("scenario.md", []byte(example)); err != nil {
			t.Errorf("%v\nin\n%s", err, example)
		}
		if err := validate(t, []byte(example)); err != nil {
			t.Error(err)
		}
	}
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

// reference is the table of keys in Markdown, one for each section.
func reference() string {
	var b strings.Builder
	for i, section := range append([]string{""}, sectionPaths...) {
		if i > 0 {
			fmt.Fprintln(&b)
		}
		if section == "" {
			fmt.Fprintf(&b, "### Top level\n\n")
		} else {
			k, _ := describe(section)
			fmt.Fprintf(&b, "### `%s`\n\n%s\n\n", section, k.doc)
		}
		fmt.Fprint(&b, "| key | type | default | allowed | meaning |\n|---|---|---|---|---|\n")
		for _, k := range members(section) {
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", k.name(), kind(k), defaultOf(k), allowed(k), k.doc)
		}
	}
	return b.String()
}

func kind(k key) string {
	v, _ := find(reflect.ValueOf(&Scenario{}).Elem(), k.path)
	switch v.Kind() {
	case reflect.Struct:
		return "section"
	case reflect.Map:
		return "names and texts"
	}
	if v.Type() == durationType {
		return "duration"
	}
	return strings.TrimPrefix(strings.TrimPrefix(expected(v.Type()), "a "), "whole ")
}

func defaultOf(k key) string {
	switch {
	case k.required:
		return "required"
	case k.def != "" && k.defNote != "":
		return fmt.Sprintf("`%s` (%s)", k.def, k.defNote)
	case k.def != "":
		return "`" + k.def + "`"
	}
	return k.defNote
}

func allowed(k key) string {
	switch {
	case k.enum != nil:
		return "`" + strings.Join(k.enum, "`, `") + "`"
	case k.low != "":
		return k.interval()
	}
	return ""
}

func placeholderReference() string {
	var b strings.Builder
	fmt.Fprint(&b, "| placeholder | stands for |\n|---|---|\n")
	for _, p := range placeholders {
		fmt.Fprintf(&b, "| `{{%s}}` | %s |\n", p.name, p.doc)
	}
	return b.String()
}
