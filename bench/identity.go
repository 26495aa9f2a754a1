package bench

import (
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/restartbench/restartbench/bench/timeline"
)

const (
	identityEvery   = 100 * time.Millisecond
	identityTimeout = 2 * time.Second
	identityLongest = 4 << 10 // bytes of an answer that are compared
)

// identity is the Observer that asks a URL again and again which process answers, and notes each change. Its own few
// requests count nowhere.
type identity struct {
	url    string
	client *http.Client
	now    func() time.Duration
}

func newIdentity(url string, cfg *tls.Config, clock timeline.Clock) *identity {
	return &identity{url, &http.Client{
		Timeout:   identityTimeout,
		Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: cfg.Clone()},
	}, clock.Now}
}

// Observe emits the first answer, and every one that differs from the last.
func (i *identity) Observe(ctx context.Context, emit func(timeline.Event)) {
	tick := time.NewTicker(identityEvery)
	defer tick.Stop()
	last := ""
	for {
		if text := i.ask(ctx); text != "" && text != last {
			last = text
			emit(timeline.Event{Identity: &timeline.Identity{At: i.now(), Text: text}})
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// ask returns "" where there is no good answer: during a restart that is no news.
func (i *identity) ask(ctx context.Context) string {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, i.url, nil)
	if err != nil {
		return ""
	}
	res, err := i.client.Do(req)
	if err != nil {
		return ""
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, identityLongest))
	if err != nil || res.StatusCode != http.StatusOK {
		return ""
	}
	return strings.TrimSpace(string(body))
}
