//go:build !linux

package cli

func forgetPages() {}
