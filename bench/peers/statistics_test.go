package main

import (
	"math"
	"slices"
	"testing"
	"time"
)

func TestMedian(t *testing.T) {
	for _, tt := range []struct {
		name   string
		values []float64
		want   float64
	}{
		{"one", []float64{3}, 3},
		{"odd", []float64{9, 1, 5}, 5},
		{"even", []float64{9, 1, 5, 2}, 3.5},
		{"none", nil, math.NaN()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := slices.Clone(tt.values)
			if got := median(tt.values); got != tt.want && !(math.IsNaN(got) && math.IsNaN(tt.want)) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
			if !slices.Equal(before, tt.values) {
				t.Errorf("the values are now %v", tt.values)
			}
		})
	}
}

func TestQuantile(t *testing.T) {
	hundred := make([]time.Duration, 100)
	for i := range hundred {
		hundred[i] = time.Duration(i + 1)
	}
	for _, tt := range []struct {
		name   string
		sorted []time.Duration
		q      float64
		want   time.Duration
	}{
		{"p95 of a hundred", hundred, 0.95, 95},
		{"p99 of a hundred", hundred, 0.99, 99},
		{"p95 of one", hundred[:1], 0.95, 1},
		{"p95 of nineteen", hundred[:19], 0.95, 19},
		{"least", hundred, 0, 1},
		{"most", hundred, 1, 100},
		{"none", nil, 0.95, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := quantile(tt.sorted, tt.q); got != tt.want {
				t.Errorf("got %d, want %d", got, tt.want)
			}
		})
	}
}
