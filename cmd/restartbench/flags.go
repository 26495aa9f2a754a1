package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/restartbench/restartbench/scenarios"
)

// keyFlag is a flag that sets one of the scenario's keys.
type keyFlag struct{ name, key, value, usage string }

var keyFlags = []keyFlag{
	{"name", "name", "NAME", "name of the scenario in reports"},
	{"manager", "manager", "MANAGER", "who supervises the units: auto, system, user, private, embedded or none"},
	{"service", "service", "UNIT", "a unit that exists, to be restarted by its systemd"},
	{"target", "load.target", "URL", "what to request"},
	{"targets", "load.targets", "FILE", "requests to send, in vegeta's http or json target format"},
	{"rate", "load.rate", "N", "requests a second"},
	{"duration", "load.duration", "D", "how long the load lasts"},
	{"connections", "load.connections", "KIND", "fresh, keepalive or mixed"},
	{"method", "load.method", "METHOD", "HTTP method"},
	{"timeout", "load.timeout", "D", "longest that one request may take"},
	{"max-in-flight", "load.max_in_flight", "N", "most requests under way at once"},
	{"expect-status", "load.expect_status", "CODES", "statuses that count as ok, with commas between"},
	{"unix-socket", "load.unix_socket", "PATH", "connect to this unix socket, whatever the URL's host"},
	{"ca", "load.tls.ca", "FILE", "PEM file of the authorities to trust for https"},
	{"server-name", "load.tls.server_name", "NAME", "name that an https server must prove"},
	{"action", "restart.action", "ACTION", "restart, stop, kill, none, or one more of docs/scenario.md"},
	{"restart-unit", "restart.unit", "UNIT", "the service to restart"},
	{"signal", "restart.signal", "SIGNAL", "what --action kill sends"},
	{"at", "restart.at", "D", "when to restart, after the warm-up"},
	{"times", "restart.times", "N", "how often to restart"},
	{"every", "restart.every", "D", "time from one restart to the next"},
	{"restart-timeout", "restart.timeout", "D", "longest that one restart may take"},
	{"identity", "restart.identity", "URL", "its answer names the process: a change proves the restart"},
	{"warmup", "warmup", "D", "load sent before anything counts"},
	{"settle", "settle", "D", "how long all must be well again to count as recovered"},
}

// textFlag is a flag whose value is some text, with a name for it in the help.
type textFlag struct{ text, value string }

func (f *textFlag) String() string     { return f.text }
func (f *textFlag) Type() string       { return f.value }
func (f *textFlag) Set(s string) error { f.text = s; return nil }

// listFlag is a textFlag that may be repeated.
type listFlag struct {
	texts []string
	value string
}

func (f *listFlag) String() string     { return "" }
func (f *listFlag) Type() string       { return f.value }
func (f *listFlag) Set(s string) error { f.texts = append(f.texts, s); return nil }

// scenarioFlags are the flags that make a scenario, or change one.
type scenarioFlags struct {
	values   map[string]*textFlag // by flag
	headers  listFlag
	body     textFlag
	insecure bool
	units    listFlag
	override listFlag
	command  []string // after --
}

func (f *scenarioFlags) register(cmd *cobra.Command) {
	f.values = map[string]*textFlag{}
	for _, k := range keyFlags {
		f.values[k.name] = &textFlag{value: k.value}
		cmd.Flags().Var(f.values[k.name], k.name, k.usage)
		cmd.Flag(k.name).DefValue = scenarios.Default(k.key) // for the help; the scenario fills it in
	}
	f.headers.value, f.body.value, f.units.value, f.override.value = "HEADER", "TEXT", "FILE", "SETTING"
	cmd.Flags().Var(&f.headers, "header", "header of each request, as 'Name: value'; may be repeated")
	cmd.Flags().Var(&f.body, "body", "body of each request, or @FILE")
	cmd.Flags().BoolVar(&f.insecure, "insecure", false, "accept any certificate of an https server")
	cmd.Flags().Var(&f.override, "override", "set this on the existing service for the run, as 'socket.Backlog=64' or 'service.RestartSec=1'; may be repeated")
	cmd.Flags().Var(&f.units, "unit", "unit file to run, .service or .socket; may be repeated")
}

// any reports whether flags alone say something to run.
func (f *scenarioFlags) any(cmd *cobra.Command) bool {
	return cmd.Flag("target").Changed || cmd.Flag("targets").Changed || cmd.Flag("service").Changed || len(f.units.texts) > 0 || len(f.command) > 0
}

// apply sets the flags that were given over s. What is wrong with a value is for Finish to say, with all else.
func (f *scenarioFlags) apply(cmd *cobra.Command, s *scenarios.Scenario) error {
	for _, k := range keyFlags {
		if cmd.Flag(k.name).Changed {
			_ = s.Set(k.key, f.values[k.name].text) // Finish reports it
		}
	}
	if cmd.Flag("insecure").Changed {
		s.Load.TLS.Insecure = f.insecure
		s.Assigned("load.tls.insecure")
	}
	return errors.Join(f.applyHeaders(s), f.applyBody(cmd, s), f.applyUnits(s), f.applyOverride(s), f.applyCommand(s))
}

func (f *scenarioFlags) applyHeaders(s *scenarios.Scenario) error {
	for _, h := range f.headers.texts {
		name, value, ok := strings.Cut(h, ":")
		if !ok {
			return fmt.Errorf("--header %q has no colon; write 'Name: value'", h)
		}
		headers := maps.Clone(s.Load.Headers)
		if headers == nil {
			headers = map[string]string{}
		}
		headers[strings.TrimSpace(name)] = strings.TrimSpace(value)
		s.Load.Headers = headers
		s.Assigned("load.headers")
	}
	return nil
}

func (f *scenarioFlags) applyBody(cmd *cobra.Command, s *scenarios.Scenario) error {
	if !cmd.Flag("body").Changed {
		return nil
	}
	s.Load.Body = f.body.text
	s.Assigned("load.body")
	if file, ok := strings.CutPrefix(f.body.text, "@"); ok {
		data, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("--body: %w", err)
		}
		s.Load.Body = string(data)
	}
	return nil
}

func (f *scenarioFlags) applyUnits(s *scenarios.Scenario) error {
	if len(f.units.texts) == 0 {
		return nil
	}
	s.Units = map[string]string{}
	s.Assigned("units")
	for _, file := range f.units.texts {
		text, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("--unit: %w", err)
		}
		s.Units[filepath.Base(file)] = string(text)
	}
	return nil
}

func (f *scenarioFlags) applyOverride(s *scenarios.Scenario) error {
	for _, setting := range f.override.texts {
		path, value, ok := strings.Cut(setting, "=")
		section, key, dotted := strings.Cut(path, ".")
		if !ok || !dotted || section != "socket" && section != "service" {
			return fmt.Errorf("--override %q: write socket.KEY=VALUE or service.KEY=VALUE", setting)
		}
		to := &s.Override.Service
		if section == "socket" {
			to = &s.Override.Socket
		}
		if *to = maps.Clone(*to); *to == nil {
			*to = map[string]string{}
		}
		(*to)[key] = value
		s.Assigned("override." + section)
	}
	return nil
}

func (f *scenarioFlags) applyCommand(s *scenarios.Scenario) error {
	if len(f.command) == 0 {
		return nil
	}
	s.Restart.Command = slices.Clone(f.command)
	s.Assigned("restart.command")
	if s.Name == "" {
		_ = s.Set("name", nameFrom(filepath.Base(f.command[0])))
	}
	return nil
}

// nameFrom makes a scenario's name of any text.
func nameFrom(text string) string {
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '.' {
			return r
		}
		return '-'
	}, strings.ToLower(text))
	if name = strings.Trim(name, "-."); name == "" {
		return "custom"
	}
	return name
}

// nameFlags puts the flag before the message of each mistake in a value that a flag gave.
func nameFlags(cmd *cobra.Command, err error) error {
	var all scenarios.Errors
	if !errors.As(err, &all) {
		return err
	}
	named := make([]error, len(all))
	for i, one := range all {
		named[i] = one
		for _, k := range keyFlags {
			if one.Line == 0 && one.File == "" && one.Key == k.key && cmd.Flag(k.name).Changed {
				named[i] = fmt.Errorf("--%s: %s", k.name, one.Msg)
			}
		}
	}
	return errors.Join(named...)
}
