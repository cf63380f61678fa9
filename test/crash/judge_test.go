//go:build linux

package crash

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// kind is a law that was broken.
type kind string

const (
	lost     kind = "lost"            // acknowledged, but it neither came nor came back
	changed  kind = "changed"         // not as it was sent
	ghost    kind = "never sent"      // came without having been sent, sent to its end, or accepted
	again    kind = "again"           // came twice where no answer was under way in a crash
	twice    kind = "bounced twice"   // two bounces tell of one recipient
	wrongly  kind = "wrongly bounced" // a bounce tells of a recipient that the next hop takes
	unwanted kind = "refused"         // the program refused what it must take
)

type fault struct {
	kind kind
	text string
}

// What is in flight to one destination, at most: the program keeps so many deliveries
// at a time, and begins the next one when what became of the last is on disk.
const perDestination = 20

// settling is how long that may take after the answer, on a busy machine.
const settling = 10 * time.Second

// A verdict is what the ledger comes to once everything has come.
type verdict struct {
	messages   map[promise]int
	recipients int           // of acknowledged messages
	bounced    int           // of them
	repeats    int           // transactions that were made again, in whole or in part
	underway   int           // transactions that were not answered, at all crashes together
	taken      int           // transactions that were handed over until the last crash…
	busy       time.Duration // …and how long that took
	most       [2]int
	lags       []time.Duration // of those repeats that were answered: from the answer to the crash
	moments    map[moment][2]int
	faults     []fault
}

// judge compares. What was handed over may be handed over again only after a crash
// before which it could not be settled (RFC 5321 4.5.4.1, docs/states.md).
func (l *ledger) judge() verdict {
	l.mu.Lock()
	defer l.mu.Unlock()
	v := verdict{messages: map[promise]int{}, moments: map[moment][2]int{}, faults: l.seen}
	var repeats []repeat
	for _, id := range slices.Sorted(maps.Keys(l.messages)) {
		m := l.messages[id]
		v.messages[m.client]++
		if m.client == refused {
			v.add(unwanted, "message %d: %s", id, m.answer)
		}
		for _, r := range m.to {
			repeats = append(repeats, v.recipient(m, r)...)
		}
	}
	type end struct {
		life int
		to   *sink
	}
	ends := map[end]int{}
	seen := map[*transaction]bool{}
	for _, p := range repeats {
		a := p.first
		if a.life == p.second.life {
			v.add(again, "%s was made again by %s, without a crash", a, p.second)
		}
		if seen[a] {
			continue
		}
		seen[a] = true
		v.repeats++
		ends[end{a.life, a.to}]++
		if cut := l.lives[a.life].cut; !a.answered.IsZero() && a.answered.Before(cut) {
			lag := cut.Sub(a.answered)
			if v.lags = append(v.lags, lag); lag > settling {
				v.add(again, "%s was made again by %s though it was answered %v before the crash", a, p.second, lag)
			}
		}
	}
	perLife := map[int]int{}
	for e, n := range ends {
		if perLife[e.life] += n; n > perDestination {
			v.add(again, "crash %d: %d made again at one destination, at most %d can be in flight", e.life+1, n, perDestination)
		}
	}
	for i, c := range l.lives[:len(l.lives)-1] {
		n := perLife[i]
		v.underway += c.underway
		v.taken += c.taken
		if !c.began.IsZero() {
			v.busy += c.cut.Sub(c.began)
		}
		v.most = [2]int{max(v.most[0], n), max(v.most[1], c.underway)}
		of := v.moments[c.end]
		v.moments[c.end] = [2]int{of[0] + 1, of[1] + n}
	}
	return v
}

func (v *verdict) add(k kind, format string, args ...any) {
	v.faults = append(v.faults, fault{k, fmt.Sprintf(format, args...)})
}

// A repeat is a transaction that handed over what another one had handed over.
type repeat struct{ first, second *transaction }

// recipient judges one recipient of a message, and returns what came to it again.
func (v *verdict) recipient(m *message, r *recipient) (repeats []repeat) {
	note := func(a, b *transaction) {
		if a != nil && a != b {
			repeats = append(repeats, repeat{a, b})
		}
	}
	names := map[string]*transaction{}
	for _, b := range r.bounces {
		note(names[b.name], b.by)
		names[b.name], b.by.id = b.by, m.id
	}
	// What a program that is gone had left in a connection may be read after the next has begun.
	slices.SortStableFunc(r.copies, func(a, b *transaction) int { return a.life - b.life })
	for i, tx := range r.copies[:max(0, len(r.copies)-1)] {
		note(tx, r.copies[i+1])
	}
	came, back := len(r.copies) > 0, len(names) > 0
	if m.client == acknowledged {
		v.recipients++
		if back {
			v.bounced++
		}
		if !came && !back {
			v.add(lost, "message %d to <%s>; RCPT has named it %d times", m.id, r.address, r.tries)
		}
	}
	if (came || back) && (m.client == begun || m.client == refused) {
		v.add(ghost, "message %d to <%s>, which was %s", m.id, r.address, m.client)
	}
	if back && (r.fate == good || r.fate == late) {
		v.add(wrongly, "message %d to <%s>", m.id, r.address)
	}
	if len(names) > 1 {
		v.add(twice, "message %d to <%s>: %s", m.id, r.address, strings.Join(slices.Sorted(maps.Keys(names)), " "))
	}
	return repeats
}

func (tx *transaction) String() string {
	return fmt.Sprintf("the transaction of message %d (life %d, %s, answered %s)", tx.id, tx.life+1, tx.began.Format(clock), tx.answered.Format(clock))
}

const clock = "15:04:05.000"

func (p promise) String() string {
	return [...]string{"not sent to its end", "in doubt", "acknowledged", "refused"}[p]
}

// String is the verdict for a person.
func (v verdict) String() string {
	var b strings.Builder
	crashes := 0
	for _, n := range v.moments {
		crashes += n[0]
	}
	count := map[kind]int{}
	for _, f := range v.faults {
		count[f.kind]++
	}
	fmt.Fprintf(&b, "%d crashes; %d messages acknowledged to %d recipients, %d of them bounced; %d messages in doubt, %d cut before their end\n",
		crashes, v.messages[acknowledged], v.recipients, v.bounced, v.messages[doubtful], v.messages[begun])
	fmt.Fprintf(&b, "lost %d, changed %d, never sent %d, twice without need %d, bounced twice %d, wrongly bounced %d, refused %d\n",
		count[lost], count[changed], count[ghost], count[again], count[twice], count[wrongly], count[unwanted])
	if crashes > 0 {
		fmt.Fprintf(&b, "duplicates: %d, %.2f a crash, at most %d; %s\n", v.repeats, float64(v.repeats)/float64(crashes), v.most[0], v.answered())
		fmt.Fprintf(&b, "transactions: %d, %.0f a second of those in which it sent; without an answer at a crash: %.1f, at most %d\n",
			v.taken, v.rate(), float64(v.underway)/float64(crashes), v.most[1])
	}
	for _, m := range slices.Sorted(maps.Keys(v.moments)) {
		n := v.moments[m]
		fmt.Fprintf(&b, "  %s: %d crashes, %d duplicates\n", m, n[0], n[1])
	}
	return b.String()
}

// rate is how many transactions a second were handed over while it sent.
func (v verdict) rate() float64 { return float64(v.taken) / v.busy.Seconds() }

// answered tells of the duplicates whose first answer came before the crash.
func (v verdict) answered() string {
	if len(v.lags) == 0 {
		return "none of them was answered before it"
	}
	all := slices.Sorted(slices.Values(v.lags))
	return fmt.Sprintf("%d of them were answered before it: median %v, longest %v",
		len(all), all[len(all)/2].Round(100*time.Microsecond), all[len(all)-1].Round(100*time.Microsecond))
}
