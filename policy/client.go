package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/postrider/postrider/mail"
)

// The conditions on who comes, by which door, and what it calls itself.

func clientIn(nets []netip.Prefix) condition {
	return condition{key: "client", since: Connect,
		test: func(f *Facts) (truth, Need) {
			ip := f.Client.Unmap()
			for _, n := range nets {
				if n.Contains(ip) {
					return yes, 0
				}
			}
			return no, 0
		},
		say: func(f *Facts) string { return "the client is " + client(f) },
	}
}

// client names the client for people.
func client(f *Facts) string {
	if !f.Client.IsValid() {
		return "a Unix socket"
	}
	return f.Client.Unmap().String()
}

func listener(names []string) condition {
	return condition{key: "listener", since: Connect,
		test: func(f *Facts) (truth, Need) { return is(slices.Contains(names, f.Listener)) },
		say:  func(f *Facts) string { return "it came by listener " + shown(f.Listener) },
	}
}

// The words of client_name.
const (
	nameNone        = "none"
	nameUnconfirmed = "unconfirmed"
	nameConfirmed   = "confirmed"
)

// nameState is which of these words holds.
func (n Name) state() string {
	switch {
	case n.Name == "":
		return nameNone
	case n.Confirmed:
		return nameConfirmed
	}
	return nameUnconfirmed
}

func clientName(words []string, names []pattern) condition {
	holds := func(n Name) bool {
		if slices.Contains(words, n.state()) {
			return true
		}
		name := canonical(n.Name)
		return n.Confirmed && slices.ContainsFunc(names, func(p pattern) bool { return p.match(name) })
	}
	return condition{key: "client_name", since: Connect, need: NeedName,
		test: func(f *Facts) (truth, Need) {
			if !f.Client.IsValid() {
				return no, 0
			}
			return ask(&f.Name, NeedName, holds)
		},
		say: sayName,
	}
}

func sayName(f *Facts) string {
	if !f.Client.IsValid() {
		return "the client is a Unix socket"
	}
	return tell(&f.Name, "the name of "+client(f), func(n Name) string {
		switch n.state() {
		case nameNone:
			return client(f) + " has no name in the DNS"
		case nameConfirmed:
			return client(f) + " is " + shown(n.Name)
		}
		return client(f) + " is called " + shown(n.Name) + ", which does not lead back to it"
	})
}

// The words of helo.
const (
	heloOurs     = "ours"
	heloLiteral  = "literal"
	heloBare     = "bare"
	heloMismatch = "mismatch"
)

func helo(words []string, names []pattern) condition {
	c := condition{key: "helo", since: Hello}
	mismatch := slices.Contains(words, heloMismatch)
	if mismatch {
		c.need = NeedHeloName
	}
	plain := func(f *Facts) bool { // by its words alone
		name := canonical(f.Helo)
		return slices.ContainsFunc(words, func(w string) bool { return heloIs(w, f) }) ||
			slices.ContainsFunc(names, func(p pattern) bool { return p.match(name) })
	}
	c.test = func(f *Facts) (truth, Need) {
		switch {
		case f.Helo == "":
			return no, 0
		case plain(f):
			return yes, 0
		case !mismatch:
			return no, 0
		}
		return heloElsewhere(f)
	}
	c.say = func(f *Facts) string {
		if f.Helo == "" {
			return "the client did not say what it is called"
		}
		s := "the client calls itself " + shown(f.Helo)
		if !mismatch || plain(f) {
			return s
		}
		switch t, _ := heloElsewhere(f); t {
		case yes:
			return s + ", which does not lead to it"
		case no:
			return s + ", which leads to it"
		case open:
			return s + ", which is not looked up yet"
		default:
			return s + ", which could not be looked up: " + shown(f.HeloName.fault)
		}
	}
	return c
}

// heloIs reports whether one of the words holds that take no look-up.
func heloIs(word string, f *Facts) bool {
	ip, isAddr := heloAddress(f.Helo)
	switch word {
	case heloLiteral:
		return isAddr
	case heloBare:
		return !isAddr && strings.IndexByte(strings.TrimSuffix(f.Helo, "."), '.') < 0
	case heloOurs:
		if isAddr {
			return ip == f.Local.Unmap()
		}
		return f.Hostname != "" && canonical(f.Helo) == canonical(f.Hostname)
	}
	return false
}

// heloElsewhere reports whether no address of the name is the client's.
func heloElsewhere(f *Facts) (truth, Need) {
	ip, isAddr := heloAddress(f.Helo)
	switch {
	case !f.Client.IsValid():
		return no, 0
	case isAddr:
		return is(ip != f.Client.Unmap())
	case heloIs(heloBare, f) || canonical(f.Helo) == "":
		return yes, 0 // no name that could lead anywhere
	}
	t, n := ask(&f.HeloName, NeedHeloName, func(own bool) bool { return own })
	return opposite(t), n
}

// flag is a condition on what is known without a look-up.
func flag(key string, since Stage, want bool, of func(*Facts) bool, is1, is0 string) condition {
	return condition{key: key, since: since,
		test: func(f *Facts) (truth, Need) { return is(of(f) == want) },
		say: func(f *Facts) string {
			if of(f) {
				return is1
			}
			return is0
		},
	}
}

func tls(want bool) condition {
	return flag("tls", Hello, want, func(f *Facts) bool { return f.TLS }, "the connection is encrypted", "the connection is not encrypted")
}

func early(want bool) condition {
	return flag("early", Hello, want, func(f *Facts) bool { return f.Early }, "the client spoke before the greeting", "the client waited for the greeting")
}

func own(want bool, since Stage) condition {
	return flag("own", since, want, func(f *Facts) bool { return f.Own }, "the client may send to anyone", "the client may send to our domains only")
}

func user(names []string) condition {
	return condition{key: "user", since: Sender,
		test: func(f *Facts) (truth, Need) {
			return is(f.User != "" && (slices.Contains(names, "*") || slices.Contains(names, f.User)))
		},
		say: func(f *Facts) string {
			if f.User == "" {
				return "nobody has authenticated"
			}
			return "user " + shown(f.User) + " has authenticated"
		},
	}
}

// proven is never true of a client whose name is unconfirmed, and so not known
// without it.
func proven(want bool) condition {
	return condition{key: "proven", since: Connect, need: NeedProven | NeedName,
		test: func(f *Facts) (truth, Need) {
			t, n := ask(&f.Proven, NeedProven, func(p bool) bool { return p })
			if t != no && f.Client.IsValid() {
				switch {
				case f.Name.IsOpen():
					t, n = open, n|NeedName
				case f.Name.state == failed && t == yes:
					t = fault
				case unconfirmed(f):
					t, n = no, 0
				}
			}
			if want {
				return t, n
			}
			return opposite(t), n
		},
		say: func(f *Facts) string {
			if before, _ := f.Proven.Value(); before && f.Client.IsValid() && (unconfirmed(f) || f.Name.state != known) {
				return sayName(f)
			}
			return tell(&f.Proven, "what "+client(f)+" did before", func(p bool) string {
				if p {
					return client(f) + " has proven itself before"
				}
				return client(f) + " has not proven itself yet"
			})
		},
	}
}

func unconfirmed(f *Facts) bool {
	n, ok := f.Name.Value()
	return ok && n.state() == nameUnconfirmed
}

func rate(r Rate, need Need) condition {
	since := map[By]Stage{ByClient: Connect, ByNetwork: Connect, BySender: Sender, ByUser: Sender, ByRecipient: Recipient}[r.By]
	who := func(f *Facts) string {
		switch r.By {
		case BySender:
			return shown(f.From.String())
		case ByRecipient:
			return recipients(f)
		case ByUser:
			return shown(f.User)
		case ByNetwork:
			return network(f)
		}
		if !f.Client.IsValid() {
			return ""
		}
		return client(f)
	}
	find := func(f *Facts) *Count {
		for i := range f.Rates {
			if f.Rates[i].Rate == r {
				return &f.Rates[i]
			}
		}
		return nil
	}
	return condition{key: "rate", since: since, need: need,
		test: func(f *Facts) (truth, Need) {
			if !counted(r.By, f) {
				return no, 0
			}
			switch c := find(f); {
			case c == nil:
				return open, need
			case c.Fault != "":
				return fault, 0
			default:
				return is(c.N > r.Most)
			}
		},
		say: func(f *Facts) string {
			if !counted(r.By, f) {
				return fmt.Sprintf("there is no %s to count by", r.By)
			}
			switch c := find(f); {
			case c == nil:
				return fmt.Sprintf("the messages of %s %s are not counted yet", r.By, who(f))
			case c.Fault != "":
				return fmt.Sprintf("the messages of %s %s could not be counted: %s", r.By, who(f), shown(c.Fault))
			default:
				return fmt.Sprintf("%s %s has %d messages in %s, %d are allowed", r.By, who(f), c.N, mailDuration(r.In), r.Most)
			}
		},
	}
}

// counted reports whether there is anything that a rate could count by.
func counted(b By, f *Facts) bool {
	switch b {
	case BySender:
		return !f.From.IsNull()
	case ByUser:
		return f.User != ""
	case ByRecipient:
		return len(f.To) > 0
	}
	return f.Client.IsValid()
}

// network returns what a client is counted with: its /24 or /64.
func network(f *Facts) string {
	ip, bits := f.Client.Unmap(), 64
	if ip.Is4() {
		bits = 24
	}
	n, err := ip.WithZone("").Prefix(bits)
	if err != nil {
		return ""
	}
	return n.String()
}

// tell puts a fact into words: what it is about if it is not known, or what say
// makes of its value.
func tell[T any](x *Fact[T], what string, say func(T) string) string {
	switch x.state {
	case unknown:
		return what + ": not known yet"
	case failed:
		return what + " could not be found out: " + shown(x.fault)
	}
	return say(x.value)
}

// shown makes a foreign word fit to be seen.
func shown(s string) string { return mail.Clean(s, maxValue) }
