package intake

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/dns"
	"github.com/postrider/postrider/internal/filter"
	"github.com/postrider/postrider/internal/smtpd"
	"github.com/postrider/postrider/internal/spool"
	"github.com/postrider/postrider/internal/spool/local"
	"github.com/postrider/postrider/mail"
	"github.com/postrider/postrider/policy"
)

func rules() Rules {
	return Rules{
		Hostname: "mx.example.com", RelayRule: "test.toml:1 relay",
		Clients: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")},
		Domains: []string{"example.com", "*.example.net"},
		Aliases: map[string][]mail.Address{
			"postmaster":        {{Local: "admin", Domain: "example.com"}},
			"abuse":             {{Local: "postmaster", Domain: "mx.example.com"}},
			"root":              nil,
			"ring":              {{Local: "gnir", Domain: "mx.example.com"}},
			"gnir":              {{Local: "ring", Domain: "mx.example.com"}},
			"self@example.com":  {{Local: "self", Domain: "example.com"}},
			"keep@example.com":  {{Local: "keep", Domain: "example.com"}, {Local: "archive", Domain: "example.org"}},
			"boss@example.com":  {{Local: "Keep", Domain: "example.com"}, {Local: "boss", Domain: "example.com"}},
			"half@example.com":  {{Local: "flah", Domain: "example.com"}, {Local: "ben", Domain: "example.org"}},
			"flah@example.com":  {{Local: "half", Domain: "example.com"}},
			"sales@example.com": {{Local: "anna", Domain: "example.com"}, {Local: "ben", Domain: "example.org"}},
		},
	}
}

func open(t *testing.T, r Rules, w Watch) (*Intake, spool.Store) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	store, err := local.Open(t.TempDir(), local.Options{Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return New(Options{Store: store, Watch: w, Log: log}, r), store
}

func address(t *testing.T, s string) mail.Address {
	t.Helper()
	if s == "postmaster" {
		return mail.Address{Local: s}
	}
	a, err := mail.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestStrangersReachOurOwnAndNobodyElse(t *testing.T) {
	seen := 0
	in, _ := open(t, rules(), Watch{Refused: func(policy.Record) { seen++ }})
	for _, c := range []struct {
		client, to string
		want       int
	}{
		{"203.0.113.9", "bob@example.com", 0},
		{"203.0.113.9", "bob@EXAMPLE.com", 0},
		{"203.0.113.9", "bob@a.example.net", 0},
		{"203.0.113.9", "bob@example.net", 550}, // "*." stands for those below it
		{"203.0.113.9", "bob@notexample.com", 550},
		{"203.0.113.9", "bob@example.com.evil.test", 550},
		{"203.0.113.9", "bob@there.test", 550},
		{"203.0.113.9", "bob%there.test@mx.example.com", 550},
		{"203.0.113.9", `"bob@there.test"@mx.example.com`, 550},
		{"203.0.113.9", "there.test!bob@mx.example.com", 550},
		{"203.0.113.9", "postmaster", 0},
		{"203.0.113.9", "POSTMASTER@mx.example.com", 0},
		{"203.0.113.9", "root@mx.example.com", 0},
		{"203.0.113.9", "root+tag@mx.example.com", 0},
		{"203.0.113.9", "nobody@mx.example.com", 550},
		{"192.0.2.7", "nobody@mx.example.com", 550},
		{"192.0.2.7", "bob@there.test", 0},
		{"::ffff:192.0.2.7", "bob@there.test", 0},
		{"", "bob@there.test", 0}, // a Unix socket
	} {
		var addr netip.AddrPort
		if c.client != "" {
			addr = netip.AddrPortFrom(netip.MustParseAddr(c.client), 1)
		}
		s, _ := in.Greet(t.Context(), smtpd.Client{Addr: addr})
		seen = 0
		got := s.Rcpt(t.Context(), &mail.Envelope{}, mail.Recipient{Address: address(t, c.to)})
		if got.Code != c.want {
			t.Errorf("%s to %s: %s, want %d", c.client, c.to, got.Line(), c.want)
		}
		if (got.Code != 0) != (seen == 1) {
			t.Errorf("%s to %s: answered %q, and %d refusals were seen", c.client, c.to, got.Line(), seen)
		}
	}
}

func TestEachMailboxOnceADeliveryADomain(t *testing.T) {
	in, _ := open(t, rules(), Watch{})
	for _, c := range []struct {
		to   []string
		want []string // domain and recipients, "held" in front where nobody gets it
	}{
		{[]string{"bob@a.test", "ann@b.test", "carl@A.test"}, []string{"a.test: bob@a.test carl@A.test", "b.test: ann@b.test"}},
		{[]string{"bob@a.test", "bob@A.TEST"}, []string{"a.test: bob@a.test"}},
		{[]string{"sales@example.com", "anna@example.com"}, []string{"example.com: anna@example.com", "example.org: ben@example.org"}},
		{[]string{"abuse@mx.example.com", "postmaster"}, []string{"example.com: admin@example.com"}},
		{[]string{"root@mx.example.com"}, []string{"held mx.example.com: root@mx.example.com"}},
		{[]string{"self@example.com"}, []string{"example.com: self@example.com"}},
		{[]string{"keep@example.com"}, []string{"example.com: keep@example.com", "example.org: archive@example.org"}},
		{[]string{"Keep@example.com"}, []string{"example.com: keep@example.com", "example.org: archive@example.org"}},
		{[]string{"keep+x@example.com", "keep@example.com"}, []string{"example.com: keep@example.com", "example.org: archive@example.org"}},
		{[]string{"boss@example.com"}, []string{"example.com: keep@example.com boss@example.com", "example.org: archive@example.org"}},
		{[]string{"half@example.com", "flah@example.com"}, []string{"example.com: half@example.com flah@example.com", "example.org: ben@example.org"}},
	} {
		var to []mail.Recipient
		for _, a := range c.to {
			to = append(to, mail.Recipient{Address: address(t, a)})
		}
		now := time.Now()
		var got []string
		for i, d := range in.Deliveries(custody.Message{ID: NewID(now), Accepted: now}, to) {
			line := d.Domain + ":"
			for _, r := range d.Rcpts {
				line += " " + r.Address.String()
			}
			if !d.Held.IsZero() {
				line = "held " + line
			}
			if d.ID.N != uint16(i+1) {
				t.Errorf("%v: delivery %d has number %d", c.to, i+1, d.ID.N)
			}
			got = append(got, line)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%v becomes %q, want %q", c.to, got, c.want)
		}
	}
}

func TestAliasesThatGoInACircleEnd(t *testing.T) {
	in, _ := open(t, rules(), Watch{})
	ds := in.Deliveries(custody.Message{Accepted: time.Now()}, []mail.Recipient{{Address: address(t, "ring@mx.example.com")}})
	if len(ds) != 1 || ds[0].Held.IsZero() {
		t.Errorf("deliveries: %+v; want one that is held", ds)
	}
}

// TestAliasesThatAllNameEachOtherAreFollowedOnce, and each keeps its copy.
func TestAliasesThatAllNameEachOtherAreFollowedOnce(t *testing.T) {
	r := rules()
	var team []mail.Address
	for i := range 30 {
		team = append(team, address(t, fmt.Sprintf("member%d@example.com", i)))
	}
	for _, a := range team {
		r.Aliases[a.String()] = team
	}
	in, _ := open(t, r, Watch{})
	ds := in.Deliveries(custody.Message{Accepted: time.Now()}, []mail.Recipient{{Address: team[7]}})
	if len(ds) != 1 || len(ds[0].Rcpts) != len(team) {
		t.Errorf("deliveries: %+v", ds)
	}
}

// TestAMissingBlankLineIsPutInOnce, however long what follows is (RFC 5322 2.1), and
// whether or not the message is judged as a whole.
func TestAMissingBlankLineIsPutInOnce(t *testing.T) {
	for _, rules := range [][]policy.Rule{nil, {{Name: "big", At: policy.Content, Then: policy.Refuse, If: policy.Conditions{SizeAbove: 1000}}}} {
		in, store := guarded(t, &dns.Zone{}, nil, rules...)
		for _, body := range []string{"no field\r\n", "no fields\r\n", "\r\n"} {
			v := come(t, in, stranger)
			v.mail("ann@author.test")
			v.rcpt("bob@example.com")
			if got := v.data("From: ab\r\n" + body); got.Code != 250 {
				t.Fatalf("%q: %s", body, got.Line())
			}
		}
		var got []string
		texts, _ := stored(t, store)
		for _, text := range texts {
			_, rest, _ := strings.Cut(text, "From: ab\r\n")
			got = append(got, rest)
		}
		slices.Sort(got)
		if want := []string{"\r\n", "\r\nno field\r\n", "\r\nno fields\r\n"}; !slices.Equal(got, want) {
			t.Errorf("%d rules: stored %q, want %q", len(rules), got, want)
		}
	}
}

// give hands a message over as smtpd does.
func give(t *testing.T, in *Intake, client, text string) mail.Reply {
	t.Helper()
	s, _ := in.Greet(t.Context(), smtpd.Client{Addr: netip.AddrPortFrom(netip.MustParseAddr(client), 1)})
	defer s.Close()
	s.Hello(t.Context(), smtpd.Hello{Name: "client.test"})
	env := &mail.Envelope{From: address(t, "ann@author.test"), To: []mail.Recipient{{Address: address(t, "bob@example.com")}}}
	if r := s.Mail(t.Context(), env, 0); r.Code != 0 {
		return r
	}
	return s.Data(t.Context(), smtpd.Transfer{Envelope: env, Protocol: "ESMTP", Body: strings.NewReader(text)})
}

// stored returns all that is in the store, oldest first.
func stored(t *testing.T, store spool.Store) (texts []string, rows []spool.Row) {
	t.Helper()
	for row, err := range store.Find(t.Context(), spool.Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		b, err := store.Body(t.Context(), row.Message.ID)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(io.NewSectionReader(b, 0, b.Size()))
		if err != nil {
			t.Fatal(err)
		}
		b.Close()
		texts, rows = append(texts, string(text)), append(rows, row)
	}
	return texts, rows
}

func TestWhatIsAnsweredWith250IsInTheStore(t *testing.T) {
	for _, c := range []struct {
		name, client, text string
		has, not           string
	}{
		{"a stranger's text is his", "203.0.113.9", "Subject: x\r\n\r\nbody\r\n", "\r\nSubject: x\r\n\r\nbody\r\n", "Message-ID:"},
		{"our client's is completed", "192.0.2.7", "Subject: x\r\n\r\nbody\r\n", "\r\nMessage-ID: <", "\r\n\r\n\r\n"},
		{"no header at all", "203.0.113.9", "\r\nbody\r\n", "\r\n\r\nbody\r\n", ""},
		{"a body without its blank line", "203.0.113.9", "Subject: x\r\nthis is no field\r\n", "Subject: x\r\n\r\nthis is no field\r\n", ""},
		{"nothing", "203.0.113.9", "", "", ""},
	} {
		in, store := open(t, rules(), Watch{})
		r := give(t, in, c.client, c.text)
		texts, rows := stored(t, store)
		if r.Code != 250 || len(texts) != 1 {
			t.Errorf("%s: %s, and %d messages are stored", c.name, r.Line(), len(texts))
			continue
		}
		got, m := texts[0], rows[0].Message
		if !strings.HasPrefix(got, "Received: from client.test") || !strings.Contains(got, c.has) || c.not != "" && strings.Contains(got, c.not) {
			t.Errorf("%s: stored %q", c.name, got)
		}
		if m.Size != int64(len(got)) || !strings.Contains(r.Text, m.ID.String()) {
			t.Errorf("%s: size %d of %d, reply %q of %s", c.name, m.Size, len(got), r.Text, m.ID)
		}
	}
}

// What a client says of a message that does not need it binds no next hop.
func TestSMTPUTF8IsKeptOfWhatNeedsIt(t *testing.T) {
	change := opinion{Changes: []filter.Change{{Kind: filter.AddHeader, Name: "X-Filter", Value: "grün"}}}
	for _, c := range []struct {
		name, from, to, orcpt, text string
		filter                      filter.Filter
		want                        bool
	}{
		{name: "all ASCII", text: "Subject: x\r\n\r\nx\r\n"},
		{name: "an 8-bit body", text: "Subject: x\r\n\r\ngrün\r\n"},
		{name: "a body without its blank line", text: "Subject: x\r\ngrün\r\n"},
		{name: "a part's field", text: "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Description: grün\r\n\r\n--b--\r\n"},
		{name: "the header", text: "Subject: grün\r\n\r\nx\r\n", want: true},
		{name: "the return path", from: "änn@author.test", text: "\r\nx\r\n", want: true},
		{name: "a recipient", to: "bøb@example.com", text: "\r\nx\r\n", want: true},
		{name: "an original recipient", orcpt: "utf-8;bøb@example.org", text: "\r\nx\r\n", want: true},
		{name: "read as a whole", text: "Subject: x\r\n\r\ngrün\r\n", filter: opinion{}},
		{name: "a header read as a whole", text: "Subject: grün\r\n\r\nx\r\n", filter: opinion{}, want: true},
		{name: "a filter's field", text: "Subject: x\r\n\r\nx\r\n", filter: change, want: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var table []policy.Rule
			if c.filter != nil {
				table = []policy.Rule{{Name: "judged", Filter: "judge"}}
			}
			in, store := guarded(t, &dns.Zone{}, map[string]filter.Filter{"judge": c.filter}, table...)
			v := come(t, in, stranger)
			v.mail(cmp.Or(c.from, "ann@author.test"))
			v.env.UTF8, v.env.Body = true, mail.EightBit
			v.rcpt(cmp.Or(c.to, "bob@example.com"))
			v.env.To[0].Original = c.orcpt
			if r := v.data(c.text); r.Code != 250 {
				t.Fatal(r.Line())
			}
			_, rows := stored(t, store)
			if e := rows[0].Message.Envelope; e.UTF8 != c.want || e.Body != mail.EightBit || !v.env.UTF8 {
				t.Errorf("stored with SMTPUTF8 %t, want %t, and BODY=%s; smtpd's envelope says %t", e.UTF8, c.want, e.Body, v.env.UTF8)
			}
		})
	}
}

func TestRefusedMessagesLeaveNothing(t *testing.T) {
	r := rules()
	r.MaxHeader, r.MaxHops = 4096, 20
	in, store := open(t, r, Watch{})
	for _, c := range []struct{ text, want string }{
		{strings.Repeat("Received: from a by b\r\n", 21) + "\r\nbody\r\n", "554 5.4.6"},
		{"Subject: " + strings.Repeat("x", 5000) + "\r\n\r\nbody\r\n", "552 5.3.4"},
		{strings.Repeat("a: b\r\n", 5000), "552 5.3.4"},
	} {
		if got := give(t, in, "203.0.113.9", c.text).Line(); !strings.HasPrefix(got, c.want) {
			t.Errorf("%.40q: answered %q, want %s", c.text, got, c.want)
		}
	}
	if texts, _ := stored(t, store); len(texts) != 0 {
		t.Errorf("stored: %q", texts)
	}
	if got := give(t, in, "203.0.113.9", strings.Repeat("Received: from a by b\r\n", 20)+"\r\nbody\r\n"); got.Code != 250 {
		t.Errorf("as many hosts as are allowed: %s", got.Line())
	}
}

func TestSubmittedTextIsMadeFitForTheWire(t *testing.T) {
	r := rules()
	r.MaxSize = 1000
	in, store := open(t, r, Watch{})
	env := mail.Envelope{From: address(t, "ann@author.test"), To: []mail.Recipient{{Address: address(t, "bob@example.com")}}}
	m, err := in.Submit(t.Context(), env, "ann", strings.NewReader("Subject: x\n\none\rtwo\r\nthr\x00ee\n.\nend\r"))
	if err != nil {
		t.Fatal(err)
	}
	texts, _ := stored(t, store)
	if len(texts) != 1 || !strings.HasSuffix(texts[0], "Subject: x\r\n\r\none\r\ntwo\r\nthree\r\n.\r\nend\r\n") {
		t.Errorf("stored: %q", texts)
	}
	for _, want := range []string{"Message-ID: <" + m.ID.String() + "@mx.example.com>\r\n", "\r\nDate: "} {
		if !strings.Contains(texts[0], want) {
			t.Errorf("%q lacks %q", texts[0], want)
		}
	}
	_, err = in.Submit(t.Context(), env, "ann", strings.NewReader("Subject: x\n\n"+strings.Repeat("x\n", 1000)))
	var refused interface{ Refused() mail.Reply }
	if !errors.As(err, &refused) || refused.Refused().Code != 552 {
		t.Errorf("too large a message: %v", err)
	}
	if texts, _ := stored(t, store); len(texts) != 1 {
		t.Errorf("stored: %q", texts)
	}
}

func TestAReloadGovernsTheNextCommand(t *testing.T) {
	in, _ := open(t, rules(), Watch{})
	s, _ := in.Greet(t.Context(), smtpd.Client{Addr: netip.MustParseAddrPort("203.0.113.9:1")})
	to := mail.Recipient{Address: address(t, "bob@example.com")}
	if r := s.Rcpt(t.Context(), &mail.Envelope{}, to); r.Code != 0 {
		t.Fatal(r.Line())
	}
	next := rules()
	next.Domains = nil
	in.Reload(next)
	if r := s.Rcpt(t.Context(), &mail.Envelope{}, to); r.Code != 550 {
		t.Errorf("after the reload: %q", r.Line())
	}
}

func TestAFaultOfOursIsNeverPermanent(t *testing.T) {
	for err, want := range map[error]string{
		spool.ErrFull: "452 4.3.1", spool.ErrBroken: "451 4.3.0", context.Canceled: "451 4.3.0",
	} {
		if got := storeReply(err).Line(); !strings.HasPrefix(got, want) {
			t.Errorf("%v is answered %q", err, got)
		}
	}
}

func FuzzLineEnds(f *testing.F) {
	for _, s := range []string{"a\nb", "a\r\nb\r", "\r\r\n", "\x00\r\x00\n", "\n.\n"} {
		f.Add(s, 1)
	}
	f.Fuzz(func(t *testing.T, s string, cut int) {
		var whole, parts strings.Builder
		w := &lineEnds{w: &whole}
		io.WriteString(w, s)
		w.close()
		cut = min(max(cut, 0), len(s))
		w = &lineEnds{w: &parts}
		io.WriteString(w, s[:cut])
		io.WriteString(w, s[cut:])
		w.close()
		got := whole.String()
		if got != parts.String() {
			t.Errorf("%q whole, %q in parts", got, parts.String())
		}
		if rest := strings.ReplaceAll(got, "\r\n", ""); strings.ContainsAny(rest, "\r\n\x00") {
			t.Errorf("%q becomes %q", s, got)
		}
	})
}
