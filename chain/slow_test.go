//go:build slow

package chain

const scenarios = 1_000_000
