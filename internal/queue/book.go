package queue

import (
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/postrider/postrider/custody"
)

const (
	cardsKept = 20_000    // destinations of which is remembered what they said
	cardLife  = time.Hour // how long one is for which nothing waits
)

// book is what is remembered of destinations in order to be shown, longer than the
// queue itself needs it. Pauses and orders find by it where a lane leads; nothing else
// that is done depends on it.
type book struct {
	mu    sync.Mutex
	leads map[string]string // where a lane led when it was last looked up, by site
	cards map[string]*card  // by site
}

// card is what is remembered of one destination.
type card struct {
	way    custody.Way
	heard  time.Time       // when it was last tried, or its way looked up
	lived  time.Time       // when it last answered to MAIL or later; zero: not since the start
	silent time.Time       // when the first of those attempts began that brought only silence; zero: none did
	knocks int             // these attempts, without one between them that got through
	last   custody.Outcome // of the last attempt
	no     custody.Outcome // of the last one that was not taken
}

func newBook() *book { return &book{leads: map[string]string{}, cards: map[string]*card{}} }

// found notes where a lane leads now.
func (b *book) found(lane string, w custody.Way, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, known := b.leads[lane]; !known && len(b.leads) >= lanesKept {
		for other := range b.leads { // whichever: it is only shown less well
			delete(b.leads, other)
			break
		}
	}
	b.leads[lane] = w.Site
	c := b.card(w.Site)
	c.way, c.heard = w, now
	if w.None != nil {
		c.last, c.no = *w.None, *w.None
		c.last.At, c.no.At = now, now
	}
}

// card returns the card of a site. The lock is held.
func (b *book) card(site string) *card {
	c := b.cards[site]
	if c != nil {
		return c
	}
	if len(b.cards) >= cardsKept {
		oldest, tries := "", 5
		for name, other := range b.cards {
			if oldest == "" || other.heard.Before(b.cards[oldest].heard) {
				oldest = name
			}
			if tries--; tries == 0 {
				break
			}
		}
		delete(b.cards, oldest)
	}
	c = &card{}
	b.cards[site] = c
	return c
}

// tried notes what an attempt said of its site.
func (b *book) tried(w custody.Way, a custody.Attempt, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.card(w.Site)
	c.way, c.heard = w, now
	for _, o := range a.Outcomes {
		o.Rcpts = nil
		if c.last = o; o.Taken == custody.Nothing {
			c.no = o
		}
	}
	if reached(a) {
		c.lived, c.silent, c.knocks = now, time.Time{}, 0
		return
	}
	if c.knocks++; c.silent.IsZero() {
		c.silent = a.Began
	}
}

// led returns the site that a lane led to when it was last looked up, "" if that is
// not known.
func (b *book) led(lane string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.leads[lane]
}

// leading returns the sites to which lanes lead whose names have a part in common.
func (b *book) leading(part string) map[string]bool {
	if part == "" {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	sites := map[string]bool{}
	for lane, site := range b.leads {
		if strings.Contains(lane, part) {
			sites[site] = true
		}
	}
	return sites
}

// forget drops what is of no interest any more: lanes in which nothing waits, and
// destinations not heard of for cardLife to which none of the others leads.
func (b *book) forget(waits func(lane string) bool, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	wanted := map[string]bool{}
	for lane, site := range b.leads {
		if waits(lane) {
			wanted[site] = true
		} else if c := b.cards[site]; c == nil || now.Sub(c.heard) > cardLife {
			delete(b.leads, lane)
		}
	}
	for site, c := range b.cards {
		if !wanted[site] && now.Sub(c.heard) > cardLife {
			delete(b.cards, site)
		}
	}
}

// demands are what a route asks of the connections to a site, as a site's name ends
// with it: " tls=verify limits=5/0/0/0s".
var demands = regexp.MustCompile(` [a-z]+=.*$`)

// hostsOf is a site without what a route demands: whom it speaks to.
func hostsOf(site string) string {
	if !strings.Contains(site, "=") { // as most are
		return site
	}
	return demands.ReplaceAllString(site, "")
}
