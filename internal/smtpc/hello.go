package smtpc

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/postrider/postrider/mail"
)

// Extensions is what a host said it can do.
type Extensions struct {
	Pipelining bool
	EightBit   bool // 8BITMIME
	UTF8       bool // SMTPUTF8
	DSN        bool
	Chunking   bool
	Binary     bool // BINARYMIME
	StartTLS   bool
	Size       bool
	SizeMax    int64 // octets; 0: no limit named
	DeliverBy  bool
	ByMin      time.Duration // shortest time DELIVERBY accepts in mode R; 0: none named
	Auth       []string      // SASL mechanisms, upper case
	XForward   []string      // attributes of XFORWARD, upper case
	// LIMITS (RFC 9422); 0: none named.
	RcptMax, MailMax, RcptDomainMax int
}

// greet says EHLO (LHLO), and HELO to a host that does not know EHLO.
func (c *Conn) greet() *Failure {
	verb := "EHLO"
	if c.o.LMTP {
		verb = "LHLO"
	}
	at := step{mail.Hello, verb}
	r, f := c.ask(at, verb+" "+c.o.Helo)
	if f != nil {
		return f
	}
	c.hello = r
	switch {
	case r.Success():
		c.ext = parseExtensions(r)
		return nil
	// 521: the host never takes mail (RFC 7504); HELO will not change its mind.
	case !r.Permanent() || c.o.LMTP || r.Code == 521:
		return c.refused(at, r)
	}
	at.verb = "HELO"
	if r, f = c.ask(at, "HELO "+c.o.Helo); f != nil {
		return f
	}
	if !r.Success() {
		return c.refused(at, r)
	}
	c.hello, c.ext = r, Extensions{}
	return nil
}

// parseExtensions reads the reply to EHLO. Its first line names the host.
func parseExtensions(r mail.Reply) Extensions {
	var x Extensions
	lines := r.Lines()
	for _, l := range lines[1:] {
		words := strings.Fields(strings.ToUpper(l))
		if len(words) == 0 {
			continue
		}
		args := words[1:]
		// Old hosts write "AUTH=LOGIN PLAIN" (drafts before RFC 2554).
		if m, ok := strings.CutPrefix(words[0], "AUTH="); ok {
			words[0], args = "AUTH", append([]string{m}, args...)
		}
		switch words[0] {
		case "PIPELINING":
			x.Pipelining = true
		case "8BITMIME":
			x.EightBit = true
		case "SMTPUTF8":
			x.UTF8 = true
		case "DSN":
			x.DSN = true
		case "CHUNKING":
			x.Chunking = true
		case "BINARYMIME":
			x.Binary = true
		case "STARTTLS":
			x.StartTLS = true
		case "SIZE":
			x.Size, x.SizeMax = true, number(args, math.MaxInt64)
		case "DELIVERBY":
			x.DeliverBy, x.ByMin = true, time.Duration(number(args, math.MaxInt32))*time.Second
		case "AUTH":
			x.Auth = append(x.Auth, args...)
		case "XFORWARD":
			x.XForward = append(x.XForward, args...)
		case "LIMITS":
			x.limits(args)
		}
	}
	x.Binary = x.Binary && x.Chunking // RFC 3030 3: useless alone
	return x
}

// number returns the first argument if it is a number, else 0.
func number(args []string, most int64) int64 {
	if len(args) == 0 {
		return 0
	}
	n, err := strconv.ParseInt(args[0], 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return min(n, most)
}

func (x *Extensions) limits(args []string) {
	for _, a := range args {
		name, value, _ := strings.Cut(a, "=")
		n := int(number([]string{value}, math.MaxInt32))
		switch name {
		case "RCPTMAX":
			x.RcptMax = n
		case "MAILMAX":
			x.MailMax = n
		case "RCPTDOMAINMAX":
			x.RcptDomainMax = n
		}
	}
}
