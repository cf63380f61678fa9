package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/postrider/postrider/chain"
	"github.com/postrider/postrider/internal/config"
	"github.com/postrider/postrider/system"
)

type lintCmd struct {
	System  string `placeholder:"ID" help:"Look at a known system, as it is shipped; \"simulate --systems\" lists them."`
	Postfix string `placeholder:"FILE" help:"Look at a main.cf of Postfix."`
	JSON    bool   `name:"json" help:"One object a line."`
}

// linted is a finding and what it is about.
type linted struct {
	Subject string `json:"subject"`
	chain.Finding
}

func (l lintCmd) Run(c *cli, s streams) error {
	subjects, err := l.subjects(c)
	if err != nil {
		return err
	}
	wrong := false
	for i, sub := range subjects {
		found := chain.Lint(sub)
		wrong = wrong || slices.ContainsFunc(found, func(f chain.Finding) bool { return f.Severity > chain.Note })
		if !l.JSON {
			if i > 0 {
				fmt.Fprintln(s.out)
			}
			if err := chain.WriteFindings(s.out, sub, found); err != nil {
				return err
			}
			continue
		}
		enc := json.NewEncoder(s.out)
		for _, f := range found {
			if err := enc.Encode(linted{sub.Name, f}); err != nil {
				return err
			}
		}
	}
	if wrong {
		return exit(exitNo)
	}
	return nil
}

func (l lintCmd) subjects(c *cli) ([]chain.Subject, error) {
	var all []chain.Subject
	if l.System != "" {
		sys, err := knownSystem(l.System)
		if err != nil {
			return nil, err
		}
		all = append(all, chain.OfSystem(sys))
	}
	if l.Postfix != "" {
		b, err := os.ReadFile(l.Postfix)
		if err != nil {
			return nil, fmt.Errorf("lint: %w", err)
		}
		p, err := chain.ReadPostfix(l.Postfix, b)
		if err != nil {
			return nil, fmt.Errorf("lint: %w", err)
		}
		all = append(all, chain.OfPostfix(p))
	}
	if len(all) > 0 && c.Config == "" {
		return all, nil
	}
	conf := config.Default(".")
	if file, ok := config.Find(c.Config); ok {
		var err error
		if conf, err = config.Load(file); err != nil {
			return nil, err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(conf.Schedules)) {
		all = append(all, chain.OfSchedule(conf.Schedules[name]))
	}
	return all, nil
}

func knownSystem(id string) (system.System, error) {
	s, ok := system.Find(id)
	if ok {
		return s, nil
	}
	if near := system.Nearest(id); near != "" {
		return s, fmt.Errorf("no system is known as %q; did you mean %q?", id, near)
	}
	return s, fmt.Errorf("no system is known as %q; \"postrider simulate --systems\" lists them", id)
}
