package smtpc

import (
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/postrider/postrider/mail"
)

// data sends the message after the host's 354, dot-stuffed, and hears the answer.
func (t *transaction) data() {
	s := stuffer{dots: true, start: true}
	out := t.buf.out[:0]
	for at := int64(0); at < t.size; {
		piece, f := t.piece(at)
		if f != nil {
			t.fault(f)
			return
		}
		at += int64(len(piece))
		if out = s.append(out, piece); len(out) >= outSize {
			if f := t.c.writeBlock(out); f != nil {
				t.settle(f)
				return
			}
			out = out[:0]
		}
	}
	out = s.finish(out)
	t.buf.out = out
	if f := t.c.writeBlock(out); f != nil {
		t.settle(f)
		return
	}
	t.conclude()
}

// piece returns stored octets from at on, at most inSize of them.
func (t *transaction) piece(at int64) ([]byte, *Failure) {
	n := min(t.size-at, inSize)
	if t.m.Body == nil {
		return t.m.Bytes[at : at+n], nil
	}
	if t.buf.in == nil {
		t.buf.in = make([]byte, inSize)
	}
	b := t.buf.in[:n]
	if k, err := t.m.Body.ReadAt(b, at); int64(k) < n {
		if err == nil || err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		// The path and the cause are ours to know, not the sender's: they are in Err.
		f := own(mail.Data, mail.Status{4, 3, 0}, "stored message could not be read")
		f.Err = fmt.Errorf("smtpc: read message at %d: %w", at+int64(k), err)
		return nil, f
	}
	return b, nil
}

// fault ends a transaction that we cannot finish. Only closing says so: half a
// message must not look like one.
func (t *transaction) fault(f *Failure) {
	t.c.broken = true
	t.settle(f)
	for _, i := range t.accepted {
		t.res.Outcomes[i].Ours = true
	}
}

// room is kept in front of a chunk for its BDAT line.
const room = 32

// chunks sends the message by BDAT (RFC 3030), a few chunks ahead of their replies.
func (t *transaction) chunks(binary bool) {
	s := stuffer{start: true}
	t.buf.out = slices.Grow(t.buf.out[:0], outSize)
	out := t.buf.out[:room]
	ahead, most := 0, 1
	if t.c.ext.Pipelining {
		most = 8
	}
	for at := int64(0); at < t.size; {
		piece, f := t.piece(at)
		if f != nil {
			t.fault(f)
			return
		}
		at += int64(len(piece))
		if binary {
			out = append(out, piece...)
		} else {
			out = s.append(out, piece)
		}
		if at == t.size || len(out) < outSize {
			continue
		}
		if f := t.c.writeBlock(chunk(out, false)); f != nil {
			t.settle(f)
			return
		}
		out = out[:room]
		for ahead++; ahead >= most; ahead-- {
			if !t.hear(atBdat, t.onChunk) {
				return
			}
		}
	}
	if !binary {
		out = s.finish(out)
	}
	if f := t.c.writeBlock(chunk(out, true)); f != nil {
		t.settle(f)
		return
	}
	t.sent = true
	for ; ahead > 0; ahead-- {
		if !t.hear(atBdat, t.onChunk) {
			return
		}
	}
	t.conclude()
}

// onChunk hears the reply to a chunk that is not the last. After a refusal more
// replies are under way; closing is simpler than counting them.
func (t *transaction) onChunk(r mail.Reply) bool {
	if r.Success() {
		return true
	}
	f := t.c.refused(atBdat, r)
	t.c.broken = true
	t.settle(f)
	return false
}

// chunk writes the BDAT line into the room in front of out and returns both.
func chunk(out []byte, last bool) []byte {
	var line [room]byte
	l := append(line[:0], "BDAT "...)
	l = strconv.AppendInt(l, int64(len(out)-room), 10)
	if last {
		l = append(l, " LAST"...)
	}
	l = append(l, '\r', '\n')
	from := room - len(l)
	copy(out[from:], l)
	return out[from:]
}

// oneFlight sends envelope and message in one write and then reads all replies.
func (t *transaction) oneFlight(binary bool) {
	out := t.buf.out[:room]
	if t.size > 0 {
		piece, f := t.piece(0)
		if f != nil {
			t.fault(f)
			return
		}
		if s := (stuffer{start: true}); binary {
			out = append(out, piece...)
		} else {
			out = s.finish(s.append(out, piece))
		}
	}
	b := t.start()
	for _, i := range t.live {
		b = t.appendRcpt(b, i)
	}
	if len(b) > flightSize { // too many recipients for it
		if t.pipelined(false) {
			t.chunks(binary)
		}
		return
	}
	t.buf.cmd = append(b, chunk(out, true)...)
	if f := t.c.write(atMail, t.buf.cmd); f != nil {
		t.settle(f)
		return
	}
	t.sent = true
	if !t.started(false) {
		return
	}
	refused := !t.hear(atMail, t.onMail)
	for _, i := range t.live {
		if t.c.broken || !t.hear(atRcpt, func(r mail.Reply) bool { return refused || t.onRcpt(i, r) }) {
			return
		}
	}
	if len(t.accepted) > 0 {
		t.conclude()
	} else if !t.c.broken && !t.c.o.LMTP {
		t.c.reply(atBdat) // refused too, or an empty success for nobody
	}
}
