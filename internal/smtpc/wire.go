package smtpc

import (
	"errors"
	"os"
	"sync"
	"time"

	"github.com/postrider/postrider/mail"
)

// write sends commands of one step.
func (c *Conn) write(at step, b []byte) *Failure {
	c.nc.SetWriteDeadline(time.Now().Add(c.wait(at)))
	if _, err := c.nc.Write(b); err != nil {
		return c.unsent(at, err)
	}
	return nil
}

// ask sends one command and reads its reply.
func (c *Conn) ask(at step, line string) (mail.Reply, *Failure) {
	if f := c.write(at, append([]byte(line), '\r', '\n')); f != nil {
		return mail.Reply{}, f
	}
	return c.reply(at)
}

// tlsRecord is the most that one TLS record carries.
const tlsRecord = 16 << 10

// writeBlock sends a piece of a message. The time-out runs only while nothing
// moves (RFC 5321 4.5.3.2.5 counts the block): a slow line is not a dead one.
func (c *Conn) writeBlock(b []byte) *Failure {
	for len(b) > 0 {
		piece := b
		if c.secure && len(piece) > tlsRecord {
			piece = piece[:tlsRecord] // after a time-out a TLS connection cannot go on
		}
		c.nc.SetWriteDeadline(time.Now().Add(c.o.Timeouts.Block))
		n, err := c.nc.Write(piece)
		b = b[n:]
		if err != nil && (c.secure || n == 0 || !errors.Is(err, os.ErrDeadlineExceeded)) {
			return c.unsent(step{stage: mail.Data}, err)
		}
	}
	return nil
}

// buffers are what one transaction needs; an idle connection has none of them.
type buffers struct {
	cmd []byte // commands
	in  []byte // a piece of the stored message
	out []byte // the same as it goes out
}

const (
	inSize  = 16 << 10
	outSize = 32 << 10 // what is ready goes out when it is so much
)

var pool = sync.Pool{New: func() any {
	return &buffers{cmd: make([]byte, 0, 1024), out: make([]byte, 0, 8<<10)}
}}
