package timeline

import "fmt"

// Outcome is how one request ended. Each request has exactly one.
type Outcome uint8

// The outcomes. Dropped says which of them count as dropped.
const (
	OK              Outcome = iota // complete answer, status below 500 or as the scenario expects
	HTTP5xx                        // complete answer, 5xx
	HTTPUnexpected                 // complete answer outside the statuses the scenario expects
	Refused                        // connect: ECONNREFUSED, or ENOENT on a unix socket
	Reset                          // ECONNRESET or EPIPE before a complete header
	EOF                            // clean close before the first byte of the answer
	Truncated                      // the answer began and did not complete
	Malformed                      // the answer is not HTTP/1.x
	ConnectTimeout                 // no connection within the request's timeout
	ResponseTimeout                // connected, and no complete answer within the request's timeout
	BacklogFull                    // connect to a unix socket: EAGAIN
	TLS                            // the TLS handshake failed for a reason of TLS
	ConnectError                   // connect failed for another reason: no route, no permission, …
	ClientLimit                    // EADDRNOTAVAIL, EMFILE, ENFILE, ENOBUFS: the generator's own fault
	Aborted                        // cut off by the end of the run; says nothing about the service
	Other                          // an error that is none of these; counted as dropped
	outcomes
)

var outcomeNames = [outcomes]string{
	"ok", "http_5xx", "http_unexpected", "refused", "reset", "eof", "truncated", "malformed", "connect_timeout",
	"response_timeout", "backlog_full", "tls", "connect_error", "client_limit", "aborted", "other",
}

// Outcomes lists every outcome, in the order of their constants.
func Outcomes() []Outcome {
	all := make([]Outcome, outcomes)
	for i := range all {
		all[i] = Outcome(i)
	}
	return all
}

// String is the outcome's name in files and reports.
func (o Outcome) String() string {
	if o >= outcomes {
		return fmt.Sprintf("outcome(%d)", uint8(o))
	}
	return outcomeNames[o]
}

// Dropped reports whether the client got no complete answer, by the service's doing.
func (o Outcome) Dropped() bool {
	switch o {
	case OK, HTTP5xx, HTTPUnexpected, ClientLimit, Aborted:
		return false
	}
	return true
}

// MarshalText makes an Outcome a name in JSON.
func (o Outcome) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// UnmarshalText accepts a name that String returns.
func (o *Outcome) UnmarshalText(text []byte) error {
	for i, name := range outcomeNames {
		if name == string(text) {
			*o = Outcome(i)
			return nil
		}
	}
	return fmt.Errorf("unknown outcome %q", text)
}
