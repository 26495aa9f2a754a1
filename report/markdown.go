package report

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/olekukonko/tablewriter/renderer"
)

func renderMarkdown(v view) string {
	var b strings.Builder
	fmt.Fprintf(&b, "### %s\n\n", escapeMarkdown(v.title))
	for _, t := range v.tables {
		fmt.Fprintf(&b, "%s\n", draw(t, escapeMarkdown, renderer.NewMarkdown()))
	}
	for _, f := range v.facts {
		first, rest := "", f.lines
		switch {
		case f.result != "":
			first, rest = boldVerdict(f.lines[0], f.result), f.lines[1:]
		case len(f.lines) == 1:
			first, rest = escapeMarkdown(f.lines[0]), nil
		}
		fmt.Fprintln(&b, strings.TrimRight(fmt.Sprintf("- **%s**: %s", escapeMarkdown(f.label), first), " "))
		for _, text := range rest {
			fmt.Fprintf(&b, "  - %s\n", escapeMarkdown(strings.TrimPrefix(text, "- ")))
		}
	}
	return b.String()
}

func boldVerdict(text string, r Result) string {
	word := strings.ToUpper(string(r))
	return "**" + word + "**" + escapeMarkdown(strings.TrimPrefix(text, word))
}

// escapeMarkdown makes text inert: no markup, no HTML, and on the usual forges no link, mention or reference either, which
// are made of plain text there. An empty comment splits those and shows nothing.
func escapeMarkdown(s string) string {
	const split = "<!-- -->"
	s = printable(s)
	var b strings.Builder
	before := ' '
	for i, r := range s {
		next, _ := utf8.DecodeRuneInString(s[i+utf8.RuneLen(r):])
		switch {
		case r == '&':
			b.WriteString("&amp;")
		case r == '<':
			b.WriteString("&lt;")
		case r == '>':
			b.WriteString("&gt;")
		case strings.ContainsRune("\\`*_[]|~$", r):
			b.WriteString("\\" + string(r))
		case r == '#' && isDigit(next), r == '@':
			b.WriteString("\\" + string(r) + split)
		case r == ':' && next == '/', r == '.' && (before == 'w' || before == 'W'):
			b.WriteString(string(r) + split)
		default:
			b.WriteRune(r)
		}
		before = r
	}
	return b.String()
}

func isDigit(r rune) bool { return r >= '0' && r <= '9' }
