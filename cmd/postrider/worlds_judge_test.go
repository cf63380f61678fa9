package main

import (
	"cmp"
	"context"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/dsn"
	"github.com/postrider/postrider/internal/spool"
	"github.com/postrider/postrider/mail"
)

// judge compares what the program did with the laws.
type judge struct {
	w       *universe
	kept    map[string]*kept     // all that is in the store, by the message's name
	takes   map[string][]*take   // by message and recipient
	reports map[string][]*report // by the message and the recipient that they tell of
	letters map[string]bool      // reports that came home, by name
	sum     *sums
}

// kept is a message as the store has it.
type kept struct {
	custody.Message
	rows    []spool.Row
	history spool.History
	sent    *sent // nil: a letter of the program
}

// report is what a letter says of one recipient.
type report struct {
	letter string
	at     time.Time // when it was written
	action dsn.Action
}

// sums are what a world came to.
type sums struct {
	messages, recipients, delivered, failed, removed, warnings, letters, looks int
	twice                                                                      map[string]int // by cause
	late, warned, slow                                                         time.Duration  // the most beyond the end, the warning's age, and at a healthy host
}

func (s *sums) add(o *sums) {
	s.messages += o.messages
	s.recipients += o.recipients
	s.delivered += o.delivered
	s.failed += o.failed
	s.removed += o.removed
	s.warnings += o.warnings
	s.letters += o.letters
	s.looks += o.looks
	for why, n := range o.twice {
		s.twice[why] += n
	}
	s.late, s.warned, s.slow = max(s.late, o.late), max(s.warned, o.warned), max(s.slow, o.slow)
}

var (
	receivedID = regexp.MustCompile(`(?s)^Received: .*?\bid ([0-9a-z]{26})\b`)
	ownID      = regexp.MustCompile(`(?im)^Message-ID: <([0-9a-z]{26})@mx\.world\.test>`)
	worldID    = regexp.MustCompile(`(?m)^X-World: (\S+)`)
)

func key(id, rcpt string) string { return id + " " + strings.ToLower(rcpt) }

// judge finds the laws that the world broke.
func (w *universe) judge() *sums {
	j := &judge{
		w: w, kept: map[string]*kept{}, takes: map[string][]*take{}, reports: map[string][]*report{}, letters: map[string]bool{},
		sum: &sums{twice: map[string]int{}},
	}
	w.last = j
	w.mu.Lock()
	takes := slices.Clone(w.takes)
	w.mu.Unlock()
	if !j.read() {
		return j.sum
	}
	for _, t := range takes {
		if t.host == "home.test" {
			j.letter(t)
		} else {
			j.message(t)
		}
	}
	for _, s := range w.posts {
		if !s.acked.IsZero() {
			j.sum.messages++
			j.nothingLost(s)
		}
	}
	for _, k := range j.kept {
		j.account(k)
		for _, row := range k.rows {
			j.clock(k, row)
		}
	}
	j.fates()
	return j.sum
}

// read takes all that the store knows.
func (j *judge) read() bool {
	ctx, store := context.Background(), j.w.process.n.store
	for row, err := range store.Find(ctx, spool.Query{Departed: true}) {
		if err != nil {
			j.w.breaks("the store is read", "%v", err)
			return false
		}
		id := row.Message.ID.String()
		k := j.kept[id]
		if k == nil {
			k = &kept{Message: row.Message}
			j.kept[id] = k
			if k.history, err = store.History(ctx, row.Message.ID); err != nil {
				j.w.breaks("the store is read", "history of %s: %v", id, err)
				return false
			}
			if row.Message.Came.Notice == custody.NoKind {
				name, _, _ := strings.Cut(row.Message.MessageID, "@")
				k.sent = j.w.posts[name]
				j.wasSent(k, name)
			}
		}
		k.rows = append(k.rows, row)
		if row.Left.IsZero() {
			j.w.breaks("nothing stays", "%s to %s, accepted %v, wakes %v, next %v, held %v", row.Delivery.ID, row.Delivery.Domain, j.age(row.Delivery.Accepted), j.age(row.Wake), j.age(row.Delivery.Next), row.Delivery.Held)
		}
	}
	return true
}

// age is a moment as time since the world began.
func (j *judge) age(t time.Time) time.Duration {
	if t.IsZero() {
		return -1
	}
	return t.Sub(j.w.began)
}

// wasSent: what is kept was sent, to its last octet, and was not refused.
func (j *judge) wasSent(k *kept, name string) {
	s := k.sent
	switch {
	case s == nil:
		j.w.breaks("nothing comes of nothing", "%s is %q, which nobody sent", k.ID, name)
	case !j.w.arrivals[s.id]:
		j.w.breaks("nothing comes of nothing", "%s is %s, whose sender hung up in the middle", k.ID, name)
	case s.acked.IsZero() && !s.lost && !j.badNight(s.began, s.began.Add(10*time.Minute)):
		j.w.breaks("nothing comes of nothing", "%s is %s, which was refused", k.ID, name)
	}
}

// badNight reports whether the disk failed during some time.
func (j *judge) badNight(from, to time.Time) bool {
	return slices.ContainsFunc(j.w.nights, func(n night) bool { return n.what == badDisk && n.from.Before(to) && n.to.After(from) })
}

// message files a take, whose bytes are as they were sent below the Received field.
func (j *judge) message(t *take) {
	id := receivedID.FindStringSubmatch(t.text)
	name := worldID.FindStringSubmatch(t.text)
	if id == nil || name == nil || j.kept[id[1]] == nil || j.kept[id[1]].sent == nil {
		j.w.breaks("nothing comes of nothing", "%s took what is not in the store: %.300q", t.host, t.text)
		return
	}
	k := j.kept[id[1]]
	if k.sent.id != name[1] {
		j.w.breaks("bytes are intact", "%s of %s came as %s", id[1], k.sent.id, name[1])
		return
	}
	if rest := afterReceived(t.text); rest != k.sent.text {
		j.w.breaks("bytes are intact", "%s at %s: %d octets, sent were %d; they differ at %d", name[1], t.host, len(rest), len(k.sent.text), differ(rest, k.sent.text))
	}
	if t.from != k.sent.from {
		j.w.breaks("bytes are intact", "%s came from %q", name[1], t.from)
	}
	for _, to := range t.to {
		if !slices.ContainsFunc(k.sent.to, func(r mail.Recipient) bool { return strings.EqualFold(r.Address.String(), to) }) {
			j.w.breaks("nothing comes of nothing", "%s was given to %s", name[1], to)
		}
		j.takes[key(id[1], to)] = append(j.takes[key(id[1], to)], t)
	}
}

// afterReceived is a message without the first field of its header.
func afterReceived(text string) string {
	for {
		i := strings.Index(text, "\r\n")
		if i < 0 {
			return ""
		}
		if text = text[i+2:]; !strings.HasPrefix(text, "\t") && !strings.HasPrefix(text, " ") {
			return text
		}
	}
}

func differ(a, b string) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

// letter files a report that came home.
func (j *judge) letter(t *take) {
	own := ownID.FindStringSubmatch(t.text)
	if own == nil || j.kept[own[1]] == nil {
		j.w.breaks("nothing comes of nothing", "home took what is not in the store: %.300q", t.text)
		return
	}
	for _, to := range t.to {
		j.takes[key(own[1], to)] = append(j.takes[key(own[1], to)], t)
	}
	if j.letters[own[1]] {
		return // the same letter again
	}
	j.letters[own[1]] = true
	j.sum.letters++
	r, original, err := dsn.Read([]byte(t.text))
	about := receivedID.FindSubmatch(original.Header)
	if err != nil || about == nil || len(r.Recipients) == 0 {
		j.w.breaks("a letter can be read", "%s: %v, about %q:\n%.2000s", own[1], err, about, t.text)
		return
	}
	k := j.kept[string(about[1])]
	if k == nil || k.sent == nil || t.from != "" || len(t.to) != 1 || t.to[0] != k.sent.from {
		j.w.breaks("a letter goes to the sender", "%s is about %s, from %q, to %v", own[1], about[1], t.from, t.to)
		return
	}
	for _, to := range r.Recipients {
		at := key(string(about[1]), to.Final.Value)
		j.reports[at] = append(j.reports[at], &report{own[1], r.Date, to.Action})
	}
}

// nothingLost: what was acknowledged is in the store, with each recipient once.
func (j *judge) nothingLost(s *sent) {
	k := j.kept[s.queue]
	if k == nil || k.sent != s {
		j.w.breaks("nothing is lost", "%s was acknowledged as %s after %v and is not there", s.id, s.queue, j.age(s.acked))
		return
	}
	for _, r := range s.to {
		n := 0
		for _, row := range k.rows {
			for _, own := range row.Delivery.Own() {
				if own.Address == r.Address {
					n++
				}
			}
		}
		if j.sum.recipients++; n != 1 {
			j.w.breaks("nothing is lost", "%s: recipient %s is there %d times", s.queue, r.Address, n)
		}
	}
}

// all yields the recipients of a message with their deliveries, in order.
func (k *kept) all(f func(row spool.Row, r custody.Recipient)) {
	slices.SortFunc(k.rows, func(a, b spool.Row) int { return cmp.Compare(a.Delivery.ID.N, b.Delivery.ID.N) })
	for _, row := range k.rows {
		for _, r := range row.Delivery.Own() {
			f(row, r)
		}
	}
}

// names lists the letters that say something of a recipient, each once.
func (j *judge) names(id, rcpt string, a dsn.Action) []*report {
	by := map[string]*report{}
	for _, r := range j.reports[key(id, rcpt)] {
		if r.action == a {
			by[r.letter] = r
		}
	}
	return slices.SortedFunc(maps.Values(by), func(a, b *report) int { return a.at.Compare(b.at) })
}
