//go:build !race

package simulate

// raceEnabled says that all is ten times slower.
const raceEnabled = false
