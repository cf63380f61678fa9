package web

import (
	"cmp"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/api"
	"github.com/postrider/postrider/mail"
	"github.com/postrider/postrider/policy"
)

const (
	groupsMost  = 40
	recordsMost = 40
	recordsFor  = 100 // refusals that a letter to a client's manager may tell of
)

func (d *desk) rulesRoutes(mux *http.ServeMux) {
	if d.Options().Door == nil {
		return
	}
	d.add("Rules", "/rules")
	mux.HandleFunc("GET /rules", d.rules)
	mux.HandleFunc("GET /rules/refusals", d.refusals)
	mux.HandleFunc("GET /rules/allow", d.allowAsk)
	mux.HandleFunc("POST /rules/allow", d.allowGive)
	mux.HandleFunc("GET /rules/allow/{id}", d.allowed)
	mux.HandleFunc("POST /rules/allow/{id}/end", d.allowEnd)
	mux.HandleFunc("GET /rules/try", d.try)
}

// rules is what the page of rules shows.
type rules struct {
	Rules     []rule
	Overrides []policy.Allowed
	Ended     []policy.Allowed
	Groups    []policy.Group
	More      int
	Within    string
	Wrong     string
}

// rule is one rule, with what it did lately.
type rule struct {
	policy.Rule
	When  []string // its conditions
	Count int      // refusals of the last days
}

func (d *desk) rules(w http.ResponseWriter, r *http.Request) {
	now := time.Now()
	v := rules{Within: cmp.Or(r.URL.Query().Get("within"), "7d")}
	age, err := custody.ParseAge(v.Within)
	status := http.StatusOK
	if err != nil {
		v.Wrong, age, status = err.Error(), 7*24*time.Hour, http.StatusUnprocessableEntity
	}
	door := d.Options().Door
	v.Groups = door.RefusedGroups(netip.Prefix{}, "", now.Add(-age))
	counts := map[string]int{}
	for _, g := range v.Groups {
		counts[g.Rule] += g.Count
	}
	slices.SortStableFunc(v.Groups, func(a, b policy.Group) int { // who looks honest first
		return cmp.Compare(len(b.Honest), len(a.Honest))
	})
	v.More = max(len(v.Groups)-groupsMost, 0)
	v.Groups = v.Groups[:len(v.Groups)-v.More]
	for _, o := range door.Allowed(now) {
		if o.Ended {
			v.Ended = append(v.Ended, o)
		} else {
			v.Overrides = append(v.Overrides, o)
		}
	}
	if c, ok := d.Configuration(); ok {
		for _, one := range c.Rules {
			v.Rules = append(v.Rules, rule{one, conditions(one), counts[one.Name]})
		}
	}
	d.show(w, r, status, "rules.html", view{Title: "Rules", Place: "/rules", Now: now, Data: v})
}

// conditions writes down what a rule asks, as it is called in the configuration.
func conditions(r policy.Rule) []string {
	out := append(asks(r.If, ""), asks(r.Not, "not ")...)
	if r.Filter != "" {
		out = append(out, "filter "+r.Filter)
	}
	return out
}

var hump = regexp.MustCompile(`([a-z])([A-Z])`)

// asks writes down the conditions that are set.
func asks(c policy.Conditions, lead string) (out []string) {
	v := reflect.ValueOf(c)
	for i := range v.NumField() {
		f := v.Field(i)
		if f.IsZero() {
			continue
		}
		name := strings.ToLower(hump.ReplaceAllString(v.Type().Field(i).Name, "${1}_$2"))
		switch x := reflect.Indirect(f).Interface().(type) {
		case policy.Rate:
			out = append(out, fmt.Sprintf("%smore than %d in %s by %s", lead, x.Most, age(x.In), x.By))
		case bool:
			if !x {
				name = "not " + name
			}
			out = append(out, lead+name)
		default:
			out = append(out, fmt.Sprintf("%s%s %s", lead, name, strings.Trim(fmt.Sprint(x), "[]")))
		}
	}
	return out
}

// refused is what the page of single refusals shows.
type refused struct {
	Client, Rule, Within string
	Records              []policy.Record
	Full                 bool // there may be more
	Wrong                string
}

func (d *desk) refusals(w http.ResponseWriter, r *http.Request) {
	now, q := time.Now(), r.URL.Query()
	v := refused{Client: strings.TrimSpace(q.Get("client")), Rule: q.Get("rule"), Within: cmp.Or(q.Get("within"), "7d")}
	status := http.StatusOK
	age, err := custody.ParseAge(v.Within)
	var client netip.Prefix
	if err == nil && v.Client != "" {
		client, err = api.ParseNetwork(v.Client)
	}
	if err != nil {
		v.Wrong, status = err.Error(), http.StatusUnprocessableEntity
	} else {
		v.Records = d.Options().Door.Refusals(client, v.Rule, "", now.Add(-age), recordsMost)
		v.Full = len(v.Records) == recordsMost
	}
	d.show(w, r, status, "refusals.html", view{Title: "Refusals", Place: "/rules", Now: now, Data: v})
}

// allowing is what the page shows that lets somebody past a rule.
type allowing struct {
	Rule, Client, Name, Sender, Domain, For, Because string
	Rules                                            []policy.Rule
	Records                                          []policy.Record // of whom it is about
	Wrong                                            string
}

func (d *desk) readAllow(r *http.Request) allowing {
	field := func(name string) string { return strings.TrimSpace(r.FormValue(name)) }
	v := allowing{
		Rule: field("rule"), Client: field("client"), Name: field("name"), Sender: field("sender"), Domain: field("domain"),
		For: cmp.Or(field("for"), "30d"), Because: field("because"),
	}
	c, _ := d.Configuration()
	v.Rules = c.Rules
	if client, err := api.ParseNetwork(v.Client); err == nil {
		v.Records = d.Options().Door.Refusals(client, v.Rule, "", time.Now().Add(-30*24*time.Hour), 5)
	}
	return v
}

func (d *desk) mayOrder(w http.ResponseWriter, r *http.Request, instead string) bool {
	if api.CallerOf(r.Context()).Role >= api.Operate {
		return true
	}
	d.problem(w, r, http.StatusForbidden, "Orders are not given here", "Who came by this way only sees. Use the command: "+instead)
	return false
}

func (d *desk) allowAsk(w http.ResponseWriter, r *http.Request) {
	if d.mayOrder(w, r, "postrider allow") {
		d.show(w, r, http.StatusOK, "allow.html", view{Title: "Let somebody in", Place: "/rules", Data: d.readAllow(r)})
	}
}

func (d *desk) allowGive(w http.ResponseWriter, r *http.Request) {
	if !d.mayOrder(w, r, "postrider allow") {
		return
	}
	v := d.readAllow(r)
	o, err := v.override()
	var made policy.Allowed
	if err == nil {
		o.By = cmp.Or(api.CallerOf(r.Context()).Name, "the desk")
		made, err = d.Allow(r.Context(), api.Allow{Override: o, For: v.For})
	}
	if err != nil {
		v.Wrong = err.Error()
		d.show(w, r, statusOf(err, http.StatusUnprocessableEntity), "allow.html", view{Title: "Let somebody in", Place: "/rules", Data: v})
		return
	}
	http.Redirect(w, r, "/rules/allow/"+url.PathEscape(made.ID), http.StatusSeeOther)
}

// override reads the form.
func (v allowing) override() (o policy.Override, err error) {
	o = policy.Override{Rule: v.Rule, Name: v.Name, Domain: v.Domain, Because: v.Because}
	if v.Client != "" {
		if o.Client, err = api.ParseNetwork(v.Client); err != nil {
			return o, fmt.Errorf("client: %w", err)
		}
	}
	if v.Sender != "" {
		if o.Sender, err = mail.ParseAddress(v.Sender); err != nil {
			return o, fmt.Errorf("sender: %w", err)
		}
	}
	return o, nil
}

// letIn is what the page of one override shows.
type letIn struct {
	policy.Allowed
	Subject, Letter string // to the manager of the client
	Records         []policy.Record
}

func (d *desk) allowed(w http.ResponseWriter, r *http.Request) {
	now, id := time.Now(), r.PathValue("id")
	all := d.Options().Door.Allowed(now)
	i := slices.IndexFunc(all, func(a policy.Allowed) bool { return strings.EqualFold(a.ID, id) })
	if i < 0 {
		d.problem(w, r, http.StatusNotFound, "There is no such override", "It was never made, or it ended more than 30 days ago.")
		return
	}
	v := letIn{Allowed: all[i]}
	for _, rec := range d.Options().Door.Refusals(v.Client, v.Rule, "", now.Add(-30*24*time.Hour), recordsFor) {
		if concerns(v.Override, rec) {
			v.Records = append(v.Records, rec)
		}
	}
	host := d.Options().Hostname()
	contact := "postmaster@" + host
	if n := d.Options().Notices; n != nil && !n().Contact.IsNull() {
		contact = n().Contact.String()
	}
	v.Subject, v.Letter = v.Override.Letter(host, contact, v.Records)
	v.Records = v.Records[:min(len(v.Records), 5)]
	d.show(w, r, http.StatusOK, "allowed.html", view{Title: v.Who(), Place: "/rules", Now: now, Data: v})
}

// concerns reports whether a refusal is one that an override would have spared.
func concerns(o policy.Override, r policy.Record) bool {
	from := strings.Trim(r.From, "<>")
	at := from[strings.LastIndexByte(from, '@')+1:]
	return (o.Domain == "" || strings.EqualFold(at, o.Domain)) &&
		(o.Sender.IsNull() || strings.EqualFold(from, o.Sender.String())) &&
		(o.Name == "" || strings.EqualFold(r.Name, o.Name))
}

func (d *desk) allowEnd(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	if !d.mayOrder(w, r, "postrider allow end "+id) {
		return
	}
	if err := d.Options().Door.Disallow(id, time.Now()); err != nil {
		d.problem(w, r, http.StatusNotFound, "It could not be ended", err.Error())
		return
	}
	http.Redirect(w, r, "/rules", http.StatusSeeOther)
}

// trial is what the page shows that asks the rules about a client.
type trial struct {
	Client, Helo, From, To string
	Asked                  bool
	Judged                 []policy.Judged
	Wrong                  string
}

// try asks the rules about a visit that nobody makes. That looks names up, so it is
// for those who may give orders.
func (d *desk) try(w http.ResponseWriter, r *http.Request) {
	if !d.mayOrder(w, r, "postrider check --explain-client") {
		return
	}
	field := func(name string) string { return strings.Trim(r.FormValue(name), " <>") }
	v := trial{Client: field("client"), Helo: field("helo"), From: field("from"), To: field("to")}
	status := http.StatusOK
	if v.Asked = v.Client != ""; v.Asked {
		visit, err := v.visit()
		if err != nil {
			v.Wrong, status = err.Error(), http.StatusUnprocessableEntity
		} else {
			v.Judged = d.Options().Door.Explain(r.Context(), visit)
		}
	}
	d.show(w, r, status, "try.html", view{Title: "What would the rules say?", Place: "/rules", Data: v})
}

func (v trial) visit() (out policy.Visit, err error) {
	if out.Client, err = netip.ParseAddr(v.Client); err != nil {
		return out, fmt.Errorf("client: %q is no address of a host", v.Client)
	}
	out.Helo, out.To = v.Helo, mail.Address{Local: "postmaster"}
	if v.From != "" {
		if out.From, err = mail.ParseAddress(v.From); err != nil {
			return out, fmt.Errorf("from: %w", err)
		}
	}
	if v.To != "" {
		if out.To, err = mail.ParseAddress(v.To); err != nil {
			return out, fmt.Errorf("to: %w", err)
		}
	}
	return out, nil
}
