package notice

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/postrider/postrider/cause"
	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/mail"
)

// story is the facts of a letter, from which both its parts are told.
type story struct {
	o       Options
	n       News
	to      mail.Address
	hide    bool  // internal hosts are left out
	rows    []row // attempts that concern those who are told of, oldest first
	fates   []fate
	groups  []group
	order   custody.Ordered       // the last order to give up; zero: none was given
	ends    map[int]custody.Entry // the step that told of a recipient's end
	warned  time.Time             // when a delay was last told before this letter
	nobody  bool                  // the return path is null: the letter goes to a postmaster
	byAlone bool                  // this letter of delay is there because of DELIVERBY
}

// row is what one attempt brought for some of the recipients.
type row struct {
	attempt int // counts attempts from 1
	outcome custody.Outcome
	rcpts   []int
	shared  bool
	way     string
	rule    string
}

// end is what became of a recipient.
type end uint8

const (
	waiting end = iota
	handed
	arrived
	refused
	expired
	ended // by an operator
)

// fate is what became of one recipient and why.
type fate struct {
	rcpt      int
	end       end
	last      custody.Outcome // the last that tells of the trouble itself; zero: never tried
	at        time.Time       // of the last attempt; zero: never tried
	over      time.Time       // when it ended; while it waits: now
	order     custody.Ordered // that ended it; only with ended
	tries     int
	spoke     int       // attempts in which a host answered something
	ambiguous time.Time // when it was last sent whole and the answer lost; zero: never
	cause     cause.Cause
}

// group is recipients of the same fate: one stretch of words for all.
type group struct {
	fate
	rcpts []int
}

func tell(o Options, n News) *story {
	s := &story{o: o, n: n, to: n.To}
	if s.to.IsNull() {
		s.to = n.Message.Envelope.From
	}
	s.nobody = n.Message.Envelope.From.IsNull()
	s.hide = o.HideHost != nil && (o.Inside == nil || !o.Inside(s.to))
	s.history()
	for _, i := range n.Rcpts {
		if i >= 0 && i < len(n.Delivery.Rcpts) {
			s.fates = append(s.fates, s.fateOf(i))
		}
	}
	for _, f := range s.fates {
		i := slices.IndexFunc(s.groups, func(g group) bool { return alike(g.fate, f) })
		if i < 0 {
			s.groups = append(s.groups, group{fate: f})
			i = len(s.groups) - 1
		}
		s.groups[i].rcpts = append(s.groups[i].rcpts, f.rcpt)
	}
	// The worst news first.
	slices.SortStableFunc(s.groups, func(a, b group) int { return int(b.end) - int(a.end) })
	return s
}

// alike reports fates that one stretch of words can tell.
func alike(a, b fate) bool {
	return a.end == b.end && a.cause.Kind == b.cause.Kind && a.last.Host == b.last.Host &&
		a.last.Reply == b.last.Reply && a.tries == b.tries && a.ambiguous.Equal(b.ambiguous) &&
		a.order.By == b.order.By && a.order.Why == b.order.Why
}

// history reads the entries as custody wrote them: an outcome without indices is
// that of all who were pending when its attempt began.
func (s *story) history() {
	done := make([]bool, len(s.n.Delivery.Rcpts))
	s.rows = make([]row, 0, len(s.n.Entries))
	s.ends = map[int]custody.Entry{}
	attempts := 0
	for k, e := range s.n.Entries {
		switch e := e.Event.(type) {
		case custody.Tried:
			attempts++
			s.attempt(attempts, e, done)
		case custody.Ordered:
			if e.Order == custody.OrderGiveUp {
				s.order = e
			}
		}
		for _, d := range e.Duties {
			switch t, ok := d.(custody.Tell); {
			case !ok:
			case t.Kind != custody.Delayed:
				for _, i := range t.Rcpts {
					s.ends[i] = e
				}
			case k < len(s.n.Entries)-1:
				s.warned = e.At
			}
		}
	}
	if len(s.rows) == 0 { // nothing is left of the history but its last word
		for _, i := range s.n.Rcpts {
			if i >= 0 && i < len(s.n.Delivery.Rcpts) && !s.n.Delivery.Rcpts[i].Last.IsZero() {
				s.rows = append(s.rows, row{attempt: s.n.Delivery.Tries, outcome: s.n.Delivery.Rcpts[i].Last, rcpts: []int{i}})
			}
		}
	}
	d := s.n.Delivery
	s.byAlone = s.n.Kind == custody.Delayed && !d.By.IsZero() && !d.ByReturn && d.ByTold && s.warned.Before(d.By)
}

func (s *story) attempt(n int, e custody.Tried, done []bool) {
	heard := make([]bool, len(done))
	a := e.Attempt
	for _, o := range a.Outcomes {
		if o.At.IsZero() {
			o.At = e.At
		}
		rcpts := o.Rcpts
		if rcpts == nil {
			for i := range done {
				rcpts = append(rcpts, i)
			}
		}
		r := row{attempt: n, outcome: o, shared: a.Shared, way: a.Way, rule: a.Rule}
		for _, i := range rcpts {
			if i < 0 || i >= len(done) || done[i] || heard[i] {
				continue
			}
			heard[i] = true
			if slices.Contains(s.n.Rcpts, i) {
				r.rcpts = append(r.rcpts, i)
			}
			done[i] = o.Taken != custody.Nothing || o.Refuses() && !a.Shared
		}
		if len(r.rcpts) > 0 {
			s.rows = append(s.rows, r)
		}
	}
}

func (s *story) fateOf(i int) fate {
	rc := s.n.Delivery.Rcpts[i]
	f := fate{rcpt: i, last: rc.Last, over: s.n.Now}
	order := s.order
	if e, told := s.ends[i]; told {
		f.over = e.At
		order, _ = e.Event.(custody.Ordered)
	}
	for _, r := range s.rows {
		if !slices.Contains(r.rcpts, i) {
			continue
		}
		f.tries++
		f.at = r.outcome.At
		if r.outcome.Theirs {
			f.spoke++
		}
		if r.outcome.Trouble == custody.Ambiguous {
			f.ambiguous = r.outcome.At
		}
		// A try that we broke off ourselves tells nothing of the trouble.
		if r.outcome.Trouble != custody.Ours || f.last.IsZero() || f.last.Trouble == custody.Ours {
			f.last = r.outcome
		}
	}
	f.last.Rcpts = nil
	switch rc.State {
	case custody.HandedOver:
		f.end = handed
		if rc.Last.Taken == custody.Mailbox {
			f.end = arrived
		}
	case custody.Refused:
		f.end = refused
	case custody.Expired:
		f.end = expired
		if order.Order == custody.OrderGiveUp {
			f.end, f.order = ended, order
		}
	}
	switch {
	case f.last.IsZero():
		f.cause = cause.Explain(cause.Unknown, cause.None)
	default:
		f.cause = cause.Of(cause.Sign{Stage: f.last.Stage, Reply: f.last.Reply, Theirs: f.last.Theirs, Trouble: f.last.Trouble.String()})
	}
	return f
}

// late reports that DELIVERBY, not the schedule, ended it.
func (s *story) late(f fate) bool {
	d := s.n.Delivery
	return f.end == expired && d.ByReturn && !d.By.After(custody.End(d, s.n.Schedule))
}

// detour reports that the next hop was not one of the domain's own mail servers
// but a smarthost, a filter or a store of ours.
func (s *story) detour() bool {
	if len(s.rows) == 0 {
		return false
	}
	way := s.rows[len(s.rows)-1].way
	return way != "" && !strings.HasPrefix(way, "no way") && way != "mx "+s.n.Delivery.Domain && !slices.ContainsFunc(s.n.Delivery.Rcpts, func(r custody.Recipient) bool {
		domain, err := mail.CanonicalDomain(r.Address.Domain)
		return err == nil && way == "mx "+domain
	})
}

// held is how long the message was ours.
func (s *story) held() time.Duration { return s.n.Now.Sub(s.n.Delivery.Accepted) }

// since is when custody began.
func (s *story) since() time.Time { return s.n.Delivery.Accepted }

// stamp writes a moment in a table: RFC 5322 without the day of the week.
func (s *story) stamp(t time.Time) string {
	return t.In(s.n.Now.Location()).Format("02 Jan 2006 15:04:05 -0700")
}

// date writes a moment in a sentence.
func (s *story) date(t time.Time) string { return t.In(s.n.Now.Location()).Format(mail.DateTime) }

const internal = "an internal server"

// hidden reports a host that must not be named in this letter.
func (s *story) hidden(host string) bool { return s.hide && host != "" && s.o.HideHost(host) }

// peer names the host of an outcome for people: "mx.example.com", or its address.
func (s *story) peer(o custody.Outcome) string {
	switch {
	case s.hidden(o.Host) || s.hidden(o.IP):
		return internal
	case o.Host != "":
		return mail.Clean(o.Host, mail.MaxDomain)
	case o.IP != "":
		return "[" + mail.Clean(o.IP, 60) + "]"
	}
	return ""
}

// place names the host with its address: "mx.example.com [192.0.2.1]".
func (s *story) place(o custody.Outcome) string {
	p := s.peer(o)
	if p == internal || o.IP == "" || o.Host == "" {
		return p
	}
	if ip, err := netip.ParseAddr(o.Host); err == nil && ip.String() == o.IP {
		return p
	}
	return fmt.Sprintf("%s [%s]", p, mail.Clean(o.IP, 60))
}

// saidIn returns the words of an outcome on one line: a reply with its code, words
// of ours without a status that people would take for somebody's reply.
func (s *story) saidIn(o custody.Outcome) string {
	if o.Reply.Code == 0 {
		o.Reply.Status = mail.Status{}
	}
	return s.words(o.Reply.Line())
}

// words cleans what was said and takes the names of internal hosts out of it.
func (s *story) words(said string) string {
	var lines []string
	for l := range strings.SplitSeq(said, "\n") {
		lines = append(lines, mail.Clean(l, mail.MaxReplyLine+20))
	}
	said = strings.Join(lines, "\n")
	if !s.hide {
		return said
	}
	isHost := func(r rune) bool {
		return r == '.' || r == '-' || r == ':' || r == '_' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
	}
	var b strings.Builder
	for said != "" {
		n := strings.IndexFunc(said, func(r rune) bool { return !isHost(r) })
		if n < 0 {
			n = len(said)
		}
		word := strings.TrimRight(said[:n], ".:")
		if _, err := netip.ParseAddr(word); err == nil && s.hidden(word) { // IPv6 has colons too
			b.WriteString("(internal)" + said[len(word):n])
		} else { // "smtp:filter.internal:10025"
			for i, part := range strings.Split(said[:n], ":") {
				if i > 0 {
					b.WriteByte(':')
				}
				if host := strings.TrimRight(part, "."); s.hidden(host) {
					part = "(internal)" + part[len(host):]
				}
				b.WriteString(part)
			}
		}
		if n < len(said) {
			r := strings.IndexFunc(said[n:], isHost)
			if r < 0 {
				r = len(said) - n
			}
			b.WriteString(said[n : n+r])
			n += r
		}
		said = said[n:]
	}
	return b.String()
}
