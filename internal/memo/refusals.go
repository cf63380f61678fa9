package memo

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"iter"
	"net/netip"
	"slices"
	"time"
)

// Refusal is mail that was refused or deferred at the door. T is the evidence and
// goes through encoding/json.
type Refusal[T any] struct {
	Ref    string // what the reply named, so that it can be found by whoever quotes it
	At     time.Time
	Client netip.Addr // the zero Addr: not by network
	Rule   string     // the name of the rule
	Detail T
}

// Refusals are the latest refusals; the oldest are forgotten as new ones come,
// those of a network that fills its part before those of others, and all after 30
// days.
type Refusals[T any] struct{ m *Memo }

// NewRefusals are the refusals of the memory. Every caller must use the same T.
func NewRefusals[T any](m *Memo) Refusals[T] { return Refusals[T]{m} }

const refusalMemory = 30 * 24 * time.Hour

// Add notes a refusal. The mail is what tells one message of a client from another,
// such as sender and recipient: by it those are known who come again; only a hash
// of it is kept. A refusal with the same Ref replaces the earlier one. The error is
// ErrTooLong or that of encoding/json.
func (s Refusals[T]) Add(r Refusal[T], mail string) error {
	m := s.m
	b, err := appendJSON(refusalHead{
		at: r.At.UnixNano(), mail: m.keyOf(kindRefusals, mail), client: r.Client.Unmap(), rule: r.Rule, ref: r.Ref,
	}.append(nil), r.Detail)
	if err != nil {
		return err
	}
	key, network, until := m.keyOf(kindRefusals, r.Ref), shareOf(r.Client), seconds(r.At.Add(refusalMemory))
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.blobs[kindRefusals]
	t.sweep(m.tell(r.At))
	t.put(key, network, until, b)
	note(m, kindRefusals, key, network, until, blob(b))
	return nil
}

// Query asks for refusals; what is zero does not restrict.
type Query struct {
	Ref    string
	Client netip.Prefix // the client is in it
	Rule   string
	Since  time.Time // not before
	Before time.Time
}

func (q Query) fits(h refusalHead) bool {
	return (q.Ref == "" || q.Ref == h.ref) &&
		(!q.Client.IsValid() || q.Client.Contains(h.client)) &&
		(q.Rule == "" || q.Rule == h.rule) &&
		(q.Since.IsZero() || h.at >= q.Since.UnixNano()) &&
		(q.Before.IsZero() || h.at < q.Before.UnixNano())
}

// Find yields the refusals that fit, newest first.
func (s Refusals[T]) Find(q Query) iter.Seq[Refusal[T]] {
	return func(yield func(Refusal[T]) bool) {
		for _, h := range slices.Backward(s.m.refusals(q)) {
			if r, ok := read[T](h); ok && !yield(r) {
				return
			}
		}
	}
}

// Group is the refusals of one client by one rule, as far as they are remembered.
type Group[T any] struct {
	Client netip.Addr
	Rule   string
	Count  int
	Mails  int // different ones
	// Again counts how often a mail came back a minute or more after its refusal
	// before, Hasty how often it came sooner. A mail that a neighbour in the network
	// of the client brought before counts too: large senders try again from another
	// address.
	Again, Hasty int
	First, Last  time.Time
	Latest       Refusal[T]
}

// Proper tells whether the client came again as a proper server does (RFC 5321
// 4.5.4.1): more often with patience than without.
func (g Group[T]) Proper() bool { return g.Again > g.Hasty }

// patience is what lies between two tries of a proper server.
const patience = time.Minute

// Groups sums up the refusals that fit by client and rule, the one with the latest
// refusal first.
func (s Refusals[T]) Groups(q Query) []Group[T] {
	type id struct {
		client netip.Addr
		rule   string
	}
	type visit struct {
		network uint64
		rule    string
		mail    uint64
	}
	type brought struct {
		group int
		mail  uint64
	}
	var groups []Group[T]
	index := map[id]int{}
	before := map[visit]int64{}
	mails := map[brought]bool{}
	var latest []refusalHead
	for _, h := range s.m.refusals(q) {
		i, ok := index[id{h.client, h.rule}]
		if !ok {
			i = len(groups)
			index[id{h.client, h.rule}] = i
			groups = append(groups, Group[T]{Client: h.client, Rule: h.rule, First: unix(h.at)})
			latest = append(latest, h)
		}
		g := &groups[i]
		g.Count++
		latest[i] = h
		if b := (brought{i, h.mail}); !mails[b] {
			mails[b] = true
			g.Mails++
		}
		v := visit{shareOf(h.client), h.rule, h.mail}
		if at, ok := before[v]; ok && h.at-at >= int64(patience) {
			g.Again++
		} else if ok {
			g.Hasty++
		}
		before[v] = h.at
	}
	for i, h := range latest {
		groups[i].Last = unix(h.at)
		groups[i].Latest, _ = read[T](h)
	}
	slices.SortStableFunc(groups, func(a, b Group[T]) int { return b.Last.Compare(a.Last) })
	return groups
}

func unix(ns int64) time.Time { return time.Unix(0, ns).UTC() }

// refusals returns those that fit, oldest first.
func (m *Memo) refusals(q Query) []refusalHead {
	var all []blob
	m.mu.Lock()
	t := m.blobs[kindRefusals]
	if q.Ref != "" {
		if i := t.place(m.keyOf(kindRefusals, q.Ref)); i != 0 {
			all = append(all, t.entries.at(i).v)
		}
	} else {
		t.each(1, t.len(), func(_ uint64, e *entry[blob]) { all = append(all, e.v) })
	}
	m.mu.Unlock()
	var out []refusalHead
	for _, b := range all {
		if h, ok := parseRefusal(b); ok && q.fits(h) {
			out = append(out, h)
		}
	}
	slices.SortStableFunc(out, func(a, b refusalHead) int { return cmp.Compare(a.at, b.at) })
	return out
}

// refusalHead is what can be searched; the detail stands behind it.
type refusalHead struct {
	at        int64
	mail      uint64
	client    netip.Addr
	rule, ref string
	detail    []byte
}

func (h refusalHead) append(b []byte) []byte {
	b = binary.LittleEndian.AppendUint64(b, uint64(h.at))
	b = binary.LittleEndian.AppendUint64(b, h.mail)
	for _, s := range [][]byte{h.client.AsSlice(), []byte(h.rule), []byte(h.ref)} {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	return b
}

func parseRefusal(b []byte) (h refusalHead, ok bool) {
	if len(b) < 16 {
		return h, false
	}
	h.at = int64(binary.LittleEndian.Uint64(b))
	h.mail = binary.LittleEndian.Uint64(b[8:])
	b = b[16:]
	var parts [3][]byte
	for i := range parts {
		n, w := binary.Uvarint(b)
		if w <= 0 || n > uint64(len(b)-w) {
			return h, false
		}
		parts[i], b = b[w:w+int(n)], b[w+int(n):]
	}
	h.client, _ = netip.AddrFromSlice(parts[0])
	h.rule, h.ref, h.detail = string(parts[1]), string(parts[2]), b
	return h, true
}

func read[T any](h refusalHead) (Refusal[T], bool) {
	r := Refusal[T]{Ref: h.ref, At: unix(h.at), Client: h.client, Rule: h.rule}
	return r, json.Unmarshal(h.detail, &r.Detail) == nil
}
