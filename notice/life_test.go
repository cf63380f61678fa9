package notice

import (
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/mail"
)

// life runs a delivery by the law and keeps what a letter needs of it.
type life struct {
	message  custody.Message
	d        custody.Delivery
	schedule custody.Schedule
	entries  []custody.Entry
	now      time.Time
	options  Options
	letters  []Letter
	blocked  string
	way      string
	whole    bool
}

var born = time.Date(2026, 11, 24, 4, 3, 11, 0, time.UTC)

func newLife(to ...string) *life {
	m := custody.Message{
		ID: custody.NewID(born, 0, 7), Accepted: born, Size: 300, MessageID: "<offer.17@author.test>", Subject: "Our offer for the bridge",
		Envelope: mail.Envelope{From: mail.Address{Local: "ann", Domain: "author.test"}},
		Came:     custody.Came{Client: "198.51.100.5", Helo: "pc.author.test", Protocol: "ESMTPSA", User: "ann"},
	}
	l := &life{
		message: m, now: born, whole: true,
		options: Options{Hostname: "mx1.example.com", Contact: mail.Address{Local: "postmaster", Domain: "example.com"}},
		schedule: custody.Schedule{
			Name: "default", Rule: "postrider.toml:31 schedule.default",
			Retry: []custody.Pace{{Gap: 5 * time.Minute}, {Gap: 10 * time.Minute}, {Gap: time.Hour, Times: 24}, {Gap: 4 * time.Hour}},
			Warn:  []time.Duration{4 * time.Hour, 48 * time.Hour}, Expire: 5 * 24 * time.Hour,
		},
	}
	l.start(to...)
	return l
}

// start opens the delivery anew, after the message was changed.
func (l *life) start(to ...string) {
	var rcpts []mail.Recipient
	for _, a := range to {
		addr, err := mail.ParseAddress(a)
		if err != nil {
			panic(err)
		}
		rcpts = append(rcpts, mail.Recipient{Address: addr})
	}
	if to == nil {
		for _, r := range l.d.Rcpts {
			rcpts = append(rcpts, r.Recipient)
		}
	}
	l.d = custody.NewDelivery(l.message, 1, rcpts[0].Address.Domain, rcpts)
}

// step takes a step of the law and writes the letters it asks for.
func (l *life) step(e custody.Event) []custody.Duty {
	var duties []custody.Duty
	l.d, duties = custody.Step(l.d, l.schedule, e)
	if len(duties) == 1 {
		if _, ok := duties[0].(custody.Try); ok {
			return duties
		}
	}
	l.entries = append(l.entries, custody.Entry{At: l.now, Delivery: l.d.ID, Event: e, Duties: duties, Next: l.d.Next})
	for _, d := range duties {
		if t, ok := d.(custody.Tell); ok {
			l.letters = append(l.letters, Compose(l.options, l.news(t)))
		}
	}
	return duties
}

func (l *life) news(t custody.Tell) News {
	to := l.d.From
	if t.Null {
		to = mail.Address{Local: "postmaster", Domain: "example.com"}
	}
	return News{
		To: to, Kind: t.Kind, Message: l.message, Delivery: l.d, Rcpts: t.Rcpts, Entries: l.entries, Schedule: l.schedule, Now: l.now,
		Original: []byte("Received: from pc.author.test\r\n\tby mx1.example.com\r\nFrom: Ann <ann@author.test>\r\nTo: Bob\r\nSubject: Our offer for the bridge\r\nMessage-ID: <offer.17@author.test>\r\n\r\nDear Bob,\r\nhere it is.\r\n"),
		Whole:    l.whole, ID: "letter.1@mx1.example.com", Blocked: l.blocked,
	}
}

// tries makes an attempt with these outcomes at the moment the law asks for it.
func (l *life) tries(os ...custody.Outcome) {
	l.now = l.d.Next
	l.step(custody.Due{At: l.now})
	began := l.now
	l.now = l.now.Add(800 * time.Millisecond)
	for i := range os {
		os[i].At = l.now
	}
	way := l.way
	if way == "" {
		way = "mx " + l.d.Domain
	}
	l.step(custody.Tried{At: l.now, Attempt: custody.Attempt{Began: began, Way: way, Rule: "postrider.toml:12 route", Outcomes: os}})
}

// runs tries again and again until a letter of that number is written; what falls
// due in between is told.
func (l *life) runs(o custody.Outcome, letters int) {
	for len(l.letters) < letters && len(l.d.Pending()) > 0 {
		if w := custody.Wake(l.d, l.schedule); w.Before(l.d.Next) {
			l.now = w
			l.step(custody.Due{At: w})
			continue
		}
		l.tries(o)
	}
}

func said(stage mail.Stage, reply string) custody.Outcome {
	r := parse(reply)
	o := custody.Outcome{Host: "mx.there.test", IP: "192.0.2.9", Stage: stage, Reply: r, Theirs: true}
	if r.Temporary() {
		o.Trouble = custody.Deferred
	}
	return o
}

func silent(stage mail.Stage, st mail.Status, words string) custody.Outcome {
	return custody.Outcome{Host: "mx.there.test", IP: "192.0.2.9", Stage: stage, Reply: mail.Reply{Status: st, Text: words}, Trouble: custody.Unreachable}
}

func connectionRefused() custody.Outcome {
	return silent(mail.Connect, mail.Status{4, 4, 1}, "cannot connect to mx.there.test[192.0.2.9]:25: connection refused")
}
