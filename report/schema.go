package report

import (
	"encoding/json"
	"reflect"
	"strings"

	"github.com/invopop/jsonschema"
)

// schemaID names the schema.
const schemaID = "https://raw.githubusercontent.com/restartbench/restartbench/main/docs/report.schema.json"

// JSONSchema is the JSON Schema (draft 2020-12) of one report in JSON, made from the Go type.
func JSONSchema() ([]byte, error) {
	reflector := jsonschema.Reflector{DoNotReference: true, ExpandedStruct: true, Mapper: secondsSchema}
	root := reflector.Reflect(&Report{})
	root.ID, root.Title = schemaID, "restartbench report"
	root.Description = "What one run of restartbench proves. Times are seconds. null means: not observed."
	allowNull(root, reflect.TypeFor[Report]())
	for name, text := range described {
		section, _ := root.Properties.Get(name[0])
		property, _ := section.Properties.Get(name[1])
		property.Description = text
	}
	text, err := json.MarshalIndent(root, "", "  ")
	return append(text, '\n'), err
}

// described tells of the fields that come from the run file as they are.
var described = map[[2]string]string{
	{"host", "name"}:          "Its name.",
	{"host", "os"}:            "Operating system.",
	{"host", "arch"}:          "Processor architecture.",
	{"host", "cpus"}:          "Processors.",
	{"host", "kernel"}:        "Version of the kernel.",
	{"host", "boot_id"}:       "Runs of one boot share their monotonic clock.",
	{"clock", "wall"}:         "The origin of the run's clock, as time of day.",
	{"clock", "monotonic_ns"}: "The same moment on CLOCK_MONOTONIC, in nanoseconds. 0: the system has none.",
}

func secondsSchema(t reflect.Type) *jsonschema.Schema {
	if t != reflect.TypeFor[Duration]() {
		return nil
	}
	return &jsonschema.Schema{Type: "number"}
}

// allowNull lets each pointer be null, which the reflector does not do by itself.
func allowNull(s *jsonschema.Schema, t reflect.Type) {
	for t.Kind() == reflect.Slice {
		s, t = s.Items, t.Elem()
	}
	if t.Kind() != reflect.Struct || s == nil || s.Properties == nil {
		return
	}
	for f := range t.Fields() {
		name := jsonName(f)
		property, ok := s.Properties.Get(name)
		if !ok {
			continue
		}
		if f.Type.Kind() != reflect.Pointer {
			allowNull(property, f.Type)
			continue
		}
		allowNull(property, f.Type.Elem())
		description := property.Description
		property.Description = ""
		s.Properties.Set(name, &jsonschema.Schema{Description: description, AnyOf: []*jsonschema.Schema{property, {Type: "null"}}})
	}
}

// jsonName is a field's name in JSON.
func jsonName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return name
}
