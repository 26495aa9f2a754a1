package main

import (
	"fmt"
	"math"
)

// Bounds of the search, in requests a second.
const (
	lowestRate  = 100
	highestRate = 1_000_000
)

// highest returns the highest rate that is clean, to within the tolerance, a share of the rate: it doubles, or halves,
// from start until the answer is between two rates, then tries between them. The error is clean's own, or that no rate
// down to lowestRate was clean. A search that meets no bound ends at highestRate.
func highest(start int, tolerance float64, clean func(rate int) (bool, error)) (int, error) {
	low, high, err := bracket(start, clean)
	if err != nil {
		return 0, err
	}
	for float64(high-low) > max(1, tolerance*float64(low)) {
		// The geometric mean halves what is left of the share. Rounded down it may be low itself.
		middle := max(low+1, int(math.Sqrt(float64(low)*float64(high))))
		ok, err := clean(middle)
		switch {
		case err != nil:
			return 0, err
		case ok:
			low = middle
		default:
			high = middle
		}
	}
	return low, nil
}

// bracket returns a rate that was clean and the next that was not. They are the same at highestRate.
func bracket(start int, clean func(rate int) (bool, error)) (low, high int, err error) {
	ok, err := clean(start)
	if err != nil {
		return 0, 0, err
	}
	if !ok {
		return bracketBelow(start, clean)
	}
	for low, high = start, min(2*start, highestRate); low < high; high = min(2*high, highestRate) {
		if ok, err = clean(high); err != nil || !ok {
			return low, high, err
		}
		low = high
	}
	return low, low, nil
}

func bracketBelow(high int, clean func(rate int) (bool, error)) (int, int, error) {
	for low := high / 2; low >= lowestRate; low /= 2 {
		ok, err := clean(low)
		if err != nil || ok {
			return low, high, err
		}
		high = low
	}
	return 0, 0, fmt.Errorf("no rate from %d/s up was clean", lowestRate)
}
