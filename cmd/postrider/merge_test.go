package main

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/internal/smtpd"
	"github.com/postrider/postrider/mail"
)

// refusing knows nobody.
type refusing struct{ smtpd.Host }

func (h refusing) Greet(ctx context.Context, c smtpd.Client) (smtpd.Session, mail.Reply) {
	s, r := h.Host.Greet(ctx, c)
	return refusingSession{s}, r
}

type refusingSession struct{ smtpd.Session }

func (refusingSession) Rcpt(_ context.Context, _ *mail.Envelope, to mail.Recipient) mail.Reply {
	if strings.HasPrefix(to.Address.Domain, "late") {
		return mail.Reply{Code: 451, Status: mail.Status{4, 2, 1}, Text: "later"}
	}
	return mail.Reply{Code: 550, Status: mail.Status{5, 1, 1}, Text: "no such person"}
}

// A forged sender of a message to many domains must not be flooded: there are ten
// warnings at most beside the eleven letters, and none after ten letters.
func TestAMessageToManyDomainsBringsElevenLettersAtMost(t *testing.T) {
	for late, warnings := range map[int]int{0: 0, 1: 0, 9: 5, 14: 10} { // domains that are given up long after the others
		t.Run(fmt.Sprint(late), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newFounding(t, func(h smtpd.Host) smtpd.Host { return refusing{h} })
				defer c.end()
				env := mail.Envelope{From: mail.Address{Local: "ann", Domain: "author.test"}}
				for i := range 14 {
					domain := fmt.Sprintf("d%d.test", i)
					if i < late {
						domain = fmt.Sprintf("late%d.test", i)
					}
					env.To = append(env.To, mail.Recipient{Address: mail.Address{Local: "bob", Domain: domain}, Notify: mail.NotifyFailure | mail.NotifyDelay})
				}
				if _, err := c.author.intake.Submit(t.Context(), env, "ann", strings.NewReader("Subject: many\n\nHello\n")); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Hour)
				if n := len(c.letters.letters); late == 1 && n != 10 {
					t.Errorf("%d letters while a delivery is open, want 10", n)
				}
				time.Sleep(3 * 24 * time.Hour)
				if n := len(c.letters.letters); n != warnings+11 {
					t.Errorf("%d letters, want 11 and %d warnings", n, warnings)
				}
				told := map[string]int{}
				for len(c.letters.letters) > 0 {
					l := <-c.letters.letters
					if strings.Contains(l, "\nAction: delayed") {
						warnings--
						continue
					}
					for line := range strings.Lines(l) {
						if to, ok := strings.CutPrefix(line, "Final-Recipient: rfc822; "); ok {
							told[strings.TrimSpace(to)]++
						}
					}
				}
				if warnings != 0 {
					t.Errorf("%d warnings fewer than wanted", warnings)
				}
				for _, r := range env.To {
					if told[r.Address.String()] != 1 {
						t.Errorf("%s told of %d times", r.Address, told[r.Address.String()])
					}
				}
			})
		})
	}
}
