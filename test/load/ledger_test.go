//go:build linux

package load

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// A letter is a message for one recipient, r.ID@domain, from s.ID@home.test. The
// addresses say which it is, on its way and in its bounce.
type letter struct {
	domain   string
	began    time.Time // when its MAIL was sent
	acked    time.Time // zero: it was not acknowledged
	came     time.Time // first; zero: it has not arrived
	copies   int
	promised time.Time // when it is given up, as the queue told
	bounced  time.Time // when its first bounce came
	bounces  int

	ackedAt, cameAt int // how many letters a host had taken by then (sender.host, sink.beside)
}

// A ledger holds what clients and hosts saw.
type ledger struct {
	mu      sync.Mutex
	letters []letter
	wrong   []string // what came that must not come
}

// write adds a letter.
func (l *ledger) write(domain string) (id int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.letters = append(l.letters, letter{domain: domain, began: time.Now()})
	return len(l.letters) - 1
}

// id is the number in an address; -1 if it is none of ours.
func id(address string) int {
	_, rest, _ := strings.Cut(address, ".")
	digits, _, _ := strings.Cut(rest, "@")
	n, err := strconv.Atoi(digits)
	if err != nil {
		return -1
	}
	return n
}

// with gives f the letter that an address speaks of, under the lock.
func (l *ledger) with(address string, f func(*letter)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := id(address)
	if n < 0 || n >= len(l.letters) {
		l.wrong = append(l.wrong, "mail came to <"+address+">, which nobody sent")
		return
	}
	f(&l.letters[n])
}

func (l *ledger) wrongly(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wrong = append(l.wrong, fmt.Sprintf(format, args...))
}

// count is how many letters are so.
func (l *ledger) count(so func(letter) bool) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.letters {
		if so(l.letters[i]) {
			n++
		}
	}
	return n
}

// of returns a copy of the letters that are so.
func (l *ledger) of(so func(letter) bool) []letter {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(l.letters), func(x letter) bool { return !so(x) })
}

func underWay(x letter) bool { return !x.acked.IsZero() && x.copies+x.bounces == 0 }

// judge fails the test for each kind of letter that has not come to one end: what was
// acknowledged once came once, or came back once.
func (l *ledger) judge(t *testing.T) {
	t.Helper()
	lost := l.count(underWay)
	double := l.count(func(x letter) bool { return x.copies+x.bounces > 1 })
	if lost > 0 || double > 0 {
		t.Errorf("of %d letters %d were lost, %d came more than once", len(l.letters), lost, double)
	}
	for i, w := range l.wrong {
		if i == 10 {
			t.Errorf("and %d more", len(l.wrong)-i)
			break
		}
		t.Error(w)
	}
}

// A spread is a set of times or numbers, in order.
type spread[T time.Duration | int] []T

// spreadOf gathers a spread of letters.
func spreadOf[T time.Duration | int](all []letter, what func(letter) T) (s spread[T]) {
	for _, x := range all {
		s = append(s, what(x))
	}
	slices.Sort(s)
	return s
}

func (s spread[T]) at(share float64) T {
	if len(s) == 0 {
		return 0
	}
	return s[min(len(s)-1, int(share*float64(len(s))))]
}

func (s spread[T]) String() string {
	show := func(v T) string {
		if d, ok := any(v).(time.Duration); ok {
			return d.Round(time.Millisecond / 10).String()
		}
		return fmt.Sprint(v)
	}
	return fmt.Sprintf("median %s, 99th %s, most %s (%d)", show(s.at(0.5)), show(s.at(0.99)), show(s.at(1)), len(s))
}

// latency is how long a letter took from its MAIL to its arrival.
func latency(x letter) time.Duration { return x.came.Sub(x.began) }
