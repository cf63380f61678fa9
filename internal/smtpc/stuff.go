package smtpc

import "bytes"

// stuffer turns stored octets into what may go out, piece by piece. Lines end in
// CRLF: a bare LF becomes CRLF, a bare CR and a NUL become a blank, for a lax host
// takes either for a line end and might see an end of message where we see none
// (SMTP smuggling, CVE-2023-51764). Well-formed text is only copied.
type stuffer struct {
	dots  bool // DATA: double a dot at the start of a line, end with a dot
	start bool // the next octet starts a line
	cr    bool // a CR was read and not yet written
}

// append appends src as it goes out to dst: at most two octets for each of src, and
// two more.
func (s *stuffer) append(dst, src []byte) []byte {
	nul := bytes.IndexByte(src, 0) >= 0
	if s.cr && len(src) > 0 {
		s.cr = false
		if src[0] == '\n' {
			dst, src = append(dst, '\r', '\n'), src[1:]
			s.start = true
		} else {
			dst = append(dst, ' ')
			s.start = false
		}
	}
	run := 0 // src[run:i] is good as it stands
	for i := 0; i < len(src); {
		if s.start && s.dots && src[i] == '.' {
			dst = append(append(dst, src[run:i]...), '.')
			run = i
		}
		end := bytes.IndexByte(src[i:], '\n')
		if end < 0 {
			return s.tail(append(dst, src[run:i]...), src[i:], nul)
		}
		end += i
		line := src[i:end]
		if n := len(line); n > 0 && line[n-1] == '\r' && bytes.IndexByte(line, '\r') == n-1 && !(nul && bytes.IndexByte(line, 0) >= 0) {
			i = end + 1
			s.start = true
			continue
		}
		dst = append(dst, src[run:i]...)
		dst = append(blank(dst, bytes.TrimSuffix(line, []byte{'\r'}), nul), '\r', '\n')
		i = end + 1
		run, s.start = i, true
	}
	return append(dst, src[run:]...)
}

// tail appends the rest of a piece that has no line end.
func (s *stuffer) tail(dst, rest []byte, nul bool) []byte {
	if n := len(rest); n > 0 && rest[n-1] == '\r' {
		s.cr = true
		rest = rest[:n-1]
	}
	if len(rest) > 0 {
		s.start = false
	}
	return blank(dst, rest, nul)
}

// blank appends b with each CR, and NUL if there is any, as a blank.
func blank(dst, b []byte, nul bool) []byte {
	from := len(dst)
	dst = append(dst, b...)
	if !nul && bytes.IndexByte(b, '\r') < 0 {
		return dst
	}
	for i := from; i < len(dst); i++ {
		if dst[i] == '\r' || dst[i] == 0 {
			dst[i] = ' '
		}
	}
	return dst
}

// finish ends the last line, and the message.
func (s *stuffer) finish(dst []byte) []byte {
	if s.cr || !s.start {
		dst = append(dst, '\r', '\n')
		s.cr, s.start = false, true
	}
	if s.dots {
		dst = append(dst, '.', '\r', '\n')
	}
	return dst
}
