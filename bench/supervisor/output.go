package supervisor

import (
	"bufio"
	"context"
	"os"
	"strings"
	"time"

	"github.com/restartbench/restartbench/bench/timeline"
)

// Bounds of what is taken from services. A service that writes more is not held up; the excess is a counted gap.
const (
	longestLine = 4096             // bytes; the rest of a longer line is dropped
	lineBurst   = 10000            // lines of one start in lineWindow, as journald has it (RateLimitBurst=)
	lineWindow  = 30 * time.Second // RateLimitIntervalSec=
	lineQueue   = 1024             // lines that wait for Config.Emit
	lastWords   = 200 * time.Millisecond
)

// output turns what services write into events. A slow Config.Emit holds up its goroutine, and nobody else.
type output struct {
	queue chan timeline.Event
	now   func() time.Duration
	track func(func()) // runs a goroutine that Close waits for
	done  chan struct{}
}

func startOutput(now func() time.Duration, emit func(timeline.Event), track func(func())) *output {
	o := &output{make(chan timeline.Event, lineQueue), now, track, make(chan struct{})}
	go func() {
		defer close(o.done)
		for event := range o.queue {
			emit(event)
		}
	}()
	return o
}

// close waits until every event is emitted. Nothing may be put in any more.
func (o *output) close() {
	close(o.queue)
	<-o.done
}

// line puts a line in, and says whether there was room.
func (o *output) line(source, text string) bool {
	text = strings.ToValidUTF8(text, "\uFFFD")
	select {
	case o.queue <- timeline.Event{Log: &timeline.Log{At: o.now(), Source: source, Text: text}}:
		return true
	default:
		return false
	}
}

// read takes lines from a service until nobody can write any more, or life is over.
func (o *output) read(life context.Context, source string, pipe *os.File) {
	o.track(func() {
		defer pipe.Close()
		// A process that left the service's group may hold the pipe open for ever.
		stop := context.AfterFunc(life, func() { pipe.SetReadDeadline(time.Now().Add(lastWords)) })
		defer stop()
		(&lineReader{output: o, source: source, limit: ratelimit{interval: lineWindow, burst: lineBurst}}).run(pipe)
	})
}

// lineReader reads the output of one process.
type lineReader struct {
	*output
	source string
	limit  ratelimit
	gap    *timeline.Gap // of lines that are lost and not told of yet
}

func (r *lineReader) run(pipe *os.File) {
	lines := bufio.NewReaderSize(pipe, longestLine)
	rest := false // of a line that was too long
	for {
		text, more, err := lines.ReadLine()
		if err != nil {
			break
		}
		if !rest {
			r.take(string(text), more)
		}
		rest = more
	}
	if r.gap != nil {
		r.queue <- timeline.Event{Gap: r.gap} // the emitter goes on until all readers are through
	}
}

// take puts one line in, or counts it as lost.
func (r *lineReader) take(text string, cut bool) {
	if cut {
		text += " […]"
	}
	if r.limit.below(time.Now()) && r.tellGap() && r.line(r.source, text) {
		return
	}
	now := r.now()
	if r.gap == nil {
		r.gap = &timeline.Gap{
			Observer: "output of " + r.source, From: now,
			Why: "it wrote more lines than are kept (10,000 in 30 s), or faster than they could be recorded",
		}
	}
	r.gap.To = now
	r.gap.Lost++
}

// tellGap says whether there is no gap left to tell of.
func (r *lineReader) tellGap() bool {
	if r.gap == nil {
		return true
	}
	select {
	case r.queue <- timeline.Event{Gap: r.gap}:
		r.gap = nil
		return true
	default:
		return false
	}
}
