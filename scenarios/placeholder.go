package scenarios

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// placeholder matches {{name}} and {{name:word}}, and as much of an unclosed one as there is. Other texts in braces, such as a Go
// template's {{.State}}, are not ours and stay as they are.
var placeholder = regexp.MustCompile(`\{\{[ \t]*([A-Za-z][A-Za-z0-9_-]*)(:[^{}\s]*)?[ \t]*(\}\}|\}|)`)

var portName = regexp.MustCompile(`^:[a-z0-9][a-z0-9_-]{0,31}$`)

// placeholders are the names that a placeholder can have, with what they stand for.
var placeholders = []struct{ name, doc string }{
	{"port", "A TCP port that is free on loopback when the run begins: the same one wherever it stands in the scenario."},
	{"port:NAME", "Further free ports, one for each NAME (a-z, 0-9, `_` and `-`)."},
	{"restartbench", "The absolute path of the restartbench program, to run `restartbench serve` as the service."},
	{"dir", "The run's private runtime directory, for sockets and files. It is removed afterwards."},
}

// rewriteTexts calls f with each text that may hold placeholders, and keeps what f returns.
func (s *Scenario) rewriteTexts(f func(key, text string) string) {
	for _, name := range slices.Sorted(maps.Keys(s.Units)) {
		s.Units[name] = f(join("units", name), s.Units[name])
	}
	for section, settings := range map[string]map[string]string{"socket": s.Override.Socket, "service": s.Override.Service} {
		for _, name := range slices.Sorted(maps.Keys(settings)) {
			settings[name] = f(join("override."+section, name), settings[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.Load.Headers)) {
		s.Load.Headers[name] = f(join("load.headers", name), s.Load.Headers[name])
	}
	s.Load.Target = f("load.target", s.Load.Target)
	s.Load.UnixSocket = f("load.unix_socket", s.Load.UnixSocket)
	for i := range s.Restart.Command {
		s.Restart.Command[i] = f(fmt.Sprintf("restart.command[%d]", i), s.Restart.Command[i])
	}
	s.Restart.Identity = f("restart.identity", s.Restart.Identity)
}

// Placeholders are the names that the scenario's placeholders have, as port, port:NAME, restartbench or dir: sorted, each once.
func (s *Scenario) Placeholders() []string {
	names := map[string]bool{}
	s.Clone().rewriteTexts(func(_, text string) string {
		for _, name := range placeholdersIn(text) {
			names[name] = true
		}
		return text
	})
	return slices.Sorted(maps.Keys(names))
}

func placeholdersIn(text string) []string {
	var names []string
	for _, m := range placeholder.FindAllStringSubmatch(text, -1) {
		if m[3] == "}}" {
			names = append(names, m[1]+m[2])
		}
	}
	return names
}

// Expand is a deep copy of the scenario with each placeholder replaced by its value. value is asked once for each name (see
// Placeholders), so that {{port}} is the same port everywhere; its error is returned, wrapped.
func (s *Scenario) Expand(value func(name string) (string, error)) (*Scenario, error) {
	values := map[string]string{}
	var errs []error
	for _, name := range s.Placeholders() {
		text, err := value(name)
		if err != nil {
			errs = append(errs, fmt.Errorf("expanding {{%s}}: %w", name, err))
		}
		values[name] = text
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	expanded := s.Clone()
	expanded.rewriteTexts(func(_, text string) string { return replacePlaceholders(text, values) })
	return expanded, nil
}

func replacePlaceholders(text string, values map[string]string) string {
	return placeholder.ReplaceAllStringFunc(text, func(match string) string {
		m := placeholder.FindStringSubmatch(match)
		if value, ok := values[m[1]+m[2]]; ok && m[3] == "}}" {
			return value
		}
		return match
	})
}

// sample is text with its placeholders replaced by values that they might have, so that the rest can be checked.
func sample(text string) string {
	return placeholder.ReplaceAllStringFunc(text, func(match string) string {
		switch m := placeholder.FindStringSubmatch(match); {
		case m[3] != "}}":
			return match
		case m[1] == "port":
			return "1"
		default:
			return "/" + m[1]
		}
	})
}

// Clone is a deep copy.
func (s *Scenario) Clone() *Scenario {
	c := *s
	c.Units, c.Needs = maps.Clone(s.Units), maps.Clone(s.Needs)
	c.Override = Override{Socket: maps.Clone(s.Override.Socket), Service: maps.Clone(s.Override.Service)}
	c.Journal.Patterns = slices.Clone(s.Journal.Patterns)
	c.Load.Headers = maps.Clone(s.Load.Headers)
	c.Load.ExpectStatus = slices.Clone(s.Load.ExpectStatus)
	c.Restart.Command = slices.Clone(s.Restart.Command)
	c.source = s.source.clone()
	return &c
}

// placeholderRules reports placeholders that nothing would replace, or whose value nothing would use.
func (c *checker) placeholderRules() {
	served := c.servedPorts()
	c.Clone().rewriteTexts(func(key, text string) string {
		for _, at := range placeholder.FindAllStringSubmatchIndex(text, -1) {
			if c.errs.full() {
				break
			}
			if msg := wrongPlaceholder(text, at); msg != "" {
				c.failAt(key, at[0], "%s", msg)
				continue
			}
			name := strings.Trim(text[at[0]:at[1]], "{} \t")
			client := key == "load.target" || key == "restart.identity"
			if client && strings.HasPrefix(name, "port") && !served[name] {
				c.failAt(key, at[0], "{{%s}} is a free port, and no unit listens on it; use it in a unit too, or write the service's own port", name)
			}
		}
		return text
	})
}

// wrongPlaceholder says what is wrong with the match at indexes at of text, or "".
func wrongPlaceholder(text string, at []int) string {
	name, word := text[at[2]:at[3]], ""
	if at[4] >= 0 {
		word = text[at[4]:at[5]]
	}
	names := []string{"port", "restartbench", "dir"}
	known := slices.Contains(names, name)
	switch closed := text[at[6]:at[7]] == "}}"; {
	case !closed && known:
		return fmt.Sprintf("{{%s is not closed; write {{%s}}", name+word, name+word)
	case !closed:
		return ""
	case !known:
		return fmt.Sprintf("unknown placeholder {{%s}}%s", name+word, suggestPlaceholder(name, names))
	case name != "port" && word != "":
		return fmt.Sprintf("{{%s}} takes no name; write {{%s}}", name+word, name)
	case word != "" && !portName.MatchString(word):
		return fmt.Sprintf("{{%s}} is no port's name; write one of a-z, 0-9, _ and -, such as {{port:admin}}", name+word)
	}
	return ""
}

func suggestPlaceholder(name string, names []string) string {
	if near := nearest(name, names); near != "" {
		return fmt.Sprintf("; did you mean {{%s}}?", near)
	}
	return "; write one of {{port}}, {{port:NAME}}, {{restartbench}}, {{dir}}"
}

// servedPorts are the port placeholders in units and in the command: those that a server may listen on.
func (c *checker) servedPorts() map[string]bool {
	served := map[string]bool{}
	c.Clone().rewriteTexts(func(key, text string) string {
		if within(key, "units") || within(key, "override") || within(key, "restart.command") {
			for _, name := range placeholdersIn(text) {
				served[name] = true
			}
		}
		return text
	})
	return served
}
