//go:build race

package cluster

// raceEnabled says that all is ten times slower.
const raceEnabled = true
