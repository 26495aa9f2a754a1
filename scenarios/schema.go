package scenarios

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"

	"github.com/invopop/jsonschema"
)

// schemaID names the schema, for editors that are told to use it.
const schemaID = "https://raw.githubusercontent.com/restartbench/restartbench/main/docs/scenario.schema.json"

// durationPattern is what ParseDuration reads.
const durationPattern = `^(0|(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h))+)$`

// Schema is the JSON Schema (draft 2020-12) of a scenario's YAML, made from the Go type and the table of keys. What it
// refuses, Parse refuses too; Parse checks more.
func Schema() ([]byte, error) {
	reflector := jsonschema.Reflector{FieldNameTag: "yaml", DoNotReference: true, ExpandedStruct: true, Mapper: durationSchema}
	root := reflector.Reflect(&Scenario{})
	root.ID, root.Title = schemaID, "restartbench scenario"
	root.Description = "What to do in one run of restartbench: which units to supervise, what load to send, how to restart."
	for path, v := range leaves("", reflect.ValueOf(&Scenario{}).Elem()) {
		if err := annotate(root, path, v.Type()); err != nil {
			return nil, err
		}
	}
	for _, section := range sectionPaths {
		if err := annotate(root, section, reflect.TypeFor[struct{}]()); err != nil {
			return nil, err
		}
	}
	load, _ := root.Properties.Get("load")
	load.OneOf = []*jsonschema.Schema{{Required: []string{"target"}}, {Required: []string{"targets"}}}
	root.Not = &jsonschema.Schema{Required: []string{"service", "units"}}
	text, err := json.MarshalIndent(root, "", "  ")
	return append(text, '\n'), err
}

func durationSchema(t reflect.Type) *jsonschema.Schema {
	if t != durationType {
		return nil
	}
	return &jsonschema.Schema{Type: "string", Pattern: durationPattern}
}

// annotate adds to the property at path what the table of keys says about it.
func annotate(root *jsonschema.Schema, path string, t reflect.Type) error {
	k, known := describe(path)
	p := property(root, path)
	if p == nil || !known {
		return fmt.Errorf("key %s is not in the table of keys or not in Scenario", path)
	}
	p.Description = k.doc
	if k.def == "" && k.defs == nil && k.defNote != "" {
		p.Description += " Default: " + k.defNote + "."
	}
	for _, value := range k.enum {
		p.Enum = append(p.Enum, value)
	}
	switch {
	case t == durationType:
		p.Default = k.def
	case t.Kind() == reflect.Map:
		p.PropertyNames = &jsonschema.Schema{Pattern: k.pattern}
		if k.anyText {
			p.AdditionalProperties = &jsonschema.Schema{AnyOf: []*jsonschema.Schema{
				{Type: "string", Pattern: `^([^\r\n]*[^\r\n\\])?$`}, {Type: "number"}, {Type: "boolean"}}}
		}
	case t.Kind() == reflect.Slice:
		k.bound(p.Items)
		p.Default = k.defs
	default:
		k.bound(p)
		p.Pattern = k.pattern
		p.Default = k.defaultFor(t)
	}
	if k.def == "" && k.defs == nil {
		p.Default = nil
	}
	return nil
}

// property is the schema of the key at path.
func property(s *jsonschema.Schema, path string) *jsonschema.Schema {
	for _, k := range keys {
		if s != nil && within(path, k.path) {
			s, _ = s.Properties.Get(k.name())
		}
	}
	return s
}

// bound sets a number's range.
func (k key) bound(s *jsonschema.Schema) {
	s.Minimum, s.Maximum = json.Number(k.low), json.Number(k.high)
}

// defaultFor is k's default as JSON has it.
func (k key) defaultFor(t reflect.Type) any {
	switch t.Kind() {
	case reflect.Float64, reflect.Int:
		return json.Number(k.def)
	case reflect.Bool:
		on, _ := strconv.ParseBool(k.def)
		return on
	}
	return k.def
}
