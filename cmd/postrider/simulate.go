package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/postrider/postrider/chain"
	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/dsn"
	"github.com/postrider/postrider/internal/config"
	"github.com/postrider/postrider/notice"
	"github.com/postrider/postrider/system"
)

type simulateCmd struct {
	File         string `arg:"" optional:"" help:"The scenario: hops and what goes wrong between them; examples/*.toml."`
	Systems      bool   `help:"List the known mail systems."`
	System       string `placeholder:"ID" help:"Show one known mail system."`
	ReceiverDown string `placeholder:"63h" help:"Show what every known system does with its mail while a receiver is down so long."`
	Runs         int    `help:"Draw so many possible worlds and show how they differ."`
	Seed         *int64 `help:"Draw one possible world, or those of --runs; the same seed draws the same."`
	JSON         bool   `name:"json" help:"As one object; of lists one object a line."`
	SVG          bool   `name:"svg" help:"As a picture."`
}

func (x simulateCmd) Run(s streams) error {
	switch {
	case x.Systems:
		return x.list(s.out)
	case x.System != "":
		sys, err := knownSystem(x.System)
		if err != nil {
			return err
		}
		return x.show(s.out, sys)
	case x.ReceiverDown != "":
		return x.receiver(s.out)
	case x.File == "":
		return fmt.Errorf("simulate: no scenario; name a file like examples/founding-story.toml, or write --systems, --system ID or --receiver-down 63h")
	}
	c, err := x.scenario(s.in)
	if err != nil {
		return err
	}
	if x.Runs > 0 {
		return x.spread(s.out, c)
	}
	story, err := chain.Run(c)
	if x.Seed != nil {
		story, err = chain.Sample(c, uint64(*x.Seed))
	}
	if err != nil {
		return err
	}
	switch {
	case x.JSON:
		return json.NewEncoder(s.out).Encode(story)
	case x.SVG:
		return fmt.Errorf("not yet")
	}
	return story.WriteText(s.out)
}

func (x simulateCmd) scenario(in io.Reader) (chain.Scenario, error) {
	var c chain.Scenario
	var err error
	if x.File == "-" {
		var b []byte
		if b, err = io.ReadAll(io.LimitReader(in, 4<<20)); err == nil {
			c, err = config.ParseScenario("standard input", b)
		}
	} else {
		c, err = config.LoadScenario(x.File)
	}
	c.Words = ownWords
	return c, err
}

// ownWords is the text of a letter that a hop of ours writes.
func ownWords(l chain.Letter) string {
	o := l.Ours
	letter := notice.Compose(notice.Options{Hostname: l.Hop}, notice.News{
		Kind: l.Kind, Message: o.Message, Delivery: o.Delivery, Rcpts: o.Tell.Rcpts, Entries: o.Entries,
		Schedule: o.Schedule, Now: o.Entries[len(o.Entries)-1].At, ID: "1@" + l.Hop,
	})
	r, _, err := dsn.Read(letter.Bytes)
	if err != nil {
		return ""
	}
	text, _, _ := strings.Cut(r.Text, "\n---") // what is for administrators follows
	return strings.TrimSpace(text)
}

func (x simulateCmd) spread(w io.Writer, c chain.Scenario) error {
	seed := uint64(1)
	if x.Seed != nil {
		seed = uint64(*x.Seed)
	}
	spread, err := chain.Distribution(c, seed, x.Runs)
	if err != nil {
		return err
	}
	if x.JSON {
		return json.NewEncoder(w).Encode(spread)
	}
	return spread.WriteText(w)
}

func (x simulateCmd) receiver(w io.Writer) error {
	down, err := custody.ParseAge(x.ReceiverDown)
	if err != nil {
		return fmt.Errorf("simulate: --receiver-down: %w", err)
	}
	if down > chain.MaxTime {
		return fmt.Errorf("simulate: --receiver-down: %s is longer than 10 years", x.ReceiverDown)
	}
	rows := chain.ReceiverDown(down, system.All())
	switch {
	case x.JSON:
		enc := json.NewEncoder(w)
		for _, r := range rows {
			if err := enc.Encode(r); err != nil {
				return err
			}
		}
		return nil
	case x.SVG:
		return chain.DrawReceivers(w, down, rows)
	}
	return chain.WriteReceivers(w, down, rows)
}

func (x simulateCmd) list(w io.Writer) error {
	enc := json.NewEncoder(w)
	for _, s := range system.All() {
		var err error
		if x.JSON {
			err = enc.Encode(facts(s))
		} else {
			_, err = fmt.Fprintf(w, "%-24s %-8s %-9s %s\n", s.ID, s.Kind, keeps(s.Policy), s.Name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// keeps says how long a system keeps mail.
func keeps(p system.Policy) string {
	switch c := p.Run(system.Unreachable, system.Reckoned); {
	case c.Endless:
		return "not known"
	default:
		return custody.FormatAge(c.End.At.Pick(system.Reckoned))
	}
}

func (x simulateCmd) show(w io.Writer, s system.System) error {
	if x.JSON {
		return json.NewEncoder(w).Encode(facts(s))
	}
	return writeSystem(w, s)
}
