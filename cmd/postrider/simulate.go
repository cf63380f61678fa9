package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
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

	Messages count              `placeholder:"1e6" help:"Send so many messages instead of one, and show what waits in each hop and how it empties."`
	Rate     rate               `placeholder:"10/s" help:"How many of them arrive: 10/s, 600/m, 36000/h; all at once if it is not given."`
	Drain    map[string]float64 `placeholder:"HOP=N" help:"How many of them a hop hands on in a second."`

	JSON bool `name:"json" help:"As one object; of lists one object a line."`
	SVG  bool `name:"svg" help:"As a picture."`
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
	switch {
	case x.Messages > 0:
		return x.load(s.out, c)
	case x.Rate > 0 || len(x.Drain) > 0:
		return fmt.Errorf("simulate: --rate and --drain tell of many messages; say how many with --messages 1e6")
	case x.Runs > 0:
		return x.spread(s.out, c)
	}
	story, err := chain.Run(c)
	if x.Seed != nil {
		story, err = chain.Sample(c, uint64(*x.Seed))
	}
	if err != nil {
		return fmt.Errorf("%s: %w", x.File, err)
	}
	switch {
	case x.JSON:
		return json.NewEncoder(s.out).Encode(story)
	case x.SVG:
		return story.Draw(s.out)
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
	return strings.Join(strings.Fields(text), " ")
}

func (x simulateCmd) spread(w io.Writer, c chain.Scenario) error {
	seed := uint64(1)
	if x.Seed != nil {
		seed = uint64(*x.Seed)
	}
	spread, err := chain.Distribution(c, seed, x.Runs)
	if err != nil {
		return fmt.Errorf("%s: %w", x.File, err)
	}
	if x.JSON {
		return json.NewEncoder(w).Encode(spread)
	}
	return spread.WriteText(w)
}

// count is a number of messages, that may be written 1e6.
type count int64

func (n *count) UnmarshalText(b []byte) error {
	f, err := strconv.ParseFloat(string(b), 64)
	if err != nil || f != math.Trunc(f) || f < 1 || f > chain.MaxMessages {
		return fmt.Errorf("%q is not a number of messages between 1 and %g", b, float64(chain.MaxMessages))
	}
	*n = count(f)
	return nil
}

// rate is a number of messages a second.
type rate float64

func (r *rate) UnmarshalText(b []byte) error {
	n, unit, _ := strings.Cut(string(b), "/")
	per := map[string]float64{"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}[unit]
	f, err := strconv.ParseFloat(n, 64)
	if err != nil || per == 0 || !(f > 0) {
		return fmt.Errorf("%q is not a rate like 10/s, 600/m, 36000/h or 1e6/d", b)
	}
	*r = rate(f / per)
	return nil
}

// load shows what many messages do to the hops.
func (x simulateCmd) load(w io.Writer, c chain.Scenario) error {
	l := chain.Load{Messages: int64(x.Messages), Rate: float64(x.Rate), Costs: map[string]chain.Cost{}}
	for hop, n := range x.Drain {
		l.Costs[hop] = chain.Cost{Drain: n}
	}
	story, err := chain.RunLoad(c, l)
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", x.File, err)
	case x.JSON:
		return json.NewEncoder(w).Encode(story)
	case x.SVG:
		return chain.DrawLoad(w, story)
	}
	return chain.WriteLoad(w, story)
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
