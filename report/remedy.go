package report

import (
	"slices"
	"strings"

	"github.com/restartbench/restartbench/bench/timeline"
)

// remedies says what can be done about the requests that were dropped, a step a line, beginning with the most frequent.
func (j *judgement) remedies() string {
	var steps []string
	for _, c := range j.rep.Drops {
		switch c.Outcome {
		case timeline.Refused.String():
			steps = append(steps, j.keepPortOpen())
		case timeline.Reset.String(), timeline.EOF.String(), timeline.Truncated.String():
			steps = append(steps, "let the service finish what it has accepted before it exits: see 'restartbench scenarios show graceful'")
		case timeline.BacklogFull.String(), timeline.ConnectTimeout.String():
			steps = append(steps, "raise Backlog= of the socket unit, or make the service start faster")
		case timeline.ResponseTimeout.String():
			steps = append(steps, "see why the service did not answer in time; if its clients wait longer, raise load.timeout")
		}
	}
	return strings.Join(steps, "\n")
}

func (j *judgement) keepPortOpen() string {
	s := j.r.header.Scenario
	if slices.ContainsFunc(j.rep.Sockets, isDisarmed) {
		return "" // that finding says what to do
	}
	if slices.ContainsFunc(s.Units, isSocket) {
		return "find out why the socket unit stopped listening: a start limit, or PartOf= or BindsTo= the service"
	}
	return "give the port to a socket unit, which stays: see 'restartbench scenarios show activated'"
}

// Meaning says what an outcome means, in a few words.
func Meaning(o timeline.Outcome) string {
	switch o {
	case timeline.OK:
		return "complete answer, status below 500 or as expect_status says"
	case timeline.HTTP5xx:
		return "complete answer, 5xx"
	case timeline.HTTPUnexpected:
		return "complete answer outside expect_status"
	case timeline.Refused:
		return "nobody listened"
	case timeline.Reset:
		return "cut off without an answer"
	case timeline.EOF:
		return "closed without an answer"
	case timeline.Truncated:
		return "cut off inside the answer"
	case timeline.Malformed:
		return "answered, but not in HTTP/1.x"
	case timeline.ConnectTimeout:
		return "no connection in time"
	case timeline.ResponseTimeout:
		return "connected, but no complete answer in time"
	case timeline.BacklogFull:
		return "the unix socket's queue was full"
	case timeline.TLS:
		return "the TLS handshake failed"
	case timeline.ConnectError:
		return "could not connect, for another reason"
	case timeline.ClientLimit:
		return "a limit of the generator's own machine"
	case timeline.Aborted:
		return "cut off by the end of the run"
	}
	return "failed in another way"
}
