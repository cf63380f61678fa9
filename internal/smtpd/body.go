package smtpd

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/postrider/postrider/mail"
)

// ErrAborted is what Transfer.Body gives when the client took a message back
// that came in chunks: RSET, QUIT or EHLO before the last one.
var ErrAborted = errors.New("smtpd: the client took the message back")

// ErrCutOff is what Transfer.Body gives when the connection is gone before the message
// is whole, or is to end, as after a time-out. What beneath it became of the
// connection is the engine's to tell.
var ErrCutOff = errors.New("smtpd: message cut off")

// body is a message as it comes: the Body of a Transfer. Between the chunks of
// BDAT it is also who reads the commands, so that no goroutine stands between
// the wire and the Host.
type body struct {
	v    *visit
	dec  decoder
	rest []byte // given by the decoder, not yet by Read; lives in v.buf until fill
	err  error  // what every further Read gives; io.EOF: the message is whole

	left int64 // BDAT: octets of the chunk still to come
	last bool  // BDAT: the chunk is the last one

	raw    int64 // octets on the wire
	size   int64 // octets of the message
	waited time.Duration
	again  []byte // the command that took the message back; still in v.buf
}

// swallowed is how much more than MaxSize is read to find the end of a message
// that is refused, before the connection is given up.
const swallowed = 1 << 20

var errSwallow = errors.New("smtpd: too much to swallow")

// Read gives octets of the message.
func (b *body) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		if len(b.rest) == 0 {
			if b.err != nil {
				break
			}
			b.fetch(n == 0)
			if len(b.rest) == 0 && b.err == nil {
				break // what more there is must be waited for
			}
		}
		c := copy(p[n:], b.rest)
		n, b.rest = n+c, b.rest[c:]
	}
	if n == 0 && len(p) > 0 {
		return 0, b.err
	}
	return n, nil
}

// WriteTo writes what is left of the message to w.
func (b *body) WriteTo(w io.Writer) (total int64, err error) {
	for {
		if len(b.rest) == 0 && b.err == nil {
			b.fetch(true)
		}
		if len(b.rest) == 0 && b.err != nil {
			if b.err == io.EOF {
				return total, nil
			}
			return total, b.err
		}
		n, err := w.Write(b.rest)
		total += int64(n)
		if b.rest = b.rest[n:]; err != nil {
			return total, err
		}
	}
}

// fetch advances for the Host.
func (b *body) fetch(wait bool) {
	if b.err = b.advance(wait); wireFault(b.err) {
		b.err = fmt.Errorf("%w: %w", ErrCutOff, b.err)
	}
}

// advance fills rest, or says why there is no more. Unless it may wait it gives
// up, empty-handed, where it would have to.
func (b *body) advance(wait bool) error {
	for {
		src := b.v.pending()
		if !b.dec.dots {
			src = src[:min(int64(len(src)), b.left)]
		}
		var s step
		switch {
		case len(src) > 0:
			s = b.dec.next(src)
		case b.chunkDone() && b.last:
			s = b.dec.finish()
		}
		b.take(s.n)
		b.size += int64(len(s.out))
		switch {
		case s.err != nil:
			return s.err
		case b.size > b.v.terms().opt.MaxSize && b.dec.mode != pass:
			return ErrTooBig
		case s.end:
			return io.EOF
		case len(s.out) > 0:
			b.rest = s.out
			return nil
		case !s.stuck():
			continue
		case !wait:
			return nil
		}
		if err := b.more(); err != nil {
			return err
		}
	}
}

func (b *body) take(n int) {
	b.v.r += n
	b.raw += int64(n)
	if !b.dec.dots {
		b.left -= int64(n)
	}
}

// chunkDone reports whether the present chunk is used up.
func (b *body) chunkDone() bool { return !b.dec.dots && b.left == 0 }

// more waits for octets of the message.
func (b *body) more() error {
	if b.chunkDone() {
		return b.nextChunk()
	}
	began := time.Now()
	t := &b.v.terms().opt.Times
	wait := min(t.Block, b.patience(t.Block))
	err := b.v.fill(began.Add(wait), false)
	b.waited += time.Since(began)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// patience is how much longer the client may make us wait: base, and a second
// for every MinRate octets it sent.
func (b *body) patience(base time.Duration) time.Duration {
	earned := time.Duration(b.raw/int64(b.v.terms().opt.Times.MinRate)) * time.Second
	return max(0, base+earned-b.waited)
}

// nextChunk acknowledges a chunk and reads commands up to the next one.
func (b *body) nextChunk() error {
	v := b.v
	if err := v.say(chunkOK); err != nil {
		return err
	}
	for {
		began := time.Now()
		v.until = began.Add(b.patience(v.terms().opt.Times.Command))
		l, fit, err := v.line(false)
		b.waited += time.Since(began)
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return fmt.Errorf("between chunks: %w", err)
		}
		if !fit {
			continue
		}
		verb, arg := cutCommand(l)
		switch verb {
		case bdat:
			size, last, ok := parseChunk(string(arg))
			if !ok {
				return v.badChunk()
			}
			b.left, b.last = size, last
			return nil
		case noop:
			if v.junk++; v.junk > v.terms().opt.MaxJunk {
				err = v.refuse(mail.Data, tooMuchJunk)
			} else {
				err = v.say(ok)
			}
		case rset, quit, ehlo, helo, lhlo:
			b.again = l
			return ErrAborted
		default:
			err = v.refuse(mail.Data, inChunks)
		}
		if err != nil {
			return err
		}
	}
}

// swallow reads on to the end of the message, or of its present chunk, so that
// nothing of it is taken for a command. A message whose end is too far off is
// given up, and the connection with it.
func (b *body) swallow() error {
	b.dec.mode = pass
	b.rest = nil
	limit := b.v.terms().opt.MaxSize
	limit += max(limit, swallowed)
	for b.raw+b.left <= limit {
		if !b.dec.dots {
			b.take(int(min(int64(len(b.v.pending())), b.left)))
			if b.left == 0 {
				return nil
			}
			if err := b.more(); err != nil {
				return err
			}
			continue
		}
		switch err := b.advance(true); err {
		case nil:
			b.rest = nil
		case io.EOF:
			return nil
		default:
			return err
		}
	}
	return errSwallow
}

// wireFault reports whether err came of the connection, which then is no more.
func wireFault(err error) bool {
	var refused *BodyError
	return err != nil && err != io.EOF && err != ErrAborted && !errors.As(err, &refused)
}
