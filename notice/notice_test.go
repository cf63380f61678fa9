package notice

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/dsn"
	"github.com/postrider/postrider/mail"
)

var update = flag.Bool("update", false, "write the letters of testdata anew")

func parse(lines string) mail.Reply {
	r, err := mail.ParseReply(strings.Split(lines, "\n"))
	if err != nil {
		panic(lines)
	}
	return r
}

// stories are the letters of testdata: each runs a delivery by the law.
var stories = map[string]func() *life{
	"refused-until-expired": func() *life {
		l := newLife("bob@there.test")
		l.runs(connectionRefused(), 3)
		return l
	},
	"delay": func() *life {
		l := newLife("bob@there.test")
		l.runs(connectionRefused(), 1)
		return l
	},
	"refused-at-once": func() *life {
		l := newLife("bbo@there.test")
		l.tries(said(mail.Rcpt, "550-5.1.1 <bbo@there.test>: Recipient address rejected:\n550 5.1.1 User unknown in local recipient table"))
		return l
	},
	"deferred-then-refused": func() *life {
		l := newLife("bob@there.test")
		l.tries(said(mail.Rcpt, "451 4.7.1 Greylisted, try again in 2 seconds"))
		l.tries(silent(mail.Mail, mail.Status{4, 4, 2}, "host closed the connection before it replied to MAIL"))
		l.tries(said(mail.Dot, "550 5.7.1 still no"))
		return l
	},
	"null-mx": func() *life {
		l := newLife("bob@there.test")
		l.tries(custody.Outcome{Stage: mail.Route, Reply: mail.Reply{Status: mail.Status{5, 1, 10}, Text: "there.test states that it takes no mail (null MX)"}, Permanent: true})
		return l
	},
	"no-such-domain": func() *life {
		l := newLife("bob@theer.test")
		l.tries(custody.Outcome{Stage: mail.Route, Reply: mail.Reply{Status: mail.Status{5, 1, 2}, Text: "theer.test does not exist"}, Permanent: true})
		return l
	},
	"dns-trouble": func() *life {
		l := newLife("bob@there.test")
		l.schedule.Warn = nil
		l.runs(custody.Outcome{Stage: mail.Route, Reply: mail.Reply{Status: mail.Status{4, 4, 3}, Text: "MX there.test: SERVFAIL from 127.0.0.1:53"}, Trouble: custody.Unrouted}, 1)
		return l
	},
	"greylisted-delay": func() *life {
		l := newLife("bob@there.test")
		o := said(mail.Rcpt, "450 4.2.0 <bob@there.test>: Recipient address rejected: Greylisted, see http://postgrey.schweikert.ch/help/there.test.html")
		o.Trouble = custody.Greylisted
		l.runs(o, 1)
		return l
	},
	"full-until-expired": func() *life {
		l := newLife("bob@there.test")
		l.schedule.Warn = nil
		l.runs(said(mail.Rcpt, "452 4.2.2 The email account that you tried to reach is over quota"), 1)
		return l
	},
	"ambiguous": func() *life {
		l := newLife("bob@there.test")
		l.schedule.Warn, l.schedule.Expire = nil, 30*time.Minute
		o := silent(mail.Dot, mail.Status{4, 4, 2}, "host closed the connection before it replied to the end of the message")
		o.Trouble = custody.Ambiguous
		l.tries(o)
		l.runs(connectionRefused(), 1)
		return l
	},
	"relayed": func() *life {
		l := newLife("bob@there.test")
		l.d.Rcpts[0].Notify = mail.NotifySuccess
		o := said(mail.Dot, "250 2.0.0 Ok: queued as 4F2C81A03B")
		o.Taken = custody.Onward
		l.tries(o)
		return l
	},
	"delivered": func() *life {
		l := newLife("bob@there.test")
		l.d.Rcpts[0].Notify = mail.NotifySuccess
		o := said(mail.Dot, "250 2.1.5 <bob@there.test> saved")
		o.Taken = custody.Mailbox
		l.tries(o)
		return l
	},
	"cleared": func() *life {
		l := newLife("bob@there.test")
		l.schedule.Cleared = true
		l.runs(connectionRefused(), 1)
		o := said(mail.Dot, "250 2.0.0 Ok: queued as 4F2C81A03B")
		o.Taken = custody.Onward
		l.tries(o)
		return l
	},
	"given-up-by-operator": func() *life {
		l := newLife("bob@there.test")
		l.tries(connectionRefused())
		l.tries(connectionRefused())
		l.now = l.now.Add(time.Minute)
		l.step(custody.Ordered{At: l.now, By: "root", Why: "there.test has closed for good", Order: custody.OrderGiveUp})
		return l
	},
	"held": func() *life {
		l := newLife("bob@there.test")
		l.tries(connectionRefused())
		l.now = l.now.Add(time.Minute)
		l.step(custody.Ordered{At: l.now, By: "root", Why: "asking there.test first", Order: custody.OrderHold})
		l.runs(connectionRefused(), 1)
		return l
	},
	"blocked": func() *life {
		l := newLife("bob@there.test")
		l.tries(connectionRefused())
		l.now, l.blocked = born.Add(4*time.Hour), "root has paused there.test"
		l.step(custody.Due{At: l.now, Blocked: l.blocked})
		return l
	},
	"deliver-by": func() *life {
		l := newLife("bob@there.test")
		l.message.Envelope.By = mail.DeliverBy{Within: time.Hour, Return: true}
		l.start()
		l.runs(connectionRefused(), 1)
		return l
	},
	"deliver-by-notify": func() *life {
		l := newLife("bob@there.test")
		l.message.Envelope.By = mail.DeliverBy{Within: time.Hour, Notify: true}
		l.start()
		l.runs(connectionRefused(), 1)
		return l
	},
	"utf8-recipient": func() *life {
		l := newLife("jürgen@bücher.test")
		l.message.Envelope.UTF8, l.message.Subject = true, "=?utf-8?q?Gr=C3=BC=C3=9Fe?="
		l.tries(custody.Outcome{Host: "mx.there.test", IP: "192.0.2.9", Stage: mail.Rcpt, Permanent: true,
			Reply: mail.Reply{Status: mail.Status{5, 6, 7}, Text: "address is not ASCII and the host does not offer SMTPUTF8"}})
		return l
	},
	"mixed": func() *life {
		l := newLife("bob@there.test", "eve@there.test", "full@there.test", "dan@there.test")
		l.d.Rcpts[3].Notify = mail.NotifySuccess | mail.NotifyFailure
		unknown, full, taken := said(mail.Rcpt, "550 5.1.1 no such user"), said(mail.Rcpt, "552 5.2.2 mailbox full"), said(mail.Dot, "250 2.0.0 Ok: queued as 77")
		unknown.Rcpts, full.Rcpts, taken.Rcpts = []int{0, 1}, []int{2}, []int{3}
		taken.Taken = custody.Onward
		l.tries(unknown, full, taken)
		return l
	},
	"internal-hosts-hidden": func() *life {
		l := newLife("bob@there.test")
		l.options.HideHost = func(h string) bool { return strings.HasSuffix(h, ".internal") || strings.HasPrefix(h, "10.") }
		o := said(mail.Data, "554 5.7.1 filter7.internal (10.0.0.7): message looks like spam, ask filter7.internal:8080 about it.")
		o.Host, o.IP = "filter7.internal", "10.0.0.7"
		l.tries(o)
		return l
	},
	"to-the-postmaster": func() *life {
		l := newLife("bob@there.test")
		l.message.Envelope.From = mail.Address{}
		l.start()
		l.options.Contact = mail.Address{}
		l.d.From = mail.Address{}
		l.tries(said(mail.Rcpt, "550 5.1.1 no such user"))
		return l
	},
	"by-smarthost": func() *life {
		l := newLife("bob@there.test")
		l.way, l.schedule.Warn, l.schedule.Expire = "relay filter.example.net:25", nil, time.Hour
		o := connectionRefused()
		o.Host, o.IP, o.Reply.Text = "filter.example.net", "203.0.113.4", "cannot connect to filter.example.net[203.0.113.4]:25: connection refused"
		l.runs(o, 1)
		return l
	},
	"unknown-words": func() *life {
		l := newLife("bob@there.test")
		l.tries(said(mail.Rcpt, "550 nein, danke"))
		return l
	},
	"changing-troubles": func() *life {
		l := newLife("bob@there.test")
		l.schedule.Warn = nil
		for i := range 24 {
			l.tries(connectionRefused())
			if i%2 == 0 {
				l.tries(said(mail.Mail, "421 4.3.2 shutting down"))
			}
		}
		l.tries(said(mail.Rcpt, "550 5.2.1 account disabled"))
		return l
	},
}

// TestLetters compares each story's last letter with testdata. Read them as the
// one who gets them.
func TestLetters(t *testing.T) {
	for name, story := range stories {
		t.Run(name, func(t *testing.T) {
			l := story()
			if len(l.letters) == 0 {
				t.Fatal("no letter was asked for")
			}
			got := strings.ReplaceAll(string(l.letters[len(l.letters)-1].Bytes), "\r\n", "\n")
			file := filepath.Join("testdata", name+".txt")
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), got); d != "" {
				t.Errorf("(-want +got); write anew with -update, then read them\n%s", d)
			}
			shape(t, l.letters[len(l.letters)-1])
		})
	}
}

// shape holds for every letter.
func shape(t *testing.T, l Letter) {
	t.Helper()
	r, _, err := dsn.Read(l.Bytes)
	if err != nil || len(r.Recipients) == 0 {
		t.Fatalf("not a report: %v", err)
	}
	for line := range strings.Lines(r.Text) {
		if n := len([]rune(strings.TrimRight(line, "\n"))); n > 76 && len(strings.Fields(line)) > 2 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	if !strings.Contains(r.Text, "mx1.example.com, the mail server") {
		t.Error("it does not say whose letter it is")
	}
	for _, rc := range r.Recipients {
		smtp, remote := rc.Diagnostic.Type == "smtp", !rc.RemoteMTA.IsZero()
		if smtp != remote {
			t.Errorf("%s with Remote-MTA %v: who spoke?", rc.Diagnostic, rc.RemoteMTA)
		}
		if rc.Action == dsn.Delayed && rc.Status[0] != 4 || rc.Action == dsn.Relayed && rc.Status[0] != 2 || rc.Status.IsZero() {
			t.Errorf("%s with %s", rc.Action, rc.Status)
		}
	}
}

// TestStatusIsTheTrueOne: the last real cause, whoever gave it up.
func TestStatusIsTheTrueOne(t *testing.T) {
	for name, want := range map[string]string{
		"refused-until-expired": "4.4.1", "refused-at-once": "5.1.1", "deferred-then-refused": "5.7.1", "null-mx": "5.1.10",
		"dns-trouble": "4.4.3", "full-until-expired": "4.2.2", "ambiguous": "4.4.1", "relayed": "2.0.0", "delivered": "2.1.5",
		"given-up-by-operator": "4.4.1", "deliver-by": "5.4.7", "deliver-by-notify": "4.4.7", "unknown-words": "5.0.0", "held": "4.4.1",
	} {
		l := stories[name]()
		r, _, err := dsn.Read(l.letters[len(l.letters)-1].Bytes)
		if err != nil || r.Recipients[0].Status.String() != want {
			t.Errorf("%s: %v %s, want %s", name, err, r.Recipients[0].Status, want)
		}
	}
}

// TestPromisesAreThoseOfTheLaw: the letter's times are custody's.
func TestPromisesAreThoseOfTheLaw(t *testing.T) {
	l := stories["delay"]()
	r, _, err := dsn.Read(l.letters[0].Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if end := custody.End(l.d, l.schedule); !r.Recipients[0].WillRetryUntil.Equal(end) {
		t.Errorf("Will-Retry-Until %s, the end is %s", r.Recipients[0].WillRetryUntil, end)
	}
	next, warn, end := custody.Fate(l.d, l.schedule)
	for _, m := range []custody.Moment{next, warn, end} {
		if !strings.Contains(r.Text, m.At.Format(mail.DateTime)) {
			t.Errorf("the letter does not tell of the %s at %s", m.What, m.At)
		}
	}
}

// TestWhatIsReturned: RFC 3461 4.3, and our bound.
func TestWhatIsReturned(t *testing.T) {
	for _, c := range []struct {
		name  string
		set   func(*life)
		whole bool
	}{
		{"small", func(*life) {}, true},
		{"headers only asked for", func(l *life) { l.message.Envelope.Return = mail.ReturnHeaders }, false},
		{"too large", func(l *life) { l.options.FullUpTo = 100 }, false},
		{"binary", func(l *life) { l.message.Envelope.Body = mail.BinaryMIME }, false},
		{"not at hand", func(l *life) { l.whole = false }, false},
	} {
		l := newLife("bob@there.test")
		c.set(l)
		l.tries(said(mail.Rcpt, "550 5.1.1 no"))
		_, o, err := dsn.Read(l.letters[0].Bytes)
		if err != nil || o.Whole != c.whole || o.Header == nil || bytes.Contains(l.letters[0].Bytes, []byte("here it is")) != c.whole {
			t.Errorf("%s: %v whole %v", c.name, err, o.Whole)
		}
	}
}

// TestALetterNeedsNoSMTPUTF8ForWhatItReturns: it goes back by any host, as what it was.
func TestALetterNeedsNoSMTPUTF8ForWhatItReturns(t *testing.T) {
	for _, utf8 := range []bool{false, true} {
		l := newLife("bob@there.test")
		l.message.Envelope.UTF8 = utf8
		l.tries(said(mail.Rcpt, "550 5.1.1 no"))
		n := l.news(custody.Tell{Kind: custody.Failed, Rcpts: []int{0}})
		n.Original = []byte("Subject: Größe\r\n\r\nx\r\n")
		letter := Compose(l.options, n)
		if _, o, err := dsn.Read(letter.Bytes); err != nil || letter.UTF8 || o.UTF8 != utf8 || o.Header.Get("Subject") != "Größe" {
			t.Errorf("SMTPUTF8 %v: needs it: %v, %v %+v", utf8, letter.UTF8, err, o)
		}
	}
}

// TestInternalHostsStayInside, in words, fields and tables; those inside see them.
func TestInternalHostsStayInside(t *testing.T) {
	l := stories["internal-hosts-hidden"]()
	out := string(l.letters[0].Bytes)
	if strings.Contains(out, "filter7") || strings.Contains(out, "10.0.0.7") {
		t.Error(out)
	}
	l.options.Inside = func(to mail.Address) bool { return to.Domain == "author.test" }
	in := Compose(l.options, l.news(custody.Tell{Kind: custody.Failed, Rcpts: []int{0}}))
	if !bytes.Contains(in.Bytes, []byte("filter7.internal")) {
		t.Error("hidden from those inside")
	}
}

// TestAnInternalHostIsHiddenInEveryWriting, and what is around it stays.
func TestAnInternalHostIsHiddenInEveryWriting(t *testing.T) {
	s := &story{hide: true, o: Options{HideHost: func(h string) bool {
		return h == "10.0.0.5" || h == "2001:db8::5" || strings.HasSuffix(h, ".internal")
	}}}
	for said, want := range map[string]string{
		"ask a.internal.": "ask (internal).",
		"10.0.0.5:25":     "(internal):25",
		"ordered smtp:10.0.0.5:10025, settings of by MX":   "ordered smtp:(internal):10025, settings of by MX",
		"lmtp:a.internal then smtp:[2001:db8::5]:25 there": "lmtp:(internal) then smtp:[(internal)]:25 there",
		"2001:db8::5 and 2001:db8::6: no route":            "(internal) and 2001:db8::6: no route",
		"smtp:mx.example.com:25: 10:05 is not an address":  "smtp:mx.example.com:25: 10:05 is not an address",
	} {
		if got := s.words(said); got != want {
			t.Errorf("%q: %q, want %q", said, got, want)
		}
	}
}

// TestManyAttemptsAreFolded, and few are all shown.
func TestManyAttemptsAreFolded(t *testing.T) {
	l := stories["refused-until-expired"]()
	r, _, _ := dsn.Read(l.letters[2].Bytes)
	if n := strings.Count(r.Text, "connection refused"); n != 17 {
		t.Errorf("%d rows", n)
	}
	l = newLife("bob@there.test")
	l.schedule = custody.Schedule{Retry: []custody.Pace{{Gap: time.Second}}, Expire: 10 * time.Second}
	l.runs(connectionRefused(), 1)
	r, _, _ = dsn.Read(l.letters[0].Bytes)
	if n := strings.Count(r.Text, "connection refused"); n < 10 {
		t.Errorf("%d rows of about 10", n)
	}
}

// TestAnyNewsMakesALetter: no history, however odd, breaks a letter, and nothing
// in it can add a field.
func TestAnyNewsMakesALetter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		odd := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"", "a\r\nBcc: x@y\r\n\r\nz", strings.Repeat("ä", 3000), "550 no\n550-no"}))
		l := newLife("a@there.test", "b@there.test")
		l.message.Subject, l.message.MessageID, l.message.Envelope.ID = odd.Draw(t, "subject"), odd.Draw(t, "id"), odd.Draw(t, "envid")
		l.message.Came.Helo, l.message.Came.User = odd.Draw(t, "helo"), odd.Draw(t, "user")
		l.d.Rcpts[0].Original = odd.Draw(t, "orcpt")
		for range rapid.IntRange(0, 4).Draw(t, "attempts") {
			var os []custody.Outcome
			for range rapid.IntRange(0, 3).Draw(t, "outcomes") {
				os = append(os, custody.Outcome{
					Rcpts: rapid.SampledFrom([][]int{nil, {0}, {1}, {0, 1}, {9, -1}}).Draw(t, "rcpts"), Host: odd.Draw(t, "host"), IP: odd.Draw(t, "ip"),
					Stage: mail.Stage(rapid.IntRange(0, 12).Draw(t, "stage")), Theirs: rapid.Bool().Draw(t, "theirs"), Permanent: rapid.Bool().Draw(t, "permanent"),
					Reply:   mail.Reply{Code: rapid.SampledFrom([]int{0, 250, 450, 550}).Draw(t, "code"), Text: odd.Draw(t, "text")},
					Trouble: custody.Trouble(rapid.IntRange(0, 7).Draw(t, "trouble")), Taken: custody.Taken(rapid.IntRange(0, 3).Draw(t, "taken")),
				})
			}
			if len(l.d.Pending()) > 0 {
				l.tries(os...)
			}
		}
		kind := custody.Kind(rapid.IntRange(0, 6).Draw(t, "kind"))
		got := Compose(l.options, l.news(custody.Tell{Kind: kind, Rcpts: rapid.SampledFrom([][]int{{0}, {0, 1}, {1}, {7}}).Draw(t, "told")}))
		for line := range bytes.SplitSeq(got.Bytes, []byte("\r\n")) {
			if bytes.ContainsAny(line, "\r\n\x00") || bytes.HasPrefix(line, []byte("Bcc: x")) {
				t.Fatalf("bad line %q", line)
			}
		}
		if _, _, err := dsn.Read(got.Bytes); err != nil {
			t.Fatal(err)
		}
	})
}
