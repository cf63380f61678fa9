// Package memo is bounded memory that survives a restart: who was asked to come
// again, which clients are proven, how often somebody came, what a next hop said
// of a recipient, whom the operator lets in for a while, what is paused, and who was
// refused.
//
// All of it lives in memory and is backed by one log file with a checksum for
// every record. What an operator orders ([Overrides], [Pauses]) is on disk before the
// call returns; everything else is written behind, so that a crash loses about a
// second of it; rates are never written. Each kind has a greatest number of entries, and
// one network ([Network]) holds at most a sixteenth of them: a flood from one
// network forgets what it brought itself, oldest first, and nobody else's.
//
// The package decides nothing about mail, and in its views the time is an
// argument: its only clock is the second between two writes. When the disk fails,
// memory goes on and the fault is logged once.
//
// Start reading at [Open]; the views are [Greylist], [Proven], [Rates], [Cache],
// [Overrides], [Pauses] and [Refusals]; table.go is what they share.
package memo

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"os"
	"sync"
	"time"
)

// Errors of the durable views, to be asked for by errors.Is.
var (
	ErrFull    = errors.New("memo: no room for another one") // the kind's limit is reached
	ErrExists  = errors.New("memo: exists already")
	ErrUnknown = errors.New("memo: unknown")
	ErrTooLong = errors.New("memo: record too long") // more than 16 KiB
	ErrClosed  = errors.New("memo: closed")
)

// kind is what a record is about. The numbers are on disk: never change one.
type kind byte

const (
	kindGreylist    kind = 1
	kindProven      kind = 2
	kindOverrides   kind = 3
	kindRefusals    kind = 4
	kindCallForward kind = 5
	kindHosts       kind = 6
	kindPauses      kind = 7
)

// Limits is the greatest number of entries of each kind; zero stands for the
// default in brackets. Where an entry belongs to a client, its network holds at
// most a sixteenth of them.
type Limits struct {
	Greylist    int // [500,000] 60 octets of memory each, 110 if every one is of another network
	Proven      int // [200,000] networks
	Rates       int // [200,000]
	CallForward int // [100,000]
	Hosts       int // [50,000]
	Refusals    int // [20,000]
	Overrides   int // [1,000]; nothing of it is forgotten: more are ErrFull
	Pauses      int // [10,000]; as Overrides
}

// Options of Open; the zero value is useful.
type Options struct {
	Limits Limits
	// Log is told of damage that was found and of faults of the disk, each fault
	// once until writing works again. Nil: nobody is.
	Log *slog.Logger

	disk disk // tests stand in for the disk; nil: the folder
}

// Memo is the memory. All methods may be called from several goroutines at once.
type Memo struct {
	log  *slog.Logger
	disk disk
	salt [saltSize]byte

	maxPending int
	maxGarbage int64

	mu         sync.Mutex // what follows, and every table; never held while the disk is waited for
	greylist   *table[greyEntry]
	proven     *table[provenEntry]
	rates      *table[rateEntry]
	blobs      map[kind]*table[blob]
	most       int // overrides
	mostPauses int
	unknown    *table[foreign]
	told       uint32 // the moment that a view was told last
	pending    []byte // records on their way to the log
	overflown  bool   // pending grew too long: the log must be written anew
	armed      bool   // a flush is on its way
	hurried    bool   // at once
	timer      *time.Timer

	file journal
}

// Open reads the memory that dir holds, or begins one; dir is made if it is not
// there. Only one process may have it open. Records that are damaged are dropped,
// and Log is told how many octets of which file. It is an error if the folder
// cannot be read or written, or if a newer version wrote a form of file that this
// one cannot read.
func Open(dir string, o Options) (*Memo, error) {
	m := &Memo{log: o.Log, disk: o.disk, maxPending: maxPending, maxGarbage: maxGarbage}
	if m.log == nil {
		m.log = slog.New(slog.DiscardHandler)
	}
	if m.disk == nil {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("memo: open: %w", err)
		}
		m.disk = folder(dir)
	}
	m.tables(o.Limits)
	if err := m.load(); err != nil {
		return nil, fmt.Errorf("memo: open %s: %w", dir, err)
	}
	m.timer = time.AfterFunc(time.Hour, m.flush)
	m.timer.Stop()
	if m.file.anew {
		m.timer.Reset(behind)
	}
	return m, nil
}

func (m *Memo) tables(l Limits) {
	or := func(n, otherwise int) int {
		if n <= 0 {
			return otherwise
		}
		return n
	}
	m.greylist = newTable[greyEntry](or(l.Greylist, 500_000))
	m.proven = newTable[provenEntry](or(l.Proven, 200_000))
	m.rates = newTable[rateEntry](or(l.Rates, 200_000))
	m.unknown = newTable[foreign](50_000)
	m.most, m.mostPauses = or(l.Overrides, 1_000), or(l.Pauses, 10_000)
	m.blobs = map[kind]*table[blob]{
		kindOverrides:   newTable[blob](math.MaxInt), // Add counts: not even a lower limit drops one
		kindRefusals:    newTable[blob](or(l.Refusals, 20_000)),
		kindCallForward: newTable[blob](or(l.CallForward, 100_000)),
		kindHosts:       newTable[blob](or(l.Hosts, 50_000)),
		kindPauses:      newTable[blob](math.MaxInt), // Put counts
	}
}

// Close writes what waits. The views go on in memory, but nothing is kept any more.
func (m *Memo) Close() error {
	m.timer.Stop()
	j := &m.file
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.f == nil {
		return nil
	}
	err := m.write(nil)
	if e := j.f.Close(); err == nil {
		err = e
	}
	j.f = nil
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pending, m.overflown = nil, true
	if err != nil {
		return fmt.Errorf("memo: close: %w", err)
	}
	return nil
}

// Size is how much a kind holds.
type Size struct {
	Kind     string // greylist proven rates call-forward hosts refusals overrides pauses
	Entries  int
	Networks int // that hold one or more of them
	Most     int // the limit
}

// Sizes tells how full the memory is, kind by kind in a fixed order.
func (m *Memo) Sizes() []Size {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := []Size{size("greylist", m.greylist), size("proven", m.proven), size("rates", m.rates)}
	out = append(out, size("call-forward", m.blobs[kindCallForward]), size("hosts", m.blobs[kindHosts]), size("refusals", m.blobs[kindRefusals]))
	o, p := size("overrides", m.blobs[kindOverrides]), size("pauses", m.blobs[kindPauses])
	o.Most, p.Most = m.most, m.mostPauses
	return append(out, o, p)
}

func size[V value](name string, t *table[V]) Size {
	n := t.networks.n
	if t.share(nobody) != 0 {
		n--
	}
	return Size{Kind: name, Entries: t.len(), Networks: n, Most: t.most}
}

// Network is the network that shares with its neighbours what one network may
// hold: the /24 of an IPv4 address, mapped ones too, the /48 of an IPv6 address,
// and the zero Prefix for no address.
func Network(client netip.Addr) netip.Prefix {
	client = client.Unmap().WithZone("")
	bits := 48
	if client.Is4() {
		bits = 24
	}
	p, err := client.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}

// nobody is the share of entries that no network brought: all of the kind is theirs.
const nobody uint64 = 0

// shareOf folds Network into a number, without loss.
func shareOf(client netip.Addr) uint64 {
	client = client.Unmap()
	switch {
	case client.Is4():
		a := client.As4()
		return 4<<56 | uint64(a[0])<<16 | uint64(a[1])<<8 | uint64(a[2])
	case client.Is6():
		a := client.As16()
		return 6<<56 | binary.BigEndian.Uint64(a[:8])>>16
	}
	return nobody
}

// keyOf is what stands for a caller's key in memory and on disk: the addresses of
// people are not kept, and nobody outside can make two keys meet, since the salt
// is the folder's own.
func (m *Memo) keyOf(k kind, key string) uint64 {
	var room [256]byte
	b := append(append(room[:0], m.salt[:]...), byte(k))
	sum := sha256.Sum256(append(b, key...))
	return binary.LittleEndian.Uint64(sum[:])
}

// seconds is a moment as it is kept: whole seconds of Unix time, until 2106.
func seconds(t time.Time) uint32 {
	return uint32(min(max(t.Unix(), 0), math.MaxUint32))
}

func moment(s uint32) time.Time { return time.Unix(int64(s), 0).UTC() }

// tell notes the moment for what has no argument of its own. The lock is held.
func (m *Memo) tell(now time.Time) uint32 {
	m.told = seconds(now)
	return m.told
}
