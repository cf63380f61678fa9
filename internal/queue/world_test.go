package queue

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/spool"
	"github.com/postrider/postrider/internal/spool/memory"
	"github.com/postrider/postrider/mail"
	"github.com/postrider/postrider/notice"
)

// world is a queue over a store in memory, in virtual time, and what is
// around it: hosts that do as they are told, and rules.
type world struct {
	*testing.T
	hosts
	store *watched
	o     Options
	q     *Queue
	stop  func() error // ends the queue and returns what Run returned
	n     uint64       // messages accepted
	body  string       // of each
	// accepted are the deliveries as they were then.
	accepted map[custody.DeliveryID]custody.Delivery

	mu       sync.Mutex
	schedule custody.Schedule
	seen     []seen // entries, in order
}

type seen struct {
	item  spool.Item
	entry custody.Entry
}

var quick = custody.Schedule{
	Name: "test", Retry: []custody.Pace{{Gap: 5 * time.Minute}, {Gap: 10 * time.Minute}, {Gap: 20 * time.Minute}, {Gap: 40 * time.Minute}, {Gap: time.Hour}},
	Warn: []time.Duration{4 * time.Hour}, Expire: 12 * time.Hour,
}

// inWorld runs f in virtual time with a queue that runs. It fails if a goroutine
// outlives the queue.
func inWorld(t *testing.T, o Options, f func(w *world)) {
	t.Helper()
	inWorldOver(t, func() (spool.Store, error) { return memory.New(1024), nil }, o, f)
}

func inWorldOver(t *testing.T, open func() (spool.Store, error), o Options, f func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		store, err := open()
		if err != nil {
			t.Fatal(err)
		}
		w := &world{T: t, o: o, schedule: quick, body: "A: b\r\n\r\n", accepted: map[custody.DeliveryID]custody.Delivery{}}
		w.hosts.init()
		w.store = &watched{Store: store}
		w.run()
		defer func() { // also after Fatal
			if err := w.stop(); err != nil {
				t.Errorf("Run: %v", err)
			}
			if err := store.Close(); err != nil {
				t.Error(err)
			}
		}()
		f(w)
	})
}

func (w *world) run() {
	w.make()
	w.start()
}

func (w *world) make() {
	o := w.o
	o.Store, o.Courier, o.Rules = w.store, &w.hosts, w
	o.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	o.Watch = func(it spool.Item, e custody.Entry) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.seen = append(w.seen, seen{it, e})
	}
	w.q = New(o)
}

func (w *world) start() {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.q.Run(ctx) }()
	w.stop = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
}

func (w *world) Schedule(custody.Delivery) custody.Schedule {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.schedule
}

func (w *world) Notices() notice.Options      { return notice.Options{Hostname: "mx.example"} }
func (w *world) PostmasterCopy() mail.Address { return mail.Address{} }

// Sign has a fault for letters about mail to faulty.example.
func (w *world) Sign(letter []byte) []byte {
	if bytes.Contains(letter, []byte("@faulty.example")) {
		panic("a fault in a letter")
	}
	return nil
}

// Deliveries sends letters where they do not mix with the mail under test.
func (w *world) Deliveries(m custody.Message, to mail.Address) []custody.Delivery {
	return []custody.Delivery{custody.NewDelivery(m, 1, to.Domain, []mail.Recipient{{Address: to}})}
}

// accept stores a message for recipients, one delivery a domain.
func (w *world) accept(to ...string) []custody.DeliveryID {
	w.Helper()
	w.n++
	now := time.Now()
	m := custody.Message{
		ID: custody.NewID(now, 1, w.n), Accepted: now, Size: int64(len(w.body)),
		Envelope: mail.Envelope{From: mail.Address{Local: "sender", Domain: "sender.example"}},
	}
	by := map[string][]mail.Recipient{}
	var domains []string
	for _, s := range to {
		a, err := mail.ParseAddress(s)
		if err != nil {
			w.Fatal(err)
		}
		if by[a.Domain] == nil {
			domains = append(domains, a.Domain)
		}
		by[a.Domain] = append(by[a.Domain], mail.Recipient{Address: a})
	}
	m.Parts = len(domains)
	var ds []custody.Delivery
	var ids []custody.DeliveryID
	for i, domain := range domains {
		ds = append(ds, custody.NewDelivery(m, uint16(i+1), domain, by[domain]))
		ids = append(ids, ds[i].ID)
		w.accepted[ds[i].ID] = ds[i]
	}
	draft, err := w.store.Begin(w.Context(), m.Size)
	if err != nil {
		w.Fatal(err)
	}
	if _, err := io.WriteString(draft, w.body); err != nil {
		w.Fatal(err)
	}
	if err := draft.Commit(w.Context(), m, ds); err != nil {
		w.Fatal(err)
	}
	return ids
}

// order gives an order and fails if no answer comes within an hour.
func (w *world) order(id custody.DeliveryID, order custody.Order, rcpts ...int) error {
	w.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	e := custody.Ordered{At: time.Now(), By: "an operator", Order: order, Via: ""}
	if order == custody.OrderReroute {
		e.Via = "elsewhere.example"
	}
	err := w.q.Order(ctx, id, rcpts, e)
	if ctx.Err() != nil {
		w.Errorf("order %v of %v hangs", order, id)
	}
	return err
}

// attempts lists what a delivery met, from its timeline.
func (w *world) attempts(id custody.DeliveryID) (all []custody.Tried) {
	for _, e := range w.timeline(id) {
		if t, ok := e.Event.(custody.Tried); ok {
			all = append(all, t)
		}
	}
	return all
}

func (w *world) timeline(id custody.DeliveryID) (es []custody.Entry) {
	w.Helper()
	h, err := w.store.History(context.Background(), id.Message)
	if err != nil {
		w.Fatal(err)
	}
	for _, e := range h.Entries {
		if e.Delivery == id {
			es = append(es, e)
		}
	}
	return es
}

// now returns a delivery as the store has it, and when it left: zero if it waits.
func (w *world) now(id custody.DeliveryID) (custody.Delivery, time.Time) {
	w.Helper()
	h, err := w.store.History(context.Background(), id.Message)
	if err != nil {
		w.Fatal(err)
	}
	for _, r := range h.Deliveries {
		if r.Delivery.ID == id {
			return r.Delivery, r.Left
		}
	}
	w.Fatalf("no delivery %v", id)
	return custody.Delivery{}, time.Time{}
}

// state is what became of the first recipient of a delivery.
func (w *world) state(id custody.DeliveryID) custody.State {
	w.Helper()
	d, _ := w.now(id)
	return d.Rcpts[0].State
}

// hosts is the world outside: a Courier.
type hosts struct {
	hmu     sync.Mutex
	by      map[string]host // by site; none: takes all
	ways    map[string]custody.Way
	lost    map[string]bool // domains that the courier cannot look up
	slow    time.Duration   // what a look-up takes
	begun   int
	knocks  []knock
	active  map[string]int
	most    map[string]int // at a time, by site; "": in all
	carried map[custody.DeliveryID]int
	letters map[custody.ID]string // the last one about a message
}

// host is how a destination behaves: it takes its time and answers.
type host struct {
	takes time.Duration
	o     custody.Outcome
	fault string // of ours, whenever we have to do with it: in a "look-up" or an "attempt"
}

type knock struct {
	at, end time.Time
	n       int // in the order of the beginnings
	site    string
	ids     []custody.DeliveryID
}

var (
	taking    = host{o: custody.Outcome{Stage: mail.Dot, Taken: custody.Onward, Theirs: true, Reply: mail.Reply{Code: 250, Text: "ok"}}}
	refusing  = host{o: custody.Outcome{Stage: mail.Connect, Trouble: custody.Unreachable, Reply: mail.Reply{Text: "connection refused"}}}
	tarpit    = host{takes: 5 * time.Minute, o: custody.Outcome{Stage: mail.Greeting, Trouble: custody.Unreachable, Reply: mail.Reply{Text: "no greeting"}}}
	deferring = host{o: custody.Outcome{Stage: mail.Rcpt, Trouble: custody.Deferred, Theirs: true, Reply: mail.Reply{Code: 451, Text: "come again"}}}
	rejecting = host{o: custody.Outcome{Stage: mail.Rcpt, Theirs: true, Reply: mail.Reply{Code: 550, Text: "no such user"}}}
)

// servfail is what there is to say of a domain that the DNS does not answer for.
func servfail(at time.Time) custody.Outcome {
	return custody.Outcome{At: at, Stage: mail.Route, Trouble: custody.Unrouted, Reply: mail.Reply{Text: "SERVFAIL"}}
}

func (h host) in(d time.Duration) host { h.takes = d; return h }

func (h *hosts) init() {
	h.lost = map[string]bool{}
	h.by, h.ways, h.active, h.most, h.carried, h.letters = map[string]host{}, map[string]custody.Way{}, map[string]int{}, map[string]int{}, map[custody.DeliveryID]int{}, map[custody.ID]string{}
}

// be makes hosts behave.
func (h *hosts) be(how host, sites ...string) {
	h.hmu.Lock()
	defer h.hmu.Unlock()
	for _, s := range sites {
		h.by[s] = how
	}
}

// peak is the most connections that a site had at a time; "": all together.
func (h *hosts) peak(site string) int {
	h.hmu.Lock()
	defer h.hmu.Unlock()
	return h.most[site]
}

// busy reports whether a site has a connection.
func (h *hosts) busy(site string) bool {
	h.hmu.Lock()
	defer h.hmu.Unlock()
	return h.active[site] > 0
}

// handed is how often a delivery was handed over.
func (h *hosts) handed(id custody.DeliveryID) int {
	h.hmu.Lock()
	defer h.hmu.Unlock()
	return h.carried[id]
}

// letter is the last letter about a message that went out.
func (h *hosts) letter(about custody.ID) string {
	h.hmu.Lock()
	defer h.hmu.Unlock()
	return h.letters[about]
}

// lookUp sets how long it takes to find a way.
func (h *hosts) lookUp(takes time.Duration) {
	h.hmu.Lock()
	defer h.hmu.Unlock()
	h.slow = takes
}

// lose has the courier look up some domains in vain.
func (h *hosts) lose(domains ...string) {
	h.hmu.Lock()
	defer h.hmu.Unlock()
	for _, d := range domains {
		h.lost[d] = true
	}
}

// way sets where the mail of a lane goes.
func (h *hosts) way(lane string, w custody.Way) {
	h.hmu.Lock()
	defer h.hmu.Unlock()
	h.ways[lane] = w
}

func (h *hosts) Way(ctx context.Context, domain, via string) custody.Way {
	h.hmu.Lock()
	lane := custody.Delivery{Domain: domain, Via: via}.Lane()
	if h.by[lane].fault == "look-up" {
		h.hmu.Unlock()
		panic("a fault in a look-up")
	}
	w, ok := h.ways[lane]
	slow := h.slow
	h.hmu.Unlock()
	if !ok {
		w = custody.Way{Site: lane}
	}
	w.Text = "mx " + lane
	sleep(ctx, slow)
	return w
}

func (h *hosts) Carry(ctx context.Context, w custody.Way, m custody.Message, ds []custody.Delivery, body io.ReaderAt) []custody.Attempt {
	began := time.Now()
	h.hmu.Lock()
	h.begun++
	n := h.begun
	how, ok := h.by[w.Site]
	if !ok {
		how = taking
	}
	for _, s := range []string{w.Site, ""} {
		h.active[s]++
		h.most[s] = max(h.most[s], h.active[s])
	}
	h.hmu.Unlock()
	whole := sleep(ctx, how.takes)
	if how.fault == "attempt" {
		panic("a fault in an attempt")
	}
	h.hmu.Lock()
	defer h.hmu.Unlock()
	h.active[w.Site]--
	h.active[""]--
	k := knock{at: began, end: time.Now(), n: n, site: w.Site}
	o := how.o
	o.At = k.end
	for _, d := range ds {
		k.ids = append(k.ids, d.ID)
		if whole && o.Taken != custody.Nothing && !h.lost[d.Domain] {
			h.carried[d.ID]++
		}
	}
	h.knocks = append(h.knocks, k)
	if m.Came.Notice != custody.NoKind {
		b, _ := io.ReadAll(io.NewSectionReader(body, 0, m.Size))
		h.letters[m.Came.About] = string(b)
	}
	if !whole {
		return nil
	}
	as := make([]custody.Attempt, len(ds))
	for i, d := range ds {
		as[i] = custody.Attempt{Began: began, Took: k.end.Sub(began), Way: w.Text, Outcomes: []custody.Outcome{o}}
		if h.lost[d.Domain] {
			as[i].Outcomes = []custody.Outcome{servfail(k.end)}
		}
	}
	return as
}

// heard lists the attempts that a site saw.
func (h *hosts) heard(site string) (ks []knock) {
	h.hmu.Lock()
	defer h.hmu.Unlock()
	for _, k := range h.knocks {
		if k.site == site {
			ks = append(ks, k)
		}
	}
	return ks
}

// watched is a store that can be told to fail, and counts what it is asked.
type watched struct {
	spool.Store
	mu    sync.Mutex
	fault error              // of Settle
	odd   custody.DeliveryID // whose steps cannot be stored
	slow  time.Duration      // what Settle takes
	looks int                // calls of Lanes
	look  time.Duration      // what each takes

	marks []custody.Entry // not settled; what the next start is told
}

func (s *watched) Mark(e custody.Entry) func() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.marks = append(s.marks, e)
	return func() { s.unmark(e.Delivery) }
}

func (s *watched) unmark(id custody.DeliveryID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.marks = slices.DeleteFunc(s.marks, func(e custody.Entry) bool { return e.Delivery == id })
}

func (s *watched) Marked() (es []custody.Entry, settled []func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.marks {
		settled = append(settled, func() { s.unmark(e.Delivery) })
	}
	return slices.Clone(s.marks), settled
}

func (s *watched) marked() []custody.Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.marks)
}

func (s *watched) set(fault error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = fault
}

func (s *watched) refuse(id custody.DeliveryID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.odd = id
}

func (s *watched) delay(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.slow = d
}

func (s *watched) looked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.looks
}

func (s *watched) Lanes(ctx context.Context, until time.Time, n int, skip func(string) bool) ([]spool.Lane, error) {
	s.mu.Lock()
	s.looks++
	look := s.look
	s.mu.Unlock()
	time.Sleep(look)
	return s.Store.Lanes(ctx, until, n, skip)
}

func (s *watched) Settle(ctx context.Context, steps []spool.Step) []error {
	s.mu.Lock()
	fault, slow, odd := s.fault, s.slow, s.odd
	s.mu.Unlock()
	time.Sleep(slow)
	if fault != nil {
		errs := make([]error, len(steps))
		for i := range errs {
			errs[i] = fault
		}
		return errs
	}
	i := slices.IndexFunc(steps, func(st spool.Step) bool { return st.Delivery.ID == odd })
	if i < 0 {
		return s.Store.Settle(ctx, steps)
	}
	errs := s.Store.Settle(ctx, slices.Delete(slices.Clone(steps), i, i+1))
	if errs == nil {
		errs = make([]error, len(steps)-1)
	}
	return slices.Insert(errs, i, errors.New("a step too long"))
}

func domain(i int) string { return fmt.Sprintf("d%d.example", i) }
