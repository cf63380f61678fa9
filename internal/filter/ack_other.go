//go:build !linux

package filter

import "net"

func acknowledge(net.Conn) {}
