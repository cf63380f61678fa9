package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/postrider/postrider/internal/config"
	"github.com/postrider/postrider/internal/smtpd"
	"github.com/postrider/postrider/internal/watch"
	"github.com/postrider/postrider/mail"
)

type demoCmd struct{}

// A day of the story lasts as long; its hours are fractions of a second.
const demoDay = 6 * time.Second

// Run tells the founding story: the same chain, two troubles, two bounces.
func (demoCmd) Run(s streams) error {
	fmt.Fprint(s.out, `An author's server sends by a filter to the world. Each of the three is this
program, speaking SMTP on loopback; a day lasts 6 seconds.

  author's server: warns after 4 hours, gives up after 2 days
  filter:          never warns, gives up after 6 days
  destination:     where nothing arrives today
`)
	for _, act := range []struct {
		title, trouble string
		defers         bool
	}{
		{"Act 1: the destination refuses connections", "The filter takes the message: from then on its clock runs, and its alone.", false},
		{"Act 2: the filter defers this one domain", "The author's server never gets its 250: its own clock runs.", true},
	} {
		fmt.Fprintf(s.out, "\n%s\n%s\n\n", act.title, act.trouble)
		letter, err := play(s.out, act.defers)
		if err != nil {
			return err
		}
		fmt.Fprintf(s.out, "\nWhat the author gets in the end:\n\n")
		for line := range strings.SplitSeq(strings.TrimRight(letter, "\n"), "\n") {
			fmt.Fprintf(s.out, "  | %s\n", line)
		}
	}
	fmt.Fprint(s.out, `
Same chain, two owners, two clocks: whoever answered 250 had custody, and gave up
when its own limit was reached. The side that sends decides when, the side that
receives whether.
`)
	return nil
}

// play runs one act and returns the text of the last letter to the author.
func play(out io.Writer, defers bool) (string, error) {
	dir, err := os.MkdirTemp("", "postrider-demo-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	ctx, stop := context.WithTimeout(context.Background(), 2*time.Minute)
	defer stop()
	var wait sync.WaitGroup
	defer wait.Wait()
	defer stop()

	began := time.Now()
	tell := func(who string) *slog.Logger {
		return slog.New(&teller{w: out, began: began, who: who})
	}
	box := &mailbox{letters: make(chan string, 8)}
	boxes, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	wait.Go(func() { smtpd.New(smtpd.Options{Hostname: "author.test", LMTP: true}, box).Serve(ctx, boxes) })

	nowhere, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	destination := nowhere.Addr().String()
	nowhere.Close()

	filter, err := demoNode(dir, "filter.test", "6d", "", destination, boxes.Addr().String(), tell("filter"))
	if err != nil {
		return "", err
	}
	if defers {
		filter.host = deferring{filter.intake}
	}
	author, err := demoNode(dir, "mx.author.test", "2d", "4h", filter.listeners[0].Addr().String(), boxes.Addr().String(), tell("author's server"))
	if err != nil {
		filter.close()
		return "", err
	}
	for _, n := range []*node{filter, author} {
		wait.Go(func() {
			if err := n.serve(ctx, func() {}); err != nil {
				fmt.Fprintln(out, err)
			}
		})
	}
	if err := post(author.listeners[0].Addr().String()); err != nil {
		return "", err
	}
	for {
		select {
		case l := <-box.letters:
			if strings.Contains(l, "Action: failed") {
				text, _, _ := strings.Cut(l, "\nReporting-MTA:")
				return human(text), nil
			}
		case <-ctx.Done():
			return "", fmt.Errorf("the demo did not come to its end: %w", context.Cause(ctx))
		}
	}
}

// demoNode opens a node that sends what is not the author's to next.
func demoNode(dir, name, expire, warn, next, boxes string, log *slog.Logger) (*node, error) {
	scale := func(age string) string {
		if age == "" {
			return ""
		}
		d := map[string]time.Duration{"6d": 6 * demoDay, "2d": 2 * demoDay, "4h": demoDay / 6}[age]
		return fmt.Sprintf("%q", fmt.Sprintf("%.3fs", d.Seconds()))
	}
	text := fmt.Sprintf(`
hostname = %q
data = %q
[[listen]]
kind = "smtp"
address = "127.0.0.1:0"
[relay]
clients = ["127.0.0.0/8"]
[[route]]
domain = "author.test"
to = ["lmtp:%s"]
[[route]]
domain = "*"
to = ["smtp:%s"]
[schedule.default]
retry = ["1s", "2s"]
warn = [%s]
expire = %s
`, name, filepath.Join(dir, name), boxes, next, scale(warn), scale(expire))
	conf, err := config.Parse("demo.toml", []byte(text))
	if err != nil {
		return nil, err
	}
	return open(conf, world{}, log)
}

// post is the author's mail program.
func post(address string) error {
	c, err := textproto.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, _, err := c.ReadResponse(220); err != nil {
		return err
	}
	for _, step := range []struct {
		say  string
		want int
	}{
		{"EHLO author.test", 250}, {"MAIL FROM:<ann@author.test>", 250}, {"RCPT TO:<bob@destination.test>", 250}, {"DATA", 354},
		{"From: Ann <ann@author.test>\r\nTo: Bob <bob@destination.test>\r\nSubject: Are you there?\r\n\r\nHello Bob,\r\nare you there?\r\n.", 250},
		{"QUIT", 221},
	} {
		if err := c.PrintfLine("%s", step.say); err != nil {
			return err
		}
		if _, _, err := c.ReadResponse(step.want); err != nil {
			return err
		}
	}
	return nil
}

// human is the part of a letter that is for people.
func human(letter string) string {
	if _, text, ok := strings.Cut(letter, "\n\n"); ok {
		letter = text
	}
	var b strings.Builder
	for line := range strings.SplitSeq(letter, "\n") {
		if strings.HasPrefix(line, "--") || strings.HasPrefix(line, "Content-") {
			continue
		}
		b.WriteString(line + "\n")
	}
	return strings.TrimSpace(b.String()) + "\n"
}

// deferring is the filter of the second act: it puts one domain off.
type deferring struct{ smtpd.Host }

func (h deferring) Greet(ctx context.Context, c smtpd.Client) (smtpd.Session, mail.Reply) {
	s, r := h.Host.Greet(ctx, c)
	if s == nil {
		return nil, r
	}
	return deferringSession{s}, r
}

type deferringSession struct{ smtpd.Session }

func (s deferringSession) Rcpt(ctx context.Context, env *mail.Envelope, to mail.Recipient) mail.Reply {
	if to.Address.Domain == "destination.test" {
		return mail.Reply{Code: 451, Status: mail.Status{4, 7, 1}, Text: "This domain is throttled here, come again later"}
	}
	return s.Session.Rcpt(ctx, env, to)
}

// mailbox is the author's: it keeps what arrives.
type mailbox struct{ letters chan string }

func (b *mailbox) Greet(context.Context, smtpd.Client) (smtpd.Session, mail.Reply) {
	return box{b}, mail.Reply{}
}

type box struct{ *mailbox }

func (box) Hello(context.Context, smtpd.Hello) mail.Reply                   { return mail.Reply{} }
func (box) Mail(context.Context, *mail.Envelope, int64) mail.Reply          { return mail.Reply{} }
func (box) Rcpt(context.Context, *mail.Envelope, mail.Recipient) mail.Reply { return mail.Reply{} }
func (box) Reset()                                                          {}
func (box) Close()                                                          {}
func (b box) Data(_ context.Context, t smtpd.Transfer) mail.Reply {
	text, err := io.ReadAll(t.Body)
	if err != nil {
		return mail.Reply{Code: 451, Text: "what was that?"}
	}
	b.letters <- strings.ReplaceAll(string(text), "\r\n", "\n")
	return mail.Reply{Code: 250, Status: mail.Status{2, 0, 0}, Text: "in the mailbox"}
}

// teller prints log lines as a story.
type teller struct {
	w     io.Writer
	began time.Time
	who   string
}

var tellerMu sync.Mutex // two servers tell one story

func (t *teller) Enabled(context.Context, slog.Level) bool { return true }
func (t *teller) WithAttrs([]slog.Attr) slog.Handler       { return t }
func (t *teller) WithGroup(string) slog.Handler            { return t }

func (t *teller) Handle(_ context.Context, r slog.Record) error {
	got := map[string]string{}
	r.Attrs(func(a slog.Attr) bool {
		got[a.Key] = a.Value.String()
		return true
	})
	if got["from"] == "<>" {
		return nil // the way of a bounce is another story
	}
	what := ""
	switch r.Message {
	case watch.Accepted:
		what = "takes the message: custody is here now"
	case watch.Relayed:
		what = "hands it on; " + got["host"] + " said " + got["reply"]
	case watch.Deferred, watch.Expired, watch.Bounced:
		what = got["reply"]
	case watch.Warned:
		what = "tells the author of the delay"
	case "refused":
		what = "answers " + got["reply"]
	default:
		what = got["err"]
	}
	age := r.Time.Sub(t.began)
	tellerMu.Lock()
	defer tellerMu.Unlock()
	_, err := fmt.Fprintf(t.w, "  day %3.1f  %-16s %-9s %s\n", age.Seconds()/demoDay.Seconds(), t.who, r.Message, what)
	return err
}
