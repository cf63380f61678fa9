//go:build !slow

package chain

const scenarios = 20_000
