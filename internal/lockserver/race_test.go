//go:build race

package lockserver

// slowdown is how much less a test of speed asks for: the race detector makes everything slow.
const slowdown = 5
