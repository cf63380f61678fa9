//go:build linux && slow

package load

const long = true
