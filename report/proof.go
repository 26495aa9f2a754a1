package report

import (
	"math"

	"gonum.org/v1/gonum/mathext"
)

// prove finds the evidence that each restart made a new process answer, or that it did not.
func (r *run) prove(restarts []restart) {
	for i := range restarts {
		a := &restarts[i]
		a.Restarted, a.Evidence = r.evidence(a)
	}
}

func (r *run) evidence(a *restart) (restarted *bool, evidence string) {
	unit := r.header.Scenario.Unit
	switch {
	case a.NewAnswer != nil:
		return ref(true), unit + " has a new main process, and answers came after it"
	case a.changed != forever && a.answered:
		return ref(true), "the identity URL's answer changed"
	case a.gone:
		return nil, "no new main process of " + unit + " answered"
	case r.fickle(a.from):
		return nil, "the identity URL's answer changes by itself"
	case len(r.identities) > 0 && a.answered:
		return ref(false), "the identity URL answers as before"
	case len(r.units) > 0 && a.answered && !a.unseen && !r.blind(a):
		return ref(false), unit + " has its old main process"
	case len(r.identities) > 0 || len(r.units) > 0:
		return nil, "no new process was seen to answer"
	}
	return nil, "nothing shows which process answers"
}

// blind tells whether an observer of the service saw nothing for some time while a went on. The journal does not tell processes apart.
func (r *run) blind(a *restart) bool {
	for _, g := range r.gaps {
		if g.Observer != loadObserver && g.Observer != journalObserver && g.From < a.until && g.To >= a.from {
			return true
		}
	}
	return false
}

// weigh says how much the drop count proves: of requests, and of restarts. Requests of one restart share its fate, so that
// for the next restart only the number of restarts counts.
func weigh(during Phase, restarts []restart) Proof {
	p := Proof{Exposed: during.Requests - during.ClientLimit, Dropped: during.Dropped}
	for _, a := range restarts {
		if a.Exposed > 0 {
			p.Restarts++
		}
		if a.Dropped > 0 {
			p.Dropping++
		}
	}
	p.Upper95 = upper95(p.Dropped, p.Exposed)
	p.RestartUpper95 = upper95(p.Dropping, p.Restarts)
	return p
}

// upper95 is the exact one-sided upper bound (Clopper and Pearson, Biometrika 26 (1934) 404) on a probability of which k
// were seen in n, at 95 % confidence.
func upper95(k, n uint64) *float64 {
	switch {
	case n == 0:
		return nil
	case k >= n:
		return ref(1.0)
	case k == 0: // the same in closed form, which keeps its digits for any n
		return ref(-math.Expm1(math.Log(0.05) / float64(n)))
	}
	return ref(mathext.InvRegIncBeta(float64(k+1), float64(n-k), 0.95))
}
