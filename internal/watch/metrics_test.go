package watch

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/mail"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// sent is a message to some people at one domain, and its delivery.
func sent(names ...string) (custody.Message, custody.Delivery) {
	m := custody.Message{
		ID: custody.NewID(noon, 0, 7), Accepted: noon, Size: 1000, Came: custody.Came{Protocol: "ESMTPS"},
		Envelope: mail.Envelope{From: mail.Address{Local: "ann", Domain: "author.test"}},
	}
	var to []mail.Recipient
	for _, n := range names {
		to = append(to, mail.Recipient{Address: mail.Address{Local: n, Domain: "there.test"}})
	}
	return m, custody.NewDelivery(m, 1, "there.test", to)
}

// attempt began so long after acceptance, took a second and brought these outcomes.
func attempt(after time.Duration, os ...custody.Outcome) custody.Tried {
	at := noon.Add(after)
	for i := range os {
		os[i].At = at.Add(time.Second)
	}
	return custody.Tried{At: at.Add(time.Second), Attempt: custody.Attempt{Began: at, Took: time.Second, Outcomes: os}}
}

func shared(t custody.Tried) custody.Tried {
	t.Attempt.Shared = true
	return t
}

func byRoot(after time.Duration, o custody.Order) custody.Ordered {
	return custody.Ordered{At: noon.Add(after), By: "root", Order: o}
}

func reply(code int, taken custody.Taken, rcpts ...int) custody.Outcome {
	o := custody.Outcome{Rcpts: rcpts, Stage: mail.Rcpt, Theirs: true, Taken: taken, Reply: mail.Reply{Code: code, Text: "so be it"}}
	if code/100 == 4 {
		o.Trouble = custody.Deferred
	}
	return o
}

var silence = custody.Outcome{Stage: mail.Connect, Trouble: custody.Unreachable, Reply: mail.Reply{Text: "nobody answered"}}

// told returns the counters that are not zero, and how often histograms observed.
func told(t *testing.T, m *Metrics) map[string]float64 {
	t.Helper()
	families, err := m.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]float64{}
	for _, f := range families {
		name, ours := strings.CutPrefix(f.GetName(), "postrider_")
		if !ours || name == "build_info" {
			continue
		}
		for _, s := range f.Metric {
			var labels []string
			for _, l := range s.Label {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			key := strings.TrimSpace(name + " " + strings.Join(labels, " "))
			switch {
			case s.Counter.GetValue() != 0:
				all[key] = s.Counter.GetValue()
			case s.Histogram.GetSampleCount() != 0:
				all[key] = float64(s.Histogram.GetSampleCount())
			}
		}
	}
	return all
}

// Each recipient is counted once at its end, and each attempt that left it waiting.
func TestMetricsTellWhatBecameOfEachRecipient(t *testing.T) {
	s := custody.Schedule{Retry: []custody.Pace{{Gap: time.Minute}}, Warn: []time.Duration{5 * time.Minute}, Expire: time.Hour}
	for _, c := range []struct {
		name   string
		to     string
		events []custody.Event
		want   map[string]float64
	}{
		{"handed on at once", "bob carl", []custody.Event{attempt(0, reply(250, custody.Onward))}, map[string]float64{
			"attempts_total shared=no": 1, "recipients_ended_total cause=none result=relayed": 2,
			"attempt_seconds": 1, "first_attempt_seconds": 1, "delivery_seconds": 1, "deliveries_closed_total": 1,
		}},
		{"one in its mailbox, one refused, one later", "bob carl dora", []custody.Event{
			attempt(0, reply(250, custody.Mailbox, 0), reply(550, custody.Nothing, 1), reply(451, custody.Nothing, 2)),
			attempt(time.Minute, reply(250, custody.Mailbox)),
		}, map[string]float64{
			"attempts_total shared=no": 2, "recipients_ended_total cause=none result=delivered": 2,
			"recipients_ended_total cause=550 result=bounced": 1, "recipients_deferred_total cause=451": 1,
			"attempt_seconds": 2, "first_attempt_seconds": 1, "delivery_seconds": 2, "deliveries_closed_total": 1, "letters_total": 1,
		}},
		{"told of the delay, then given up", "bob carl", []custody.Event{
			attempt(0, silence), attempt(6*time.Minute, silence), attempt(time.Hour, silence),
		}, map[string]float64{
			"attempts_total shared=no": 3, "recipients_deferred_total cause=silence": 4, "recipients_ended_total cause=silence result=expired": 2,
			"warnings_total cause=silence": 2, "letters_total": 2, "attempt_seconds": 3, "first_attempt_seconds": 1, "deliveries_closed_total": 1,
		}},
		{"a refusal that other mail heard refuses nothing", "bob", []custody.Event{shared(attempt(0, reply(554, custody.Nothing)))}, map[string]float64{
			"attempts_total shared=yes": 1, "recipients_deferred_total cause=554": 1, "first_attempt_seconds": 1,
		}},
		{"held, and told of the delay", "bob", []custody.Event{byRoot(time.Minute, custody.OrderHold), custody.Due{At: noon.Add(6 * time.Minute)}}, map[string]float64{
			"orders_total order=hold": 1, "warnings_total cause=held": 1, "letters_total": 1,
		}},
		{"told of the delay before anything was heard", "bob", []custody.Event{custody.Due{At: noon.Add(6 * time.Minute), Blocked: "dead", Until: noon.Add(time.Hour)}}, map[string]float64{
			"warnings_total cause=untried": 1, "letters_total": 1,
		}},
		{"given up by an operator after one was delivered", "bob carl dora", []custody.Event{
			attempt(0, reply(250, custody.Onward, 0), reply(451, custody.Nothing, 1, 2)), byRoot(time.Minute, custody.OrderGiveUp),
		}, map[string]float64{
			"attempts_total shared=no": 1, "recipients_ended_total cause=none result=relayed": 1, "recipients_deferred_total cause=451": 2,
			"recipients_ended_total cause=order result=bounced": 2, "orders_total order=giveup": 1, "letters_total": 1,
			"attempt_seconds": 1, "first_attempt_seconds": 1, "delivery_seconds": 1, "deliveries_closed_total": 1,
		}},
		{"removed", "bob carl", []custody.Event{byRoot(time.Minute, custody.OrderRemove)}, map[string]float64{
			"recipients_ended_total cause=order result=removed": 2, "orders_total order=remove": 1, "deliveries_closed_total": 1,
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := NewMetrics(MetricsOptions{Cause: func(o custody.Outcome) string {
				if o.Theirs {
					return fmt.Sprint(o.Reply.Code)
				}
				return "silence"
			}})
			msg, d := sent(strings.Fields(c.to)...)
			for _, e := range c.events {
				var duties []custody.Duty
				d, duties = custody.Step(d, s, e)
				entry := custody.Entry{At: noon, Delivery: d.ID, Event: e, Duties: duties}
				for _, duty := range duties {
					if _, ok := duty.(custody.Tell); ok {
						entry.Letters = append(entry.Letters, custody.NewID(noon, 0, 8))
					}
				}
				m.Stepped(msg, d, entry)
			}
			if diff := cmp.Diff(c.want, told(t, m)); diff != "" {
				t.Errorf("(-want +told)\n%s", diff)
			}
		})
	}
}

func TestMetricsTellWhatCameToTheDoor(t *testing.T) {
	m := NewMetrics(MetricsOptions{})
	msg, d := sent("bob", "carl")
	m.Accepted(msg, []custody.Delivery{d, d})
	m.Refused(Refusal{Stage: "recipient", Rule: "greylist", Reply: mail.Reply{Code: 450}, Would: []string{"a", "b"}})
	m.Refused(Refusal{Stage: "rcpt", Rule: "relay", Reply: mail.Reply{Code: 550}, Faults: []string{"no DNS"}})
	m.Refused(Refusal{Stage: "hello", Reply: mail.Reply{Code: 501}})
	m.Refused(Refusal{Stage: "tls", Reply: mail.Reply{Text: "the handshake failed"}})
	m.Noted(Refusal{Stage: "mail", Skipped: []string{"a rule"}})
	m.Flushed(time.Millisecond, 3, 4096)
	want := map[string]float64{
		"messages_accepted_total protocol=ESMTPS": 1, "messages_accepted_bytes_total": 1000, "recipients_accepted_total": 4,
		"refusals_total result=deferred rule=greylist stage=recipient": 1, "refusals_total result=refused rule=relay stage=recipient": 1,
		"refusals_total result=refused rule=engine stage=hello": 1, "refusals_total result=dropped rule=engine stage=tls": 1,
		"door_notes_total kind=dry": 2, "door_notes_total kind=fault": 1, "door_notes_total kind=skipped": 1,
		"store_commit_seconds": 1, "store_commit_records": 1, "store_written_bytes_total": 4096,
	}
	if diff := cmp.Diff(want, told(t, m)); diff != "" {
		t.Errorf("(-want +told)\n%s", diff)
	}
	for i, want := range map[flow]int64{flowAccepted: 1, flowRefused: 2, flowDeferredDoor: 1, flowBounced: 0} {
		if f := m.Flows()[i]; f.Total != want {
			t.Errorf("%+v, want %d", f, want)
		}
	}
}

// A configuration that names new rules at every reload cannot fill the memory.
func TestMetricsNameOnlySoManyRules(t *testing.T) {
	m := NewMetrics(MetricsOptions{})
	for i := range 3 * wordsMost {
		m.Refused(Refusal{Stage: "rcpt", Rule: fmt.Sprint("rule-", i), Reply: mail.Reply{Code: 550}})
	}
	all := told(t, m)
	if n := all["refusals_total result=refused rule=other stage=recipient"]; len(all) != wordsMost+1 || n != 2*wordsMost {
		t.Errorf("%d series, %v of other rules", len(all), n)
	}
}

// To read what a host said costs more than to count it: it is read once.
func TestACauseIsReadOnce(t *testing.T) {
	reads := 0
	m := NewMetrics(MetricsOptions{Cause: func(custody.Outcome) string { reads++; return "x" }, Causes: []string{"x", "never"}})
	msg, d := sent("bob")
	for i := range 3 * readMost {
		m.Stepped(msg, d, custody.Entry{Event: attempt(0, reply(450+i%2, custody.Nothing))})
	}
	if reads != 2 {
		t.Errorf("%d reads of two sayings", reads)
	}
	for i := range 3 * readMost {
		o := reply(450, custody.Nothing)
		o.Reply.Text = fmt.Sprint("busy, your number is ", i)
		m.Stepped(msg, d, custody.Entry{Event: attempt(0, o)})
	}
	long := reply(450, custody.Nothing)
	long.Reply.Text = strings.Repeat("no ", readLong)
	m.Stepped(msg, d, custody.Entry{Event: attempt(0, long)})
	for s := range m.causes.read {
		if len(s.reply.Text) > readLong {
			t.Errorf("%d octets are remembered", len(s.reply.Text))
		}
	}
	if n := len(m.causes.read); n > readMost {
		t.Errorf("%d sayings are remembered", n)
	}
	if n := m.Flows()[flowDeferred].Total; n != 6*readMost+1 {
		t.Errorf("%d recipients were deferred", n)
	}
}

// A rate is that of its time, whether much happened or nothing, and nothing has to
// run for it.
func TestRatesAreThoseOfTheirTime(t *testing.T) {
	near := func(got, want float64) bool { return got >= want*.95 && got <= want*1.05 }
	synctest.Test(t, func(t *testing.T) {
		m := NewMetrics(MetricsOptions{})
		want := func(when string, total int64, s10, m1, m5 float64) {
			t.Helper()
			f := m.Flows()[flowAccepted]
			if f.What != Accepted || f.Total != total || !near(f.S10, s10) || !near(f.M1, m1) || !near(f.M5, m5) {
				t.Errorf("%s: %+v", when, f)
			}
		}
		accept := func(n int, each time.Duration) {
			for range n {
				m.Accepted(custody.Message{Accepted: time.Now()}, nil)
				time.Sleep(each)
			}
		}
		want("at the start", 0, 0, 0, 0)
		accept(40, 100*time.Millisecond)
		want("ten a second for 4 s", 40, 10, 10, 10)
		accept(600, time.Second)
		want("then one a second", 640, 1, 1, 1)
		accept(300, 100*time.Millisecond)
		want("then ten a second for 30 s", 940, 10, 5.5, 1.9)
		time.Sleep(30 * time.Second)
		want("then nothing for 30 s", 940, 0, 5, 1.8)
		time.Sleep(2 * time.Minute)
		want("for 2m30s", 940, 0, 0, 1.4)
		time.Sleep(time.Hour)
		want("for an hour", 940, 0, 0, 0)
		m.recent.add(time.Now().Add(-time.Hour), flowAccepted, 7) // told late
		want("late", 947, 0, 0, 0)
	})
}

// Whoever asks is told what happened last, whatever else was going on.
func TestTheNewestEventsAreKept(t *testing.T) {
	m := NewMetrics(MetricsOptions{})
	if got := m.Newest(5); len(got) != 0 {
		t.Errorf("before anything happened there is %+v", got)
	}
	msg, d := sent("bob")
	m.Accepted(msg, []custody.Delivery{d})
	for i := range 10 * newestKept { // far more than fifty a second
		e := attempt(time.Duration(i)*time.Millisecond, reply(451, custody.Nothing))
		m.Stepped(msg, d, custody.Entry{At: e.At, Delivery: d.ID, Event: e})
	}
	e := attempt(time.Minute, reply(250, custody.Mailbox))
	after, duties := custody.Step(d, custody.Schedule{Expire: time.Hour}, e)
	m.Stepped(msg, after, custody.Entry{At: e.At, Delivery: d.ID, Event: e, Duties: duties})
	var kinds []string
	for _, h := range m.Newest(3) {
		kinds = append(kinds, h.Kind+" "+strings.Join(h.Recipients, " "))
	}
	if want := []string{"deferred bob@there.test", "deferred bob@there.test", "delivered bob@there.test"}; !slices.Equal(kinds, want) {
		t.Errorf("the newest are %q", kinds)
	}
	if n := len(m.Newest(10 * newestKept)); n != newestKept {
		t.Errorf("%d events are kept", n)
	}
}

// BenchmarkMessage is what a message costs from its acceptance to its end.
func BenchmarkMessage(b *testing.B) {
	m, d := sent("bob")
	s := custody.Schedule{Retry: []custody.Pace{{Gap: time.Minute}}, Expire: time.Hour}
	for name, o := range map[string]custody.Outcome{"delivered": reply(250, custody.Onward), "deferred": reply(451, custody.Nothing)} {
		b.Run(name, func(b *testing.B) {
			ms := NewMetrics(MetricsOptions{})
			e := attempt(0, o)
			after, duties := custody.Step(d, s, e)
			entry := custody.Entry{At: e.At, Delivery: d.ID, Event: e, Duties: duties, Next: after.Next}
			ds := []custody.Delivery{d}
			b.ReportAllocs()
			for b.Loop() {
				ms.Accepted(m, ds)
				ms.Stepped(m, after, entry)
			}
		})
	}
}
