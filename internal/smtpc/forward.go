package smtpc

import (
	"bytes"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/postrider/postrider/mail"
)

// Forward is what a content filter is told, by XFORWARD, of where a message came from
// (postfix.org/XFORWARD_README.html). What is zero is not known, and told as that.
type Forward struct {
	Name  string     // of the client
	Addr  netip.Addr // of the client
	Port  uint16     // of the client
	Proto string     // as in the Received field: ESMTPS
	Helo  string     // what the client called itself
	Ident string     // what we call the message
	Local bool       // it has no client: it was made on this machine
}

var atForward = step{mail.Mail, "XFORWARD"}

const (
	maxCommand = 512 // octets of a command line, its end included (RFC 5321 4.5.3.1.4)
	maxValue   = 255 // octets of an attribute's value as sent, by the document
	maxProto   = 64
)

// attributes are those of XFORWARD that we know, in the order in which they are sent.
var attributes = [...]string{"NAME", "ADDR", "PORT", "PROTO", "HELO", "IDENT", "SOURCE"}

// value returns the value of an attribute as it is sent.
func (f *Forward) value(attribute string) string {
	switch attribute {
	case "NAME":
		return encoded(f.Name, maxValue)
	case "ADDR":
		return encoded(f.address(), maxValue)
	case "PORT":
		if f.Port != 0 {
			return strconv.Itoa(int(f.Port))
		}
	case "PROTO":
		return encoded(f.Proto, maxProto)
	case "HELO":
		return encoded(f.Helo, maxValue)
	case "IDENT":
		return encoded(f.Ident, maxValue)
	case "SOURCE":
		if f.Local {
			return "LOCAL"
		}
		return "REMOTE"
	}
	return unavailable
}

const unavailable = "[UNAVAILABLE]"

func (f *Forward) address() string {
	switch a := f.Addr.Unmap().WithZone(""); {
	case a.Is4():
		return a.String()
	case a.Is6():
		return "IPV6:" + a.String()
	}
	return ""
}

// encoded returns a value in xtext, cut to so many octets. What clients say reaches
// it: blanks, control characters, what is not ASCII and what is special in a header
// become '?', for a host that meets them refuses the whole command.
func encoded(s string, most int) string {
	if s == "" {
		return unavailable
	}
	s = mail.EncodeXText(strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' || strings.ContainsRune(`<>()\";@`, r) {
			return '?'
		}
		return r
	}, s))
	if len(s) > most {
		s = s[:most]
		if i := strings.LastIndexByte(s, '+'); i > most-len("+2B") {
			s = s[:i]
		}
	}
	return s
}

// appendForward appends the XFORWARD commands of the message, with what the host
// wants to know, and counts them.
func (t *transaction) appendForward(b []byte) []byte {
	t.forwards = 0
	if t.m.Forward == nil {
		return b
	}
	line := 0 // octets of the command begun; 0: none
	for _, a := range attributes {
		if !slices.Contains(t.c.ext.XForward, a) {
			continue
		}
		v := t.m.Forward.value(a)
		n := len(" =") + len(a) + len(v)
		if line > 0 && line+n > maxCommand-len("\r\n") {
			b, line = append(b, '\r', '\n'), 0
		}
		if line == 0 {
			b, line = append(b, atForward.verb...), len(atForward.verb)
			t.forwards++
		}
		b = append(append(append(append(b, ' '), a...), '='), v...)
		line += n
	}
	if line > 0 {
		b = append(b, '\r', '\n')
	}
	return b
}

// forward says XFORWARD in turn.
func (t *transaction) forward() bool {
	if t.m.Forward == nil {
		return true
	}
	for line := range bytes.Lines(t.appendForward(nil)) {
		if !t.oneReply(atForward, string(line), t.onForward) {
			return false
		}
	}
	return true
}

// onForward hears the reply to XFORWARD. A refusal is no matter of the message, which
// goes on without.
func (t *transaction) onForward(r mail.Reply) bool {
	if r.Success() {
		t.c.dirty = true // what was said is held until RSET or the final dot
		return true
	}
	f := t.c.refused(atForward, r)
	if t.c.broken {
		t.settle(f)
		return false
	}
	// 501 is about these values; another 5yz is about us, and will be said each time.
	if r.Permanent() && r.Code != 501 {
		t.c.ext.XForward = nil
	}
	return true
}
