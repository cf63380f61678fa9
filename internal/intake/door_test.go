package intake

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/internal/dns"
	"github.com/postrider/postrider/internal/filter"
	"github.com/postrider/postrider/internal/memo"
	"github.com/postrider/postrider/internal/smtpd"
	"github.com/postrider/postrider/internal/spool"
	"github.com/postrider/postrider/internal/spool/memory"
	"github.com/postrider/postrider/mail"
	"github.com/postrider/postrider/policy"
)

const stranger = "203.0.113.9"

// guarded is an Intake with a table and a memory.
func guarded(t *testing.T, zone *dns.Zone, filters map[string]filter.Filter, table ...policy.Rule) (*Intake, spool.Store) {
	t.Helper()
	m, err := memo.Open(t.TempDir(), memo.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	r := rules()
	r.Door = Door{Resolver: zone, Filters: filters}
	if r.Door.Table, err = policy.New(table); err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	store := memory.New(64)
	t.Cleanup(func() { store.Close() })
	return New(Options{Store: store, Memory: NewMemory(m, log), Log: log}, r), store
}

// visit is a session as smtpd holds it.
type visit struct {
	t *testing.T
	smtpd.Session
	env *mail.Envelope
}

func come(t *testing.T, in *Intake, client string) *visit {
	t.Helper()
	return comeAs(t, in, smtpd.Client{Addr: netip.AddrPortFrom(netip.MustParseAddr(client), 1)})
}

func comeAs(t *testing.T, in *Intake, c smtpd.Client) *visit {
	t.Helper()
	s, no := in.Greet(t.Context(), c)
	if s == nil {
		t.Fatal(no.Line())
	}
	t.Cleanup(s.Close)
	if r := s.Hello(t.Context(), smtpd.Hello{Name: "client.test"}); r.Code != 0 {
		t.Fatal(r.Line())
	}
	return &visit{t: t, Session: s}
}

func (v *visit) mail(from string) mail.Reply {
	v.env = &mail.Envelope{From: address(v.t, from)}
	return v.Mail(v.t.Context(), v.env, 0)
}

func (v *visit) rcpt(to string) mail.Reply {
	r := mail.Recipient{Address: address(v.t, to)}
	no := v.Rcpt(v.t.Context(), v.env, r)
	if no.Code == 0 {
		v.env.To = append(v.env.To, r)
	}
	return no
}

func (v *visit) data(text string) mail.Reply {
	return v.Data(v.t.Context(), smtpd.Transfer{Envelope: v.env, Protocol: "ESMTP", Body: strings.NewReader(text)})
}

// TestAnOverrideOfAnEarlyRuleIsOnEveryMessage: what was skipped when the client came
// let each of its messages in.
func TestAnOverrideOfAnEarlyRuleIsOnEveryMessage(t *testing.T) {
	nobody := policy.Rule{Name: "nobody", At: policy.Connect, Then: policy.Refuse, Place: "test.toml:7 rule nobody"}
	in, store := guarded(t, &dns.Zone{}, nil, nobody)
	if s, no := in.Greet(t.Context(), smtpd.Client{Addr: netip.AddrPortFrom(netip.MustParseAddr(stranger), 1)}); s != nil || no.Code != 554 {
		t.Fatalf("let in, %s", no.Line())
	}
	now := time.Now()
	made, err := in.Allow(policy.Override{Rule: "nobody", Client: netip.MustParsePrefix(stranger + "/32"), Because: "x", By: "ann", Until: now.Add(time.Hour)}, now)
	if err != nil {
		t.Fatal(err)
	}
	v := come(t, in, stranger)
	for range 2 {
		if r := v.mail("ann@author.test"); r.Code != 0 {
			t.Fatal(r.Line())
		}
		for _, to := range []string{"bob@example.com", "ben@example.com"} {
			if r := v.rcpt(to); r.Code != 0 {
				t.Fatal(r.Line())
			}
		}
		if r := v.data("Subject: x\r\nPostrider-Let-In: rule=forged\r\n\r\ntext\r\n"); r.Code != 250 {
			t.Fatal(r.Line())
		}
	}
	texts, rows := stored(t, store)
	for i, text := range texts {
		if strings.Count(text, "Postrider-Let-In:") != 1 || !strings.Contains(text, "Postrider-Let-In: rule=nobody; override="+made.ID+"\r\n") {
			t.Errorf("stored: %q", text)
		}
		if got, want := rows[i].Message.Came.Rule, "test.toml:7 rule nobody skipped by override "+made.ID; got != want {
			t.Errorf("came by %q, want %q", got, want)
		}
	}
	if len(texts) != 2 {
		t.Errorf("%d messages", len(texts))
	}
}

// TestARateCountsAMessageOnce, at whatever stage it is asked and however many of its
// recipients are refused.
func TestARateCountsAMessageOnce(t *testing.T) {
	for at, refusedBy := range map[policy.Stage]func(v *visit) mail.Reply{
		policy.Sender:    func(v *visit) mail.Reply { return v.mail("ann@author.test") },
		policy.Recipient: func(v *visit) mail.Reply { v.mail("ann@author.test"); return v.rcpt("bob@example.com") },
	} {
		in, _ := guarded(t, &dns.Zone{}, nil,
			policy.Rule{Name: "fast", At: at, Then: policy.Defer, If: policy.Conditions{Rate: &policy.Rate{By: policy.ByClient, Most: 3, In: 24 * time.Hour}}},
			policy.Rule{Name: "not-him", Then: policy.Refuse, If: policy.Conditions{To: []string{"nobody@example.com"}}})
		v := come(t, in, stranger)
		for i := range 3 {
			if r := v.mail("ann@author.test"); r.Code != 0 {
				t.Fatalf("%s: message %d: %s", at, i, r.Line())
			}
			for _, to := range []string{"nobody@example.com", "nobody@example.com", "bob@example.com", "ben@example.com"} {
				if r := v.rcpt(to); r.Code != 0 && !strings.HasPrefix(r.Text, "not-him: ") {
					t.Fatalf("%s: message %d: %s", at, i, r.Line())
				}
			}
			if r := v.data("Subject: x\r\n\r\ntext\r\n"); r.Code != 250 {
				t.Fatalf("%s: message %d: %s", at, i, r.Line())
			}
		}
		come(t, in, stranger) // a visit is no message
		if r := refusedBy(v); !strings.HasPrefix(r.Text, "fast: ") {
			t.Errorf("%s: the fourth message: %q", at, r.Line())
		}
	}
}

// TestARefusalFitsOnALine, with the longest words and the longest help that there can
// be (RFC 5321 4.5.3.1.5).
func TestARefusalFitsOnALine(t *testing.T) {
	in, _ := guarded(t, &dns.Zone{}, nil, policy.Rule{
		Name: strings.Repeat("n", 40), At: policy.Sender, Then: policy.Refuse, Status: mail.Status{5, 999, 999}, Text: strings.Repeat("a", 200) + "{from}{from}{from}",
	})
	r := *in.rules.Load()
	r.Door.Help = strings.Repeat("h", policy.MaxHelp)
	in.Reload(r)
	got := come(t, in, stranger).mail("ann@" + strings.Repeat("a.", 50) + "test").AppendWire(nil)
	if len(got) != 512 || !strings.HasSuffix(string(got), "h)\r\n") || strings.Count(string(got), "\n") != 1 {
		t.Errorf("%d octets: %s", len(got), got)
	}
}

// TestARefusalOfManyRecipientsIsRemembered: the first fifty, and how many more.
func TestARefusalOfManyRecipientsIsRemembered(t *testing.T) {
	in, _ := guarded(t, &dns.Zone{}, nil, policy.Rule{Name: "unsigned", If: policy.Conditions{DKIM: []string{"none"}}, Then: policy.Refuse})
	for _, n := range []int{50, 300} {
		v := come(t, in, stranger)
		v.mail("ann@author.test")
		for i := range n {
			if r := v.rcpt(fmt.Sprintf("bob-%s%d@example.com", strings.Repeat("x", 50), i)); r.Code != 0 {
				t.Fatal(r.Line())
			}
		}
		_, ref, _ := strings.Cut(v.data("Subject: x\r\n\r\ntext\r\n").Text, "(ref ")
		found := in.Refusals(netip.Prefix{}, "", ref[:8], time.Time{}, 1)
		if len(found) != 1 || found[0].To[49] != fmt.Sprintf("bob-%s49@example.com", strings.Repeat("x", 50)) {
			t.Fatalf("%d recipients: %+v", n, found)
		}
		if more := found[0].To[50:]; n == 50 && len(more) > 0 || n == 300 && (len(more) != 1 || more[0] != "and 250 more") {
			t.Errorf("%d recipients: %q", n, more)
		}
	}
}

// TestNoNameOpensADoor: past all rules is who comes to the listener at which a filter
// hands back, and not who comes to one that is called like the filter.
func TestNoNameOpensADoor(t *testing.T) {
	in, _ := guarded(t, &dns.Zone{}, nil)
	r := *in.rules.Load()
	r.Door.Through = []Through{{Name: "content", To: "smtp:127.0.0.1:10024"}}
	in.Reload(r)
	for back, want := range map[bool]int{false: 550, true: 0} {
		v := comeAs(t, in, smtpd.Client{Addr: netip.MustParseAddrPort(stranger + ":1"), Listener: "content", Back: back})
		v.mail("ann@author.test")
		if got := v.rcpt("bob@elsewhere.test"); got.Code != want {
			t.Errorf("back %t: %q, want %d", back, got.Line(), want)
		}
	}
}

// TestWhatIsExplainedIsCounted: the message that is asked about is one more than were
// let in, from MAIL on.
func TestWhatIsExplainedIsCounted(t *testing.T) {
	for _, at := range []policy.Stage{policy.Hello, policy.Sender, policy.Recipient} {
		in, _ := guarded(t, &dns.Zone{}, nil, policy.Rule{Name: "fast", At: at, Then: policy.Defer, If: policy.Conditions{Rate: &policy.Rate{By: policy.ByClient, Most: 1, In: time.Hour}}})
		asked := policy.Visit{Client: netip.MustParseAddr(stranger), Helo: "client.test", From: address(t, "ann@author.test"), To: address(t, "bob@example.com")}
		explained := func() policy.Judged {
			return slices.MaxFunc(in.Explain(t.Context(), asked), func(a, b policy.Judged) int { return cmp.Compare(a.Action, b.Action) })
		}
		if got := explained(); got.Action != 0 {
			t.Errorf("%s: the first message: %+v", at, got)
		}
		v := come(t, in, stranger)
		v.mail("ann@author.test")
		v.rcpt("bob@example.com")
		if r := v.data("Subject: x\r\n\r\ntext\r\n"); r.Code != 250 {
			t.Fatal(r.Line())
		}
		if got := explained(); (got.Rule == "fast") != (at != policy.Hello) {
			t.Errorf("%s: the second message: %+v", at, got)
		}
	}
}

// TestABusyClientIsServedAtThePaceOfTheRate: who sends more than a rate lets in, and
// tries what was deferred again, is not shut out.
func TestABusyClientIsServedAtThePaceOfTheRate(t *testing.T) {
	for _, at := range []policy.Stage{policy.Sender, policy.Recipient, policy.Content} {
		synctest.Test(t, func(t *testing.T) {
			in, _ := guarded(t, &dns.Zone{}, nil, policy.Rule{Name: "fast", At: at, Then: policy.Defer, If: policy.Conditions{Rate: &policy.Rate{By: policy.ByClient, Most: 12, In: time.Hour}}})
			v := come(t, in, stranger)
			for hour := range 4 {
				took := 0
				for range 14 {
					time.Sleep(time.Hour / 14)
					if v.mail("ann@author.test").Code == 0 && v.rcpt("bob@example.com").Code == 0 && v.data("Subject: x\r\n\r\ntext\r\n").Code == 250 {
						took++
					}
					v.Reset()
				}
				if took < 11 || took > 13 {
					t.Errorf("%s: %d of 14 messages in hour %d", at, took, hour+1)
				}
			}
		})
	}
}

// TestARateCountsWhatIsLetIn: a message that a filter does not want yet costs nothing of
// the rate, wherever that is asked.
func TestARateCountsWhatIsLetIn(t *testing.T) {
	later := opinion{Action: filter.Defer, Reply: mail.Reply{Code: 451, Status: mail.Status{4, 7, 1}, Text: "later"}}
	for _, by := range []policy.By{policy.ByClient, policy.ByRecipient} {
		in, _ := guarded(t, &dns.Zone{}, map[string]filter.Filter{"judge": later},
			policy.Rule{Name: "fast", Then: policy.Defer, If: policy.Conditions{Rate: &policy.Rate{By: by, Most: 2, In: time.Hour}}},
			policy.Rule{Name: "judged", Filter: "judge"})
		for range 5 {
			v := come(t, in, stranger)
			v.mail("ann@author.test")
			if r := v.rcpt("bob@example.com"); r.Code != 0 {
				t.Fatalf("by %s: %s", by, r.Line())
			}
			if r := v.data("Subject: x\r\n\r\ntext\r\n"); r.Text[:7] != "judged:" {
				t.Fatalf("by %s: %s", by, r.Line())
			}
		}
	}
}

// TestARateCountsWhatIsOnItsWay: messages that come side by side are held against each
// other before one is stored, and no longer than they are on their way.
func TestARateCountsWhatIsOnItsWay(t *testing.T) {
	for _, by := range []policy.By{policy.ByClient, policy.BySender, policy.ByRecipient} {
		for how, ends := range map[string]func(v *visit){
			"is reset": func(v *visit) { v.Reset() },
			"is gone":  func(v *visit) { v.Close() },
			"is cut off": func(v *visit) {
				v.Data(t.Context(), smtpd.Transfer{Envelope: v.env, Body: iotest.ErrReader(smtpd.ErrCutOff)})
			},
		} {
			in, _ := guarded(t, &dns.Zone{}, nil,
				policy.Rule{Name: "one", Then: policy.Defer, If: policy.Conditions{Rate: &policy.Rate{By: by, Most: 1, In: time.Hour}}})
			begin := func() (*visit, mail.Reply) {
				v := come(t, in, stranger)
				v.mail("ann@author.test")
				return v, v.rcpt("bob@example.com")
			}
			first, r := begin()
			if r.Code != 0 {
				t.Fatal(r.Line())
			}
			if r := first.rcpt("bob@example.com"); r.Code != 0 {
				t.Errorf("by %s: a message is held against itself: %s", by, r.Line())
			}
			if _, r := begin(); !strings.HasPrefix(r.Text, "one: ") {
				t.Errorf("by %s: beside one on its way: %q", by, r.Line())
			}
			ends(first)
			third, r := begin()
			if r.Code != 0 {
				t.Errorf("by %s, when the first %s: %s", by, how, r.Line())
			}
			if r := third.data("Subject: x\r\n\r\ntext\r\n"); r.Code != 250 {
				t.Fatal(r.Line())
			}
			if _, r := begin(); !strings.HasPrefix(r.Text, "one: ") {
				t.Errorf("by %s: behind one that is stored: %q", by, r.Line())
			}
			if n := len(in.memory.coming); n != 0 {
				t.Errorf("by %s: %d are on their way", by, n)
			}
		}
	}
}

// TestARateByRecipientLooksAtEachOfThem when the message is whole.
func TestARateByRecipientLooksAtEachOfThem(t *testing.T) {
	in, _ := guarded(t, &dns.Zone{}, nil,
		policy.Rule{Name: "few", At: policy.Content, Then: policy.Defer, If: policy.Conditions{Rate: &policy.Rate{By: policy.ByRecipient, Most: 1, In: time.Hour}}})
	for _, c := range []struct {
		to   string
		code int
	}{
		{"bob@example.com", 250}, {"ben@example.com ben@example.com", 250}, {"eve@example.com bob@example.com", 450},
		{"ben@example.com eve@example.com", 450}, {"eve@example.com", 250}, {"eve@example.com", 450},
	} {
		v := come(t, in, stranger)
		v.mail("ann@author.test")
		for to := range strings.FieldsSeq(c.to) {
			v.rcpt(to)
		}
		if r := v.data("Subject: x\r\n\r\ntext\r\n"); r.Code != c.code {
			t.Errorf("%s: %s, want %d", c.to, r.Line(), c.code)
		}
	}
}

// opinion is a filter that always says the same.
type opinion filter.Opinion

func (o opinion) Ask(context.Context, *filter.Message) (filter.Opinion, error) {
	return filter.Opinion(o), nil
}

// TestAFilterChangesWhoGetsIt and not how many recipients the client has an answer
// for (RFC 2033 4.2).
func TestAFilterChangesWhoGetsIt(t *testing.T) {
	bob, ben, eve := address(t, "bob@example.com"), address(t, "ben@example.com"), address(t, "eve@example.org")
	says := opinion{Action: filter.Accept, Refused: []filter.Refused{{To: ben, Reply: mail.Reply{Code: 550, Status: mail.Status{5, 7, 1}, Text: "not for ben"}}}, Changes: []filter.Change{
		{Kind: filter.DeleteRecipient, Address: bob}, {Kind: filter.AddRecipient, Address: eve}, {Kind: filter.ChangeFrom, Address: address(t, "list@author.test")},
	}}
	in, store := guarded(t, &dns.Zone{}, map[string]filter.Filter{"judge": says}, policy.Rule{Name: "judged", Filter: "judge"})
	v := come(t, in, stranger)
	v.mail("ann@author.test")
	v.rcpt("bob@example.com")
	v.rcpt("ben@example.com")
	if r := v.data("Subject: x\r\n\r\ntext\r\n"); r.Code != 250 {
		t.Fatal(r.Line())
	}
	if len(v.env.To) != 2 || v.env.To[0].Address != bob || v.env.From.Local != "ann" {
		t.Errorf("smtpd's envelope is now %+v", v.env)
	}
	_, rows := stored(t, store)
	got := map[string]string{}
	for _, row := range rows {
		for _, r := range row.Delivery.Rcpts {
			got[r.Address.String()] = row.Delivery.Held.Why
		}
		if row.Message.Envelope.From.Local != "list" || row.Message.Parts != 2 {
			t.Errorf("from %s, %d parts", row.Message.Envelope.From, row.Message.Parts)
		}
	}
	if len(got) != 2 || got["eve@example.org"] != "" || got["ben@example.com"] != "a filter refuses it for <ben@example.com>: 550 5.7.1 not for ben" {
		t.Errorf("deliveries: %q", got)
	}
}

// tardy is a filter that takes five minutes to refuse.
type tardy struct{}

func (tardy) Ask(ctx context.Context, _ *filter.Message) (filter.Opinion, error) {
	select {
	case <-time.After(5 * time.Minute):
		return filter.Opinion{Action: filter.Refuse, Reply: mail.Reply{Code: 550, Text: "virus"}}, nil
	case <-ctx.Done():
		return filter.Opinion{}, ctx.Err()
	}
}

// attentive is a filter that notes what it is told of the client.
type attentive struct{ name, ptr string }

func (a *attentive) Ask(_ context.Context, m *filter.Message) (filter.Opinion, error) {
	a.name, a.ptr = m.Name, m.PTR
	return filter.Opinion{Action: filter.Accept}, nil
}

// TestAFilterIsToldTheClientsName, though no rule asks for it.
func TestAFilterIsToldTheClientsName(t *testing.T) {
	for forward, want := range map[string]attentive{
		"A " + stranger:  {name: "mx.friend.test", ptr: "mx.friend.test"},
		"A 203.0.113.99": {ptr: "mx.friend.test"},
	} {
		var z dns.Zone
		z.Add(stranger, "PTR mx.friend.test")
		z.Add("mx.friend.test", forward)
		var told attentive
		in, _ := guarded(t, &z, map[string]filter.Filter{"judge": &told}, policy.Rule{Name: "judged", Filter: "judge"})
		v := come(t, in, stranger)
		v.mail("ann@author.test")
		v.rcpt("bob@example.com")
		if r := v.data("Subject: x\r\n\r\ntext\r\n"); r.Code != 250 || told != want {
			t.Errorf("%s: the filter is told %+v, want %+v: %s", forward, told, want, r.Line())
		}
	}
}

// TestAFilterHasTimeOfItsOwn, which is not that of a look-up; but none is left when
// nobody waits for it.
func TestAFilterHasTimeOfItsOwn(t *testing.T) {
	for _, c := range []struct{ stop, took time.Duration }{{time.Hour, 5 * time.Minute}, {time.Minute, time.Minute}} {
		synctest.Test(t, func(t *testing.T) {
			in, _ := guarded(t, &dns.Zone{}, map[string]filter.Filter{"clam": tardy{}}, policy.Rule{Name: "clam", Filter: "clam", OnFault: policy.FaultDefer})
			v := come(t, in, stranger)
			v.mail("ann@author.test")
			v.rcpt("bob@example.com")
			ctx, cancel := context.WithTimeout(t.Context(), c.stop)
			defer cancel()
			began := time.Now()
			r := v.Data(ctx, smtpd.Transfer{Envelope: v.env, Protocol: "ESMTP", Body: strings.NewReader("Subject: x\r\n\r\ntext\r\n")})
			if took, refused := time.Since(began), r.Code == 550; took != c.took || refused != (c.took < c.stop) {
				t.Errorf("stopped after %v: %s after %v", c.stop, r.Line(), took)
			}
		})
	}
}

// TestAFilterWithoutAMessageIsAFault, and no end of the session.
func TestAFilterWithoutAMessageIsAFault(t *testing.T) {
	in, _ := guarded(t, &dns.Zone{}, map[string]filter.Filter{"judge": opinion{Action: filter.Refuse}})
	s := come(t, in, stranger).Session.(*session)
	s.askFilter("judge")(t.Context())(&s.facts)
	if all := s.facts.Opinions; len(all) != 1 || all[0].Fault != "the message is not whole yet" || all[0].Action != policy.Pass {
		t.Errorf("%+v", all)
	}
}

// TestAFilterIsObeyedOnlyWhereItsRuleActs: one that is only tried out, or whose rule
// is not reached, does not hold or is skipped, touches no mail.
func TestAFilterIsObeyedOnlyWhereItsRuleActs(t *testing.T) {
	wants := opinion{Action: filter.Discard, Changes: []filter.Change{{Kind: filter.AddHeader, Name: "X-Class", Value: " bad"}}}
	none := policy.Conditions{SPF: []string{"none"}}
	for name, c := range map[string]struct {
		table   []policy.Rule
		allowed string
		obeyed  bool
	}{
		"acts":            {table: []policy.Rule{{Name: "judged", Filter: "judge", If: none}}, obeyed: true},
		"only tells":      {table: []policy.Rule{{Name: "judged", Filter: "judge", LogOnly: true}}},
		"is not reached":  {table: []policy.Rule{{Name: "friend", At: policy.Content, Then: policy.Accept, If: none}, {Name: "judged", Filter: "judge"}}},
		"does not hold":   {table: []policy.Rule{{Name: "judged", Filter: "judge", Not: none}}},
		"is skipped":      {table: []policy.Rule{{Name: "judged", Filter: "judge"}}, allowed: "judged"},
		"acts by another": {table: []policy.Rule{{Name: "judged", Filter: "judge"}, {Name: "again", Filter: "judge"}}, allowed: "judged", obeyed: true},
	} {
		in, store := guarded(t, &dns.Zone{}, map[string]filter.Filter{"judge": wants}, c.table...)
		if now := time.Now(); c.allowed != "" {
			o := policy.Override{Rule: c.allowed, Client: netip.MustParsePrefix(stranger + "/32"), Because: "x", By: "ann", Until: now.Add(time.Hour)}
			if _, err := in.Allow(o, now); err != nil {
				t.Fatal(err)
			}
		}
		v := come(t, in, stranger)
		v.mail("ann@author.test")
		v.rcpt("bob@example.com")
		if r := v.data("Subject: x\r\n\r\ntext\r\n"); r.Code != 250 {
			t.Fatalf("%s: %s", name, r.Line())
		}
		texts, rows := stored(t, store)
		if held, written := !rows[0].Delivery.Held.IsZero(), strings.Contains(texts[0], "X-Class"); held != c.obeyed || written != c.obeyed {
			t.Errorf("a filter whose rule %s: held %t, field written %t", name, held, written)
		}
	}
}

// slow is a resolver that takes 3 s for each text below slow.test.
type slow struct{ dns.Resolver }

func (s slow) TXT(ctx context.Context, name string) (dns.Answer[string], error) {
	if strings.HasSuffix(name, ".slow.test") {
		select {
		case <-time.After(3 * time.Second):
		case <-ctx.Done():
		}
	}
	if ctx.Err() != nil {
		return dns.Answer[string]{}, &dns.Error{Name: name, Type: "TXT", Kind: dns.Silent, Err: ctx.Err()}
	}
	return s.Resolver.TXT(ctx, name)
}

// TestASlowSenderIsHeldAgainstItsAuthorAllTheSame: SPF asks a domain that the sender has
// chosen, and takes no time from what DMARC asks.
func TestASlowSenderIsHeldAgainstItsAuthorAllTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var z dns.Zone
		spf := "v=spf1"
		for i := range 8 {
			spf += fmt.Sprintf(" include:%d.slow.test", i)
			z.Add(fmt.Sprintf("%d.slow.test", i), `TXT "v=spf1 ?all"`)
		}
		z.Add("slow.test", `TXT "`+spf+` -all"`)
		z.Add("_dmarc.author.test", `TXT "v=DMARC1; p=reject"`)
		in, _ := guarded(t, &z, nil, policy.Rule{Name: "dmarc", Then: policy.Refuse, If: policy.Conditions{DMARC: []string{"reject"}}})
		r := *in.rules.Load()
		r.Door.Resolver = slow{&z}
		in.Reload(r)
		v := come(t, in, stranger)
		v.mail("ann@slow.test")
		v.rcpt("bob@example.com")
		if r := v.data("From: ceo@author.test\r\n\r\ntext\r\n"); !strings.HasPrefix(r.Text, "dmarc: ") {
			t.Errorf("a forged author: %s", r.Line())
		}
	})
}

// What would be found among addresses that could not be had is unknown, and so says
// nothing against the client.
func TestAFailedLookupOfTheClientsFamilyIsAFault(t *testing.T) {
	listed := reversed(netip.MustParseAddr(stranger)) + ".list.test"
	for fails, faults := range map[string]bool{"": false, "AAAA": false, "A": true} {
		zone := &dns.Zone{}
		zone.Add(stranger, "PTR client.test.")
		for _, name := range []string{"client.test", listed} {
			zone.Add(name, "A "+stranger, "A 127.0.0.2", "AAAA 2001:db8::1")
			if fails != "" {
				zone.Fail(name, fails, dns.Failed)
			}
		}
		in, _ := guarded(t, zone, nil)
		r := *in.rules.Load()
		r.Door.Lists = []List{{Name: "list", Zone: "list.test", Weight: 1}}
		in.Reload(r)
		s := come(t, in, stranger).Session.(*session)
		s.gather(t.Context(), policy.NeedName|policy.NeedHeloName|policy.NeedLists)
		name, _ := s.facts.Name.Value()
		_, unnamed := s.facts.Name.Fault()
		helo, _ := s.facts.HeloName.Value()
		_, ungreeted := s.facts.HeloName.Fault()
		said, _ := s.facts.Lists.Value()
		if unnamed != faults || ungreeted != faults || name.Confirmed == faults || helo == faults {
			t.Errorf("%q fails: name %+v, HELO %+v", fails, s.facts.Name, s.facts.HeloName)
		}
		if len(said) != 1 || (said[0].Fault != "") != faults {
			t.Errorf("%q fails: lists %+v", fails, said)
		}
	}
}

// TestARuleOfTheContentNeedsNoLookUp to be asked, nor another rule beside it.
func TestARuleOfTheContentNeedsNoLookUp(t *testing.T) {
	in, _ := guarded(t, &dns.Zone{}, nil, policy.Rule{Name: "big", At: policy.Content, Then: policy.Refuse, If: policy.Conditions{SizeAbove: 1000}})
	for size, code := range map[int]int{100: 250, 2000: 550} {
		v := come(t, in, stranger)
		v.mail("ann@author.test")
		v.rcpt("bob@example.com")
		if r := v.data("Subject: x\r\n\r\n" + strings.Repeat("x", size) + "\r\n"); r.Code != code {
			t.Errorf("a body of %d octets: %s, want %d", size, r.Line(), code)
		}
	}
}

// TestOnlyWhatCameByItselfProvesAClient: not what a rule or an override let in, nor
// what waits for a person.
func TestOnlyWhatCameByItselfProvesAClient(t *testing.T) {
	now := time.Now()
	for name, c := range map[string]struct {
		to      string
		says    filter.Opinion
		allowed bool
		want    bool
	}{
		"by itself":        {to: "bob@example.com", want: true},
		"by a rule":        {to: "abuse@example.com"},
		"by an override":   {to: "bob@example.com", allowed: true},
		"to be thrown out": {to: "bob@example.com", says: filter.Opinion{Action: filter.Discard}},
		"to be looked at":  {to: "bob@example.com", says: filter.Opinion{Quarantine: "odd"}},
	} {
		in, _ := guarded(t, &dns.Zone{}, map[string]filter.Filter{"judge": opinion(c.says)},
			policy.Rule{Name: "postmaster", Then: policy.Accept, If: policy.Conditions{To: []string{"abuse"}}},
			policy.Rule{Name: "not-eve", Then: policy.Refuse, If: policy.Conditions{From: []string{"eve@author.test"}}},
			policy.Rule{Name: "judged", Filter: "judge"})
		from := "ann@author.test"
		if c.allowed {
			from = "eve@author.test"
			if _, err := in.Allow(policy.Override{Rule: "not-eve", Sender: address(t, from), Because: "x", By: "ann", Until: now.Add(time.Hour)}, now); err != nil {
				t.Fatal(err)
			}
		}
		v := come(t, in, stranger)
		v.mail(from)
		v.rcpt(c.to)
		if r := v.data("Subject: x\r\n\r\ntext\r\n"); r.Code != 250 {
			t.Fatalf("%s: %s", name, r.Line())
		}
		if got, _ := in.memory.isProven(netip.MustParseAddr(stranger), now).Value(); got != c.want {
			t.Errorf("mail that comes %s: proven %t", name, got)
		}
	}
}

// TestLocalPartsAreNoWays: for strangers, unless they are known names (RFC 2505 2.1).
func TestLocalPartsAreNoWays(t *testing.T) {
	r := rules()
	r.Door.Names = []Names{{Domain: "a.example.net", List: map[string]bool{"bob%there": true, "ann": true}}}
	in, _ := open(t, r, Watch{})
	for _, c := range []struct {
		client, to string
		want       int
	}{
		{stranger, "bob%there.test@example.com", 550},
		{stranger, "there.test!bob@example.com", 550},
		{stranger, `"bob@there.test"@example.com`, 550},
		{stranger, `"bob jones"@example.com`, 0},
		{"192.0.2.7", "bob%there.test@example.com", 0}, // a client of ours knows what it does
		{stranger, "bob%there@a.example.net", 0},
		{stranger, "ann%there@a.example.net", 550},
		{stranger, `"ann"@a.example.net`, 0},
		{stranger, `"ann@b.example.net"@a.example.net`, 550},
	} {
		s, _ := in.Greet(t.Context(), smtpd.Client{Addr: netip.AddrPortFrom(netip.MustParseAddr(c.client), 1)})
		if got := s.Rcpt(t.Context(), &mail.Envelope{}, mail.Recipient{Address: address(t, c.to)}); got.Code != c.want {
			t.Errorf("%s to %s: %s, want %d", c.client, c.to, got.Line(), c.want)
		}
	}
}
