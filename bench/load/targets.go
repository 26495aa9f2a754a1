package load

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"

	vegeta "github.com/tsenart/vegeta/v12/lib"
)

// Target is one request to send, again and again.
type Target struct {
	Method string
	URL    string
	Header http.Header
	Body   []byte
}

// ReadTargets reads a file in vegeta's http or json target format (vegeta's README, "-format"). The header is added to
// each target, the body is used by those that have none. Its errors name the file.
func ReadTargets(file string, header http.Header, body []byte) ([]Target, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading targets: %w", err)
	}
	targets, err := parseTargets(data, header, body)
	if err != nil {
		return nil, fmt.Errorf("reading targets from %s: %w", file, err)
	}
	return targets, nil
}

func parseTargets(data []byte, header http.Header, body []byte) ([]Target, error) {
	if bytes.HasPrefix(bytes.TrimSpace(data), []byte("{")) {
		data = append(data, '\n') // vegeta leaves out a last line without one
		return decodeTargets(vegeta.NewJSONTargeter(bytes.NewReader(data), body, header))
	}
	// vegeta takes a line that is too long for its scanner for the end of the file.
	number := 1
	for line := range bytes.Lines(data) {
		if len(line) >= bufio.MaxScanTokenSize {
			return nil, fmt.Errorf("line %d is longer than %d bytes: use the json format", number, bufio.MaxScanTokenSize)
		}
		number++
	}
	return decodeTargets(vegeta.NewHTTPTargeter(bytes.NewReader(data), body, header))
}

func decodeTargets(decode vegeta.Targeter) (targets []Target, err error) {
	for {
		var t vegeta.Target
		err := decode(&t)
		if errors.Is(err, vegeta.ErrNoTargets) && len(targets) > 0 {
			return targets, nil
		}
		target := Target{t.Method, t.URL, t.Header, t.Body}
		if err == nil {
			err = target.check()
		}
		if err != nil {
			return nil, fmt.Errorf("target %d: %w", len(targets)+1, err)
		}
		targets = append(targets, target)
	}
}

// check makes sure of what would otherwise fail once per request, long after the start.
func (t Target) check() error {
	u, err := url.Parse(t.URL)
	if err != nil {
		return err
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("%q is not an http or https URL with a host", t.URL)
	}
	_, err = http.NewRequest(t.Method, t.URL, nil)
	return err
}
