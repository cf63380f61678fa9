package watch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/mail"
)

// letter is a message on its way to one recipient, "name@domain".
type letter struct {
	m custody.Message
	d custody.Delivery
}

func newLetter(t testing.TB, n uint64, to ...string) letter {
	t.Helper()
	var rcpts []mail.Recipient
	for _, s := range to {
		a, err := mail.ParseAddress(s)
		if err != nil {
			t.Fatal(err)
		}
		rcpts = append(rcpts, mail.Recipient{Address: a})
	}
	at := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	m := custody.Message{
		ID: custody.NewID(at, 0, n), Accepted: at, MessageID: fmt.Sprint(n, "@author.test"),
		Envelope: mail.Envelope{From: mail.Address{Local: "ann", Domain: "author.test"}},
	}
	return letter{m, custody.NewDelivery(m, 1, rcpts[0].Address.Domain, rcpts)}
}

// tried is the step of a delivery whose recipients all hear the same.
func (l letter) tried(code int) (custody.Message, custody.Delivery, custody.Entry) {
	at := l.m.Accepted.Add(time.Minute)
	o := custody.Outcome{At: at, Host: "mx.there.test", Stage: mail.Rcpt, Theirs: true, Reply: mail.Reply{Code: code, Text: "so be it"}}
	if code/100 == 2 {
		o.Taken = custody.Promised
	}
	e := custody.Tried{At: at, Attempt: custody.Attempt{Began: at, Way: "mx there.test", Outcomes: []custody.Outcome{o}}}
	s := custody.Schedule{Retry: []custody.Pace{{Gap: time.Minute}}, Expire: time.Hour}
	d, duties := custody.Step(l.d, s, e)
	return l.m, d, custody.Entry{At: at, Delivery: d.ID, Event: e, Duties: duties, Next: d.Next}
}

// listenTo returns "kind number" of all that a listener can read now, and the last id.
func listenTo(t *testing.T, l *Listener) (all []string, id string) {
	t.Helper()
	for {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		hs, at, err := l.Next(ctx)
		cancel()
		if errors.Is(err, context.DeadlineExceeded) {
			return all, id
		} else if err != nil {
			t.Fatal(err)
		}
		id = at
		for _, h := range hs {
			all = append(all, h.Kind+" "+h.MessageID[:1])
		}
	}
}

func TestAListenerHearsWhatItsFilterTakes(t *testing.T) {
	one, two := newLetter(t, 1, "bob@there.test", "carl@there.test"), newLetter(t, 2, "dora@else.test")
	for _, c := range []struct {
		name   string
		filter Filter
		want   []string
	}{
		{"all", Filter{}, []string{"accepted 1", "accepted 2", "attempt 1", "relayed 1", "attempt 2", "deferred 2", "attempt 2", "bounced 2"}},
		{"a message", Filter{Message: one.m.ID}, []string{"accepted 1", "attempt 1", "relayed 1"}},
		{"a delivery", Filter{Delivery: two.d.ID}, []string{"accepted 2", "attempt 2", "deferred 2", "attempt 2", "bounced 2"}},
		{"another delivery of it", Filter{Delivery: custody.DeliveryID{Message: two.m.ID, N: 7}}, []string{"accepted 2"}},
		{"a domain", Filter{Domain: "there.test"}, []string{"accepted 1", "attempt 1", "relayed 1"}},
		{"kinds", Filter{Kinds: []string{Bounced, Accepted}}, []string{"accepted 1", "accepted 2", "bounced 2"}},
		{"both", Filter{Domain: "else.test", Kinds: []string{Deferred, Relayed}}, []string{"deferred 2"}},
		{"nothing", Filter{Domain: "nowhere.test"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := NewFeed()
			l, gap, err := f.Listen("", c.filter)
			if err != nil || gap {
				t.Fatal(gap, err)
			}
			defer l.Close()
			f.Accepted(one.m, []custody.Delivery{one.d})
			f.Accepted(two.m, []custody.Delivery{two.d})
			f.Stepped(one.tried(250))
			f.Stepped(two.tried(450))
			f.Stepped(two.tried(550))
			if got, _ := listenTo(t, l); !slices.Equal(got, c.want) {
				t.Errorf("heard %v, want %v", got, c.want)
			}
		})
	}
}

func TestAHappeningNamesItsMail(t *testing.T) {
	l := newLetter(t, 1, "bob@there.test", "carl@there.test")
	f := NewFeed()
	r, _, err := f.Listen("", Filter{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	f.Accepted(l.m, []custody.Delivery{l.d})
	f.Stepped(l.tried(450))
	hs, id, err := r.Next(t.Context())
	if err != nil || len(hs) != 3 {
		t.Fatalf("%+v %v", hs, err)
	}
	for _, h := range hs {
		if h.Message != l.m.ID.String() || h.From != "ann@author.test" || h.Domain != "there.test" || h.MessageID != "1@author.test" {
			t.Errorf("%+v", h)
		}
	}
	if want := []string{"bob@there.test", "carl@there.test"}; !slices.Equal(hs[0].Recipients, want) || !slices.Equal(hs[2].Recipients, want) {
		t.Errorf("recipients %v and %v", hs[0].Recipients, hs[2].Recipients)
	}
	// An attempt alone has no id: who comes back behind it would miss its outcome.
	if hs[0].ID == "" || hs[1].ID != "" || hs[2].ID != id {
		t.Errorf("ids %q %q %q, reached %q", hs[0].ID, hs[1].ID, hs[2].ID, id)
	}
}

func TestWhoComesBackMissesNothingOrIsToldSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one := newLetter(t, 1, "bob@there.test")
		f := NewFeed()
		listen := func(after string) (all []string, id string, gap bool) {
			l, gap, err := f.Listen(after, Filter{Kinds: []string{Deferred}})
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			all, id = listenTo(t, l)
			return all, id, gap
		}
		if _, _, gap := listen("nonsense"); !gap {
			t.Error("an id that never was is taken for one")
		}
		l, _, _ := f.Listen("", Filter{})
		f.Stepped(one.tried(450))
		_, id := listenTo(t, l)
		l.Close()
		f.Stepped(one.tried(450)) // while nobody listens
		all, id, gap := listen(id)
		if len(all) != 1 || gap {
			t.Errorf("came back at once: %v, gap %t", all, gap)
		}
		if all, _, gap := listen(id); len(all) != 0 || gap {
			t.Errorf("again: %v, gap %t", all, gap)
		}
		if _, _, gap := listen(id[:len(id)-1] + "999"); !gap {
			t.Error("an id of the future is taken for one")
		}
		time.Sleep(feedRest + time.Second) // nothing is kept any more
		if f.live.Load() {
			t.Error("it still keeps what nobody reads")
		}
		f.Stepped(one.tried(450))
		if all, _, gap := listen(id); len(all) != 0 || !gap {
			t.Errorf("came back late: %v, gap %t", all, gap)
		}
		if _, _, gap := listen(""); gap {
			t.Error("who begins anew misses nothing")
		}
		time.Sleep(feedRest + time.Second)
	})
}

func TestASlowListenerIsCutOffAndToldHowMuchItMissed(t *testing.T) {
	one := newLetter(t, 1, "bob@there.test")
	f := NewFeed()
	slow, _, _ := f.Listen("", Filter{})
	defer slow.Close()
	const more = 10
	for range feedRecords + more {
		f.Stepped(one.tried(450))
	}
	var cut Slow
	if _, _, err := slow.Next(t.Context()); !errors.As(err, &cut) || cut.Missed != more {
		t.Errorf("the error is %v, want %d missed", err, more)
	}
	last, gap, _ := f.Listen("", Filter{})
	defer last.Close()
	f.Stepped(one.tried(450))
	if got, _ := listenTo(t, last); len(got) != 2 || gap {
		t.Errorf("another hears %v", got)
	}
}

func TestWhatIsKeptIsBounded(t *testing.T) {
	to := make([]string, 1000)
	for i := range to {
		to[i] = fmt.Sprintf("u%d@there.test", i)
	}
	big := newLetter(t, 1, to...)
	f := NewFeed()
	l, _, _ := f.Listen("", Filter{})
	defer l.Close()
	m, d, e := big.tried(450)
	for range 500 {
		f.Stepped(m, d, e)
	}
	if f.weight > feedWeight || len(f.kept) < 10 || len(f.kept) > 100 {
		t.Errorf("%d records of %d octets are kept", len(f.kept), f.weight)
	}
	var all []*Listener
	for {
		l, _, err := f.Listen("", Filter{})
		if errors.Is(err, ErrCrowded) {
			break
		}
		if all = append(all, l); len(all) > feedMost {
			t.Fatal("anybody may listen")
		}
	}
	for _, l := range all {
		l.Close()
	}
}

// What a step costs the feed: with nobody there, and with one who reads.
func BenchmarkFeed(b *testing.B) {
	m, d, e := newLetter(b, 1, "bob@there.test").tried(250)
	b.Run("nobody", func(b *testing.B) {
		f := NewFeed()
		b.ReportAllocs()
		for b.Loop() {
			f.Stepped(m, d, e)
		}
	})
	b.Run("listener", func(b *testing.B) {
		f := NewFeed()
		l, _, _ := f.Listen("", Filter{})
		defer l.Close()
		b.ReportAllocs()
		for b.Loop() {
			f.Stepped(m, d, e)
		}
	})
	b.Run("webhook-for-bounces", func(b *testing.B) {
		h := NewHooks(nil)
		h.Use([]HookOptions{{URL: "http://127.0.0.1:1/", Kinds: []string{Bounced}}})
		defer func() {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			h.Close(ctx)
		}()
		b.ReportAllocs()
		for b.Loop() {
			h.Stepped(m, d, e)
		}
	})
	b.Run("no-webhook", func(b *testing.B) {
		h := NewHooks(nil)
		b.ReportAllocs()
		for b.Loop() {
			h.Stepped(m, d, e)
		}
	})
	b.Run("log", func(b *testing.B) { // for comparison: what every step costs already
		g := NewLog(NewLogger(discard{}, true, slog.LevelInfo))
		b.ReportAllocs()
		for b.Loop() {
			g.Stepped(m, d, e)
		}
	})
}

type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }
