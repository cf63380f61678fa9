package smtpd

import "bytes"

// decoder turns the octets on the wire into those of the message: it undoes
// dot-stuffing, finds the end and holds the law about bare CR, bare LF and NUL.
// It looks at whole slices and copies nothing.
//
// The only line end on the wire is CRLF. So `\n.\r\n`, `\r\n.\n`, `\r\n.\r\r\n`
// and their kin do not end a message, under any policy.
type decoder struct {
	dots    bool // DATA: dots are stuffed and CRLF.CRLF ends; else BDAT
	mode    mode
	maxLine int
	bol     bool // the octets before were CRLF, or there were none
	cr      bool // a CR was taken, and what follows it is not known yet
	line    int  // octets of the line so far
	nuls    bool // NUL has been seen: look no further than a window for the next
}

// mode is what becomes of octets that are no text. A message that is refused is
// read on in mode pass, to its true end.
type mode uint8

const (
	strict mode = iota
	repair
	pass
)

// window bounds how far a scan looks ahead. Without it a body of bare CRs would
// make each step look for an LF through the whole buffer.
const window = 512

// crlf takes the place of what is repaired.
var crlf = []byte("\r\n")

// step is what next found.
type step struct {
	out []byte // what to hand on: a part of src, or crlf
	n   int    // octets of src that are done with
	end bool   // the message has ended
	err error  // a *BodyError: the message must not be kept
}

// stuck reports that next can do nothing without more octets.
func (s step) stuck() bool { return s.n == 0 && len(s.out) == 0 && !s.end && s.err == nil }

// next takes one step through src, which must not be empty. It is as long as it
// can be: to the next stuffed dot, the next octet that is no text, or the end.
func (d *decoder) next(src []byte) step {
	if d.cr {
		d.cr = false
		if src[0] == '\n' {
			d.bol, d.line = true, 0
			return step{out: crlf, n: 1}
		}
		return d.odd(0, ErrBareNewline)
	}
	if d.dots && d.bol && src[0] == '.' {
		switch {
		case len(src) >= 3 && src[1] == '\r' && src[2] == '\n':
			return step{n: 3, end: true}
		case len(src) == 1 || len(src) == 2 && src[1] == '\r':
			return step{}
		}
		d.bol = false
		return step{n: 1}
	}
	if d.nuls {
		src = src[:min(len(src), window)]
	}
	n, line, bol, err := d.scan(src)
	if nul := bytes.IndexByte(src[:n], 0); nul >= 0 && d.mode != pass {
		d.nuls = true
		if nul == 0 {
			return d.odd(1, ErrNUL)
		}
		// Text up to the NUL: the scan of it alone finds nothing odd.
		n, line, bol, err = d.scan(src[:nul])
	}
	if line > d.maxLine && d.mode != pass {
		return step{err: ErrLongLine}
	}
	if n > 0 {
		d.line, d.bol = line, bol
		return step{out: src[:n], n: n}
	}
	if err == nil { // a CR at the very end
		d.cr = true
		return step{n: 1}
	}
	return d.odd(1, err)
}

// scan returns how much of src is text to be handed on as it is, and the line
// length and bol behind it; line is the greatest seen once it exceeds maxLine.
// With n 0, err says what is odd about src[0]; nil: a CR that ends src.
func (d *decoder) scan(src []byte) (n, line int, bol bool, err error) {
	n, line, bol = 0, d.line, d.bol
	for n < len(src) {
		if bol && d.dots && n > 0 && src[n] == '.' {
			return n, line, bol, nil
		}
		win := src[n:min(n+window, len(src))]
		lf := bytes.IndexByte(win, '\n')
		text := win
		if lf >= 0 {
			text = win[:lf]
		}
		cr := bytes.IndexByte(text, '\r')
		switch {
		case lf > 0 && cr == lf-1:
			if line += cr; line > d.maxLine && d.mode != pass {
				return n, line, bol, nil
			}
			n, line, bol = n+lf+1, 0, true
			continue
		case lf < 0 && cr < 0:
			n, line, bol = n+len(win), line+len(win), false
			continue
		case lf < 0 && cr == len(win)-1: // its LF may be beyond the window, or the buffer
			if cr == 0 {
				return n, line, bol, nil
			}
			n, line, bol = n+cr, line+cr, false
			continue
		}
		odd := lf // a bare LF, or the first bare CR before any LF
		if cr >= 0 {
			odd = cr
		}
		if d.mode == pass {
			n, line, bol = n+odd+1, 0, false
			continue
		}
		if odd > 0 {
			n, line, bol = n+odd, line+odd, false
		}
		return n, line, bol, ErrBareNewline
	}
	return n, line, bol, nil
}

// odd deals with octets that are no text, n of them still in src.
func (d *decoder) odd(n int, err error) step {
	d.bol = false
	switch {
	case d.mode == strict:
		return step{err: err}
	case d.mode == repair && err == ErrBareNewline:
		d.line = 0
		return step{out: crlf, n: n}
	case n == 0: // pass: the CR that was held back
		return step{out: crlf[:1]}
	}
	return step{n: n}
}

// finish ends a message whose end is told otherwise (BDAT LAST).
func (d *decoder) finish() step {
	if !d.cr {
		return step{end: true}
	}
	d.cr = false
	return d.odd(0, ErrBareNewline)
}
