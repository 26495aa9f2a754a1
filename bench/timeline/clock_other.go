//go:build !linux

package timeline

func monotonic() int64 { return 0 }
