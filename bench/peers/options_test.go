package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestUsage(t *testing.T) {
	bare := filepath.Join(t.TempDir(), "bare.md")
	if err := os.WriteFile(bare, []byte("# no table here\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, args string
		code       int
		says       string
	}{
		{"help", "--help", exitMeasured, "-pairs"},
		{"unknown flag", "--pair 3", exitUsage, "not defined"},
		{"no pairs", "--pairs 0", exitUsage, "--pairs 0: must be at least 1"},
		{"unknown measure", "--only rate,speed", exitUsage, "--only speed: no such measure; see --list"},
		{"unknown format", "--format html", exitUsage, "--format html: must be markdown or json"},
		{"argument", "rate", exitUsage, "rate: takes flags alone"},
		{"no document", "--update /nonexistent/peers.md", exitUsage, "no such file"},
		{"document without a place", "--update " + bare, exitUsage, "the line " + documentBegin + " is missing"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			code := run(t.Context(), strings.Fields(tt.args), &stdout, &stderr)
			if code != tt.code || !strings.Contains(stderr.String(), tt.says) || stdout.Len() > 0 {
				t.Errorf("code %d, said %q, printed %q", code, &stderr, &stdout)
			}
		})
	}
}

func TestMissingProgram(t *testing.T) {
	_, err := findPrograms([]measure{{name: "test", needs: []string{"no-such-program"}}})
	if err == nil || err.Error() != "no-such-program is not installed: apt-get install no-such-program" {
		t.Errorf("%v", err)
	}
	if got := debianPackage("nginx"); got != "nginx-light" {
		t.Errorf("package %s", got)
	}
}

func TestList(t *testing.T) {
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"--list"}, &stdout, &stderr); code != exitMeasured || stderr.Len() > 0 {
		t.Errorf("code %d, said %q", code, &stderr)
	}
	if lines := strings.Count(stdout.String(), "\n"); lines != len(measures()) {
		t.Errorf("%d lines:\n%s", lines, &stdout)
	}
}

func TestPlan(t *testing.T) {
	for _, tt := range []struct {
		name, args string
		pairs      int
		probe      time.Duration
		measures   int
	}{
		{"default", "", 5, 5 * time.Second, len(measures())},
		{"short", "--short", 2, time.Second, len(measures())},
		{"short, with pairs", "--short --pairs 7", 7, time.Second, len(measures())},
		{"two measures", "--only size,rate", 5, 5 * time.Second, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o, err := parse(strings.Fields(tt.args), &bytes.Buffer{})
			if err != nil {
				t.Fatal(err)
			}
			if p := o.plan(); p.pairs != tt.pairs || p.probe != tt.probe || len(o.chosen()) != tt.measures {
				t.Errorf("%+v, %d measures", p, len(o.chosen()))
			}
		})
	}
}
