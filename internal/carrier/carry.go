package carrier

import (
	"context"
	"io"
	"slices"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/route"
	"github.com/postrider/postrider/internal/smtpc"
	"github.com/postrider/postrider/mail"
)

// Carry makes one attempt to hand a message on for the pending recipients of
// some of its deliveries. It answers one attempt for each of them, nil if ctx
// ended before anything could be known; what was known when ctx ended is told,
// and the other recipients have no outcome.
//
// Deliveries with the same way share a transaction, so its caller brings those
// together. The way itself is looked up anew for each: mail that an operator sent
// by another next hop still keeps the demands of its own domain's route, and no
// attempt tells of another domain that happens to have the same hosts.
func (c *Carrier) Carry(ctx context.Context, _ custody.Way, m custody.Message, ds []custody.Delivery, body io.ReaderAt) []custody.Attempt {
	a := &attempt{c: c, message: m, body: body, ways: make([]found, len(ds)), tls: map[string]string{}}
	began := time.Now()
	for i, d := range ds {
		w := c.find(ctx, d.Domain, d.Via)
		a.ways[i] = w
		for _, r := range d.Pending() {
			t := target{delivery: i, index: r, to: d.Rcpts[r].Recipient}
			if w.None != nil && ctx.Err() == nil {
				t.heard = *w.None
			}
			a.targets = append(a.targets, t)
		}
	}
	for _, w := range a.ways {
		if w.None == nil {
			a.run(ctx, w)
		}
	}
	if ctx.Err() != nil && !slices.ContainsFunc(a.targets, func(t target) bool { return !t.heard.IsZero() }) {
		return nil
	}
	return a.attempts(ds, began)
}

// attempt is a Carry under way.
type attempt struct {
	c       *Carrier
	message custody.Message
	body    io.ReaderAt
	ways    []found           // of each delivery
	targets []target          // the pending recipients of all of them
	tls     map[string]string // how the last connection was protected, by route.Way.Lane
}

// target is a recipient of an attempt.
type target struct {
	delivery, index int // whose it is, and its place there
	to              mail.Recipient
	heard           custody.Outcome // zero: nothing yet
}

// run hands the message over to those of one way: in one transaction, or in as
// many as the host's limit on recipients asks for.
func (a *attempt) run(ctx context.Context, f found) {
	w := f.hop
	kept := true // a connection that is open already will do
	var shut custody.Outcome
	for ctx.Err() == nil {
		left := a.left(f)
		if len(left) == 0 {
			return
		}
		cn, o := a.c.connect(ctx, w, kept, shut.Host)
		if cn == nil {
			if ctx.Err() == nil {
				a.all(left, clearer(shut, o))
			}
			return
		}
		a.tls[w.Lane] = cn.TLS()
		res := cn.Send(ctx, a.transaction(left, f.forwards()))
		if res.Stale { // nothing was tried: once more, on a new connection
			kept = false
			cn.Close()
			continue
		}
		kept = true
		if o, ok := closing(res); ok && shut.IsZero() {
			shut, kept = cn.outcome(o), false // another host is asked, once, if the way has one
			a.note(ctx, cn, left, res, false)
		} else {
			a.note(ctx, cn, left, res, true)
		}
		if o, ok := lost(res); ok && ctx.Err() == nil {
			a.all(a.left(f), cn.outcome(o))
		}
		a.c.release(ctx, w, cn)
	}
}

// connect returns a connection that is kept for the way, if one will do, or opens one.
func (c *Carrier) connect(ctx context.Context, w route.Way, kept bool, but string) (*conn, custody.Outcome) {
	if kept {
		if cn := c.pool.take(w.Lane); cn != nil {
			return cn, custody.Outcome{}
		}
	}
	return c.open(ctx, w, but)
}

// release gives a connection back. One whose ctx ended may have been closed under
// our hands.
func (c *Carrier) release(ctx context.Context, w route.Way, cn *conn) {
	limit := w.Route.Limits.MaxMessages
	cn.served++
	switch {
	case ctx.Err() != nil:
		cn.Close()
	case limit > 0 && cn.served >= limit:
		c.pool.retire(cn)
	default:
		c.pool.put(w.Lane, cn)
	}
}

// transaction is what is sent for some targets, by their indices.
func (a *attempt) transaction(targets []int, forwards bool) smtpc.Message {
	env := a.message.Envelope
	env.To = make([]mail.Recipient, len(targets))
	for i, t := range targets {
		env.To[i] = a.targets[t].to
	}
	m := smtpc.Message{
		Envelope: &env, Body: a.body, Size: a.message.Size,
		EightBit: env.Body != mail.SevenBit, UTF8: env.UTF8, By: env.By,
	}
	if forwards {
		m.Forward = forward(a.message)
	}
	if !m.By.IsZero() {
		m.By.Within -= time.Since(a.message.Accepted)
	}
	return m
}

// closing returns the 421 by which a host closed before it took a recipient: it is
// about the host, and another may take the message now.
func closing(res smtpc.Result) (closed smtpc.Outcome, ok bool) {
	for _, o := range res.Outcomes {
		if !o.Rcpt.IsZero() {
			return smtpc.Outcome{}, false
		}
		if shuts(o) {
			closed, ok = o, true
		}
	}
	return closed, ok
}

func shuts(o smtpc.Outcome) bool { return !o.Skipped && o.Theirs && o.Reply.Code == 421 }

// lost returns what broke off a transaction, if that was no word of the host's.
// It is all that those hear who had to wait for another transaction: who is
// silent once will not be asked again in the same attempt.
func lost(res smtpc.Result) (smtpc.Outcome, bool) {
	if !res.Broken {
		return smtpc.Outcome{}, false
	}
	o := smtpc.Outcome{Stage: mail.Hello, Reply: mail.Reply{Status: mail.Status{4, 5, 0}, Text: "host spoke before it was spoken to"}}
	for _, t := range res.Outcomes {
		if t.Theirs && !t.Skipped {
			return smtpc.Outcome{}, false
		}
		if !t.Skipped && !t.Permanent {
			o = t
			o.Stage, o.Ambiguous = mail.Mail, false
		}
	}
	return o, true
}

// note writes down what the targets heard in a transaction; a 421 only if it is
// final.
func (a *attempt) note(ctx context.Context, cn *conn, targets []int, res smtpc.Result, final bool) {
	var fault error
	for i, o := range res.Outcomes {
		switch {
		case o.Skipped, shuts(o) && !final:
		case ctx.Err() != nil && !o.Theirs && !o.Ambiguous && !o.Permanent: // we broke it off
		default:
			a.targets[targets[i]].heard = cn.outcome(o)
			if o.Ours {
				fault = o.Err
			}
		}
	}
	if fault != nil {
		a.c.o.Log.Error("the carrier cannot read a message", "message", a.message.ID, "err", fault)
	}
}

// left returns the targets of a way that have heard nothing yet. An order and a route
// may lead to the same host, but only by one of them it is told of our client.
func (a *attempt) left(f found) []int {
	var is []int
	for i, t := range a.targets {
		if w := a.ways[t.delivery]; t.heard.IsZero() && w.hop.Lane == f.hop.Lane && w.forwards() == f.forwards() {
			is = append(is, i)
		}
	}
	return is
}

// all gives one outcome to some targets.
func (a *attempt) all(targets []int, o custody.Outcome) {
	for _, i := range targets {
		a.targets[i].heard = o
	}
}

// maxWords bounds the octets of words that an attempt keeps of all its hosts: a step of
// the store holds them twice and tells of them in a letter, and has 8 MB.
const maxWords = 1 << 20

// attempts sorts the outcomes by delivery, equal ones together.
func (a *attempt) attempts(ds []custody.Delivery, began time.Time) []custody.Attempt {
	as := make([]custody.Attempt, len(ds))
	pending := make([]int, len(ds))
	for i, w := range a.ways {
		as[i] = custody.Attempt{Began: began, Took: time.Since(began), Way: w.Text, Rule: w.Rule, TLS: a.tls[w.hop.Lane]}
	}
	for _, t := range a.targets {
		pending[t.delivery]++
		if t.heard.IsZero() {
			continue
		}
		t.heard.Reply.Text = cut(t.heard.Reply.Text, maxWords/len(a.targets))
		outs := &as[t.delivery].Outcomes
		j := slices.IndexFunc(*outs, func(o custody.Outcome) bool { return same(o, t.heard) })
		if j < 0 {
			j = len(*outs)
			*outs = append(*outs, t.heard)
		}
		(*outs)[j].Rcpts = append((*outs)[j].Rcpts, t.index)
	}
	for i := range as {
		if outs := as[i].Outcomes; len(outs) == 1 && len(outs[0].Rcpts) == pending[i] {
			outs[0].Rcpts = nil
		}
	}
	return as
}

func same(a, b custody.Outcome) bool {
	return a.Reply == b.Reply && a.Stage == b.Stage && a.Host == b.Host && a.IP == b.IP && a.Taken == b.Taken &&
		a.Trouble == b.Trouble && a.Theirs == b.Theirs && a.Permanent == b.Permanent
}
