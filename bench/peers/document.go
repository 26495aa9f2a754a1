package main

import (
	"fmt"
	"os"
	"strings"
)

// The comments between which --update puts the table.
const (
	documentBegin = "<!-- peers: begin -->"
	documentEnd   = "<!-- peers: end -->"
)

// checkDocument refuses a file to update that has no place for the table, before anything is measured.
func (o options) checkDocument() error {
	if o.update == "" {
		return nil
	}
	text, err := os.ReadFile(o.update)
	if err != nil {
		return fmt.Errorf("--update: %w", err)
	}
	if _, err := replaced(string(text), ""); err != nil {
		return fmt.Errorf("--update %s: %w", o.update, err)
	}
	return nil
}

// updateDocument puts the outcome into the file that --update names.
func (o options) updateDocument(all outcome) error {
	if o.update == "" {
		return nil
	}
	text, err := os.ReadFile(o.update)
	if err != nil {
		return fmt.Errorf("updating the table: %w", err)
	}
	now, err := replaced(string(text), all.markdown())
	if err != nil {
		return fmt.Errorf("updating the table in %s: %w", o.update, err)
	}
	if err := os.WriteFile(o.update, []byte(now), 0o644); err != nil {
		return fmt.Errorf("updating the table: %w", err)
	}
	return nil
}

// replaced returns the text with what lies between its two comments replaced.
func replaced(text, table string) (string, error) {
	before, rest, ok := strings.Cut(text, documentBegin)
	if !ok {
		return "", fmt.Errorf("the line %s is missing", documentBegin)
	}
	_, after, ok := strings.Cut(rest, documentEnd)
	if !ok {
		return "", fmt.Errorf("the line %s is missing after %s", documentEnd, documentBegin)
	}
	return before + documentBegin + "\n" + table + documentEnd + after, nil
}
