//go:build !linux

package supervisor

// onlyZombies is false: macOS refuses to signal a group of zombies (EPERM), so that killGroup knows it already.
func onlyZombies(int) bool { return false }
