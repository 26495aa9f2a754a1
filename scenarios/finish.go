package scenarios

import (
	"reflect"
	"slices"
	"strings"
)

// Set gives the key at path, as load.rate, the value that text stands for, over whatever the file says. Finish tells such
// a value from one left out even if it is zero, and a mistake in it is reported without the file's position.
// Lists of numbers are written with commas; maps and lists of words are for the caller to assign (see Assigned).
func (s *Scenario) Set(path, text string) error {
	v, ok := find(reflect.ValueOf(s).Elem(), path)
	if !ok || v.Kind() == reflect.Struct || v.Kind() == reflect.Map || v.Kind() == reflect.Slice && v.Type().Elem().Kind() != reflect.Int {
		return &Error{Key: path, Msg: "is no key that one text can set"}
	}
	read, err := readTexts(v.Type(), text)
	if err != nil {
		s.Assigned(path)
		mistake := &Error{Key: path, Msg: err.Error()}
		s.source.bad[path] = true
		s.source.errs.add(mistake)
		return mistake
	}
	v.Set(read)
	s.Assigned(path)
	return nil
}

// readTexts is readText that also reads lists.
func readTexts(t reflect.Type, text string) (reflect.Value, error) {
	if t.Kind() != reflect.Slice {
		return readText(t, text)
	}
	list := reflect.New(t).Elem()
	for word := range strings.SplitSeq(text, ",") {
		v, err := readText(t.Elem(), strings.TrimSpace(word))
		if err != nil {
			return list, err
		}
		list = reflect.Append(list, v)
	}
	return list, nil
}

// Assigned tells Finish that the caller has given these keys' fields their values, over whatever the file says.
// Set does it by itself.
func (s *Scenario) Assigned(paths ...string) {
	if s.source == nil {
		s.source = newSource("", nil)
	}
	for _, path := range paths {
		s.source.assigned[path] = true
	}
}

// Finish fills in the defaults and checks everything that can be wrong without running. The error is Errors and holds
// every mistake, those of Decode and Set included; after an error the scenario is not fit to run.
//
// A field counts as left out when it is zero and neither the file nor Set nor Assigned gave it. Finishing twice is finishing
// once, except that a value of Set or Assigned in between counts.
func (s *Scenario) Finish() error {
	s.supersede()
	c := checker{Scenario: s}
	if s.source != nil {
		c.errs = append(c.errs, s.source.errs...)
	}
	c.omissions()
	s.fill()
	c.ranges()
	c.rules()
	return c.errs.err()
}

// supersede drops what contradicts a value that the caller set over the file's: with --target, the file's targets are not
// a mistake but what the caller wants replaced.
func (s *Scenario) supersede() {
	switch over := s.source.overrides; {
	case over("load.target") && !over("load.targets"):
		s.Load.Targets = ""
	case over("load.targets") && !over("load.target"):
		s.Load.Target = ""
	}
	switch over := s.source.overrides; {
	case over("service") && !over("units"):
		s.Units, s.Needs = nil, nil
		s.aboutUnits(over)
		if own := []string{ManagerPrivate, ManagerEmbedded, ManagerNone}; slices.Contains(own, s.Manager) && !over("manager") {
			s.Manager = ManagerAuto
		}
	case over("units") && !over("service") && s.Service != "":
		s.Service = ""
		s.aboutUnits(over)
	}
	switch over := s.source.overrides; {
	case over("restart.action"):
		s.Restart = s.Restart.only(s.Restart.Action, over)
	case over("restart.command"):
		s.Restart = s.Restart.only(ActionCommand, over)
	}
	if s.Restart.Action == ActionNone {
		s.Restart = Restart{Action: ActionNone}
	}
}

// aboutUnits drops what was said of units that are replaced.
func (s *Scenario) aboutUnits(over func(string) bool) {
	if !over("restart.unit") {
		s.Restart.Unit = ""
	}
}

// only is r with that action, without the settings of other actions that the caller did not give.
func (r Restart) only(action string, over func(string) bool) Restart {
	r.Action = action
	if action != ActionCommand && !over("restart.command") {
		r.Command = nil
	}
	if action != ActionKill && !over("restart.signal") {
		r.Signal = ""
	}
	return r
}

// fill gives what was left out its default.
func (s *Scenario) fill() {
	if s.Restart.Action == "" && len(s.Restart.Command) > 0 {
		s.Restart.Action = ActionCommand
	}
	for path, v := range leaves("", reflect.ValueOf(s).Elem()) {
		k, _ := describe(path)
		if k.def == "" && k.defs == nil || !v.IsZero() || s.source.gives(path) || !s.uses(path) {
			continue
		}
		if k.defs != nil {
			v.Set(reflect.ValueOf(slices.Clone(k.defs)))
			continue
		}
		if def, err := readText(v.Type(), k.def); err == nil { // a test reads every default
			v.Set(def)
		}
	}
	s.fillService()
	if services := s.services(); s.Restart.Unit == "" && len(services) == 1 && s.Restart.Action != ActionNone {
		s.Restart.Unit = services[0]
	}
}

// fillService completes the service's name, and restarts it unless something else is said.
func (s *Scenario) fillService() {
	if s.Service == "" {
		return
	}
	s.Service = serviceName(s.Service)
	if s.Restart.Unit == "" && s.Restart.Action != ActionNone {
		s.Restart.Unit = s.Service
	}
	s.Restart.Unit = serviceName(s.Restart.Unit)
}

// uses reports whether the key at path means anything beside the other values. Keys that do not get no default.
func (s *Scenario) uses(path string) bool {
	switch {
	case path == "load.method":
		return s.Load.Target != ""
	case path == "restart.signal":
		return s.Restart.Action == ActionKill
	case path == "restart.action":
		return true
	case within(path, "restart"):
		return s.Restart.Action != ActionNone
	}
	return true
}
