package main

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const module = "github.com/restartbench/restartbench"

// pkg is what `go list` tells of a package.
type pkg struct {
	ImportPath string
	Imports    []string // its own
	Deps       []string // all the way down
}

func listPackages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports,Deps", module+"/...")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []pkg
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		err := d.Decode(&p)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

// Data flows one way: scenarios → bench → run file → report → cmd. Nothing upstream reads anything downstream.
func TestImportsFlowOneWay(t *testing.T) {
	in := func(path, dir string) bool { return path == module+dir || strings.HasPrefix(path, module+dir+"/") }
	for _, p := range listPackages(t) {
		for _, dep := range p.Deps {
			if !in(dep, "") {
				continue
			}
			var allowed bool
			switch {
			case in(p.ImportPath, "/scenarios"), in(p.ImportPath, "/bench/timeline"):
				allowed = false
			case in(p.ImportPath, "/report"):
				allowed = in(dep, "/bench/timeline")
			case in(p.ImportPath, "/bench"):
				allowed = in(dep, "/bench") || in(dep, "/scenarios")
			default:
				allowed = true
			}
			if !allowed {
				t.Errorf("%s must not depend on %s", p.ImportPath, dep)
			}
		}
	}
}

// Some dependencies have one door.
func TestDependenciesHaveOneImporter(t *testing.T) {
	doors := map[string]string{
		"github.com/tsenart/vegeta/v12/lib":     "/bench/load",
		"github.com/coreos/go-systemd/v22/dbus": "/bench/systemd",
		"github.com/mdlayher/netlink":           "/bench/probe",
		"github.com/olekukonko/tablewriter":     "/report",
		"go.yaml.in/yaml/v4":                    "/scenarios",
	}
	for _, p := range listPackages(t) {
		for _, dep := range p.Imports {
			if door, ok := doors[dep]; ok && p.ImportPath != module+door {
				t.Errorf("%s imports %s, which only %s may", p.ImportPath, dep, module+door)
			}
		}
	}
}

// Functions are short. One that has a reason to be longer than 60 lines says so in its comment: "Long because …".
func TestFunctionsAreShort(t *testing.T) {
	const most = 60
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		files := token.NewFileSet()
		f, err := parser.ParseFile(files, path, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		for _, decl := range f.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok || strings.Contains(fn.Doc.Text(), "Long because") {
				continue
			}
			if lines := files.Position(fn.End()).Line - files.Position(fn.Pos()).Line + 1; lines > most {
				t.Errorf("%s: %s has %d lines, over %d", files.Position(fn.Pos()), fn.Name.Name, lines, most)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
