package main

import (
	"context"
	"errors"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

func TestTarget(t *testing.T) {
	leavesNothing(t)
	target, err := startTarget(t.Context(), needNginx(t), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer target.stop()
	defer http.DefaultClient.CloseIdleConnections()
	if !answersOK(t.Context(), target.url) {
		t.Error("no answer")
	}

	const d = 50 * time.Millisecond
	stood, err := target.stall(t.Context(), d)
	if err != nil || stood < d {
		t.Errorf("stood still for %v, %v", stood, err)
	}
	if !answersOK(t.Context(), target.url) {
		t.Error("no answer after the stall")
	}
}

// A stall that is cut short leaves the target running.
func TestTargetStallInterrupted(t *testing.T) {
	target, err := startTarget(t.Context(), needNginx(t), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer target.stop()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := target.stall(ctx, time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if !answersOK(t.Context(), target.url) {
		t.Error("no answer after the stall")
	}
}

func TestTargetThatCannotStart(t *testing.T) {
	leavesNothing(t)
	dir := t.TempDir()
	if err := os.Mkdir(dir+"/nginx.pid", 0o755); err != nil { // where it wants to write
		t.Fatal(err)
	}
	_, err := startTarget(t.Context(), needNginx(t), dir)
	if err == nil || !strings.Contains(err.Error(), "nginx.pid") {
		t.Errorf("%v", err)
	}
}
