package auth

import (
	"errors"
	"io"
)

// maxBlank is how many octets of white space and line ends in a row a signed body
// may hold: the library keeps them in memory until it knows what follows.
const maxBlank = 64 << 10

var (
	errBlank = errors.New("the body holds too much white space in a row")
	errBody  = errors.New("the body could not be read")
)

// octets reads a body for the library: in large pieces, because with each it looks
// through the white space that it keeps, and not on where it would keep too much.
type octets struct {
	r     io.Reader
	blank int // octets of white space since the last other
}

func (o *octets) Read(b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		var m int
		m, err = o.r.Read(b[n:])
		n += m
	}
	for _, c := range b[:n] {
		if c != ' ' && c != '\t' && c != '\r' && c != '\n' {
			o.blank = 0
		} else if o.blank++; o.blank > maxBlank {
			return n, errBlank
		}
	}
	return n, err
}
