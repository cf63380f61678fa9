package watch

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postrider/postrider/custody"
)

const (
	hookEvents  = 10000    // that wait for one webhook
	hookOctets  = 16 << 20 // that they may take
	batchEvents = 100      // in one request
	batchOctets = 1 << 20  // of its body, unless one event is larger
)

// HookOptions is a webhook: who is told, by POST, of which events.
type HookOptions struct {
	Rule  string // where it is configured: "postrider.toml:12 webhook"
	URL   string // https, or http to this machine; without a user in it
	Kinds []string
	Key   []byte // with which batches are signed: see ParseSecret
}

// Hooks tells programs elsewhere of chosen events, in batches, signed, and again
// until they are taken. What waits is kept in memory: a crash forgets it. Nothing
// of it holds up mail: where more waits than is kept, the oldest is lost, counted,
// and said in the next batch and in the log.
//
// Make it with NewHooks.
type Hooks struct {
	client *http.Client
	log    *slog.Logger
	hooks  atomic.Pointer[[]*hook]

	mu     sync.Mutex
	closed bool
	work   sync.WaitGroup
}

// NewHooks makes Hooks that tell nobody yet. Log hears of webhooks that do not
// work; nil: slog.Default.
func NewHooks(log *slog.Logger) *Hooks {
	if log == nil {
		log = slog.Default()
	}
	h := &Hooks{log: log, client: &http.Client{
		Timeout: hookTimeout,
		// No redirects and no Proxy: what is told is for this address alone.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext: (&net.Dialer{Timeout: hookTimeout}).DialContext, ForceAttemptHTTP2: true, TLSHandshakeTimeout: hookTimeout,
			MaxConnsPerHost: 4, IdleConnTimeout: time.Minute, MaxResponseHeaderBytes: 64 << 10, DisableCompression: true,
		},
	}}
	h.hooks.Store(&[]*hook{})
	return h
}

// Use puts these webhooks in place of those that there are. What waits for one
// whose URL stays goes on waiting for it; what waits for others is lost.
func (h *Hooks) Use(all []HookOptions) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return
	}
	old := map[string]*hook{}
	for _, k := range *h.hooks.Load() {
		old[k.o.Load().URL] = k
	}
	var now []*hook
	for _, o := range all {
		k := old[o.URL]
		if delete(old, o.URL); k != nil {
			k.o.Store(&o)
			rouse(k.again)
		} else {
			k = newHook(o, h.client, h.log)
			h.work.Go(k.run)
		}
		now = append(now, k)
	}
	h.hooks.Store(&now)
	for _, k := range old {
		k.end(errors.New("it is no longer configured"))
	}
}

// Close tells what waits, until ctx ends; what is left then is lost, and said.
func (h *Hooks) Close(ctx context.Context) {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	for _, k := range *h.hooks.Load() {
		k.close()
	}
	stop := context.AfterFunc(ctx, func() {
		for _, k := range *h.hooks.Load() {
			k.end(errors.New("postrider stops"))
		}
	})
	defer stop()
	h.work.Wait()
	h.client.CloseIdleConnections()
}

// Accepted tells of a message that came in.
func (h *Hooks) Accepted(m custody.Message, ds []custody.Delivery) {
	for _, k := range *h.hooks.Load() {
		k.note(&record{message: m, came: ds})
	}
}

// Stepped tells of a step of a delivery.
func (h *Hooks) Stepped(m custody.Message, d custody.Delivery, e custody.Entry) {
	for _, k := range *h.hooks.Load() {
		k.note(&record{message: m, delivery: d, entry: e})
	}
}

// HookState says how a webhook is.
type HookState struct {
	Rule    string    `json:"rule"`
	Host    string    `json:"host" doc:"of its URL; the rest may be a secret"`
	Events  []string  `json:"events" doc:"the kinds that it is told of"`
	Waiting int       `json:"waiting" doc:"events, kept in memory"`
	Told    uint64    `json:"told" doc:"events that it took, since the start"`
	Lost    uint64    `json:"lost" doc:"events that it was never told of, since the start"`
	Failing time.Time `json:"failing,omitzero" doc:"since when it takes nothing"`
	Fault   string    `json:"fault,omitempty" doc:"why"`
}

// States says how each webhook is, in the order of the configuration.
func (h *Hooks) States() []HookState {
	all := []HookState{}
	for _, k := range *h.hooks.Load() {
		all = append(all, k.state())
	}
	return all
}

// hook is one webhook.
type hook struct {
	o      atomic.Pointer[HookOptions]
	client *http.Client
	log    *slog.Logger
	ctx    context.Context // of what is under way; its cause says why it ends
	end    context.CancelCauseFunc
	wake   chan struct{} // something is queued, or no more will come
	again  chan struct{} // other options: it may work now

	mu     sync.Mutex
	queue  [][]byte // events as JSON, the oldest first
	octets int      // of queue
	flying int      // events in the batch that is being told
	closed bool     // no more will come
	lost   uint64   // in all
	said   uint64   // how many of them the receiver knows of
	told   uint64
	since  time.Time // when it began to fail; zero: it works
	fault  string
}

func newHook(o HookOptions, c *http.Client, log *slog.Logger) *hook {
	k := &hook{client: c, log: log, wake: make(chan struct{}, 1), again: make(chan struct{}, 1)}
	k.o.Store(&o)
	k.ctx, k.end = context.WithCancelCause(context.Background())
	return k
}

// note queues what a webhook wants to know of a record.
func (k *hook) note(r *record) {
	all := r.read(Filter{Kinds: k.o.Load().Kinds}, "")
	if len(all) == 0 {
		return
	}
	var texts [][]byte
	for _, h := range all {
		if b, err := json.Marshal(h); err == nil { // it is of plain values
			texts = append(texts, b)
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		k.lose(len(texts), "it happened too late")
		return
	}
	for _, b := range texts {
		k.queue = append(k.queue, b)
		k.octets += len(b)
	}
	n := 0
	for len(k.queue) > hookEvents || k.octets > hookOctets {
		k.shift()
		n++
	}
	k.lose(n, "more waits than is kept")
	rouse(k.wake)
}

// shift takes the oldest event out of the queue.
func (k *hook) shift() []byte {
	b := k.queue[0]
	k.queue[0] = nil
	k.queue = k.queue[1:]
	k.octets -= len(b)
	return b
}

func rouse(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// lose counts events that are lost. It says so when that begins: for each, the log
// would be flooded. The sum is said when the receiver is told. Under the lock.
func (k *hook) lose(n int, why string) {
	if n > 0 && k.lost == k.said {
		k.log.Error("a webhook loses events", "webhook", k.o.Load().Rule, "events", n, "because", why)
	}
	k.lost += uint64(n)
}

// close says that no more will come.
func (k *hook) close() {
	k.mu.Lock()
	k.closed = true
	k.mu.Unlock()
	rouse(k.wake)
}

// run tells what is queued until no more will come, or its context ends: what is
// left then is lost.
func (k *hook) run() {
	defer k.end(nil)
	for k.ctx.Err() == nil {
		if events, more := k.take(); len(events) > 0 {
			k.tell(events)
			continue
		} else if !more {
			return
		}
		select {
		case <-k.wake:
		case <-k.ctx.Done():
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.closed = true
	if n := len(k.queue); n > 0 {
		k.lost += uint64(n)
		k.log.Error("events for a webhook are lost", "webhook", k.o.Load().Rule, "events", n, "because", context.Cause(k.ctx))
	}
	k.queue, k.octets = nil, 0
}

// take takes the events of the next batch; more: if there are none, others may come.
func (k *hook) take() (events [][]byte, more bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	size := 0
	for len(k.queue) > 0 && len(events) < batchEvents && (size == 0 || size+len(k.queue[0]) <= batchOctets) {
		e := k.shift()
		events = append(events, e)
		size += len(e)
	}
	k.flying = len(events)
	return events, !k.closed
}

func (k *hook) state() HookState {
	o := k.o.Load()
	k.mu.Lock()
	defer k.mu.Unlock()
	return HookState{
		Rule: o.Rule, Host: hostOf(o.URL), Events: slices.Clone(o.Kinds), Waiting: len(k.queue) + k.flying,
		Told: k.told, Lost: k.lost, Failing: k.since, Fault: k.fault,
	}
}
