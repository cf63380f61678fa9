package intake

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/internal/dns"
	"github.com/postrider/postrider/mail"
	"github.com/postrider/postrider/policy"
)

// TestOnlyWhatIsSaidOfAnAddressIsANo: a mailbox that is full is told in the next hop's
// words and forgotten; what the next hop has against us is no word about a recipient.
func TestOnlyWhatIsSaidOfAnAddressIsANo(t *testing.T) {
	const no, later, taken = "550 5.1.1 <", "450 4.1.1 <", "0 "
	for _, c := range []struct{ says, new, known, mended string }{
		{"550 5.1.1 no such user", no, no, no},
		{"554 5.1.1 no such user", no, no, no},
		{"550 5.1.10 RESOLVER.ADR.RecipientNotFound", no, no, no},
		{"550 User unknown", no, no, no},
		{"550 5.0.0 User unknown", no, no, no},
		{"553 no mailbox here by that name", no, no, no},
		{"550 5.4.1 Recipient address rejected: Access denied. AS(201806281)", no, no, no},
		{"552 5.2.2 mailbox full", "552 5.2.2 the next hop says: mailbox full (ref ", "552 5.2.2 ", taken},
		{"552 over quota", "552 5.2.0 the next hop says: over quota (ref ", "552 5.2.0 ", taken},
		{"550 4.2.1 disabled " + strings.Repeat("a", 500), "550 5.2.1 the next hop says: disabled aaa", "550 5.2.1 ", taken},
		{"554 5.7.1 <mx.example.com[192.0.2.9]>: Client host rejected: Access denied", later, taken, taken},
		{"550 5.7.1 Unable to relay", later, taken, taken},
		{"550 5.4.1 All recipient addresses rejected : Access denied", later, taken, taken},
		{"550 5.1.8 sender's domain does not exist", later, taken, taken},
		{"554 Go away", later, taken, taken},
		{"552 5.3.4 too large", later, taken, taken},
		{"452 4.2.2 mailbox full", later, taken, taken},
	} {
		t.Run(c.says[:9], func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				in, _ := guarded(t, &dns.Zone{}, nil)
				var records []policy.Record
				in.watch.Refused = func(r policy.Record) { records = append(records, r) }
				says := "250 ok"
				in.asks.next = func(context.Context, string, mail.Address) (mail.Reply, error) {
					return mail.ParseReply([]string{says})
				}
				r := *in.rules.Load()
				r.Door.Help = strings.Repeat("h", policy.MaxHelp)
				r.Door.Names = []Names{{Domain: "example.com", Ask: "route", Keep: 7 * 24 * time.Hour, Lose: 2 * time.Hour}}
				in.Reload(r)
				v := come(t, in, stranger)
				v.mail("ann@author.test")
				expect := func(to, want string) {
					t.Helper()
					got := v.rcpt(to)
					if wire := got.AppendWire(nil); !strings.HasPrefix(string(wire), want) || len(wire) > 512 {
						t.Errorf("%s: %s hears %q, want %q", says, to, wire, want)
					}
				}
				expect("known@example.com", taken)
				time.Sleep(2 * freshYes)
				says = c.says
				expect("new@example.com", c.new)
				expect("known@example.com", c.known)
				for _, r := range records {
					if r.Rule != "recipient" || r.Ref == "" || !strings.HasPrefix("the next hop says: "+c.says, r.Why) || r.Why == "" {
						t.Errorf("%s: recorded %+v", c.says, r)
					}
				}
				says = "250 ok"
				expect("new@example.com", c.mended)
				time.Sleep(2*time.Hour + time.Second)
				expect("new@example.com", taken)
			})
		})
	}
}
