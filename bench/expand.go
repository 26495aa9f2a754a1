package bench

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/restartbench/restartbench/bench/systemd/private"
	"github.com/restartbench/restartbench/scenarios"
)

// expand gives each placeholder its value for this run.
func (b *Bench) expand(s *scenarios.Scenario, program Program) (*scenarios.Scenario, error) {
	var held []net.Listener // all at once, so that no two ports are the same
	defer func() {
		for _, l := range held {
			l.Close()
		}
	}()
	return s.Expand(func(name string) (string, error) {
		kind, _, _ := strings.Cut(name, ":")
		switch kind {
		case "restartbench":
			if b.kind == scenarios.ManagerPrivate {
				return private.Program, nil
			}
			return program.Path, nil
		case "dir":
			if b.kind != scenarios.ManagerEmbedded {
				return "", fmt.Errorf("only the embedded manager makes such a directory, and this is manager %s (%s): use RuntimeDirectory= in the unit", b.kind, b.why)
			}
			return b.dir, nil
		case "port":
			l, err := listenFree()
			if err != nil {
				return "", fmt.Errorf("finding a free port: %w", err)
			}
			held = append(held, l)
			return strconv.Itoa(l.Addr().(*net.TCPAddr).Port), nil
		}
		return "", fmt.Errorf("no value is known for {{%s}}", name)
	})
}

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
