package scenarios

import (
	"fmt"
	"strings"

	"github.com/agext/levenshtein"
)

// nearest is the candidate that name was most likely meant to be, or "" when none is near. Case, dashes and underscores
// do not count as differences, and a part stands for the whole.
func nearest(name string, candidates []string) string {
	for _, candidate := range candidates {
		if len(name) >= 3 && strings.Contains(fold(candidate), fold(name)) { // TERM for SIGTERM
			return candidate
		}
	}
	best, bestDistance := "", len([]rune(name))/3+2
	for _, candidate := range candidates {
		distance := levenshtein.Distance(fold(name), fold(candidate), nil)
		// A word of three letters is two edits away from anything: ask for half of the candidate to be right.
		if distance < bestDistance && distance*2 <= len(candidate) {
			best, bestDistance = candidate, distance
		}
	}
	return best
}

func fold(name string) string {
	return strings.NewReplacer("-", "", "_", "", " ", "").Replace(strings.ToLower(name))
}

// suggest ends a message about a name that is not among candidates.
func suggest(name string, candidates []string) string {
	if near := nearest(name, candidates); near != "" {
		return fmt.Sprintf("; did you mean %q?", near)
	}
	return "; write one of " + strings.Join(candidates, ", ")
}
