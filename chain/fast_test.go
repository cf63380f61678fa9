//go:build !slow

package chain

const scenarios = 8_000
