package explain

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
)

// Message is one message of a file.
type Message struct {
	Line int // where it begins in the file, from 1: for Options.Line
	Raw  []byte
}

// Messages yields the messages of a mailbox file (mbox), one after the other; a
// file that is none is one message. Of each no more is kept than Explain reads.
// An error of reading ends it.
func Messages(r io.Reader) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		b := bufio.NewReaderSize(r, 64<<10)
		var (
			m     = Message{Line: 1}
			n     = 1
			mbox  = false
			blank = true // the line before was blank
			start = true // the next bytes begin a line
		)
		for {
			l, err := b.ReadSlice('\n')
			whole := err == nil
			if start && len(l) > 0 && bytes.HasPrefix(l, []byte("From ")) {
				if n == 1 {
					mbox = true
				} else if mbox && blank && postmark(l) {
					if !yield(m, nil) {
						return
					}
					m = Message{Line: n}
				}
			}
			if room := maxInput + 1 - len(m.Raw); room > 0 {
				m.Raw = append(m.Raw, l[:min(len(l), room)]...)
			}
			if whole {
				n++
				blank = start && len(bytes.TrimSpace(l)) == 0
			}
			start = whole
			switch {
			case err == nil, errors.Is(err, bufio.ErrBufferFull):
			case errors.Is(err, io.EOF):
				yield(m, nil)
				return
			default:
				yield(Message{}, fmt.Errorf("explain: read mailbox: line %d: %w", n, err))
				return
			}
		}
	}
}

// postmark reports the line that begins a message in a mailbox: "From", who, and
// a date. A sentence that begins with "From" has none.
func postmark(l []byte) bool {
	fs := bytes.Fields(l)
	if len(fs) < 6 || len(l) > 400 {
		return false
	}
	hour, year := false, false
	for _, f := range fs[2:] {
		hour = hour || len(f) >= 5 && digit(f[0]) && bytes.IndexByte(f, ':') > 0
		year = year || len(f) == 4 && (bytes.HasPrefix(f, []byte("19")) || bytes.HasPrefix(f, []byte("20")))
	}
	return hour && year
}
