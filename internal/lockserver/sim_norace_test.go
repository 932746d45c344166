//go:build !race

package lockserver

// raceEnabled says that all is ten times slower.
const raceEnabled = false
