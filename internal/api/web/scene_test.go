package web

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/config"
	"github.com/postrider/postrider/internal/queue"
	"github.com/postrider/postrider/internal/spool"
	"github.com/postrider/postrider/internal/spool/memory"
	"github.com/postrider/postrider/mail"
)

// scene is a desk on an ordinary Tuesday, for pictures: mail of all ages that went
// through the law as the queue sends it, destinations in every state, overrides and
// refusals. Its names are those that RFC 2606 keeps for examples.
type scene struct {
	*world
	conf   *config.Config
	now    time.Time
	sites  []queue.Site
	asked  map[string]string // pages of messages, by what they are to show
	number uint64
}

const sceneConf = `hostname   = "mx1.example.com"
data       = "/var/lib/postrider"
postmaster = "postmaster@example.com"

[[listen]]
kind    = "smtp"
address = ":25"

[[listen]]
kind    = "http"
address = "127.0.0.1:8025"

[relay]
clients = ["127.0.0.0/8", "10.20.0.0/16"]
domains = ["example.com"]

[[route]]
domain = "example.com"
to     = ["lmtp:unix:/run/dovecot/lmtp"]

[[route]]
domain   = "*.archive.example"
to       = ["smtp:10.20.0.9:25"]
schedule = "patient"

[[route]]
domain = "*"
to     = ["mx"]

[schedule.default]
retry  = ["5m", "10m", "20m", "40m", "1h for 1d", "2h"]
warn   = ["4h", "2d"]
expire = "5d"

[schedule.patient]
retry  = ["10m", "30m", "2h"]
warn   = []
expire = "2d"
`

// past is a store in which what left did so when its last attempt was made.
type past struct {
	spool.Store
	left map[custody.DeliveryID]time.Time
}

func (p past) Find(ctx context.Context, q spool.Query) iter.Seq2[spool.Row, error] {
	return func(yield func(spool.Row, error) bool) {
		for row, err := range p.Store.Find(ctx, q) {
			if at, ok := p.left[row.Delivery.ID]; ok {
				row.Left = at
			}
			if !yield(row, err) {
				return
			}
		}
	}
}

func (p past) History(ctx context.Context, id custody.ID) (spool.History, error) {
	h, err := p.Store.History(ctx, id)
	for i := range h.Deliveries {
		if at, ok := p.left[h.Deliveries[i].Delivery.ID]; ok {
			h.Deliveries[i].Left = at
		}
	}
	return h, err
}

func newScene(t *testing.T) *scene {
	store := past{memory.New(0), map[custody.DeliveryID]time.Time{}}
	t.Cleanup(func() { store.Close() })
	conf, err := config.Parse("/etc/postrider/postrider.toml", []byte(sceneConf))
	if err != nil {
		t.Fatal(err)
	}
	s := &scene{world: &world{t: t, store: store}, conf: conf, now: time.Now(), asked: map[string]string{}}
	s.waits()
	s.left()
	s.places()
	s.atTheDoor()
	return s
}

func (s *scene) schedule(custody.Delivery) custody.Schedule { return s.conf.Schedule("default") }

// Order carries out by the schedule of the scene.
func (s *scene) Order(ctx context.Context, id custody.DeliveryID, _ []int, e custody.Ordered) error {
	it, err := s.store.Item(ctx, id)
	if err != nil {
		return err
	}
	s.step(it.Delivery, e, e.At)
	return nil
}

func (s *scene) step(d custody.Delivery, e custody.Event, at time.Time) (custody.Delivery, []custody.Duty) {
	sch := s.schedule(d)
	d, duties := custody.Step(d, sch, e)
	st := spool.Step{Delivery: d, Wake: custody.Wake(d, sch)}
	entry := custody.Entry{At: at, Delivery: d.ID, Event: e, Duties: duties, Next: d.Next}
	for _, duty := range duties {
		switch duty.(type) {
		case custody.Close:
			st.Closed = true
			s.store.(past).left[d.ID] = at
		case custody.Tell:
			s.number++
			entry.Letters = append(entry.Letters, custody.NewID(at, 0, s.number))
		}
	}
	if _, due := e.(custody.Due); !due || len(entry.Letters) > 0 {
		st.Entries = []custody.Entry{entry}
	}
	for _, err := range s.store.Settle(s.t.Context(), []spool.Step{st}) {
		if err != nil {
			s.t.Fatal(err)
		}
	}
	return d, duties
}

// came has a message come in, and everything happen to it that has happened until now.
func (s *scene) came(ago time.Duration, subject, from, to string, meets func(try int) custody.Outcome) custody.Delivery {
	s.number++
	at := s.now.Add(-ago)
	a := s.address(to)
	m := custody.Message{
		ID: custody.NewID(at, 0, s.number), Accepted: at, Subject: subject, MessageID: fmt.Sprintf("%x.%d@example.com", at.Unix(), s.number), Size: 2300 + int64(s.number*7919%90000),
		Came: custody.Came{Client: "10.20.1.17", Helo: "mail.example.com", Protocol: "ESMTPS", Rule: "postrider.toml:14 relay", Listener: ":25"},
	}
	if from != "" {
		m.Envelope.From = s.address(from)
	}
	d := custody.NewDelivery(m, 1, a.Domain, []mail.Recipient{{Address: a}})
	draft, err := s.store.Begin(s.t.Context(), 0)
	if err != nil {
		s.t.Fatal(err)
	}
	fmt.Fprintf(draft, "Received: from mail.example.com ([10.20.1.17]) by mx1.example.com with ESMTPS\r\nFrom: <%s>\r\nTo: <%s>\r\nSubject: %s\r\nMessage-ID: <%s>\r\nDate: %s\r\n\r\n", from, to, subject, m.MessageID, at.Format(mail.DateTime))
	if err := draft.Commit(s.t.Context(), m, []custody.Delivery{d}); err != nil {
		s.t.Fatal(err)
	}
	d, _ = s.step(d, custody.Due{At: at}, at)
	for try := 1; ; try++ {
		began := at
		o := meets(try)
		o.At = began.Add(900 * time.Millisecond)
		if o.Stage == mail.Connect {
			o.At = began.Add(30 * time.Second)
		}
		way := custody.Attempt{Began: began, Took: o.At.Sub(began), Way: "mx " + a.Domain, TLS: "TLS 1.3", Outcomes: []custody.Outcome{o}}
		if o.Stage == mail.Connect {
			way.TLS = ""
		}
		var duties []custody.Duty
		if d, duties = s.step(d, custody.Tried{At: o.At, Attempt: way}, o.At); closed(duties) {
			return d
		}
		for tries := false; !tries; {
			if at = custody.Wake(d, s.schedule(d)); at.IsZero() || at.After(s.now) {
				return d
			}
			d, duties = s.step(d, custody.Due{At: at}, at)
			tries = slices.ContainsFunc(duties, func(d custody.Duty) bool { _, is := d.(custody.Try); return is })
		}
	}
}

func closed(duties []custody.Duty) bool {
	return slices.ContainsFunc(duties, func(d custody.Duty) bool { _, is := d.(custody.Close); return is })
}

func always(o custody.Outcome) func(int) custody.Outcome {
	return func(int) custody.Outcome { return o }
}

// answers is what a host says.
func answers(host, ip string, code int, status mail.Status, text string) custody.Outcome {
	o := says(code, status, text)
	o.Host, o.IP = host, ip
	return o
}

func silence(host, ip, why string) custody.Outcome {
	return custody.Outcome{Host: host, IP: ip, Stage: mail.Connect, Trouble: custody.Unreachable, Reply: mail.Reply{Status: mail.Status{4, 4, 1}, Text: why}}
}

var (
	northwind = silence("mx.northwind.example", "198.51.100.25", "cannot connect to mx.northwind.example[198.51.100.25]:25: no answer within 20s")
	oldCampus = silence("mail.old-campus.example", "203.0.113.77", "cannot connect to mail.old-campus.example[203.0.113.77]:25: connection refused")
	overFull  = answers("mx2.lakeside.example", "192.0.2.61", 452, mail.Status{4, 2, 2}, "The recipient's mailbox is over its quota")
	grey      = answers("mx.hartmann.example", "192.0.2.90", 451, mail.Status{4, 7, 1}, "Greylisted, please try again in 300 seconds")
	busy      = answers("in.mailhub.example", "203.0.113.12", 421, mail.Status{4, 7, 28}, "Too many messages from your address, slow down")
	noUser    = answers("mx.brightwater.example", "192.0.2.33", 550, mail.Status{5, 1, 1}, "<t.lindgren@brightwater.example>: Recipient address rejected: User unknown")
	noWay     = custody.Outcome{Stage: mail.Route, Trouble: custody.Unrouted, Reply: mail.Reply{Status: mail.Status{4, 4, 3}, Text: "the name servers of kestrel.example do not answer (SERVFAIL)"}}
)

func (s *scene) waits() {
	for i, subject := range []string{
		"Quarterly figures and the board's questions", "Re: delivery dates for March", "Purchase order 4471", "Minutes of Monday's call", "Revised price list", "Fwd: insurance certificate",
		"Shipping documents, container 7", "Your visit on the 14th", "Re: Re: contract renewal",
	} {
		d := s.came(31*time.Hour-time.Duration(i*i)*22*time.Minute, subject, []string{"helen.marsh", "j.okafor", "sales"}[i%3]+"@example.com", []string{"finance", "purchasing", "d.webb"}[i%3]+"@northwind.example", always(northwind))
		if i == 0 {
			s.asked["silent"] = d.ID.String()
		}
	}
	late := s.came(118*time.Hour, "Invitation: spring workshop on coastal ecology", "events@example.com", "seminar@old-campus.example", always(oldCampus))
	s.asked["late"] = late.ID.String()
	s.came(113*time.Hour, "Reviewer's comments on chapter 3", "r.adeyemi@example.com", "library@old-campus.example", always(oldCampus))
	for i, subject := range []string{"Photos from the site visit", "=?utf-8?q?Gr=C3=BC=C3=9Fe_aus_Z=C3=BCrich?=", "Scan of the floor plan"} {
		s.came(time.Duration(7+6*i)*time.Hour, subject, "j.okafor@example.com", "m.ferreira@lakeside.example", always(overFull))
	}
	s.came(4*time.Minute, "Your order 48213 has shipped", "shop@example.com", "a.keller@hartmann.example", always(grey))
	s.came(11*time.Minute, "=?utf-8?b?5pel56iL44Gu56K66KqN?=", "r.adeyemi@example.com", "tanaka@hartmann.example", always(grey))
	for i := range 14 {
		s.came(time.Duration(3+i*2)*time.Minute, fmt.Sprintf("Newsletter: what is new in spring (%d)", i+1), "news@example.com", fmt.Sprintf("reader%d@mailhub.example", 100+i), always(busy))
	}
	for i := range 3 {
		s.came(time.Duration(50+i*30)*time.Minute, []string{"Support case 9012", "Re: support case 9012", "Logs as you asked"}[i], "support@example.com", "ops@kestrel.example", always(noWay))
	}
	held := s.came(2*time.Hour, "Draft contract, version 7", "legal@example.com", "notary@hartmann.example", always(grey))
	s.step(held, custody.Ordered{At: s.now.Add(-95 * time.Minute), By: "maria", Why: "legal wants one more look", Order: custody.OrderHold}, s.now.Add(-95*time.Minute))
	for i := range 4 {
		s.came(time.Duration(5+i*2)*time.Hour, []string{"Tender documents", "Re: tender", "Site plan, sheet 2", "Questions before Friday"}[i], "bids@example.com", "bauamt@stadt-muster.example", always(answers("mail.stadt-muster.example", "198.51.100.80", 421, mail.Status{4, 3, 2}, "Service not available, closing transmission channel")))
	}
	back := s.came(3*time.Hour, "Lunch on Thursday?", "helen.marsh@example.com", "t.lindgren@brightwater.example", always(noUser))
	s.asked["back"] = back.ID.String()
	gone := s.came(26*time.Hour, "Proof of the catalogue", "studio@example.com", "print@oakfield.example", func(try int) custody.Outcome {
		if try < 6 {
			return silence("mx.oakfield.example", "192.0.2.118", "cannot connect to mx.oakfield.example[192.0.2.118]:25: no answer within 20s")
		}
		return answers("mx.oakfield.example", "192.0.2.118", 250, mail.Status{2, 0, 0}, "Ok: queued as 4XbT1z0Kf2")
	})
	s.asked["gone"] = gone.ID.String()
}

// left is what came and left without trouble in the last day.
func (s *scene) left() {
	rhythm := []int{2, 1, 1, 1, 2, 4, 9, 21, 38, 44, 41, 36, 24, 33, 42, 40, 35, 27, 18, 12, 9, 7, 5, 3} // by hour of the day
	taken := []custody.Outcome{
		answers("mx.brightwater.example", "192.0.2.33", 250, mail.Status{2, 0, 0}, "Ok: queued"), answers("in.mailhub.example", "203.0.113.12", 250, mail.Status{2, 0, 0}, "accepted"),
		answers("mx.oakfield.example", "192.0.2.118", 250, mail.Status{2, 6, 0}, "Message accepted"),
	}
	for ago := range 24 {
		at := s.now.Add(-time.Duration(ago) * time.Hour)
		for i := range rhythm[at.Hour()] {
			o := taken[i%len(taken)]
			to := strings.TrimPrefix(strings.TrimPrefix(o.Host, "mx."), "in.")
			if i%23 == 11 {
				o = noUser
			}
			s.came(time.Duration(ago)*time.Hour+time.Duration(60*(i+1)/(rhythm[at.Hour()]+1))*time.Minute, "A message", "office@example.com", fmt.Sprintf("p%d@%s", i, to), always(o))
		}
	}
}

// places are the destinations, as a queue would have met them.
func (s *scene) places() {
	ago := func(d time.Duration) time.Time { return s.now.Add(-d) }
	s.sites = []queue.Site{
		{Name: "stadt-muster.example", Way: "mx stadt-muster.example", Health: queue.Deferring, Since: ago(26 * time.Minute), Paused: &queue.Pause{Name: "stadt-muster.example", By: "maria", Why: "their server moves until six", Since: ago(2 * time.Hour)}},
		{Name: "northwind.example", Way: "mx northwind.example", Health: queue.Silent, Since: ago(31 * time.Hour), Knocks: 38, Knock: s.now.Add(17 * time.Minute)},
		{Name: "old-campus.example", Way: "mx old-campus.example", Health: queue.Silent, Since: ago(118 * time.Hour), Knocks: 75, Knock: s.now.Add(49 * time.Minute)},
		{Name: "kestrel.example", Health: queue.NoWay, Since: ago(112 * time.Minute)},
		{Name: "mailhub.example", Way: "mx mailhub.example", Health: queue.Deferring, Since: ago(38 * time.Second), Window: 2, Connections: 1},
		{Name: "lakeside.example", Way: "mx lakeside.example", Health: queue.Deferring, Since: ago(9 * time.Minute), Window: 4},
		{Name: "hartmann.example", Way: "mx hartmann.example", Health: queue.Living, Since: ago(3 * time.Minute), Window: 6},
	}
	for i := range s.sites {
		p := &s.sites[i]
		p.Domains, p.Behind, p.Most, p.Rule = []string{p.Name}, 1, 20, "postrider.toml:25 route"
		for row, err := range s.store.Find(s.t.Context(), spool.Query{Domain: p.Name, Limit: 100}) {
			if err != nil {
				s.t.Fatal(err)
			}
			d := row.Delivery
			p.Waiting++
			if p.Oldest.IsZero() || d.Accepted.Before(p.Oldest) {
				p.Oldest = d.Accepted
			}
			if o := d.Rcpts[0].Last; o.At.After(p.Last.At) {
				p.Last = o
			}
			if _, _, end := custody.Fate(d, s.schedule(d)); !end.At.IsZero() && p.Paused == nil && (p.End.At.IsZero() || end.At.Before(p.End.At)) {
				p.End = queue.End{At: end.At, Delivery: d.ID}
			}
		}
	}
}

func (s *scene) Sites(_ context.Context, q queue.SitesQuery) (queue.Sites, error) {
	out := queue.Sites{Counted: s.now}
	for _, p := range s.sites {
		out.Waiting += p.Waiting
		if strings.Contains(p.Name, q.Name) {
			out.List = append(out.List, p)
		}
	}
	if q.Most {
		slices.SortStableFunc(out.List, func(a, b queue.Site) int { return cmp.Compare(b.Waiting, a.Waiting) })
	}
	out.All = len(out.List)
	return out, nil
}

func (s *scene) Pause(_ context.Context, p queue.Pause, _ bool) ([]queue.Site, error) {
	got, err := s.Sites(s.t.Context(), queue.SitesQuery{Name: p.Name})
	return got.List, err
}

func (s *scene) Resume(_ context.Context, name, _ string, _ bool) ([]queue.Site, error) {
	return nil, queue.ErrNotPaused
}

func (s *scene) Paused(d custody.Delivery) (queue.Pause, bool) {
	for _, p := range s.sites {
		if p.Paused != nil && p.Name == d.Domain {
			return *p.Paused, true
		}
	}
	return queue.Pause{}, false
}
