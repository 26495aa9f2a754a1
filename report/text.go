package report

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/olekukonko/tablewriter/renderer"
	"github.com/olekukonko/tablewriter/tw"
)

// columns is the width of the text. Only tables, and words that are longer, go beyond it.
const columns = 100

// renderText ends with the verdict: on a terminal, the end is what is on the screen.
func renderText(v view, style Style) string {
	var b strings.Builder
	for _, line := range wrap(printable(v.title), columns) {
		fmt.Fprintf(&b, "%s\n", line)
	}
	for _, t := range v.tables {
		fmt.Fprintf(&b, "\n%s", textTable(t))
	}
	fmt.Fprintln(&b)
	width := 0
	for _, f := range v.facts {
		width = max(width, utf8.RuneCountInString(printable(f.label)))
	}
	for i, f := range v.facts {
		if f.result != "" && i > 0 && v.facts[i-1].result == "" {
			fmt.Fprintln(&b)
		}
		label := printable(f.label)
		for _, text := range f.lines {
			writeLine(&b, width, label, printable(text), f.result, style)
			label = ""
		}
	}
	return b.String()
}

// writeLine writes text under its label. An item of a list is indented under its dash.
func writeLine(b *strings.Builder, width int, label, text string, result Result, style Style) {
	hang := 0
	if strings.HasPrefix(text, "- ") {
		hang = 2
	}
	for i, line := range wrap(text, columns-width-3-hang) {
		if i > 0 {
			label, line = "", strings.Repeat(" ", hang)+line
		}
		pad := strings.Repeat(" ", width-utf8.RuneCountInString(label))
		b.WriteString(strings.TrimRight(" "+label+pad+"  "+style.verdict(line, result), " ") + "\n")
	}
}

// verdict colours the verdict's word.
func (s Style) verdict(line string, r Result) string {
	word := strings.ToUpper(string(r))
	if !s.Color || r == "" || !strings.HasPrefix(line, word) {
		return line
	}
	color := map[Result]string{Pass: "\x1b[1;32m", Fail: "\x1b[1;31m", Inconclusive: "\x1b[1;33m"}[r]
	return color + word + "\x1b[0m" + line[len(word):]
}

func textTable(t table) string {
	drawn := draw(t, printable, renderer.NewBlueprint(tw.Rendition{
		Borders: tw.BorderNone,
		Settings: tw.Settings{
			Lines:      tw.LinesNone,
			Separators: tw.SeparatorsNone,
		},
	}))
	var b strings.Builder
	for line := range strings.Lines(drawn) {
		b.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	return b.String()
}

// wrap breaks text at spaces into lines of at most width runes. A word that is longer has a line of its own, and a number
// keeps its unit.
func wrap(text string, width int) []string {
	lines, used := []string{""}, 0
	for i, word := range words(text) {
		n := utf8.RuneCountInString(word)
		last := len(lines) - 1
		switch {
		case i == 0:
			lines[0], used = word, n
		case used+1+n > width && used > 0:
			lines, used = append(lines, word), n
		default:
			lines[last], used = lines[last]+" "+word, used+1+n
		}
	}
	return lines
}

// words are what text may be broken into.
func words(text string) (all []string) {
	for word := range strings.SplitSeq(text, " ") {
		switch strings.TrimRight(word, ".,:;)") {
		case "ns", "µs", "ms", "s", "%":
			if last := len(all) - 1; last >= 0 {
				all[last] += " " + word
				continue
			}
		}
		all = append(all, word)
	}
	return all
}

// printable keeps what a service or a scenario wrote from moving the cursor, colouring the terminal, breaking lines or
// turning the direction of writing. Spaces of every kind become one plain space.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case unicode.IsPrint(r):
			return r
		}
		return utf8.RuneError
	}, s)
}
