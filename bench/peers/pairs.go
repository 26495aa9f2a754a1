package main

import "fmt"

// pair is the same measured with both, one right after the other.
type pair[T any] struct{ ours, peer T }

// alternate measures n pairs. The order changes from one to the next, A B, B A, A B, so that neither gains from what
// drifts, nor from what the other leaves behind.
func alternate[T any](n int, ours, peer func() (T, error)) ([]pair[T], error) {
	pairs := make([]pair[T], n)
	for i := range pairs {
		p := &pairs[i]
		first, second, a, b := ours, peer, &p.ours, &p.peer
		if i%2 == 1 {
			first, second, a, b = peer, ours, &p.peer, &p.ours
		}
		var err error
		if *a, err = first(); err == nil {
			*b, err = second()
		}
		if err != nil {
			return nil, fmt.Errorf("pair %d of %d: %w", i+1, n, err)
		}
	}
	return pairs, nil
}

// row makes a row of one value of each.
func row[T any](pairs []pair[T], measure string, u unit, value func(T) float64) Row {
	r := Row{Measure: measure, Unit: u}
	for _, p := range pairs {
		r.Ours, r.Peer = append(r.Ours, value(p.ours)), append(r.Peer, value(p.peer))
	}
	return r
}
