package smtpd

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/postrider/postrider/mail"
)

// trusted reports whether the peer may say for whom it speaks.
func (v *visit) trusted() bool {
	t := v.terms().opt.Trusts
	return t != nil && t(addrPort(v.nc.RemoteAddr()).Addr())
}

// forward is XFORWARD: a filter says from whom it has what follows
// (postfix.org/XFORWARD_README.html).
func (v *visit) forward(arg string) error {
	host, able := v.host.(Forwarder)
	switch {
	case !able || !v.trusted():
		return v.refuse(mail.NoStage, notYours)
	case !v.greeted:
		return v.refuse(mail.NoStage, helloFirst)
	case v.env != nil:
		return v.refuse(mail.NoStage, inTransaction)
	}
	f := v.forwarded
	if no := attributes(arg, &f); !no.IsZero() {
		return v.refuse(mail.NoStage, no)
	}
	v.forwarded = f
	host.Forward(f)
	return v.say(ok)
}

// become is XCLIENT: a proxy says who its client is, and the visit begins anew in
// that client's name (postfix.org/XCLIENT_README.html).
func (v *visit) become(arg string) error {
	switch {
	case !v.trusted():
		return v.refuse(mail.NoStage, notYours)
	case v.env != nil:
		return v.refuse(mail.NoStage, inTransaction)
	}
	var f Forwarded
	if no := attributes(arg, &f); !no.IsZero() {
		return v.refuse(mail.NoStage, no)
	}
	if !f.Addr.IsValid() {
		return v.refuse(mail.NoStage, badParameter("XCLIENT needs ADDR"))
	}
	v.host.Close()
	v.host, v.greeted, v.forwarded = nil, false, Forwarded{}
	v.client.Addr = netip.AddrPortFrom(f.Addr, f.Port)
	return v.welcome()
}

// attributes reads NAME=value pairs in xtext. An attribute that is not known is
// passed over, so that a newer client is served; a value that is not known is
// written [UNAVAILABLE] or [TEMPUNAVAIL].
func attributes(arg string, f *Forwarded) mail.Reply {
	if arg == "" {
		return badParameter("Syntax: NAME=value ...")
	}
	for word := range strings.FieldsSeq(arg) {
		name, coded, given := strings.Cut(word, "=")
		value, err := mail.DecodeXText(coded)
		if !given || err != nil || len(value) > 255 || mail.Clean(value, 255) != value {
			return badParameter("Syntax: NAME=value ...")
		}
		if strings.EqualFold(value, "[UNAVAILABLE]") || strings.EqualFold(value, "[TEMPUNAVAIL]") {
			value = ""
		}
		switch strings.ToUpper(name) {
		case "ADDR":
			if f.Addr, err = clientAddr(value); err != nil {
				return badParameter("ADDR is an IPv4 address, or IPV6: and an IPv6 address")
			}
		case "PORT":
			n, err := strconv.ParseUint(value, 10, 16)
			if err != nil && value != "" {
				return badParameter("PORT is a number")
			}
			f.Port = uint16(n)
		case "NAME":
			f.Name = value
		case "HELO":
			f.Helo = value
		case "PROTO":
			f.Proto = value
		case "IDENT":
			f.Ident = value
		}
	}
	return mail.Reply{}
}

// clientAddr reads ADDR. A client by Unix socket has none.
func clientAddr(s string) (netip.Addr, error) {
	if s == "" {
		return netip.Addr{}, nil
	}
	if len(s) > 5 && strings.EqualFold(s[:5], "IPV6:") {
		s = s[5:]
	}
	a, err := netip.ParseAddr(s)
	return a.Unmap().WithZone(""), err
}

// start is ETRN (RFC 1985): a host that was away asks for its mail.
func (v *visit) start(arg string) error {
	host, able := v.host.(Starter)
	switch {
	case !able || !v.terms().opt.Starts:
		return v.refuse(mail.NoStage, notMade)
	case !v.greeted:
		return v.refuse(mail.NoStage, helloFirst)
	case v.env != nil:
		return v.refuse(mail.NoStage, inTransaction)
	}
	name, under := strings.CutPrefix(arg, "@")
	domain, err := mail.CanonicalDomain(name)
	if err != nil {
		return v.refuse(mail.NoStage, badParameter("Syntax: ETRN domain"))
	}
	return v.answer(v.settle(host.Start(v.ctx, domain, under), queued))
}
