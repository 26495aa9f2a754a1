package systemd

import "slices"

// snapshot is a unit's state after its latest step. Moments are µs of CLOCK_MONOTONIC; 0 is never.
type snapshot struct {
	active, sub, result, invocation string
	mainPID, nRestarts              int

	change                                               uint64 // of the latest step, of any kind
	inactiveExit, activeEnter, activeExit, inactiveEnter uint64
	mainStart                                            uint64 // of the main process
}

func newSnapshot(p properties) snapshot {
	return snapshot{
		active: p.text("ActiveState"), sub: p.text("SubState"), result: p.text("Result"), invocation: p.invocation(),
		mainPID: int(p.number("MainPID")), nRestarts: int(p.number("NRestarts")),
		change:        p.number("StateChangeTimestampMonotonic"),
		inactiveExit:  p.number("InactiveExitTimestampMonotonic"),
		activeEnter:   p.number("ActiveEnterTimestampMonotonic"),
		activeExit:    p.number("ActiveExitTimestampMonotonic"),
		inactiveEnter: p.number("InactiveEnterTimestampMonotonic"),
		mainStart:     p.number("ExecMainStartTimestampMonotonic"),
	}
}

// step is a state that a unit entered at a moment.
type step struct {
	at uint64 // µs of CLOCK_MONOTONIC; 0: not known
	snapshot
	inferred bool // only at, active and the invocation are known
}

// cycle is the order in which a unit goes through its states; from any of them on, it goes round.
var cycle = [...]string{"activating", "active", "deactivating", "inactive"}

// steps are those from one snapshot to the next, the last of which is next itself. Between the two there may have been steps
// that no snapshot shows: systemd sends one for all that happened since it last sent. Each of the four moments that next
// has and prev has not is such a step. A step that has two of them, as active → inactive, counts once.
func steps(prev, next snapshot) []step {
	if next.change <= prev.change {
		if same(prev, next) {
			return nil
		}
		return []step{{at: sideMoment(prev, next), snapshot: next}}
	}
	all := missed(prev, next)
	if len(all) == 0 && same(prev, next) {
		return nil // systemd has entered the state that it was in
	}
	return append(all, step{at: next.change, snapshot: next})
}

// same reports whether two snapshots differ in nothing but moments.
func same(a, b snapshot) bool {
	return a.active == b.active && a.sub == b.sub && a.invocation == b.invocation && a.mainPID == b.mainPID &&
		a.result == b.result && a.nRestarts == b.nRestarts
}

// sideMoment dates a change of something other than the state, where that can be known.
func sideMoment(prev, next snapshot) uint64 {
	if next.mainPID != prev.mainPID && next.mainStart > prev.change {
		return next.mainStart
	}
	return 0
}

// missed are the steps strictly between two snapshots, by next's moments.
func missed(prev, next snapshot) []step {
	moments := map[string]uint64{
		"activating": next.inactiveExit, "active": next.activeEnter, "deactivating": next.activeExit, "inactive": next.inactiveEnter,
	}
	var between []step
	for _, active := range cycleAfter(prev.active) {
		at := moments[active]
		if at <= prev.change || at >= next.change {
			continue
		}
		s := step{at: at, inferred: true, snapshot: snapshot{active: active, invocation: next.invocation}}
		// Stable, so that of equal moments the state that comes later in the cycle stays the later one.
		between = append(between, s)
	}
	slices.SortStableFunc(between, func(a, b step) int { return int(int64(a.at - b.at)) })
	return withOldInvocation(prev.invocation, next.inactiveExit, lastOfEach(between))
}

// cycleAfter is the cycle from the state after active on. failed stands where inactive does, reloading where active does.
func cycleAfter(active string) []string {
	switch active {
	case "failed":
		active = "inactive"
	case "reloading", "refreshing":
		active = "active"
	}
	i := slices.Index(cycle[:], active) + 1
	return slices.Concat(cycle[i:], cycle[:i])
}

// lastOfEach keeps the last of the steps that share their moment: it is one step, with two of systemd's moments.
func lastOfEach(sorted []step) []step {
	var kept []step
	for i, s := range sorted {
		if i+1 == len(sorted) || sorted[i+1].at != s.at {
			kept = append(kept, s)
		}
	}
	return kept
}

// withOldInvocation gives the steps before the start at that moment the invocation that they belong to.
func withOldInvocation(old string, started uint64, steps []step) []step {
	for i := range steps {
		if steps[i].at < started {
			steps[i].invocation = old
		}
	}
	return steps
}

// unseen reports whether more happened between two snapshots than steps can put back: more than one automatic restart.
func unseen(prev, next snapshot) bool { return next.nRestarts > prev.nRestarts+1 }
