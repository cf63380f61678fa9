package watch

import (
	"cmp"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/mail"
)

// Metrics counts what entries tell, for Prometheus: since the program started, in
// memory, without a look at any store. docs/metrics.md says what each name means.
// Make it with NewMetrics. Its methods may be called from many goroutines at once.
type Metrics struct {
	// Registry holds all of them. Others add what they know besides.
	Registry *prometheus.Registry

	causes causes

	accepted, refused, noted  *prometheus.CounterVec
	recipients, size, letters prometheus.Counter
	rules                     words

	attempts       [2]prometheus.Counter // alone, shared
	ended          *prometheus.CounterVec
	deferred       *prometheus.CounterVec
	warned, orders *prometheus.CounterVec
	closed         prometheus.Counter
	delivered      prometheus.Counter // of ended, as nearly all mail is
	relayed        prometheus.Counter
	took           prometheus.Histogram
	first, arrived prometheus.Histogram

	commit, records prometheus.Histogram
	written         prometheus.Counter

	recent recent
}

// MetricsOptions of a Metrics.
type MetricsOptions struct {
	Version string // of the program
	// Cause says in one of a bounded set of words what an outcome means that
	// brought no delivery; nil: "unknown".
	Cause func(custody.Outcome) string
	// Causes are all of these words: what did not happen yet is told as 0, so that
	// the first time is seen as a change.
	Causes []string
}

// Words that stand where a label has no value of its own.
const (
	NoCause   = "none"    // it went well
	ByOrder   = "order"   // an operator wanted it
	OnHold    = "held"    // not tried since it is held
	Untried   = "untried" // nothing was heard yet
	ByEngine  = "engine"  // no rule: grammar, limits, TLS and the end of the wire
	TheOthers = "other"   // what is too much to be told one by one
)

// The buckets of ages go from a network's moment to a schedule's days.
var (
	moments = []float64{.005, .02, .1, .5, 1, 5, 15, 60, 300}
	ages    = []float64{.05, .25, 1, 5, 30, 60, 300, 900, 3600, 4 * 3600, 12 * 3600, 86400, 2 * 86400, 5 * 86400}
	flushes = []float64{.0005, .001, .002, .005, .01, .02, .05, .1, .25, 1, 5}
	powers  = []float64{1, 2, 4, 8, 16, 32, 64, 128, 256, 512}
)

// NewMetrics makes a Metrics that has counted nothing.
func NewMetrics(o MetricsOptions) *Metrics {
	m := &Metrics{Registry: prometheus.NewRegistry(), recent: recent{began: time.Now()}}
	m.causes.of = o.Cause
	if o.Cause == nil {
		m.causes.of = func(custody.Outcome) string { return "unknown" }
	}
	m.Registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	build := m.gauge("postrider_build_info", "Always 1; the label names the version of the program.", "version")
	build.WithLabelValues(o.Version).Set(1)

	m.accepted = m.counter("postrider_messages_accepted_total", "Messages that were answered 250, or taken from this machine.", "protocol")
	m.recipients = m.counter("postrider_recipients_accepted_total", "Recipients of accepted messages, aliases followed.").WithLabelValues()
	m.size = m.counter("postrider_messages_accepted_bytes_total", "Octets of accepted messages as stored.").WithLabelValues()
	m.refused = m.counter("postrider_refusals_total", "Clients, recipients and messages that were not let in.", "stage", "rule", "result")
	m.noted = m.counter("postrider_door_notes_total", "What rules had to say without deciding: dry, skipped by an override, or a look-up that failed.", "kind")

	attempts := m.counter("postrider_attempts_total", "Attempts to hand deliveries over; shared: led by other mail for the same host.", "shared")
	m.attempts = [2]prometheus.Counter{attempts.WithLabelValues("no"), attempts.WithLabelValues("yes")}
	m.ended = m.counter("postrider_recipients_ended_total", "Recipients whose custody ended: delivered, relayed, bounced, expired or removed, and why.", "result", "cause")
	m.delivered, m.relayed = m.ended.WithLabelValues(Delivered, NoCause), m.ended.WithLabelValues(Relayed, NoCause)
	m.deferred = m.counter("postrider_recipients_deferred_total", "Recipients that an attempt left waiting, and why; counted at each attempt.", "cause")
	m.warned = m.counter("postrider_warnings_total", "Recipients of whose delay the sender was told, and why they wait.", "cause")
	m.orders = m.counter("postrider_orders_total", "Orders that were carried out, by delivery.", "order")
	m.closed = m.counter("postrider_deliveries_closed_total", "Deliveries that left the queue.").WithLabelValues()
	m.letters = m.counter("postrider_letters_total", "Messages of our own about others: notices of delay and reports.").WithLabelValues()

	for _, c := range o.Causes {
		m.ended.WithLabelValues(Bounced, c)
		m.ended.WithLabelValues(Expired, c)
		m.deferred.WithLabelValues(c)
		m.warned.WithLabelValues(c)
	}

	m.took = m.histogram("postrider_attempt_seconds", "How long attempts took, those led by other mail left out.", moments)
	m.first = m.histogram("postrider_first_attempt_seconds", "From accepting a message to the first attempt of each of its deliveries.", ages)
	m.arrived = m.histogram("postrider_delivery_seconds", "From accepting a message to handing it over, by delivery.", ages)
	m.commit = m.histogram("postrider_store_commit_seconds", "How long the store took to write a group of records and flush it to the disk.", flushes)
	m.records = m.histogram("postrider_store_commit_records", "Records that shared one flush.", powers)
	m.written = m.counter("postrider_store_written_bytes_total", "Octets that the store wrote and flushed.").WithLabelValues()
	return m
}

func (m *Metrics) counter(name, help string, labels ...string) *prometheus.CounterVec {
	v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	m.Registry.MustRegister(v)
	return v
}

func (m *Metrics) gauge(name, help string, labels ...string) *prometheus.GaugeVec {
	v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
	m.Registry.MustRegister(v)
	return v
}

func (m *Metrics) histogram(name, help string, buckets []float64) prometheus.Histogram {
	h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets})
	m.Registry.MustRegister(h)
	return h
}

// Accepted counts a message that came in.
func (m *Metrics) Accepted(msg custody.Message, ds []custody.Delivery) {
	rcpts := 0
	for i := range ds {
		rcpts += len(ds[i].Rcpts)
	}
	m.accepted.WithLabelValues(msg.Came.Protocol).Inc()
	m.recipients.Add(float64(rcpts))
	m.size.Add(float64(msg.Size))
	m.recent.add(msg.Accepted, flowAccepted, 1)
	if m.recent.wants(msg.Accepted) {
		m.recent.keep(&record{message: msg, came: ds})
	}
}

// doorStages are the stages of the dialogue in the words of the rules.
var doorStages = map[string]string{
	mail.Greeting.String(): "connect", mail.Mail.String(): "sender", mail.Rcpt.String(): "recipient",
	mail.Data.String(): "content", mail.Dot.String(): "content",
}

// Refused counts what was not let in.
func (m *Metrics) Refused(r Refusal) {
	rule := ByEngine
	if r.Rule != "" {
		rule = m.rules.bound(r.Rule)
	}
	result := "dropped" // no reply could be given
	switch {
	case r.Reply.Temporary():
		result = "deferred"
		m.recent.add(time.Now(), flowDeferredDoor, 1)
	case r.Reply.Code != 0:
		result = "refused"
		m.recent.add(time.Now(), flowRefused, 1)
	}
	m.refused.WithLabelValues(cmp.Or(doorStages[r.Stage], r.Stage), rule, result).Inc()
	m.Noted(r)
}

// Noted counts what rules had to say of what was let in.
func (m *Metrics) Noted(r Refusal) {
	for kind, n := range map[string]int{"dry": len(r.Would), "skipped": len(r.Skipped), "fault": len(r.Faults)} {
		if n > 0 {
			m.noted.WithLabelValues(kind).Add(float64(n))
		}
	}
}

// Flushed counts a group of records that the store wrote and flushed together.
func (m *Metrics) Flushed(took time.Duration, records, octets int) {
	m.commit.Observe(took.Seconds())
	m.records.Observe(float64(records))
	m.written.Add(float64(octets))
}

// Stepped counts a step of a delivery.
func (m *Metrics) Stepped(msg custody.Message, d custody.Delivery, e custody.Entry) {
	closed := false
	for _, duty := range e.Duties {
		switch t := duty.(type) {
		case custody.Close:
			closed = true
		case custody.Tell:
			if t.Kind == custody.Delayed && e.Warned() {
				m.warned.WithLabelValues(m.delay(d, t.Rcpts)).Add(float64(len(t.Rcpts)))
				m.recent.add(e.At, flowWarned, int64(len(t.Rcpts)))
			}
		}
	}
	if closed {
		m.closed.Inc()
	}
	m.letters.Add(float64(len(e.Letters)))
	if m.recent.wants(e.At) {
		m.recent.keep(&record{message: msg, delivery: d, entry: e})
	}
	switch ev := e.Event.(type) {
	case custody.Tried:
		m.tried(d, ev, closed)
	case custody.Ordered:
		m.ordered(d, ev)
	}
}

func (m *Metrics) tried(d custody.Delivery, ev custody.Tried, closed bool) {
	a := ev.Attempt
	if a.Shared {
		m.attempts[1].Inc()
	} else {
		m.attempts[0].Inc()
		m.took.Observe(a.Took.Seconds())
	}
	m.recent.add(ev.At, flowAttempts, 1)
	if d.Tries == 1 {
		m.first.Observe(max(0, a.Began.Sub(d.Accepted)).Seconds())
	}
	for i := range a.Outcomes {
		o := &a.Outcomes[i]
		n := heard(d.Rcpts, o.Rcpts, a.Began)
		kind := kindOf(*o, a.Shared, closed)
		switch kind {
		case Delivered:
			m.delivered.Add(float64(n))
			m.arrived.Observe(max(0, o.At.Sub(d.Accepted)).Seconds())
		case Relayed:
			m.relayed.Add(float64(n))
			m.arrived.Observe(max(0, o.At.Sub(d.Accepted)).Seconds())
		case Deferred:
			m.deferred.WithLabelValues(m.causes.word(o)).Add(float64(n))
		default:
			m.ended.WithLabelValues(kind, m.causes.word(o)).Add(float64(n))
		}
		m.recent.add(ev.At, flowOf[kind], int64(n))
	}
}

func (m *Metrics) ordered(d custody.Delivery, ev custody.Ordered) {
	m.orders.WithLabelValues(ev.Order.String()).Inc()
	kind := ""
	switch ev.Order {
	case custody.OrderGiveUp:
		kind = Bounced
	case custody.OrderRemove:
		kind = Removed
	default:
		return
	}
	n := heard(d.Rcpts, nil, ev.At)
	m.ended.WithLabelValues(kind, ByOrder).Add(float64(n))
	m.recent.add(ev.At, flowOf[kind], int64(n))
}

// heard counts the recipients that an outcome is about; nil stands for all that
// were ours then.
func heard(rcpts []custody.Recipient, is []int, then time.Time) (n int) {
	if is == nil {
		for i := range rcpts {
			if wasOpen(rcpts[i], then) && rcpts[i].State != custody.Parted {
				n++
			}
		}
		return n
	}
	for _, i := range is {
		if i < len(rcpts) && rcpts[i].State != custody.Parted {
			n++
		}
	}
	return n
}

// delay says why recipients wait of whom the sender is told.
func (m *Metrics) delay(d custody.Delivery, rcpts []int) string {
	if !d.Held.IsZero() {
		return OnHold
	}
	for _, i := range rcpts {
		if i < len(d.Rcpts) && !d.Rcpts[i].Last.IsZero() {
			return m.causes.word(&d.Rcpts[i].Last)
		}
	}
	return Untried
}
