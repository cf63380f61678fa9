package main

import (
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/postrider/postrider/explain"
	"github.com/postrider/postrider/internal/api"
	"github.com/postrider/postrider/policy"
	"github.com/postrider/postrider/system"
)

const (
	askMost = 400 * time.Millisecond // nobody waits longer for a list
	askRows = "500"                  // deliveries and destinations that are looked at
)

// asker returns who can be asked what is known now; its get fails where nobody is.
type asker func(config string) getter

type getter interface {
	get(path string, q url.Values, out any) error
}

// askService asks the running service, if it answers soon.
func askService(config string) getter {
	cl, err := connect(config)
	if err != nil {
		return nobody{err}
	}
	cl.http.Timeout = askMost
	return cl
}

type nobody struct{ error }

func (n nobody) get(string, url.Values, any) error { return n.error }

// knownValues is where the values of a flag or an argument come from: the shell, or
// a list. What is not known, because nobody answers, is not offered.
type knownValues struct {
	kind string
	list func(g getter, word string) []candidate
}

// completed are the values of flags and arguments: by the command, or by the name alone.
var completed = map[string]*knownValues{
	"config":         {kind: fileNames},
	"file":           {kind: fileNames},
	"postfix":        {kind: fileNames},
	"dir":            {kind: folderNames},
	"out":            {kind: folderNames},
	"data":           {kind: folderNames},
	"id":             {list: deliveries},
	"ids":            {list: deliveries},
	"find":           {list: deliveries},
	"allow end id":   {list: overridesKnown},
	"allow note id":  {list: overridesKnown},
	"domain":         {list: domains},
	"name":           {list: destinations},
	"destination":    {list: destinations},
	"skip":           {list: rules},
	"rule":           {list: rules},
	"system":         {list: func(getter, string) []candidate { return systems() }},
	"language":       {list: func(getter, string) []candidate { return languages() }},
	"allow add who":  {list: refusedClients},
	"refused client": {list: refusedClients},
	"reroute via":    {list: func(getter, string) []candidate { return []candidate{{"mx", "as the DNS says"}} }},
}

// deliveries are those whose ids begin so: ids are in the order of their arrival, so
// that the first of them is found at once among a million.
func deliveries(g getter, word string) (out []candidate) {
	const zero, whole = "0", 26
	q := url.Values{"limit": {askRows}}
	if n := len(word); n > 0 && n <= whole {
		q.Set("after", strings.ToLower(word)+strings.Repeat(zero, whole-n)+"-0")
	}
	var page struct{ Deliveries []api.Delivery }
	if g.get("/api/v1/queue", q, &page) != nil {
		return nil
	}
	for _, d := range page.Deliveries {
		from := "<" + d.From + ">"
		out = append(out, candidate{d.ID, d.State + " " + age(d.AgeS) + ", " + from + " to " + strings.Join(d.Recipients, " ")})
	}
	return out
}

func sites(g getter, word string) []api.Site {
	var page api.SitePage
	if g.get("/api/v1/destinations", url.Values{"name": {word}, "limit": {askRows}}, &page) != nil {
		return nil
	}
	return page.Destinations
}

func destinations(g getter, word string) (out []candidate) {
	for _, s := range sites(g, word) {
		out = append(out, candidate{s.Name, s.Health + ", " + number(int64(s.Waiting)) + " waiting"})
		for _, d := range s.Domains {
			out = append(out, candidate{d, "by " + s.Name})
		}
	}
	return distinct(out)
}

func domains(g getter, word string) (out []candidate) {
	for _, s := range sites(g, word) {
		for _, d := range s.Domains {
			out = append(out, candidate{d, s.Health})
		}
	}
	return distinct(out)
}

// distinct keeps the first of each word.
func distinct(all []candidate) []candidate {
	slices.SortStableFunc(all, func(a, b candidate) int { return strings.Compare(a.word, b.word) })
	return slices.CompactFunc(all, func(a, b candidate) bool { return a.word == b.word })
}

func overridesKnown(g getter, _ string) (out []candidate) {
	var all []policy.Allowed
	if g.get("/api/v1/allow", nil, &all) != nil {
		return nil
	}
	for _, a := range all {
		if !a.Ended {
			out = append(out, candidate{a.ID, a.Who() + " past " + a.Rule})
		}
	}
	return out
}

func rules(g getter, _ string) (out []candidate) {
	var conf struct{ Rules []struct{ Rule, Then string } }
	if g.get("/api/v1/config", nil, &conf) != nil {
		return nil
	}
	for _, r := range conf.Rules {
		out = append(out, candidate{r.Rule, r.Then})
	}
	return out
}

func refusedClients(g getter, _ string) (out []candidate) {
	var all []policy.Group
	if g.get("/api/v1/refused", nil, &all) != nil {
		return nil
	}
	for _, r := range all {
		out = append(out, candidate{r.Client, "refused by " + r.Rule})
	}
	return distinct(out)
}

func systems() (out []candidate) {
	for _, s := range system.All() {
		out = append(out, candidate{s.ID, s.Name})
	}
	return out
}

func languages() (out []candidate) {
	for _, l := range explain.Languages() {
		out = append(out, candidate{l, ""})
	}
	return out
}
