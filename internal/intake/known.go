package intake

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/postrider/postrider/mail"
)

// Names says which recipients there are in some domains.
type Names struct {
	Domain string
	List   map[string]bool // local parts in lower case, or whole addresses; nil: the next hop is asked
	Ask    string          // next hop, as in a route; "route": the one that the routes name
	Keep   time.Duration   // how long its yes helps out while it says nothing of the recipient
	Lose   time.Duration   // how long its no is believed
	Rule   string
}

// Asker asks a next hop whether it takes mail for an address: its reply to RCPT, or
// an error if it could not be asked.
type Asker func(ctx context.Context, hop string, to mail.Address) (mail.Reply, error)

// asker bounds how many questions are asked at a time.
type asker struct {
	next Asker
	room chan struct{}
}

const asksAtOnce = 20

func (a *asker) ask(ctx context.Context, hop string, to mail.Address) (mail.Reply, error) {
	select {
	case a.room <- struct{}{}:
		defer func() { <-a.room }()
		return a.next(ctx, hop, to)
	case <-ctx.Done():
		return mail.Reply{}, fmt.Errorf("intake: ask about %s: %w", mail.Clean(to.Path(), 300), ctx.Err())
	}
}

// knowledge is what is known of a recipient.
type knowledge uint8

const (
	there knowledge = iota // or nobody says that it is not
	missing
	unsure // the next hop is to be asked
)

// fresh is how long a yes of the next hop is believed without asking again.
const freshYes = time.Hour

// known looks for a recipient in what is at hand.
func (s *session) known(to mail.Address, domain string) (knowledge, mail.Reply) {
	n := s.rules.namesOf(domain)
	switch {
	case n == nil, strings.EqualFold(to.Local, "postmaster"): // RFC 5321 4.5.1
		return there, mail.Reply{}
	case n.List != nil:
		if n.has(to, domain) {
			return there, mail.Reply{}
		}
		return missing, unknownName(to)
	}
	now := time.Now()
	if m := s.in.memory; m != nil {
		if a, ok := m.names.Find(to.Key().String(), now); ok && a.Fresh(now) {
			if a.Value {
				return there, mail.Reply{}
			}
			return missing, unknownName(to)
		}
	}
	return unsure, mail.Reply{}
}

// has reports whether the list has a recipient. What stands behind a "+" is for the
// owner alone.
func (n *Names) has(to mail.Address, domain string) bool {
	name := strings.ToLower(plain(to.Local))
	base, _, _ := strings.Cut(name, "+")
	for _, l := range []string{name, base} {
		if n.List[l] || n.List[l+"@"+domain] {
			return true
		}
	}
	return false
}

// routed reports whether a local part could be read as a way to somewhere else, by a
// host behind us: user%there.test, there.test!user, "user@there.test" (RFC 2505 2.1).
// One that is on a list is a name.
func (r *Rules) routed(to mail.Address, domain string) bool {
	if !strings.ContainsAny(to.Local, "%!@") {
		return false
	}
	n := r.namesOf(domain)
	return n == nil || !n.has(to, domain)
}

// plain returns a local part without quotes that it does not need (RFC 5321 4.1.2).
func plain(local string) string {
	if n := len(local); n > 2 && local[0] == '"' && local[n-1] == '"' && !strings.ContainsAny(local[1:n-1], "\\\"@") {
		return local[1 : n-1]
	}
	return local
}

func (r *Rules) namesOf(domain string) *Names {
	for i := range r.Door.Names {
		if covers(r.Door.Names[i].Domain, domain) {
			return &r.Door.Names[i]
		}
	}
	return nil
}

// covers reports whether a domain is meant by "example.com" or "*.example.com".
func covers(pattern, domain string) bool {
	below, star := strings.CutPrefix(pattern, "*")
	return pattern == domain || star && strings.HasSuffix(domain, below)
}

// askNextHop asks whether there is such a recipient, and returns how he is refused, if
// he is, and for what that the client is not told. Believed later is a no that is about
// the address; what the next hop says of the mailbox holds for this message. While it is
// away, or refuses for other reasons, which are ours or its own to mend, what it said
// before counts; whom it was never asked about must come again.
func (s *session) askNextHop(ctx context.Context, to mail.Address) (no mail.Reply, why string) {
	domain, _ := mail.CanonicalDomain(to.Domain)
	n := s.rules.namesOf(domain)
	if n == nil || s.in.asks.next == nil {
		return mail.Reply{}, ""
	}
	ctx, cancel := context.WithTimeout(ctx, s.rules.Door.Lookups)
	defer cancel()
	r, err := s.in.asks.ask(ctx, n.Ask, to)
	now, key := time.Now(), to.Key().String()
	switch {
	case err != nil:
		why = err.Error()
	case r.Success():
		s.remember(key, true, freshYes, n.Keep, now)
		return mail.Reply{}, ""
	case ofAddress(r):
		s.remember(key, false, n.Lose, 0, now)
		return unknownName(to), hopSays(r)
	case ofMailbox(r):
		words := mail.Clean(strings.ReplaceAll(r.Text, "\n", " / "), maxHopWords)
		return mail.Reply{Code: r.Code, Status: mail.Status{5, 2, r.Status[2]}, Text: "the next hop says: " + words}, hopSays(r)
	default:
		why = hopSays(r)
	}
	if m := s.in.memory; m != nil {
		if a, ok := m.names.Find(key, now); ok && a.Value {
			return mail.Reply{}, "" // stale, and better than nothing
		}
	}
	return mail.Reply{Code: 450, Status: mail.Status{4, 1, 1}, Text: fmt.Sprintf("<%s>: whether there is such a recipient cannot be found out now, come again", to)}, mail.Clean(why, 500)
}

// maxHopWords is how much of the next hop's words is told: with ours in front, and a
// reference and whom to ask behind them, they fit on a line (RFC 5321 4.5.3.1.5).
const maxHopWords = 300

func hopSays(r mail.Reply) string { return "the next hop says: " + mail.Clean(r.Line(), 500) }

// ofAddress reports whether an answer to RCPT says that there is no such recipient: by
// its subject (RFC 3463 3.2), or where it names none by its code (RFC 5321 4.2.3).
func ofAddress(r mail.Reply) bool {
	switch st := r.Status; {
	case !r.Permanent():
		return false
	case st[1] == 0:
		return r.Code == 550 || r.Code == 551 || r.Code == 553
	case st == mail.Status{5, 4, 1}: // Exchange Online: "Recipient address rejected: Access denied. AS(201806281)"
		return strings.HasPrefix(r.Text, "Recipient address rejected")
	default:
		return st[1] == 1 && st[2] != 7 && st[2] != 8 // those are about the sender
	}
}

// ofMailbox reports whether an answer to RCPT refuses for what the recipient's mailbox is
// like now: full, or closed for a while (RFC 3463 3.3).
func ofMailbox(r mail.Reply) bool {
	return r.Permanent() && (r.Status[1] == 2 || r.Status[1] == 0 && r.Code == 552)
}

func (s *session) remember(key string, is bool, fresh, stale time.Duration, now time.Time) {
	if m := s.in.memory; m != nil {
		if err := m.names.Put(key, s.facts.Client, is, fresh, stale, now); err != nil {
			s.in.log.Error("remembering a recipient", "err", err)
		}
	}
}

// ReadNames reads a list of recipients: one local part or address a line, # begins a
// comment. An error names the line.
func ReadNames(r io.Reader) (map[string]bool, error) {
	all := map[string]bool{}
	sc := bufio.NewScanner(r)
	for n := 1; sc.Scan(); n++ {
		line, _, _ := strings.Cut(sc.Text(), "#")
		if line = strings.ToLower(strings.TrimSpace(line)); line == "" {
			continue
		}
		full := line
		if !strings.Contains(line, "@") {
			full += "@localhost"
		}
		a, err := mail.ParseAddress(full)
		if err != nil {
			return nil, fmt.Errorf("line %d: %q is no local part and no address", n, mail.Clean(line, 100))
		}
		if full == line {
			line = a.Key().String()
		}
		all[line] = true
	}
	return all, sc.Err()
}
