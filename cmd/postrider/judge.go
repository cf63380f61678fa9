package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/postrider/postrider/internal/dns"
	"github.com/postrider/postrider/internal/intake"
	"github.com/postrider/postrider/mail"
	"github.com/postrider/postrider/policy"
)

// rules shows the table of the door.
func (x checkCmd) rules(c *cli, s streams) error {
	conf, err := load(c.Config)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	for _, r := range conf.Door.Table.Rules() {
		if x.JSON {
			err = writeJSON(s.out, map[string]any{"rule": r.Name, "place": r.Place, "at": r.At, "then": r.Then, "code": r.Code, "status": r.Status, "text": r.Text, "log_only": r.LogOnly})
		} else {
			_, err = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", r.Name, r.At, ruleDoes(r), r.Place, r.Text)
		}
		if err != nil {
			return err
		}
	}
	return w.Flush()
}

// ruleDoes is what a rule does, in a word or two.
func ruleDoes(r policy.Rule) string {
	does := r.Then.String()
	if r.Code > 0 {
		does += fmt.Sprintf(" %d %s", r.Code, r.Status)
	}
	if r.Filter != "" {
		does = "asks " + r.Filter
	}
	if r.LogOnly {
		does += " (dry)"
	}
	return does
}

// explain says what the rules would do to a client: by the running service, which
// knows overrides and what it remembers, else by the configuration alone.
func (x checkCmd) explain(c *cli, s streams) error {
	v, err := x.visit()
	if err != nil {
		return err
	}
	cl, err := connect(c.Config)
	if err != nil {
		return err
	}
	var all []policy.Judged
	err = cl.post("/api/v1/judge", v, &all)
	alone := errors.Is(err, errDown)
	if alone {
		all, err = judgeAlone(c, v)
	}
	if err != nil {
		return err
	}
	for _, j := range all {
		if x.JSON {
			err = writeJSON(s.out, j)
		} else {
			err = writeJudged(s.out, j)
		}
		if err != nil {
			return err
		}
	}
	if alone && !x.JSON {
		fmt.Fprintln(s.out, "postrider is not running: overrides and what it remembers of clients were not looked at")
	}
	return nil
}

func (x checkCmd) visit() (v policy.Visit, err error) {
	v = policy.Visit{Helo: x.Helo, Listener: x.Listener}
	if v.Client, err = netip.ParseAddr(x.ExplainClient); err != nil {
		return v, fmt.Errorf("check: --explain-client: %q is no address", x.ExplainClient)
	}
	v.To = mail.Address{Local: "postmaster"}
	for _, a := range []struct {
		flag, text string
		to         *mail.Address
	}{{"from", x.From, &v.From}, {"to", x.To, &v.To}} {
		if text := strings.Trim(a.text, "<>"); text != "" {
			if *a.to, err = mail.ParseAddress(text); err != nil {
				return v, fmt.Errorf("check: --%s: %q is no address", a.flag, a.text)
			}
		}
	}
	return v, nil
}

// judgeAlone asks the rules of the configuration without a running service.
func judgeAlone(c *cli, v policy.Visit) ([]policy.Judged, error) {
	conf, err := load(c.Config)
	if err != nil {
		return nil, err
	}
	servers := make([]string, len(conf.DNS.Servers))
	for i, a := range conf.DNS.Servers {
		servers[i] = a.String()
	}
	resolver, err := dns.New(dns.Options{Servers: servers})
	if err != nil {
		return nil, err
	}
	r := intakeRules(conf)
	if r.Door, err = doorOf(conf, world{resolver: resolver}); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	return intake.New(intake.Options{}, r).Explain(ctx, v), nil
}

func writeJudged(w io.Writer, j policy.Judged) error {
	fmt.Fprintf(w, "%s\n", j.Stage)
	for _, st := range j.Steps {
		if st.Ruling == policy.Beyond {
			continue
		}
		why := st.Why
		if st.Override != "" {
			why += " (override " + st.Override + ")"
		}
		fmt.Fprintf(w, "  %-24s %-8s %s\n", st.Rule, st.Ruling, why)
	}
	does := map[policy.Action]string{policy.Pass: "goes on", policy.Accept: "is let in", policy.Defer: "is deferred", policy.Refuse: "is refused"}[j.Action]
	fmt.Fprintf(w, "  → %s", does)
	if j.Rule != "" {
		fmt.Fprintf(w, " by %s", j.Rule)
	}
	if j.Place != "" {
		fmt.Fprintf(w, ", %s", j.Place)
	}
	fmt.Fprintln(w)
	if !j.Reply.IsZero() {
		fmt.Fprintf(w, "    %s\n", j.Reply.Line())
	}
	for _, f := range j.Faults {
		fmt.Fprintf(w, "    could not be found out: %s\n", f)
	}
	return nil
}
