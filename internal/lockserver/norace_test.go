//go:build !race

package lockserver

// slowdown is how much less a test of speed asks for.
const slowdown = 1
