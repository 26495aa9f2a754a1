package report

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/olekukonko/tablewriter"
	"github.com/olekukonko/tablewriter/tw"
)

// Format names a rendering.
type Format string

// The renderings.
const (
	Text     Format = "text"
	Markdown Format = "markdown"
	JSON     Format = "json"
)

// Formats lists the renderings.
func Formats() []Format { return []Format{Text, Markdown, JSON} }

// ParseFormat finds a rendering by its name.
func ParseFormat(name string) (Format, error) {
	if f := Format(name); slices.Contains(Formats(), f) {
		return f, nil
	}
	return "", fmt.Errorf("unknown format %q: choose text, markdown or json", name)
}

// Style is how the text looks; it changes no word of it.
type Style struct {
	Color bool // for a terminal
}

// Render writes one report, or several side by side. In JSON one report is an object and several are an array.
func Render(w io.Writer, format Format, style Style, reports ...*Report) error {
	if format == JSON {
		return renderJSON(w, reports)
	}
	v := sideBySide(reports)
	if len(reports) == 1 {
		v = newView(reports[0])
	}
	text := ""
	if format == Markdown {
		text = renderMarkdown(v)
	} else {
		text = renderText(v, style)
	}
	_, err := io.WriteString(w, text)
	return err
}

func renderJSON(w io.Writer, reports []*Report) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	if len(reports) == 1 {
		return e.Encode(reports[0])
	}
	return e.Encode(reports)
}

// draw lays a table out. tablewriter fails only on rows that it cannot turn into text, which strings cannot be.
func draw(t table, escape func(string) string, r tw.Renderer) string {
	align := []tw.Align{tw.AlignLeft}
	for range t.header[1:] {
		align = append(align, tw.AlignRight)
	}
	var b strings.Builder
	w := tablewriter.NewTable(&b,
		tablewriter.WithRenderer(r),
		tablewriter.WithHeaderAutoFormat(tw.Off),
		tablewriter.WithTrimSpace(tw.Off),
		tablewriter.WithHeaderAutoWrap(tw.WrapNone),
		tablewriter.WithRowAutoWrap(tw.WrapNone),
		tablewriter.WithAlignment(align),
	)
	w.Header(escaped(t.header, escape))
	for _, row := range t.rows {
		if err := w.Append(escaped(row, escape)); err != nil {
			return err.Error()
		}
	}
	if err := w.Render(); err != nil {
		return err.Error()
	}
	return b.String()
}

func escaped(cells []string, escape func(string) string) []string {
	out := make([]string, len(cells))
	for i, c := range cells {
		out[i] = escape(c)
	}
	return out
}
