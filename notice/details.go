package notice

import (
	"fmt"
	"slices"
	"strings"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/mail"
)

// details tell an administrator which message it is, who held it, by which rule
// it ended, what each side did, and every attempt.
func (s *story) details(p *page) {
	p.rule()
	p.line("For administrators")
	p.blank()
	m := s.n.Message
	about := subjectOf(s.n)
	if about == "" {
		about = "(none)"
	}
	p.field("Subject", about)
	p.field("Message-ID", mail.Clean(m.MessageID, 300))
	p.field("From", m.Envelope.From.Path())
	p.field("Our number", s.n.Delivery.ID.String())
	p.field("Came", s.came())
	if n := len(s.rows); n > 0 && s.rows[n-1].way != "" {
		way := s.words(s.rows[n-1].way)
		if s.rows[n-1].rule != "" {
			way += ", by " + s.words(s.rows[n-1].rule)
		}
		p.field("Way", way)
	}
	s.custody(p)
	s.sides(p)
	s.table(p)
}

// came says how the message reached us.
func (s *story) came() string {
	c := s.n.Message.Came
	from := "from this server itself"
	switch {
	case s.hidden(c.Client) || s.hidden(c.Helo):
		from = "from " + internal
	case c.Client != "" && c.Helo != "":
		from = fmt.Sprintf("from %s [%s]", mail.Clean(c.Helo, mail.MaxDomain), c.Client)
	case c.Client != "":
		from = "from [" + c.Client + "]"
	}
	if c.User != "" {
		from += ", user " + mail.Clean(c.User, 100)
	}
	return s.date(s.n.Message.Accepted) + " " + from
}

// custody says who held the message, how long, and what ended it by which rule.
func (s *story) custody(p *page) {
	d := s.n.Delivery
	span := fmt.Sprintf("%s, since %s", s.o.Hostname, s.date(s.since()))
	if s.n.Kind != custody.Delayed {
		span = fmt.Sprintf("%s, from %s to %s", s.o.Hostname, s.date(s.since()), s.date(s.n.Now))
	}
	p.field("Held by", span+": "+custody.FormatAge(s.held()))
	because := s.words(custody.Because(d, s.n.Schedule))
	for _, e := range []end{refused, expired, ended, waiting} {
		if !slices.ContainsFunc(s.fates, func(f fate) bool { return f.end == e }) {
			continue
		}
		switch e {
		case refused:
			if !slices.ContainsFunc(s.fates, func(f fate) bool { return f.end == refused && f.last.Theirs }) {
				p.field("Ended", "at once: waiting would not change it")
				continue
			}
			p.field("Refused", "a refusal for good ends it at once, whatever time is left (RFC 5321 4.2.1)")
		case expired:
			p.field("Given up", "by this server's clock, not the other side's: "+because)
		case ended:
			var orders []string
			for _, f := range s.fates {
				if o := "by order of " + s.words(f.order.By) + " on " + s.date(f.order.At); f.end == ended && !slices.Contains(orders, o) {
					orders = append(orders, o)
					p.field("Given up", o)
				}
			}
		case waiting:
			p.field("Limit", because)
		}
	}
}

// sides says what each end did.
func (s *story) sides(p *page) {
	if s.n.Kind != custody.Failed && s.n.Kind != custody.Delayed {
		return
	}
	tries, spoke := 0, 0
	for k, r := range s.rows {
		if k == 0 || s.rows[k-1].attempt != r.attempt {
			tries++
		}
		if r.outcome.Theirs {
			spoke++
		}
	}
	p.blank()
	p.line("What each side did")
	p.field("Your side", "handed it to this server, which has answered for it since")
	ours := "tried it " + times(tries)
	if tries == 0 {
		ours = "has not tried it"
	} else if first, last := s.rows[0].outcome.At, s.rows[len(s.rows)-1].outcome.At; tries > 1 {
		ours += ", from " + s.date(first) + " to " + s.date(last)
	}
	p.field("This server", ours)
	theirs := "never said a word: no server there has seen the message"
	switch ambiguous := slices.ContainsFunc(s.fates, func(f fate) bool { return !f.ambiguous.IsZero() }); {
	case tries == 0:
		theirs = "was not asked"
	case ambiguous:
		theirs = "was sent the whole message; its answer was lost"
	case spoke > 0:
		theirs = fmt.Sprintf("answered %s; its words are below", times(spoke))
	case s.reached():
		theirs = "was reached, but gave no answer about the message"
	case s.rows[len(s.rows)-1].outcome.Stage == mail.Route:
		theirs = "was not reached: no server was found to send it to"
	}
	p.field("Other side", theirs)
}

// reached reports whether a connection to the other side ever stood.
func (s *story) reached() bool {
	return slices.ContainsFunc(s.rows, func(r row) bool { return r.outcome.Stage > mail.Connect })
}

// table lists the attempts. Where they are many, the first and the last are
// shown, and what lies between them is counted.
func (s *story) table(p *page) {
	p.blank()
	if len(s.rows) == 0 {
		p.line("No attempt was made.")
		return
	}
	p.line("Every attempt")
	head, tail := len(s.rows), 0
	if len(s.rows) > s.o.MaxTable {
		head = max(s.o.MaxTable*2/5, 1)
		tail = head
	}
	t := tableau{s: s, p: p}
	for _, r := range s.rows[:head] {
		t.row(r)
	}
	if tail > 0 {
		t.fold(s.rows[head : len(s.rows)-tail])
		for _, r := range s.rows[len(s.rows)-tail:] {
			t.row(r)
		}
	}
}

// tableau writes rows; a host is named once for the rows that follow.
type tableau struct {
	s     *story
	p     *page
	place string
}

func (t *tableau) row(r row) {
	t.at(r)
	t.p.hang("    "+t.s.stamp(r.outcome.At)+"  ", t.s.line(r))
}

func (t *tableau) at(r row) {
	place := t.s.place(r.outcome)
	if place == "" {
		place = "(no server)"
	}
	if place != t.place {
		t.place = place
		t.p.line("  " + place)
	}
}

// maxRuns bounds the lines that a folded stretch takes.
const maxRuns = 6

// fold counts rows: run by run of equal ones, or where these are too many, kind
// by kind.
func (t *tableau) fold(rows []row) {
	type run struct {
		first, last row
		n           int
		key         string // what its rows are alike in
	}
	key := func(r row) string { return t.s.place(r.outcome) + "\x00" + t.s.line(r) }
	var runs []run
	for _, r := range rows {
		k := key(r)
		if n := len(runs); n > 0 && runs[n-1].key == k {
			runs[n-1].last = r
			runs[n-1].n++
			continue
		}
		runs = append(runs, run{r, r, 1, k})
	}
	if len(runs) > maxRuns {
		var kinds []run
		index := map[string]int{}
		for _, r := range runs {
			if i, ok := index[r.key]; ok {
				kinds[i].last = r.last
				kinds[i].n += r.n
				continue
			}
			index[r.key] = len(kinds)
			kinds = append(kinds, r)
		}
		runs = kinds
	}
	for i, r := range runs {
		if i == maxRuns {
			left := 0
			for _, more := range runs[i:] {
				left += more.n
			}
			t.p.line(fmt.Sprintf("    ... and %d more, with %d other outcomes", left, len(runs)-i))
			return
		}
		t.at(r.last)
		if r.n == 1 {
			t.row(r.last)
			continue
		}
		t.p.line(fmt.Sprintf("    ... %d more alike from %s", r.n, t.s.stamp(r.first.outcome.At)))
		t.p.hang("        to "+t.s.stamp(r.last.outcome.At)+": ", t.s.line(r.last))
	}
}

// line says what one attempt brought.
func (s *story) line(r row) string {
	o := r.outcome
	words := s.saidIn(o)
	if o.Stage == mail.Connect { // the host stands above already
		if rest, ok := strings.CutPrefix(words, "cannot connect to "); ok {
			if _, why, ok := strings.Cut(rest, ": "); ok {
				words = why
			}
		}
	}
	l := stageWord(o.Stage) + ": " + words
	if o.Trouble == custody.Ambiguous {
		l += " (perhaps delivered)"
	}
	if r.shared {
		l += " (tried for several messages at once)"
	}
	if len(r.rcpts) < len(s.n.Rcpts) {
		who := mail.Clean(s.n.Delivery.Rcpts[r.rcpts[0]].Address.String(), mail.MaxPath)
		if len(r.rcpts) > 1 {
			who += fmt.Sprintf(" and %d more", len(r.rcpts)-1)
		}
		l = who + ": " + l
	}
	return l
}
