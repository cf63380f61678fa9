package smtpd

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"sync"
	"time"

	"github.com/postrider/postrider/mail"
)

const (
	smallBuffer = 4 << 10  // of an idle connection
	largeBuffer = 32 << 10 // while a message comes
	maxSkip     = 64 << 10 // octets of one command line that are skipped before we hang up
	maxReplies  = 4 << 10  // octets of replies held back for a pipelining client
)

// largeBuffers lends the buffers for messages, so that idle connections hold none.
var largeBuffers = sync.Pool{New: func() any { return new([largeBuffer]byte) }}

// How a visit ends. Any other error is that of the connection.
var (
	errEnd      = errors.New("smtpd: the last reply was given")
	errQuit     = errors.New("smtpd: the client said QUIT")
	errDraining = errors.New("smtpd: the server stops")
	errFlood    = errors.New("smtpd: a command line without end")
	errGone     = errors.New("smtpd: the client does not take replies")
	errFault    = errors.New("smtpd: a fault of this server")
)

// visit is one connection. One goroutine owns it; drain and force alone are
// called by others, and touch what mu guards.
type visit struct {
	s      *Server
	t      *terms // nil: those of s
	client Client
	ctx    context.Context
	cancel context.CancelFunc
	host   Session

	mu       sync.Mutex
	nc       net.Conn // replaced by STARTTLS
	idle     bool     // waits for a command
	draining bool

	surplus bool // only to be turned away

	buf   []byte // buf[r:w] came and is not used yet
	r, w  int
	small []byte
	large *[largeBuffer]byte // nil unless buf is it
	out   []byte             // replies not sent yet
	until time.Time          // by when the next message, or the next chunk, must have begun

	hello   Hello
	greeted bool
	// What a trusted peer has said of the client for whom it speaks.
	forwarded Forwarded
	env       *mail.Envelope // the transaction; nil: none
	tries     int            // RCPTs of the transaction
	messages  int
	errors    int // since the last message
	junk      int // likewise
}

// pending returns what came and is not used yet. It is valid until fill.
func (v *visit) pending() []byte { return v.buf[v.r:v.w] }

// fill sends the replies that wait and reads what comes, once. While idle, the
// end of the server wakes it.
func (v *visit) fill(until time.Time, idle bool) error {
	if err := v.flush(); err != nil {
		return err
	}
	if idle && v.large != nil && v.w-v.r <= len(v.small) {
		v.swap(v.small)
		largeBuffers.Put(v.large)
		v.large = nil
	}
	if v.r > 0 {
		v.w = copy(v.buf, v.pending())
		v.r = 0
	}
	if err := v.arm(until, idle); err != nil {
		return err
	}
	n, err := v.nc.Read(v.buf[v.w:])
	v.w += n
	if n > 0 {
		return nil
	}
	return err
}

// grow gives the visit a buffer fit for a message.
func (v *visit) grow() {
	if v.large == nil {
		v.large = largeBuffers.Get().(*[largeBuffer]byte)
		v.swap(v.large[:])
	}
}

func (v *visit) swap(to []byte) {
	n := copy(to, v.pending())
	v.buf, v.r, v.w = to, 0, n
}

// arm sets the deadline of the next read, unless the server stops.
func (v *visit) arm(until time.Time, idle bool) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if idle && v.draining {
		return errDraining
	}
	v.idle = idle
	return v.nc.SetReadDeadline(until)
}

// drain ends the visit at its next wait for a command, which may be now.
func (v *visit) drain() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.draining = true
	if v.idle {
		v.nc.SetReadDeadline(time.Unix(1, 0))
	}
}

// force ends the visit, whatever it is at. TLS is not said goodbye to: that
// could take its time.
func (v *visit) force() {
	v.cancel()
	v.mu.Lock()
	defer v.mu.Unlock()
	if c, secret := v.nc.(*tls.Conn); secret {
		c.NetConn().Close()
		return
	}
	v.nc.Close()
}

// close ends the visit as its owner.
func (v *visit) close() {
	v.nc.Close()
	v.cancel()
	if v.large != nil {
		largeBuffers.Put(v.large)
	}
}

// line reads one command line and returns it without its end. It is valid until
// fill. A line that is too long is skipped without being held, and ok is false:
// the client was told.
func (v *visit) line(idle bool) (l []byte, ok bool, err error) {
	var until time.Time
	seen, skipped := 0, 0
	for {
		if i := bytes.IndexByte(v.pending()[seen:], '\n'); i >= 0 {
			l = v.pending()[:seen+i]
			v.r += seen + i + 1
			if skipped > 0 || len(l)+1 > v.terms().opt.MaxLine {
				return nil, false, v.refuse(mail.NoStage, syntax("Line too long"))
			}
			return v.checkLine(l)
		}
		seen = v.w - v.r
		if seen >= v.terms().opt.MaxLine {
			skipped += seen
			seen, v.r, v.w = 0, 0, 0
			if skipped >= maxSkip {
				return nil, false, errFlood
			}
		}
		if until.IsZero() {
			until = time.Now().Add(v.terms().opt.Times.Command)
			if v.until.Before(until) {
				until = v.until
			}
		}
		if err := v.fill(until, idle); err != nil {
			return nil, false, err
		}
	}
}

// checkLine takes the CR off a line and refuses what no command may hold. l
// came without its LF.
func (v *visit) checkLine(l []byte) ([]byte, bool, error) {
	if n := len(l); n > 0 && l[n-1] == '\r' {
		l = l[:n-1]
	} else if v.terms().opt.BareNewline == Refuse {
		return nil, false, v.refuse(mail.NoStage, syntax("A command ends with CRLF, not with a bare LF"))
	}
	for _, c := range l {
		if c < ' ' || c == 0x7f {
			return nil, false, v.refuse(mail.NoStage, syntax("A command has no control characters"))
		}
	}
	return l, true, nil
}

// flush sends the replies that wait, in one write.
func (v *visit) flush() error {
	if len(v.out) == 0 {
		return nil
	}
	if err := v.nc.SetWriteDeadline(time.Now().Add(v.terms().opt.Times.Write)); err != nil {
		return err
	}
	_, err := v.nc.Write(v.out)
	v.out = v.out[:0]
	if err != nil {
		return errGone // even if it timed out: there is nobody to tell
	}
	return nil
}

// say queues a reply. It is sent before the next wait, or when many wait.
func (v *visit) say(r mail.Reply) error {
	v.out = appendReply(v.out, r)
	if len(v.out) > maxReplies {
		return v.flush()
	}
	return nil
}

// refuse says no in the engine's own name.
func (v *visit) refuse(at mail.Stage, r mail.Reply) error {
	v.terms().opt.Refused(v.client, at, r)
	return v.answer(r)
}

// answer says r, counts refusals and ends the visit if it was asked to or had
// enough of them. A deferral is no error of the client's.
func (v *visit) answer(r mail.Reply) error {
	if !r.Permanent() {
		err := v.say(r)
		if err == nil && r.Code == 421 {
			err = errEnd
		}
		return err
	}
	v.errors++
	if v.errors > v.terms().opt.SoftErrors && v.terms().opt.ErrorDelay > 0 {
		v.pause(v.terms().opt.ErrorDelay)
	}
	if err := v.say(r); err != nil {
		return err
	}
	if v.errors >= v.terms().opt.HardErrors {
		return v.refuse(mail.NoStage, tooManyErrors)
	}
	return nil
}

// pause makes a client wait that errs too often, but never a server that stops.
func (v *visit) pause(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-v.s.stopping:
	case <-v.ctx.Done():
	}
}

// farewell gives the last reply that err calls for, and sends what waits.
func (v *visit) farewell(err error) {
	switch {
	case errors.Is(err, errQuit): // nobody reads or writes any more
		v.flush()
		return
	case errors.Is(err, errEnd):
	case errors.Is(err, errFault):
		v.lastWord(mail.NoStage, broken)
	case errors.Is(err, errFlood):
		v.lastWord(mail.NoStage, flooded)
	case errors.Is(err, errDraining):
		v.say(stopping)
	case errors.Is(err, os.ErrDeadlineExceeded):
		v.mu.Lock()
		draining := v.draining && v.idle
		v.mu.Unlock()
		if draining {
			v.say(stopping)
		} else {
			v.lastWord(mail.NoStage, timedOut)
		}
	default: // the connection is gone
		if errors.Is(err, ErrCutOff) {
			v.terms().opt.Refused(v.client, mail.Data, mail.Reply{Text: mail.Clean(err.Error(), mail.MaxReplyLine)})
		}
		return
	}
	if v.flush() == nil {
		v.linger()
	}
}

func (v *visit) lastWord(at mail.Stage, r mail.Reply) {
	v.terms().opt.Refused(v.client, at, r)
	v.say(r)
}

// turnAway says r to a client that cannot be served. One that wants TLS first
// is not worth the handshake.
func (v *visit) turnAway(r mail.Reply) {
	if _, secret := v.nc.(*tls.Conn); secret {
		v.terms().opt.Refused(v.client, mail.Connect, r)
		return
	}
	v.buf = make([]byte, 512) // for linger
	v.lastWord(mail.Connect, r)
	v.farewell(errEnd)
}

// linger waits a little for the client to hang up: to close a TCP connection
// on octets that were not read resets it, and the client loses our last words.
func (v *visit) linger() {
	c, ok := v.nc.(interface{ CloseWrite() error })
	if !ok || c.CloseWrite() != nil {
		return
	}
	if v.arm(time.Now().Add(2*time.Second), false) != nil {
		return
	}
	for range 64 {
		if _, err := v.nc.Read(v.buf); err != nil {
			return
		}
	}
}

// terms are what the visit goes by, whatever a reload has put in their place.
func (v *visit) terms() *terms {
	if v.t == nil {
		v.t = v.s.terms.Load()
	}
	return v.t
}
