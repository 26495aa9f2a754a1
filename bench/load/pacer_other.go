//go:build !linux

package load

import "time"

func newNap() func(time.Duration) { return time.Sleep }
