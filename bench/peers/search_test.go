package main

import (
	"errors"
	"math"
	"testing"
)

func TestHighest(t *testing.T) {
	for _, tt := range []struct {
		name      string
		limit     int // the highest rate that is clean
		tolerance float64
	}{
		{"below start", 3200, 0.05},
		{"at start", 5000, 0.05},
		{"above start", 23_456, 0.05},
		{"just below a doubling", 19_999, 0.05},
		{"at a doubling", 20_000, 0.05},
		{"far above", 700_000, 0.05},
		{"at the ceiling", highestRate, 0.05},
		{"at the floor", 160, 0.05},
		{"coarse", 23_456, 0.5},
		{"exact", 23_456, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tried := map[int]bool{}
			got, err := highest(5000, tt.tolerance, func(rate int) (bool, error) {
				if tried[rate] {
					t.Errorf("tried %d/s again", rate)
				}
				tried[rate] = true
				return rate <= tt.limit, nil
			})
			if err != nil {
				t.Fatal(err)
			}
			least := math.Floor(float64(tt.limit) / (1 + tt.tolerance))
			if got > tt.limit || float64(got) < least {
				t.Errorf("found %d/s, want %.0f to %d", got, least, tt.limit)
			}
			if !tried[got] {
				t.Errorf("never tried %d/s", got)
			}
		})
	}
}

func TestHighestNoneClean(t *testing.T) {
	_, err := highest(5000, 0.05, func(rate int) (bool, error) {
		if rate < lowestRate {
			t.Errorf("tried %d/s", rate)
		}
		return false, nil
	})
	if err == nil || err.Error() != "no rate from 100/s up was clean" {
		t.Errorf("%v", err)
	}
}

func TestHighestEndsWithAnError(t *testing.T) {
	broken := errors.New("broken")
	for after := range 8 {
		calls := 0
		_, err := highest(5000, 0.05, func(rate int) (bool, error) {
			if calls++; calls > after {
				return false, broken
			}
			return rate < 23_456, nil
		})
		if !errors.Is(err, broken) || calls != after+1 {
			t.Errorf("after %d probes: %v, %d calls", after, err, calls)
		}
	}
}
