package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/config"
	"github.com/postrider/postrider/internal/dns"
	"github.com/postrider/postrider/internal/memnet"
	"github.com/postrider/postrider/internal/queue"
	"github.com/postrider/postrider/internal/smtpd"
	"github.com/postrider/postrider/internal/spool"
	"github.com/postrider/postrider/internal/spool/memory"
	"github.com/postrider/postrider/internal/spool/spooltest"
	"github.com/postrider/postrider/policy"
)

// doorway is one server in virtual time, with a memory that outlives it, whose
// mailboxes are at a next hop, and the hosts that come to it.
type doorway struct {
	t    *testing.T
	net  *memnet.Network
	zone *dns.Zone
	node *node
	box  *mailbox
	log  *syncedLog
	memo string
	conf string
	stop context.CancelFunc
	wait sync.WaitGroup
}

const (
	doorAt  = "192.0.2.1:25"
	doorBox = "192.0.2.2:25"
)

// newDoorway starts the server with more lines of configuration.
func newDoorway(t *testing.T, more string) *doorway {
	t.Helper()
	d := &doorway{t: t, net: memnet.New(), zone: &dns.Zone{}, box: &mailbox{letters: make(chan string, 1000)}, log: &syncedLog{}, memo: t.TempDir(), conf: more}
	l, err := d.net.Listen(doorBox)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var wait sync.WaitGroup
	wait.Go(func() { smtpd.New(smtpd.Options{Hostname: "box.example.com"}, d.box).Serve(ctx, l) })
	t.Cleanup(func() { stop(); wait.Wait() })
	d.start()
	t.Cleanup(d.end)
	return d
}

func (d *doorway) start() {
	d.t.Helper()
	conf, err := config.Parse("postrider.toml", d.text())
	if err != nil {
		d.t.Fatal(err)
	}
	d.node, err = open(conf, world{
		listen: func(network, address string) (net.Listener, error) {
			if network == "unix" {
				address = "unix:" + address
			}
			return d.net.Listen(address)
		},
		dial: func(ctx context.Context, network, address string, _ net.Addr) (net.Conn, error) {
			return d.net.DialFrom(ctx, netip.MustParseAddrPort(doorAt).Addr(), network, address)
		},
		resolver: d.zone,
		store:    memory.New(64),
		memo:     d.memo,
	}, slog.New(slog.NewTextHandler(d.log, nil)))
	if err != nil {
		d.t.Fatal(err)
	}
	var ctx context.Context
	ctx, d.stop = context.WithCancel(context.Background())
	d.wait.Go(func() {
		if err := d.node.serve(ctx, func() {}); err != nil {
			d.t.Error(err)
		}
	})
}

// text is the configuration.
func (d *doorway) text() []byte {
	return fmt.Appendf(nil, `
hostname = "mx.example.com"
data = "/data"
postmaster = "admin@example.com"
[[listen]]
kind = "smtp"
address = %q
[relay]
domains = ["example.com"]
[[route]]
domain = "*"
to = ["smtp:%s"]
%s`, doorAt, doorBox, d.conf)
}

// reload puts the configuration in force.
func (d *doorway) reload() {
	d.t.Helper()
	file := filepath.Join(d.t.TempDir(), "postrider.toml")
	if err := os.WriteFile(file, d.text(), 0o644); err != nil {
		d.t.Fatal(err)
	}
	d.node.reload(d.t.Context(), file)
	if log := d.log.String(); strings.Contains(log, "level=ERROR") {
		d.t.Fatal(log)
	}
}

func (d *doorway) end() {
	d.stop()
	d.wait.Wait()
}

// mail sends a message as a client of that address does, and returns the first reply
// that is none of success, else the last.
func (d *doorway) mail(client, from, to string) string {
	d.t.Helper()
	return d.mailAt(doorAt, client, from, to)
}

func (d *doorway) mailAt(door, client, from, to string) string {
	d.t.Helper()
	c, err := d.net.DialFrom(d.t.Context(), netip.MustParseAddr(client), "tcp", door)
	if err != nil {
		d.t.Fatal(err)
	}
	defer c.Close()
	text := textproto.NewConn(c)
	said := func() (string, bool) {
		code, words, err := text.ReadResponse(0)
		if err != nil && code == 0 {
			d.t.Fatal(err)
		}
		return fmt.Sprint(code, " ", words), code < 400
	}
	reply, ok := said()
	for _, line := range []string{"EHLO mail.there.test", "MAIL FROM:<" + from + ">", "RCPT TO:<" + to + ">", "DATA", "From: " + from + "\r\nSubject: x\r\n\r\ntext\r\n."} {
		if !ok {
			break
		}
		text.PrintfLine("%s", line)
		reply, ok = said()
	}
	return reply
}

// expect mails and wants a reply that begins so.
func (d *doorway) expect(reply, client, from, to string) {
	d.t.Helper()
	if got := d.mail(client, from, to); !strings.HasPrefix(got, reply) {
		d.t.Errorf("after %s, %s from %s to %s is answered %q, want %s", time.Since(epoch), client, from, to, got, reply)
	}
}

// epoch is when virtual time begins.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// arrived takes the letters that came to the mailboxes so far.
func (d *doorway) arrived() (all []string) {
	synctest.Wait()
	for {
		select {
		case l := <-d.box.letters:
			all = append(all, l)
		default:
			return all
		}
	}
}

type syncedLog struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *syncedLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *syncedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// TestAnOverrideEndsByItself: a host is refused for its missing name, let in for 30
// days, over a restart too, and refused again from the very end on. The postmaster
// is told three days before, once.
func TestAnOverrideEndsByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoorway(t, "")
		d.zone.Add("there.test", "MX 10 mail.there.test.", `TXT "v=spf1 ip4:203.0.113.9 -all"`)
		d.zone.Add("mail.there.test", "A 203.0.113.9")
		const client, from, to = "203.0.113.9", "ann@there.test", "bob@example.com"
		d.expect("550 5.7.25 no-reverse-name: ", client, from, to)

		now := time.Now()
		made, err := d.node.intake.Allow(policy.Override{
			Rule: "no-reverse-name", Client: netip.MustParsePrefix(client + "/32"), Because: "they promised a PTR record", By: "ann", Until: now.Add(30 * 24 * time.Hour),
		}, now)
		if err != nil {
			t.Fatal(err)
		}
		d.expect("250 ", client, from, to)
		d.expect("550 5.7.25 ", "203.0.113.10", from, to)
		if got := d.arrived(); len(got) != 1 || !strings.Contains(got[0], "Postrider-Let-In: rule=no-reverse-name; override="+made.ID) {
			t.Errorf("arrived: %q", got)
		}

		time.Sleep(10 * 24 * time.Hour)
		d.end()
		d.start()
		time.Sleep(17*24*time.Hour - time.Minute)
		if got := d.arrived(); len(got) != 0 {
			t.Errorf("too early: %q", got)
		}
		time.Sleep(time.Hour + time.Minute)
		letters := d.arrived()
		if len(letters) != 1 {
			t.Fatalf("%d letters three days before the end: %q", len(letters), letters)
		}
		until := made.Until.UTC().Format("2006-01-02 15:04 UTC")
		for _, words := range []string{
			"\nTo: admin@example.com\n", "\nSubject: An override ends soon: 203.0.113.9\n", "\nAuto-Submitted: auto-generated\n",
			"Override " + made.ID + " lets 203.0.113.9 past rule no-reverse-name until " + until, "It was made by ann, because: they promised a PTR record",
		} {
			if !strings.Contains(letters[0], words) {
				t.Errorf("the letter lacks %q:\n%s", words, letters[0])
			}
		}
		if log := d.log.String(); strings.Count(log, "an override ends soon") != 1 {
			t.Errorf("the log:\n%s", log)
		}
		d.end() // and is not told again after a restart
		d.start()

		time.Sleep(time.Until(made.Until) - time.Second)
		d.expect("250 ", client, from, to)
		time.Sleep(time.Second)
		d.expect("550 5.7.25 no-reverse-name: ", client, from, to)
		if got := d.arrived(); len(got) != 1 || strings.Contains(got[0], "An override ends") {
			t.Errorf("arrived: %q", got)
		}
		if all := d.node.intake.Allowed(time.Now()); len(all) != 1 || !all[0].Ended {
			t.Errorf("listed: %+v", all)
		}
	})
}

// TestGreylistingLetsInForAsLongAsMailComes: who came again is not asked to for as
// long as its mail goes on coming, even if its name does not lead back to it, so that
// it can never be proven.
func TestGreylistingLetsInForAsLongAsMailComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoorway(t, "")
		d.zone.Add("there.test", "MX 10 mail.there.test.")
		d.zone.Add("mail.there.test", "A 203.0.113.99")
		d.zone.Add("203.0.113.9", "PTR mail.there.test.")
		const client, from, to = "203.0.113.9", "ann@there.test", "bob@example.com"
		d.expect("451 4.7.1 greylist: we do not know this sender at 203.0.113.9 yet; your server need only try again in 300 seconds or later", client, from, to)
		time.Sleep(4 * time.Minute)
		d.expect("451 4.7.1 greylist: we do not know this sender at 203.0.113.9 yet; your server need only try again in 60 seconds", client, from, to)
		time.Sleep(time.Minute)
		d.expect("250 ", client, from, to)
		for range 60 {
			time.Sleep(24 * time.Hour)
			d.expect("250 ", client, from, to)
		}
		d.expect("451 ", client, from, "ben@example.com")

		time.Sleep(37 * 24 * time.Hour) // more than memory
		d.expect("451 ", client, from, to)
	})
}

// TestTheLongestDelayOfGreylistingLetsIn: who comes again within a day of his first
// visit, and no sooner than he was told.
func TestTheLongestDelayOfGreylistingLetsIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoorway(t, "[[rule]]\nname = \"slow\"\nthen = \"greylist\"\ndelay = \"12h\"\n")
		const from, to = "ann@there.test", "bob@example.com"
		for after, client := range map[time.Duration]string{12 * time.Hour: "203.0.113.9", 24*time.Hour - time.Second: "198.51.100.9"} {
			d.expect("451 4.7.1 slow: ", client, from, to)
			time.Sleep(12*time.Hour - time.Minute)
			d.expect("451 4.7.1 slow: ", client, from, to)
			time.Sleep(after - 12*time.Hour + time.Minute)
			d.expect("250 ", client, from, to)
		}
	})
}

// TestABackDoorIsOpenWhileAFilterHandsBackThere: past all rules, relay control too,
// and no longer than the configuration in force says so.
func TestABackDoorIsOpenWhileAFilterHandsBackThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const back, client, from, to = "192.0.2.1:10026", "203.0.113.9", "ann@there.test", "bob@elsewhere.test"
		filter := func(to, back string) string {
			return fmt.Sprintf("[[filter]]\nname = \"content\"\nkind = \"smtp\"\nto = \"smtp:%s\"\nback = %q\n", to, back)
		}
		d := newDoorway(t, filter(doorBox, back))
		expect := func(reply, why string) {
			t.Helper()
			if got := d.mailAt(back, client, from, to); !strings.HasPrefix(got, reply) {
				t.Errorf("%s: %q, want %s", why, got, reply)
			}
		}
		expect("250 ", "a filter hands back")
		d.conf = filter("192.0.2.3:10025", "192.0.2.1:10027")
		d.reload()
		expect("250 ", "a filter that is to hand back elsewhere after a restart")
		if !strings.Contains(d.log.String(), "filter.back") {
			t.Errorf("the log does not say that it waits:\n%s", d.log)
		}
		if r, err := d.node.rules(d.node.settings.conf.Load()); err != nil || len(r.Door.Through) != 1 || r.Door.Through[0].To != "smtp:"+doorBox {
			t.Errorf("mail passes it by meanwhile, or it is asked elsewhere: %+v, %v", r.Door.Through, err)
		}
		d.conf = fmt.Sprintf("[[listen]]\nname = \"content\"\nkind = \"smtp\"\naddress = %q\n", back)
		d.reload()
		expect("550 5.7.1 <bob@elsewhere.test>: relaying denied", "a listener with the name that the filter had")
		d.conf = ""
		d.reload()
		expect("550 5.7.1 <bob@elsewhere.test>: relaying denied", "the configuration has it no more")
	})
}

// TestAContentFilterGetsNoMailBeforeItsDoorIsOpen, which takes a restart: it could not
// hand back what it has seen.
func TestAContentFilterGetsNoMailBeforeItsDoorIsOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const anybody = "[[rule]]\nname = \"anybody\"\nthen = \"accept\"\n"
		d := newDoorway(t, anybody)
		d.conf = anybody + "[[filter]]\nname = \"content\"\nkind = \"smtp\"\nto = \"smtp:192.0.2.3:25\"\nback = \"192.0.2.1:10026\"\n"
		d.reload()
		if log := d.log.String(); !strings.Contains(log, "filter.back") {
			t.Errorf("the log names no filter that waits for a restart:\n%s", log)
		}
		d.expect("250 ", "203.0.113.9", "ann@there.test", "bob@example.com")
		if n := len(d.arrived()); n != 1 {
			t.Errorf("%d letters arrive past a filter that cannot hand back", n)
		}
		d.end()
		d.start()
		d.expect("250 ", "203.0.113.9", "ann@there.test", "bob@example.com")
		if n := len(d.arrived()); n != 0 {
			t.Errorf("%d letters arrive that the filter has not seen", n)
		}
	})
}

// TestRecipientsAreKnownWhileThePrimaryIsAway: those whom the next hop knew are taken
// for as long as is kept, over a restart too; others must come again.
func TestRecipientsAreKnownWhileThePrimaryIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoorway(t, `
[[rule]]
name = "anybody"
then = "accept"
[[recipients]]
domain = "example.com"
ask = "route"
keep = "7d"
`)
		const client, from, bob, carl = "203.0.113.9", "ann@there.test", "bob@example.com", "carl@example.com"
		d.expect("250 ", client, from, bob)
		d.net.Set(doorBox, memnet.Fault{Dial: memnet.Refused})
		time.Sleep(3 * time.Hour)
		d.expect("250 ", client, from, bob)
		d.expect("450 4.1.1 <carl@example.com>: whether there is such a recipient cannot be found out now, come again", client, from, carl)
		d.end()
		d.start()
		time.Sleep(6 * 24 * time.Hour)
		d.expect("250 ", client, from, bob)
		time.Sleep(24 * time.Hour)
		d.expect("450 4.1.1 <bob@example.com>", client, from, bob)
		d.net.Set(doorBox, memnet.Fault{})
		time.Sleep(time.Hour)
		d.expect("250 ", client, from, bob)
		d.expect("250 ", client, from, carl)
	})
}

// TestNoRefusedWordTurnsALine: what a stranger called itself reads on a terminal as it
// came (CVE-2021-42574).
func TestNoRefusedWordTurnsALine(t *testing.T) {
	r := policy.Record{Ref: "A1", Client: "192.0.2.1", Name: "a\u202egnp.exe", From: "<ann\u2066@a.example>", To: []string{"<bob\u2028@b.example>"}, Place: "p:1", Why: "it said \u202e"}
	var b strings.Builder
	if err := errors.Join(writeRecord(&b, r), writeGroup(&b, policy.Group{Client: r.Client, Latest: r, Honest: []string{"its name is \u202ex"}})); err != nil {
		t.Fatal(err)
	}
	if s := b.String(); strings.ContainsAny(s, "\u202e\u2066\u2028") || !strings.Contains(s, "ann?@a.example") {
		t.Errorf("%q", s)
	}
}

// What leaves while a host asks for its mail, or cannot be started, holds up no other.
func TestAHostGetsAllThatCanBeStarted(t *testing.T) {
	store := memory.New(0)
	defer store.Close()
	for i := range 5 {
		m, ds := spooltest.Message(i, []string{"there.test", "sub.there.test"}[i%2])
		draft, err := store.Begin(t.Context(), 0)
		if err == nil {
			err = draft.Commit(t.Context(), m, ds)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name    string
		answers []error
		want    int
		err     error
	}{
		{"all wait", []error{nil, nil, nil}, 3, nil},
		{"the first leaves", []error{queue.ErrGone, nil, nil}, 2, nil},
		{"the disk is full for one", []error{nil, spool.ErrFull, nil}, 2, spool.ErrFull},
	} {
		asked := 0
		n, err := startDomain(t.Context(), store, func(context.Context, custody.DeliveryID, []int, custody.Ordered) error {
			asked++
			return c.answers[asked-1]
		}, "there.test", false)
		if n != c.want || asked != 3 || !errors.Is(err, c.err) {
			t.Errorf("%s: %d of %d were started, %v", c.name, n, asked, err)
		}
	}
}
