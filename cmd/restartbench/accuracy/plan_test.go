package accuracy

import (
	"math/rand/v2"
	"net/http"
	"slices"

	"github.com/restartbench/restartbench/bench/load"
	"github.com/restartbench/restartbench/bench/timeline"
)

// plan says how every request of the oracle's load must end.
//
// Of each class of fault there are two among every 2,000 requests, at random places, so that each part of a run has all.
// Where a request goes is the load's to know and not the server's: faults that are a matter of the address repeat with
// the targets, of which there is one for each request up to maxTargets.
type plan struct {
	fates   []timeline.Outcome // by number
	closing []bool             // by number: the server ends the connection with its answer
	posts   []bool             // by target
}

const (
	planBlock    = 2000
	planEach     = 2 // of every class in a block: a thousandth
	maxTargets   = 25 * planBlock
	closingShare = 0.25 // enough that faults hit fresh and reused connections alike
	postShare    = 0.2
)

// The classes by who injects them.
var (
	byAddress = []timeline.Outcome{timeline.Refused, timeline.ConnectTimeout, timeline.TLS}
	byServer  = []timeline.Outcome{timeline.Reset, timeline.EOF, timeline.Truncated, timeline.Malformed, timeline.HTTP5xx,
		timeline.HTTPUnexpected, timeline.ResponseTimeout}
)

// newPlan is for n requests, or as many more as fill a block.
func newPlan(n uint64, random *rand.Rand) *plan {
	n = (n + planBlock - 1) / planBlock * planBlock
	p := &plan{make([]timeline.Outcome, n), make([]bool, n), make([]bool, min(n, maxTargets))}
	for first := uint64(0); first < n; first += planBlock {
		p.fillBlock(first, random)
	}
	for seq := range p.closing {
		p.closing[seq] = random.Float64() < closingShare
	}
	for i := range p.posts {
		p.posts[i] = random.Float64() < postShare
	}
	return p
}

func (p *plan) fillBlock(first uint64, random *rand.Rand) {
	free := random.Perm(planBlock)
	place := func(class timeline.Outcome) {
		for placed := 0; placed < planEach; free = free[1:] {
			if at := first + uint64(free[0]); p.fates[at] == timeline.OK {
				p.fates[at] = class
				placed++
			}
		}
	}
	if first < maxTargets {
		for _, class := range byAddress {
			place(class)
		}
	} else {
		for at := first; at < first+planBlock; at++ {
			if fate := p.fates[at-maxTargets]; slices.Contains(byAddress, fate) {
				p.fates[at] = fate
			}
		}
	}
	for _, class := range byServer {
		place(class)
	}
}

// requests is how many the load sends.
func (p *plan) requests() uint64 { return uint64(len(p.fates)) }

// arrives tells whether request seq comes so far that the server reads its number.
func (p *plan) arrives(seq uint64) bool { return !slices.Contains(byAddress, p.fates[seq]) }

func (p *plan) count(class timeline.Outcome) (n uint64) {
	for _, fate := range p.fates {
		if fate == class {
			n++
		}
	}
	return n
}

// method: clients do not repeat a POST of their own accord, so nothing hides its fate.
func (p *plan) method(seq uint64) string {
	if p.posts[seq%uint64(len(p.posts))] {
		return http.MethodPost
	}
	return http.MethodGet
}

// targets are where the requests go, by the fates that are a matter of the address. All others go to open.
func (p *plan) targets(open string, byFate map[timeline.Outcome]string) (all []load.Target) {
	for i := range uint64(len(p.posts)) {
		t := load.Target{Method: p.method(i), URL: open}
		if !p.arrives(i) {
			t.URL = byFate[p.fates[i]]
		}
		all = append(all, t)
	}
	return all
}
