//go:build !linux

package supervisor

const checksSenders = false
