package carrier

import (
	"context"
	"fmt"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/smtpc"
	"github.com/postrider/postrider/mail"
)

// Ask asks the next hop of an address's domain whether it takes mail for the address,
// and returns what the host said to RCPT, word for word: 2yz, 4yz or 5yz. The next hop
// is that of the routes, or via, as in a route's "to". It is asked in the name of the
// null path and sent no message.
//
// The connection is found, opened, protected and kept as for an attempt. A host that
// closes by 421 gives way to the next one of the same way, once. The error says why
// nobody could be asked: no way, no connection, a refusal of us or of MAIL, or the end
// of ctx, which bounds it all: where it has a deadline, each host but the last gets half
// of the time that is left. How many ask at a time is for the caller to bound.
func (c *Carrier) Ask(ctx context.Context, to mail.Address, via string) (mail.Reply, error) {
	domain, err := mail.CanonicalDomain(to.Domain)
	if err != nil {
		return mail.Reply{}, fmt.Errorf("carrier: ask about %s: %w", shown(to), err)
	}
	w := c.find(ctx, domain, via)
	if w.None != nil {
		return mail.Reply{}, unasked(ctx, to, *w.None)
	}
	kept := true
	var shut smtpc.Answer // of a host that closed
	var by place
	for {
		cn, o := c.connect(ctx, w.hop, kept, by.host)
		switch {
		case cn != nil:
		case by.host != "":
			return told(ctx, to, by, shut)
		default:
			return mail.Reply{}, unasked(ctx, to, o)
		}
		a := cn.Ask(ctx, to)
		if a.Stale { // nothing was asked: once more, on a new connection
			kept = false
			cn.Close()
			continue
		}
		c.release(ctx, w.hop, cn)
		if by.host == "" && closes(a) {
			shut, by, kept = a, cn.place, false
			continue
		}
		return told(ctx, to, cn.place, a)
	}
}

// closes reports whether a host closed instead of an answer: another may have one.
func closes(a smtpc.Answer) bool {
	return a.Reply.Code == 421 || a.Failure != nil && a.Failure.Theirs && a.Failure.Reply.Code == 421
}

// told returns what was heard at a place.
func told(ctx context.Context, to mail.Address, p place, a smtpc.Answer) (mail.Reply, error) {
	if a.Failure == nil {
		return a.Reply, nil
	}
	return mail.Reply{}, unasked(ctx, to, p.failure(a.Failure))
}

// unasked says why nobody could be asked about an address.
func unasked(ctx context.Context, to mail.Address, o custody.Outcome) error {
	if ctx.Err() != nil {
		return fmt.Errorf("carrier: ask about %s: %w", shown(to), context.Cause(ctx))
	}
	who := o.Host
	if o.IP != "" {
		who += "[" + o.IP + "]"
	}
	if who != "" {
		who += " "
	}
	return fmt.Errorf("carrier: ask %sabout %s: %s: %s", who, shown(to), o.Stage, o.Reply.Line())
}

func shown(a mail.Address) string { return mail.Clean(a.Path(), mail.MaxPath) }
