package policy

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/postrider/postrider/mail"
)

// Record is a verdict written down, with what it was about: somebody who was not let
// in, or who was although a rule had something to say.
type Record struct {
	Ref     string     `json:"ref,omitempty"` // what the reply names; "": nobody was refused
	At      time.Time  `json:"at"`
	Client  string     `json:"client,omitempty"`      // address; "" of a Unix socket
	Name    string     `json:"client_name,omitempty"` // confirmed
	Helo    string     `json:"helo,omitempty"`
	From    string     `json:"from"`
	To      []string   `json:"to,omitempty"` // the first 50, and behind them "and 950 more"
	Door    string     `json:"listener,omitempty"`
	Stage   Stage      `json:"stage"`
	Action  Action     `json:"action"`
	Rule    string     `json:"rule,omitempty"`
	Place   string     `json:"place,omitempty"`
	Reply   mail.Reply `json:"reply,omitzero"`
	Why     string     `json:"why,omitempty"`
	SPF     string     `json:"spf,omitempty"`    // what was found, if it was asked for
	Proven  bool       `json:"proven,omitempty"` // mail of the client was accepted before
	Would   []Said     `json:"would,omitempty"`
	Skipped []Said     `json:"skipped,omitempty"`
	Faults  []string   `json:"faults,omitempty"`
}

// maxTold is how many recipients a record names: it has its place in a memory that
// takes 16 KiB of each.
const maxTold = 50

// Record writes the verdict of a stage down. Foreign words are cleaned.
func (v Verdict) Record(s Stage, f *Facts) Record {
	r := Record{
		At: f.At, Helo: shown(f.Helo), From: shown(f.From.Path()), Door: f.Listener, Stage: s, Action: v.Action,
		Rule: v.Rule, Place: v.Place, Reply: v.Reply, Why: v.Why, Would: v.Would, Skipped: v.Skipped, Faults: v.Faults,
	}
	if f.Client.IsValid() {
		r.Client = client(f)
	}
	if n, ok := f.Name.Value(); ok && n.Confirmed {
		r.Name = shown(n.Name)
	}
	if spf, ok := f.SPF.Value(); ok {
		r.SPF = spf.Word
	}
	r.Proven, _ = f.Proven.Value()
	for _, a := range f.To[:min(len(f.To), maxTold)] {
		r.To = append(r.To, shown(a.String()))
	}
	if more := len(f.To) - len(r.To); more > 0 {
		r.To = append(r.To, fmt.Sprintf("and %d more", more))
	}
	return r
}

// Group is the refusals of one client by one rule.
type Group struct {
	Client string    `json:"client"`
	Rule   string    `json:"rule"`
	Count  int       `json:"count"`
	Mails  int       `json:"mails"` // different ones
	Again  int       `json:"again"` // how often one came back with patience
	Hasty  int       `json:"hasty"` // and how often at once
	First  time.Time `json:"first"`
	Last   time.Time `json:"last"`
	Latest Record    `json:"latest"`
	// Honest are reasons to think that an honest host is behind it; none: nothing
	// speaks for it.
	Honest []string `json:"honest,omitempty"`
}

// Judge fills in what speaks for the client.
func (g *Group) Judge() {
	g.Honest = nil
	if g.Again > g.Hasty {
		g.Honest = append(g.Honest, fmt.Sprintf("comes again with patience, as a mail server does (%d times)", g.Again))
	}
	if g.Latest.SPF == "pass" {
		g.Honest = append(g.Honest, "SPF passes")
	}
	if g.Latest.Proven {
		g.Honest = append(g.Honest, "had mail accepted here before")
	}
	if g.Latest.Name != "" && g.Latest.Name == g.Latest.Helo {
		g.Honest = append(g.Honest, "its name, its address and its greeting agree")
	}
}

// Visit is one that nobody makes: what would happen if this client came?
type Visit struct {
	Client   netip.Addr   `json:"client"`
	Listener string       `json:"listener,omitempty"`
	Helo     string       `json:"helo,omitempty"`
	TLS      bool         `json:"tls,omitempty"`
	From     mail.Address `json:"from"`
	To       mail.Address `json:"to"`
	Size     int64        `json:"size,omitempty"`
}

// Judged is what the rules of one stage say to a visit.
type Judged struct {
	Stage Stage  `json:"stage"`
	Steps []Step `json:"steps"` // in the order of the table
	// What comes of it, with what stands outside the table.
	Action Action     `json:"action"`
	Rule   string     `json:"rule,omitempty"`
	Place  string     `json:"place,omitempty"`
	Reply  mail.Reply `json:"reply,omitzero"`
	Why    string     `json:"why,omitempty"`
	Faults []string   `json:"faults,omitempty"`
}

// Allowed is an override with its life.
type Allowed struct {
	Override
	Made   time.Time `json:"made"`
	Warned time.Time `json:"warned,omitzero"` // when its end was announced
	Ended  bool      `json:"ended"`
}
