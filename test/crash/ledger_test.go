//go:build linux

package crash

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A ledger holds what clients sent and were told, what the sinks were given, and when
// the program was ended.
type ledger struct {
	mu       sync.Mutex
	messages map[uint64]*message
	last     uint64
	lives    []life  // of the program; the last one is not over
	seen     []fault // what a sink saw that must not be
	open     int     // recipients of acknowledged mail of whom nothing is known yet
	settled  int     // recipients of whom something is known
	underway int     // transactions that were begun and not answered to the end
}

// A life of the program, from its start to its end.
type life struct {
	end      moment
	began    time.Time // when a sink first heard of it
	cut      time.Time // when it was ended
	underway int       // ledger.underway then
	taken    int       // transactions that a sink took
}

// promise is what a client knows of its message.
type promise int

const (
	begun        promise = iota // its end was not sent
	doubtful                    // its end was sent, no answer was read
	acknowledged                // 250
	refused                     // another answer
)

type message struct {
	id     uint64
	sum    string
	to     []*recipient
	client promise
	answer string // if it was refused
}

// fate is what the next hop will do with a recipient, always the same.
type fate string

const (
	good  fate = "good"  // takes it
	late  fate = "late"  // says 450 twice, then takes it
	no    fate = "no"    // says 550 to RCPT
	never fate = "never" // says 554 to the final dot; so it does for all recipients of the message
)

type recipient struct {
	address string
	fate    fate
	tries   int  // how often RCPT named it
	owed    bool // counted in ledger.open, until it is known
	known   bool // it has come, or its bounce
	copies  []*transaction
	bounces []bounce
}

// A bounce tells of a recipient.
type bounce struct {
	name string // its Message-ID
	by   *transaction
}

// A transaction hands one message to a sink.
type transaction struct {
	id       uint64 // of the message, or of that which a bounce tells of
	life     int
	to       *sink
	began    time.Time
	answered time.Time // when 250 to the final dot was sent; zero: it was not
	over     bool      // it is not under way
}

func newLedger() *ledger { return &ledger{messages: map[uint64]*message{}, lives: make([]life, 1)} }

// words is a text from which all bodies are cut: lines of 64 octets, some with a dot
// in front.
var words = func() []byte {
	var b bytes.Buffer
	for i := range 36_000 {
		line := fmt.Sprintf("%06d the quick brown fox jumps over the lazy dog, and again %04d\r\n", i, rand.IntN(10_000))
		if rand.IntN(20) == 0 {
			line = "." + line[1:]
		}
		b.WriteString(line)
	}
	return b.Bytes()
}()

const wordLine = 64

// bodySize is 1 to 20 KB mostly, 2 MB at most: large bodies have files of their own.
func bodySize() int {
	switch n := rand.IntN(100); {
	case n < 86:
		return 1_000 + rand.IntN(19_000)
	case n < 97:
		return 20_000 + rand.IntN(180_000)
	default:
		return 950_000 + rand.IntN(1_050_000)
	}
}

const mark = "X-Crash: "

// compose makes a new message. Its first line names it and bears a checksum of all
// that follows.
func (l *ledger) compose(size int, to func(id uint64) []*recipient) (*message, []byte) {
	l.mu.Lock()
	l.last++
	m := &message{id: l.last}
	m.to = to(m.id)
	l.messages[m.id] = m
	l.mu.Unlock()
	lines := size / wordLine
	at := rand.IntN(len(words)/wordLine-lines) * wordLine
	var b bytes.Buffer
	fmt.Fprintf(&b, "From: <s.%d@home.test>\r\nSubject: message %[1]d\r\nDate: Sat, 28 Nov 2026 10:00:00 +0000\r\nMessage-ID: <%[1]d@home.test>\r\n\r\n%[1]d\r\n", m.id)
	b.Write(words[at : at+lines*wordLine])
	fmt.Fprintf(&b, "end of %d\r\n", m.id)
	m.sum = sumOf(b.Bytes())
	return m, append(fmt.Appendf(nil, mark+"%d %s\r\n", m.id, m.sum), b.Bytes()...)
}

func sumOf(b []byte) string {
	s := sha256.Sum256(b)
	return fmt.Sprintf("%x", s[:8])
}

// recipients of a message: one mostly, five at most, in several domains.
func recipients(id uint64) []*recipient {
	n := 1
	if rand.IntN(10) < 3 {
		n = 2 + rand.IntN(4)
	}
	all := make([]*recipient, n)
	refused := rand.IntN(40) == 0
	for k := range all {
		f := good
		switch {
		case refused:
			f = never
		case rand.IntN(20) == 0:
			f = late
		case rand.IntN(20) == 0:
			f = no
		}
		all[k] = &recipient{address: fmt.Sprintf("%s.%d.%d@d%d.there.test", f, k, id, rand.IntN(8)), fate: f}
	}
	return all
}

// sent says that a message is about to be sent to its end.
func (l *ledger) sent(m *message) { l.learn(m, doubtful, "") }

// acked says that its 250 was read.
func (l *ledger) acked(m *message) { l.learn(m, acknowledged, "") }

// refusedBy says that it was answered otherwise.
func (l *ledger) refusedBy(m *message, answer string) { l.learn(m, refused, answer) }

func (l *ledger) learn(m *message, p promise, answer string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	m.client, m.answer = p, answer
	if p != acknowledged {
		return
	}
	for _, r := range m.to {
		if !r.known {
			r.owed = true
			l.open++
		}
	}
}

// waiting is how many recipients of acknowledged mail nothing is known of.
func (l *ledger) waiting() (open, settled int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open, l.settled
}

func (l *ledger) settle(r *recipient) {
	if r.known {
		return
	}
	r.known = true
	l.settled++
	if r.owed {
		l.open--
	}
}

// find returns the recipient with an address, and its message; nil if it is none.
func (l *ledger) find(address string) (*message, *recipient) {
	local, _, _ := strings.Cut(address, "@")
	id, err := strconv.ParseUint(local[strings.LastIndexByte(local, '.')+1:], 10, 64)
	if err != nil || l.messages[id] == nil {
		return nil, nil
	}
	m := l.messages[id]
	for _, r := range m.to {
		if r.address == address {
			return m, r
		}
	}
	return m, nil
}

// begin is a new transaction with a sink.
func (l *ledger) begin(life int, to *sink) *transaction {
	l.do(func() {
		if l.underway++; l.lives[life].began.IsZero() {
			l.lives[life].began = time.Now()
		}
	})
	return &transaction{life: life, to: to, began: time.Now()}
}

// end says that a transaction is not under way any more, and whether 250 was the end.
func (l *ledger) end(tx *transaction, taken bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if taken {
		tx.answered = time.Now()
	}
	if !tx.over {
		tx.over = true
		l.underway--
	}
}

// rcpt is what the next hop says of a recipient.
func (l *ledger) rcpt(address string) (fate, int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, r := l.find(address)
	if r == nil {
		l.saw(ghost, "RCPT names <%s>, to whom nothing was sent", address)
		return good, 0
	}
	r.tries++
	return r.fate, r.tries
}

// took says that the next hop has a message: all but its answer is done.
func (l *ledger) took(tx *transaction, id uint64, whole bool, sum string, to []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lives[tx.life].taken++
	tx.id = id
	m := l.messages[id]
	switch {
	case m == nil:
		l.saw(ghost, "message %d was never sent", id)
		return
	case !whole || sum != m.sum:
		l.saw(changed, "message %d was changed", id)
	}
	for _, address := range to {
		of, r := l.find(address)
		if r == nil || of != m {
			l.saw(ghost, "message %d came to <%s>", id, address)
			continue
		}
		r.copies = append(r.copies, tx)
		l.settle(r)
	}
}

// told says that a bounce came to a sender.
func (l *ledger) told(tx *transaction, name, sender string, about []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(about) == 0 {
		l.saw(ghost, "a bounce for <%s> names no recipient", sender)
	}
	for _, address := range about {
		m, r := l.find(address)
		if r == nil || sender != fmt.Sprintf("s.%d@home.test", m.id) {
			l.saw(ghost, "a bounce for <%s> tells of <%s>", sender, address)
			continue
		}
		r.bounces = append(r.bounces, bounce{name, tx})
		l.settle(r)
	}
}

// saw notes what must not be.
func (l *ledger) saw(k kind, format string, args ...any) {
	l.seen = append(l.seen, fault{k, fmt.Sprintf(format, args...)})
}

func (l *ledger) do(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
}

// now is the number of the program's life.
func (l *ledger) now() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.lives) - 1
}

// cut says that the program is about to be ended.
func (l *ledger) cut(m moment) {
	l.do(func() {
		now := &l.lives[len(l.lives)-1]
		now.end, now.cut, now.underway = m, time.Now(), l.underway
	})
}

// rise says that it is about to be started again.
func (l *ledger) rise() { l.do(func() { l.lives = append(l.lives, life{}) }) }
