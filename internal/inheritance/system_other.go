//go:build !linux

package inheritance

// What this package settles is for packages and lock servers, and none run on this system.

// CloseOthers does nothing here.
func CloseOthers() {}

// Settle does nothing here.
func Settle() {}

// SettleLimits does nothing here.
func SettleLimits() {}

// SettleSchedule does nothing here.
func SettleSchedule() {}

// SettleOOM does nothing here.
func SettleOOM() {}

// Signals does nothing here.
func Signals(bool) {}

// Like does nothing here.
func Like(int) {}

// Doubts has none here.
func Doubts() []string { return nil }
