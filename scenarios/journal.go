package scenarios

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"
)

// listeningFailures are what programs and systemd log when they could not listen, or could not take what they listen for. Each
// says so by itself: "permission denied" alone may be about anything.
var listeningFailures = []string{
	`address (is )?already in use`,   // strerror(3) of EADDRINUSE: nearly everyone
	`\bEADDRINUSE\b`,                 // Node.js
	`listen(ing)? failed`,            // many
	`failed (to listen|listening)\b`, // systemd, Redis
	`(cannot|can't|could not|couldn't|unable to) (bind|listen)\b`,   // HAProxy, PostgreSQL, PHP-FPM, nginx
	`(bind|listen)(\(\))? (on|to) .* failed`,                        // nginx, sshd
	`bind: (permission denied|cannot assign requested address)`,     // Go
	`listen (EACCES|EADDRNOTAVAIL)\b`,                               // Node.js
	`error while attempting to bind`,                                // Python's asyncio
	`\bBindException\b`,                                             // Java
	`connection in use:`,                                            // Gunicorn
	`port [0-9]+ (is|was) already (in use|allocated)`,               // Spring Boot, container runtimes
	`(failed to|could not) (create|receive)\b.* listening socket`,   // systemd, Redis
	`no socket activation file descriptors found`,                   // Prometheus' exporters
	`didn't get any sockets passed`,                                 // systemd-socket-proxyd
	`(service-start-limit-hit|trigger-limit-hit|trigger limit hit)`, // systemd has closed the socket
	`socket service .* already active, refusing`,                    // systemd: the socket cannot be armed
	`too many open files`,                                           // strerror(3) of EMFILE: it can accept no more
}

// Compile is the patterns as they are to be applied: in any case. Finish has found every mistake in them.
func (j Journal) Compile() ([]*regexp.Regexp, error) {
	var all []*regexp.Regexp
	for i, pattern := range j.Patterns {
		re, err := compilePattern(pattern)
		if err != nil {
			return nil, fmt.Errorf("journal.patterns[%d]: %w", i, err)
		}
		all = append(all, re)
	}
	return all, nil
}

func compilePattern(pattern string) (*regexp.Regexp, error) { return regexp.Compile("(?i)" + pattern) }

// patternRules finds what is no pattern, and what would make a finding of every line.
func (c *checker) patternRules() {
	for i, pattern := range c.Journal.Patterns {
		at := fmt.Sprintf("journal.patterns[%d]", i)
		if !c.sound(at) {
			continue
		}
		re, err := compilePattern(pattern)
		var wrong *syntax.Error
		switch {
		case errors.As(err, &wrong):
			c.failAt(at, max(strings.Index(pattern, wrong.Expr), 0), "%q is no regular expression: %s%s", pattern, wrong.Code, patternHint(wrong))
		case err != nil:
			c.fail(at, "%q is no regular expression: %s", pattern, err)
		case re.MatchString(""):
			c.fail(at, "%q matches every line; write what only a finding has in it", pattern)
		}
	}
}

// patternHint says what to write where a character was likely meant as it stands.
func patternHint(e *syntax.Error) string {
	switch e.Code {
	case syntax.ErrMissingParen, syntax.ErrUnexpectedParen:
		return `; write \( or \) for a parenthesis itself`
	case syntax.ErrMissingBracket:
		return `; write \[ for a bracket itself`
	case syntax.ErrMissingRepeatArgument, syntax.ErrInvalidRepeatOp:
		return `; write .* for any text, and \* for an asterisk itself`
	}
	return ""
}
