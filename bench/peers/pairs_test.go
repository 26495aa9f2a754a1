package main

import (
	"errors"
	"slices"
	"testing"
)

func TestAlternate(t *testing.T) {
	order := ""
	n := 0
	take := func(who string) func() (int, error) {
		return func() (int, error) {
			order += who
			n++
			return n, nil
		}
	}
	pairs, err := alternate(3, take("A"), take("B"))
	if err != nil {
		t.Fatal(err)
	}
	if order != "ABBAAB" {
		t.Errorf("order %s", order)
	}
	if want := []pair[int]{{1, 2}, {4, 3}, {5, 6}}; !slices.Equal(pairs, want) {
		t.Errorf("pairs %v, want %v", pairs, want)
	}
	r := row(pairs, "m", perSecond, func(v int) float64 { return float64(v) })
	if want := []float64{0.5, 4. / 3, 5. / 6}; !slices.Equal(r.ratios(), want) {
		t.Errorf("ratios %v, want %v", r.ratios(), want)
	}
}

func TestAlternateEndsWithAnError(t *testing.T) {
	broken := errors.New("broken")
	calls := 0
	peer := func() (int, error) {
		calls++
		return 0, broken
	}
	_, err := alternate(3, func() (int, error) { return 1, nil }, peer)
	if !errors.Is(err, broken) || err.Error() != "pair 1 of 3: broken" || calls != 1 {
		t.Errorf("%v after %d calls", err, calls)
	}
}
