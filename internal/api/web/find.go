package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/api"
	"github.com/postrider/postrider/internal/spool"
	"github.com/postrider/postrider/policy"
)

const (
	pageRows = 40
	// A page is shown after this time, also where not all was looked through yet.
	patience = 80 * time.Millisecond
)

func (d *desk) findRoutes(mux *http.ServeMux) {
	d.add("Find", "/find")
	mux.HandleFunc("GET /find", d.find)
}

// reading is one thing that the words in the search box may mean.
type reading struct {
	As, Name string
	query    spool.Query
	keep     func(*spool.Row) bool // nil: all that the query finds
}

// found is what the page of finds shows.
type found struct {
	Q         string
	Readings  []reading
	As        string
	State     string // filters of what waits
	Why       string
	OlderThan string
	Domain    string
	Rows      []api.Delivery
	Looked    int    // deliveries looked through
	Next      string // where the next page begins; "": there is none
	Short     bool   // not all was looked through in time
	Late      bool   // what left is not put in order yet
	Left      bool   // that alone is wanted
	After     string
	Refused   []policy.Record
	Wrong     string
	Link      func(set ...string) string
}

func (d *desk) find(w http.ResponseWriter, r *http.Request) {
	now, q := time.Now(), r.URL.Query()
	f := found{
		Q: strings.TrimSpace(q.Get("q")), As: q.Get("as"), State: q.Get("state"), Why: q.Get("why"),
		OlderThan: q.Get("older"), Domain: q.Get("domain"), After: q.Get("after"), Left: q.Get("left") != "", Link: linker(r.URL),
	}
	if f.Q != "" && f.As == "" {
		if d.at(w, r, f.Q) {
			return
		}
	}
	err := d.search(r.Context(), &f, now)
	status := http.StatusOK
	if bad := (badQuery{}); errors.As(err, &bad) {
		f.Wrong, status = bad.Error(), http.StatusUnprocessableEntity
	} else if err != nil {
		d.problem(w, r, http.StatusInternalServerError, "The store could not be read", err.Error())
		return
	}
	title := "What waits"
	if f.Q != "" {
		title = "Find " + f.Q
	}
	d.show(w, r, status, "find.html", view{Title: title, Place: "/find", Seek: f.Q, Now: now, Data: f})
}

// badQuery is a mistake in what was asked for.
type badQuery struct{ error }

// at leads to the message that an id names.
func (d *desk) at(w http.ResponseWriter, r *http.Request, word string) bool {
	if _, err := d.History(r.Context(), word, 1, time.Now()); err != nil {
		return false
	}
	http.Redirect(w, r, "/message/"+url.PathEscape(word), http.StatusSeeOther)
	return true
}

var (
	isRef    = regexp.MustCompile(`^[0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{8}$`)
	isDomain = regexp.MustCompile(`^\*?[^\s@<>"]*\.[^\s@<>"]+$`)
)

// search finds what was asked for. Of the readings of a word it shows the one that
// was chosen, else the first under which something is found.
func (d *desk) search(ctx context.Context, f *found, now time.Time) error {
	if f.Q == "" {
		rd, err := d.queued(f, now)
		if err != nil {
			return err
		}
		return d.look(ctx, rd, f, now)
	}
	f.Readings = d.readings(f.Q)
	chosen := f.As
	for _, rd := range f.Readings {
		if chosen != "" && rd.As != chosen {
			continue
		}
		f.As = rd.As
		if rd.As == "ref" {
			f.Refused = d.refusal(f.Q)
		} else if err := d.look(ctx, rd, f, now); err != nil {
			return err
		}
		if len(f.Rows) > 0 || len(f.Refused) > 0 || f.Short || f.Late {
			return nil
		}
	}
	return nil
}

// readings are what words may mean, likeliest first.
func (d *desk) readings(q string) []reading {
	var out []reading
	add := func(as, name string, s spool.Query) {
		s.Departed = true
		out = append(out, reading{As: as, Name: name, query: s})
	}
	word := strings.Trim(q, "<> ")
	if isRef.MatchString(q) && d.Options().Door != nil {
		out = append(out, reading{As: "ref", Name: "reference in a refusal"})
	}
	switch {
	case word == "" && strings.Contains(q, "<"):
		add("from", "null return path", spool.Query{From: "@"})
	case strings.Contains(word, "@") && !strings.ContainsAny(word, " \t"):
		if word[0] != '@' {
			add("message-id", "Message-ID", spool.Query{MessageID: word})
		}
		add("to", "as recipient", spool.Query{To: word})
		add("from", "as sender", spool.Query{From: word})
	case isDomain.MatchString(word):
		add("domain", "to the domain", spool.Query{Domain: word})
		add("from", "from the domain", spool.Query{From: "@" + word})
		add("message-id", "Message-ID", spool.Query{MessageID: word})
	case word != "" && !strings.ContainsAny(word, " \t"):
		add("message-id", "Message-ID", spool.Query{MessageID: word})
	}
	low := strings.ToLower(q)
	out = append(out, reading{As: "words", Name: "in replies and subjects", query: spool.Query{Departed: true}, keep: func(r *spool.Row) bool {
		if strings.Contains(strings.ToLower(api.SubjectOf(r.Message.Subject)), low) {
			return true
		}
		for _, c := range r.Delivery.Own() {
			if !c.Last.IsZero() && strings.Contains(strings.ToLower(c.Last.Reply.Line()), low) {
				return true
			}
		}
		return false
	}})
	return out
}

// queued are the filters of what waits. What the store has no index for is tested
// here, so that a page is shown in time.
func (d *desk) queued(f *found, now time.Time) (rd reading, err error) {
	if rd.query, err = (api.Filter{Domain: f.Domain}).Query(now); err != nil {
		return rd, badQuery{err}
	}
	var before time.Time
	if f.OlderThan != "" {
		age, err := custody.ParseAge(f.OlderThan)
		if err != nil {
			return rd, badQuery{err}
		}
		before = now.Add(-age)
	}
	var is func(custody.Delivery) bool
	switch f.State {
	case "":
		is = func(custody.Delivery) bool { return true }
	case "held":
		is = func(c custody.Delivery) bool { return !c.Held.IsZero() }
	case "waiting", "trying":
		is = func(c custody.Delivery) bool { return c.Held.IsZero() && d.Trying(c) == (f.State == "trying") }
	default:
		return rd, badQuery{fmt.Errorf("no state is called %q", f.State)}
	}
	why := d.Whys()
	rd.keep = func(r *spool.Row) bool {
		return (before.IsZero() || r.Delivery.Accepted.Before(before)) && is(r.Delivery) &&
			(f.Why == "" || why(r.Delivery) == f.Why)
	}
	return rd, nil
}

// look fills a page with what fits, as far as it is found in time.
func (d *desk) look(ctx context.Context, rd reading, f *found, now time.Time) (err error) {
	q := rd.query
	if f.After != "" {
		if q.After, q.AfterLeft, err = readCursor(f.After); err != nil {
			return badQuery{err}
		}
	}
	switch {
	case rd.keep != nil || !q.Departed || f.After != "":
		return d.scan(ctx, q, rd.keep, f, now)
	case f.Left:
		q.After = api.BehindAll
		return d.scan(ctx, q, nil, f, now)
	}
	// Of a name that very many bear, what waits is found soon, and what left is put in
	// order later.
	q.Departed = false
	if err := d.scan(ctx, q, nil, f, now); err != nil || f.Next != "" {
		return err
	}
	soon, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	q.Departed, q.After = true, api.BehindAll
	waiting := f.Rows
	if err := d.scan(soon, q, nil, f, now); err != nil && soon.Err() != nil && ctx.Err() == nil {
		f.Rows, f.Late = waiting, true
		return nil
	} else if err != nil {
		return err
	}
	return nil
}

// scan adds what a query finds to a page.
func (d *desk) scan(ctx context.Context, q spool.Query, keep func(*spool.Row) bool, f *found, now time.Time) error {
	began, last := time.Now(), cursor(q.After, q.AfterLeft)
	for row, err := range d.Options().Store.Find(ctx, q) {
		if err != nil {
			return err
		}
		if len(f.Rows) == pageRows {
			f.Next = last
			break
		}
		f.Looked++
		last = cursor(row.Delivery.ID, row.Left)
		if keep == nil || keep(&row) {
			f.Rows = append(f.Rows, d.Show(row, now))
		}
		if keep != nil && f.Looked%64 == 0 && time.Since(began) > patience {
			f.Next, f.Short = last, true
			break
		}
	}
	return nil
}

// cursor says behind what the page that follows begins, also when it has left meanwhile:
// an id, and the moment at which it had left by now.
func cursor(id custody.DeliveryID, left time.Time) string {
	if left.IsZero() {
		return id.String()
	}
	return id.String() + "_" + strconv.FormatInt(left.UnixNano(), 10)
}

func readCursor(s string) (id custody.DeliveryID, left time.Time, err error) {
	s, at, had := strings.Cut(s, "_")
	if had {
		n, err := strconv.ParseInt(at, 10, 64)
		if err != nil {
			return id, left, err
		}
		left = time.Unix(0, n)
	}
	id, err = custody.ParseDeliveryID(s)
	return id, left, err
}

// refusal finds the record that a reply named.
func (d *desk) refusal(ref string) []policy.Record {
	if d.Options().Door == nil {
		return nil
	}
	return d.Options().Door.Refusals(netip.Prefix{}, "", ref, time.Time{}, 10)
}

// linker makes the address of the same page with some parameters set otherwise:
// names and values in turn. An empty value takes the parameter out.
func linker(u *url.URL) func(set ...string) string {
	return func(set ...string) string {
		q := u.Query()
		q.Del("after")
		for i := 0; i+1 < len(set); i += 2 {
			if q.Del(set[i]); set[i+1] != "" {
				q.Set(set[i], set[i+1])
			}
		}
		if len(q) == 0 {
			return u.Path
		}
		return u.Path + "?" + q.Encode()
	}
}
