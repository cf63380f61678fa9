//go:build linux

package crash

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/textproto"
	"strings"
	"time"
)

// A client brings mail to the program, message after message. A message that was not
// acknowledged is never sent again, so that each duplicate is the program's.
type client struct {
	addr    string
	ledger  *ledger
	reached func(moment)
	pause   time.Duration // between messages, on the average
	pace    func()        // called before each message; nil: nothing
	size    func() int
	to      func(id uint64) []*recipient
	wanted  func() bool // whether another message is wanted now

	conn net.Conn
	text *textproto.Conn
	bdat bool
	next *message // its MAIL, RCPT and DATA are sent
	data []byte
}

// run sends until the context ends.
func (c *client) run(ctx context.Context) {
	for ctx.Err() == nil {
		if !c.wanted() || c.session(ctx) != nil {
			time.Sleep(3 * time.Millisecond) // the server is away
		}
	}
}

// session is one connection.
func (c *client) session(ctx context.Context) (err error) {
	if c.conn, err = net.DialTimeout("tcp", c.addr, time.Second); err != nil {
		return err
	}
	defer c.conn.Close()
	c.conn.SetDeadline(time.Now().Add(patience))
	c.text, c.next = textproto.NewConn(c.conn), nil
	c.text.W = bufio.NewWriterSize(c.conn, 32<<10)
	if _, _, err = c.text.ReadResponse(220); err != nil {
		return err
	}
	c.text.PrintfLine("EHLO client.test")
	_, words, err := c.text.ReadResponse(250)
	if err != nil {
		return err
	}
	c.bdat = rand.IntN(4) == 0 && strings.Contains(words, "CHUNKING")
	ahead := !c.bdat && rand.IntN(2) == 0 // the next message's commands go with the final dot
	for n := 1 + rand.IntN(40); n > 0 && ctx.Err() == nil && c.wanted(); n-- {
		c.conn.SetDeadline(time.Now().Add(patience))
		if err := c.message(ahead && n > 1); err != nil {
			return err
		}
		if c.next == nil {
			time.Sleep(time.Duration(rand.ExpFloat64() * float64(c.pause)))
		}
	}
	if c.next == nil {
		return c.text.PrintfLine("QUIT")
	}
	return nil
}

// compose takes a new message and writes its commands (RFC 2920).
func (c *client) compose() {
	c.next, c.data = c.ledger.compose(c.size(), c.to)
	fmt.Fprintf(c.text.W, "MAIL FROM:<s.%d@home.test>\r\n", c.next.id)
	for _, r := range c.next.to {
		fmt.Fprintf(c.text.W, "RCPT TO:<%s>\r\n", r.address)
	}
	if !c.bdat {
		c.text.W.WriteString("DATA\r\n")
	}
}

// message sends one message and reads what becomes of it.
func (c *client) message(ahead bool) error {
	if c.next == nil {
		c.compose()
	}
	m := c.next
	if c.pace != nil {
		c.pace()
	}
	if c.bdat {
		c.chunks(m)
	}
	if err := c.text.W.Flush(); err != nil {
		return err
	}
	if c.bdat {
		c.reached(dotSent)
	}
	for range 1 + len(m.to) {
		if _, _, err := c.text.ReadResponse(250); err != nil {
			return c.refused(m, err)
		}
	}
	if !c.bdat {
		if _, _, err := c.text.ReadResponse(354); err != nil {
			return c.refused(m, err)
		}
		stuff(c.text.W, c.data)
		c.ledger.sent(m)
		c.text.W.WriteString(".\r\n")
	}
	if c.next = nil; ahead {
		c.compose()
	}
	if err := c.text.W.Flush(); err != nil {
		return err
	}
	if !c.bdat {
		c.reached(dotSent)
	}
	if c.bdat && len(c.data) > twoChunks {
		if _, _, err := c.text.ReadResponse(250); err != nil {
			return c.refused(m, err)
		}
	}
	if _, _, err := c.text.ReadResponse(250); err != nil {
		return c.refused(m, err)
	}
	c.ledger.acked(m)
	c.reached(ackRead)
	return nil
}

// refused notes an answer that is none of a crash.
func (c *client) refused(m *message, err error) error {
	if _, ok := err.(*textproto.Error); ok {
		c.ledger.refusedBy(m, err.Error())
	}
	return err
}

const twoChunks = 100_000 // octets; more of them come in two chunks

// chunks writes a message by BDAT (RFC 3030).
func (c *client) chunks(m *message) {
	rest := c.data
	if len(rest) > twoChunks {
		half := len(rest) / 2
		fmt.Fprintf(c.text.W, "BDAT %d\r\n", half)
		c.text.W.Write(rest[:half])
		rest = rest[half:]
	}
	fmt.Fprintf(c.text.W, "BDAT %d LAST\r\n", len(rest))
	c.text.W.Write(rest[:len(rest)-1])
	c.ledger.sent(m)
	c.text.W.Write(rest[len(rest)-1:])
}

// stuff writes a message as DATA wants it (RFC 5321 4.5.2).
func stuff(w *bufio.Writer, data []byte) {
	for {
		i := bytes.Index(data, []byte("\n."))
		if i < 0 {
			w.Write(data)
			return
		}
		w.Write(data[:i+2])
		w.WriteByte('.')
		data = data[i+2:]
	}
}
