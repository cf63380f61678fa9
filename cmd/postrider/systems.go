package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/system"
)

// knownFacts are a system's facts as JSON; what is not known is null or left out.
type knownFacts struct {
	ID         string            `json:"id"`
	Name       string            `json:"name"`
	Version    string            `json:"version,omitempty"`
	Kind       string            `json:"kind"`
	LifetimeS  *int64            `json:"lifetime_s"`
	Limit      *int              `json:"attempts_limit"`
	Expiry     string            `json:"expiry"`
	Rule       string            `json:"rule,omitempty"`
	Clock      string            `json:"clock"`
	Retry      string            `json:"retry,omitempty"`
	Deferred   string            `json:"retry_after_4xx,omitempty"`
	ScanS      int64             `json:"queue_scan_s,omitempty"`
	NoticesS   *int64            `json:"bounce_lifetime_s"`
	Warns      *bool             `json:"warns"`
	WarnsAtS   []int64           `json:"warns_at_s,omitempty"`
	Apart      string            `json:"unreachable_and_4xx,omitempty"`
	Settings   map[string]string `json:"settings,omitempty"`
	Where      string            `json:"where,omitempty"`
	Reports    string            `json:"reports,omitempty"`
	Notes      string            `json:"notes,omitempty"`
	Sources    []string          `json:"sources"`
	Confidence string            `json:"confidence"`
}

func facts(s system.System) knownFacts {
	p := s.Policy
	f := knownFacts{
		ID: s.ID, Name: s.Name, Version: s.Version, Kind: s.Kind.String(), LifetimeS: known(p.Lifetime), NoticesS: known(p.Notices),
		Expiry: p.Expiry.String(), Rule: p.Rule, Clock: p.Clock.String(), ScanS: int64(p.Scan.Seconds()), Apart: p.Apart,
		Where: s.Where, Reports: s.Reports, Notes: s.Notes, Sources: s.Sources, Confidence: s.Confidence.String(), Settings: map[string]string{},
	}
	if p.Limit > 0 {
		f.Limit = &p.Limit
	}
	if p.Retry != nil {
		f.Retry = p.Retry.String()
	}
	if p.Deferred != nil {
		f.Deferred = p.Deferred.String()
	}
	if p.Warn.Known {
		f.Warns = &p.Warn.On
	}
	for _, at := range p.Warn.At {
		f.WarnsAtS = append(f.WarnsAtS, int64(at.Seconds()))
	}
	for _, set := range s.Settings {
		f.Settings[set.Key] = set.Value
	}
	return f
}

func known(d time.Duration) *int64 {
	if d == 0 {
		return nil
	}
	n := int64(d.Seconds())
	return &n
}

// writeSystem shows a system for people. What is not known says so.
func writeSystem(w io.Writer, s system.System) error {
	var b strings.Builder
	f := facts(s)
	line := func(name, text string) {
		if text != "" {
			wrapped(&b, fmt.Sprintf("  %-15s ", name), text, width(w))
		}
	}
	fmt.Fprintf(&b, "%s: %s (%s)\n", s.ID, s.Name, s.Kind)
	line("Version", s.Version)
	lifetime := "not known"
	if f.LifetimeS != nil {
		lifetime = custody.FormatAge(s.Policy.Lifetime)
	}
	if f.Limit != nil {
		lifetime = strings.TrimPrefix(fmt.Sprintf("%s, or %d attempts", lifetime, *f.Limit), "not known, or ")
	}
	line("Keeps mail", lifetime+", "+f.Clock)
	line("Gives up", strings.TrimSuffix(f.Expiry+"; "+f.Rule, "; "))
	line("Tries again", cmp.Or(f.Retry, "not known"))
	line("after a 4xx", f.Deferred)
	if s.Policy.Scan > 0 {
		line("Queue scan", "every "+custody.FormatAge(s.Policy.Scan))
	}
	line("Warns", warns(s.Policy.Warn))
	if f.NoticesS != nil {
		line("Own bounces", "kept "+custody.FormatAge(s.Policy.Notices))
	}
	line("Dead or 4xx", s.Policy.Apart)
	for i, set := range s.Settings {
		name := ""
		if i == 0 {
			name = "Settings"
		}
		line(name, strings.TrimSuffix(set.Key+" = "+set.Value, " = "))
	}
	line("Where", s.Where)
	line("Reports", s.Reports)
	line("Notes", s.Notes)
	line("Confidence", f.Confidence)
	line("Sources", strings.Join(s.Sources, "; "))
	_, err := io.WriteString(w, b.String())
	return err
}

func warns(v system.Warnings) string {
	if !v.Known {
		return "not known"
	}
	if !v.On {
		return strings.TrimSuffix("not as shipped; "+v.Note, "; ")
	}
	text := "yes, when is not known"
	if v.Try > 0 {
		text = fmt.Sprintf("with attempt %d", v.Try)
	} else if len(v.At) > 0 {
		ages := make([]string, len(v.At))
		for i, at := range v.At {
			ages[i] = custody.FormatAge(at)
		}
		text = "after " + strings.Join(ages, ", ")
	}
	if v.Every > 0 {
		text += ", then every " + custody.FormatAge(v.Every)
	}
	return strings.TrimSuffix(text+"; "+v.Note, "; ")
}

// wrapped writes text behind a name, its further lines below its first.
func wrapped(b *strings.Builder, name, text string, width int) {
	line := name
	for i, word := range strings.Fields(text) {
		if i > 0 && len([]rune(line))+len([]rune(word)) >= width {
			b.WriteString(strings.TrimRight(line, " ") + "\n")
			line = strings.Repeat(" ", len([]rune(name)))
		}
		line += word + " "
	}
	b.WriteString(strings.TrimRight(line, " ") + "\n")
}
