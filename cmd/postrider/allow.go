package main

import (
	"fmt"
	"io"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/api"
	"github.com/postrider/postrider/internal/config"
	"github.com/postrider/postrider/mail"
	"github.com/postrider/postrider/policy"
)

type allowCmd struct {
	Add  allowAddCmd  `cmd:"" default:"withargs" help:"Let somebody past one rule for a while."`
	List allowListCmd `cmd:"" help:"List who is let past which rule, until when and why."`
	End  allowEndCmd  `cmd:"" help:"End an override now."`
	Note allowNoteCmd `cmd:"" help:"Write the letter to the other manager: what is wrong there, how to mend it, until when it is let in."`
}

type allowAddCmd struct {
	Who     string `arg:"" name:"who" help:"An address or network, a host by its confirmed name (*.example.com for all below), a sender's address, or @domain of senders."`
	Skip    string `required:"" placeholder:"RULE" help:"The one rule that is skipped."`
	For     string `required:"" placeholder:"30d" help:"For how long."`
	Because string `required:"" help:"Why."`
	By      string `help:"Who says so; default: whoever runs this."`
	JSON    bool   `name:"json" help:"As one object."`
}

func (x allowAddCmd) Run(c *cli, s streams) error {
	o := policy.Override{Rule: x.Skip, Because: x.Because, By: x.By}
	if o.By == "" {
		o.By = me()
	}
	if err := meant(x.Who, &o); err != nil {
		return err
	}
	cl, err := connect(c.Config)
	if err != nil {
		return err
	}
	var made policy.Allowed
	if err := cl.post("/api/v1/allow", api.Allow{Override: o, For: x.For}, &made); err != nil {
		return err
	}
	if made.Name == "" && !made.Client.IsValid() {
		fmt.Fprintln(s.err, "warning: anybody may claim to be that sender; with an address or a host's name only the right one is let in")
	}
	if x.JSON {
		return writeJSON(s.out, made)
	}
	fmt.Fprintf(s.out, "%s: %s may pass rule %s until %s\n", made.ID, made.Who(), made.Rule, made.Until.Local().Format("2006-01-02 15:04"))
	return nil
}

// meant reads whom an override is for.
func meant(who string, o *policy.Override) (err error) {
	if p, bad := api.ParseNetwork(who); bad == nil {
		o.Client = p
		return nil
	}
	domain, of := strings.CutPrefix(who, "@")
	switch {
	case of:
		o.Domain = domain
	case strings.Contains(who, "@"):
		if o.Sender, err = mail.ParseAddress(who); err != nil {
			return fmt.Errorf("allow: %q is no address: %w", who, err)
		}
	case o.Rule == "no-reverse-name":
		return fmt.Errorf("allow: rule no-reverse-name is about clients that have no name; say the address of %q", who)
	default:
		o.Name = who
	}
	return nil
}

type allowListCmd struct {
	JSON bool `name:"json" help:"One object a line."`
}

func (x allowListCmd) Run(c *cli, s streams) error {
	all, err := overrides(c)
	if err != nil {
		return err
	}
	if x.JSON {
		for _, a := range all {
			if err := writeJSON(s.out, a); err != nil {
				return err
			}
		}
		return nil
	}
	if len(all) == 0 {
		fmt.Fprintln(s.out, "nobody is let past a rule")
		return nil
	}
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tWHO\tRULE\tUNTIL\tBY\tBECAUSE")
	for _, a := range all {
		until := a.Until.Local().Format("2006-01-02 15:04")
		if left := time.Until(a.Until); a.Ended {
			until += " (ended)"
		} else {
			until += " (" + custody.FormatAge(left.Round(time.Minute)) + ")"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", a.ID, a.Who(), a.Rule, until, mail.Straight(mail.Clean(a.By, 40)), mail.Straight(mail.Clean(a.Because, 80)))
	}
	return w.Flush()
}

func overrides(c *cli) (all []policy.Allowed, err error) {
	cl, err := connect(c.Config)
	if err != nil {
		return nil, err
	}
	return all, cl.get("/api/v1/allow", url.Values{}, &all)
}

type allowEndCmd struct {
	ID string `arg:"" name:"id" help:"The override, as allow list shows it."`
}

func (x allowEndCmd) Run(c *cli, s streams) error {
	cl, err := connect(c.Config)
	if err != nil {
		return err
	}
	if err := cl.post("/api/v1/allow/"+url.PathEscape(x.ID)+"/end", struct{}{}, nil); err != nil {
		return err
	}
	fmt.Fprintf(s.out, "%s is over\n", strings.ToUpper(x.ID))
	return nil
}

type allowNoteCmd struct {
	ID   string `arg:"" name:"id" help:"The override, as allow list shows it."`
	Send bool   `help:"Mail it to their postmaster."`
	To   string `placeholder:"ADDRESS" help:"Another address than their postmaster."`
}

func (x allowNoteCmd) Run(c *cli, s streams) error {
	all, err := overrides(c)
	if err != nil {
		return err
	}
	conf, err := load(c.Config)
	if err != nil {
		return err
	}
	cl, err := connect(c.Config)
	if err != nil {
		return err
	}
	for _, a := range all {
		if !strings.EqualFold(a.ID, x.ID) {
			continue
		}
		q := url.Values{"rule": {a.Rule}, "within": {"30d"}, "limit": {"100"}}
		if a.Client.IsValid() {
			q.Set("client", a.Client.String())
		}
		var records []policy.Record
		if err := cl.get("/api/v1/refusals", q, &records); err != nil {
			return err
		}
		records = about(a.Override, records)
		letter, to := x.letter(conf, a, records)
		if !x.Send {
			_, err = io.WriteString(s.out, letter)
			return err
		}
		if to == "" {
			return fmt.Errorf("allow note: nobody knows the domain of %s; say --to ADDRESS", a.Who())
		}
		if err := cl.submit(contact(conf), to, letter); err != nil {
			return err
		}
		fmt.Fprintf(s.out, "sent to %s\n", to)
		return nil
	}
	return fmt.Errorf("allow note: there is no override %q", x.ID)
}

// about are the records that an override is about.
func about(o policy.Override, all []policy.Record) (some []policy.Record) {
	for _, r := range all {
		at := r.From[strings.LastIndexByte(r.From, '@')+1:]
		if o.Domain != "" && !strings.EqualFold(strings.Trim(at, "<>"), o.Domain) ||
			!o.Sender.IsNull() && !strings.EqualFold(strings.Trim(r.From, "<>"), o.Sender.String()) ||
			o.Name != "" && !strings.EqualFold(r.Name, o.Name) {
			continue
		}
		some = append(some, r)
	}
	return some
}

// letter is the message, and whom it is for; "" if nobody knows.
func (x allowNoteCmd) letter(conf *config.Config, a policy.Allowed, records []policy.Record) (text, to string) {
	from := contact(conf)
	if to = x.To; to == "" {
		to = theirPostmaster(a.Override, records)
	}
	subject, body := a.Letter(conf.Hostname, from, records)
	shown := to
	if shown == "" {
		shown = "undisclosed-recipients:;"
	}
	return fmt.Sprintf("From: %s\nTo: %s\nSubject: %s\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\n%s", from, shown, subject, body), to
}

// contact is who answers questions about our refusals.
func contact(conf *config.Config) string {
	if !conf.Postmaster.IsNull() {
		return conf.Postmaster.String()
	}
	return "postmaster@" + conf.Hostname
}

// theirPostmaster is who manages the other side, as far as that can be known.
func theirPostmaster(o policy.Override, records []policy.Record) string {
	domain := o.Domain
	if domain == "" {
		domain = o.Sender.Domain
	}
	for _, r := range records {
		if _, at, ok := strings.Cut(r.From, "@"); domain == "" && ok {
			domain = strings.Trim(at, "<>")
		}
	}
	if domain == "" && o.Name != "" {
		domain = strings.TrimPrefix(o.Name, "*.")
	}
	if domain == "" {
		return ""
	}
	return "postmaster@" + domain
}

type refusedCmd struct {
	Client string `placeholder:"NETWORK" help:"Only of this address or network."`
	Rule   string `help:"Only by this rule."`
	Ref    string `help:"The one with this reference: it stands in our reply."`
	Within string `default:"7d" placeholder:"7d" help:"Not older than that."`
	Each   bool   `help:"Each of them, not by client and rule."`
	JSON   bool   `name:"json" help:"One object a line."`
}

func (x refusedCmd) Run(c *cli, s streams) error {
	cl, err := connect(c.Config)
	if err != nil {
		return err
	}
	q := url.Values{"within": {x.Within}}
	for key, v := range map[string]string{"client": x.Client, "rule": x.Rule, "ref": x.Ref} {
		if v != "" {
			q.Set(key, v)
		}
	}
	if x.Each || x.Ref != "" {
		return x.each(cl, q, s.out)
	}
	var groups []policy.Group
	if err := cl.get("/api/v1/refused", q, &groups); err != nil {
		return err
	}
	if len(groups) == 0 {
		return errNothing
	}
	for _, g := range groups {
		if x.JSON {
			err = writeJSON(s.out, g)
		} else {
			err = writeGroup(s.out, g)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func writeGroup(w io.Writer, g policy.Group) error {
	name := ""
	if g.Latest.Name != "" {
		name = " (" + g.Latest.Name + ")"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s%s  rule %s  %d %s, %d of mail, last %s\n  %s\n", g.Client, name, g.Rule, g.Count, plural(g.Count, "time", "times"), g.Mails,
		g.Last.Local().Format("2006-01-02 15:04:05"), g.Latest.Reply.Line())
	if len(g.Honest) > 0 {
		fmt.Fprintf(&b, "  looks honest: %s\n  to let it in: postrider allow %s --skip %s --for 30d --because \"…\"\n", strings.Join(g.Honest, "; "), g.Client, g.Rule)
	}
	_, err := io.WriteString(w, mail.Straight(b.String()))
	return err
}

func (x refusedCmd) each(cl *client, q url.Values, w io.Writer) error {
	var all []policy.Record
	if err := cl.get("/api/v1/refusals", q, &all); err != nil {
		return err
	}
	if len(all) == 0 {
		return errNothing
	}
	for _, r := range all {
		var err error
		if x.JSON {
			err = writeJSON(w, r)
		} else {
			err = writeRecord(w, r)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func writeRecord(w io.Writer, r policy.Record) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s  %s at %s  rule %s\n  from %s to %s\n  %s\n", r.Ref, r.At.Local().Format("2006-01-02 15:04:05"), r.Client, r.Stage, r.Rule,
		r.From, strings.Join(r.To, ", "), r.Reply.Line())
	if why := strings.TrimPrefix(r.Place+": "+r.Why, ": "); why != "" {
		fmt.Fprintf(&b, "  %s\n", why)
	}
	_, err := io.WriteString(w, mail.Straight(b.String()))
	return err
}
