package bench

import (
	"sync/atomic"

	"github.com/restartbench/restartbench/bench/load"
)

// Progress is how far a run has come.
type Progress struct {
	Step string // what it does now
	load.Progress
}

type progress struct {
	step    atomic.Value // string
	traffic atomic.Pointer[load.Load]
}

func (p *progress) enter(step string)       { p.step.Store(step) }
func (p *progress) load(traffic *load.Load) { p.traffic.Store(traffic) }

// Progress may be called at any time while Run runs.
func (b *Bench) Progress() Progress {
	var p Progress
	p.Step, _ = b.progress.step.Load().(string)
	if t := b.progress.traffic.Load(); t != nil {
		p.Progress = t.Progress()
	}
	return p
}
