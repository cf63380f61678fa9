package spool

import (
	"bytes"
	"errors"
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/mail"
)

var (
	word  = rapid.OneOf(rapid.Just(""), rapid.String())
	nanos = rapid.Int64Min(math.MinInt64 + 1)
	when  = rapid.Custom(func(t *rapid.T) time.Time {
		if rapid.Bool().Draw(t, "zero") {
			return time.Time{}
		}
		return time.Unix(0, nanos.Draw(t, "nanos")).UTC()
	})
	span = rapid.Custom(func(t *rapid.T) time.Duration { return time.Duration(rapid.Int64().Draw(t, "span")) })
	id   = rapid.Custom(func(t *rapid.T) (id custody.ID) {
		copy(id[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))
		return id
	})
	name = rapid.Custom(func(t *rapid.T) custody.DeliveryID {
		return custody.DeliveryID{Message: id.Draw(t, "message"), N: rapid.Uint16().Draw(t, "n")}
	})
	address = rapid.Custom(func(t *rapid.T) mail.Address {
		return mail.Address{Local: word.Draw(t, "local"), Domain: word.Draw(t, "domain")}
	})
	rcpt = rapid.Custom(func(t *rapid.T) mail.Recipient {
		return mail.Recipient{Address: address.Draw(t, "address"), Notify: mail.Notify(rapid.Byte().Draw(t, "notify")), Original: word.Draw(t, "orcpt")}
	})
	// outcome has an At: without one it is no outcome (Outcome.IsZero).
	outcome = rapid.Custom(func(t *rapid.T) custody.Outcome {
		return custody.Outcome{
			Rcpts: rapid.SampledFrom([][]int{nil, {}, {0}, {3, 1, 2}}).Draw(t, "rcpts"),
			At:    time.Unix(0, nanos.Draw(t, "at")).UTC(), Host: word.Draw(t, "host"), IP: word.Draw(t, "ip"),
			Stage: mail.Stage(rapid.Byte().Draw(t, "stage")),
			Reply: mail.Reply{
				Code:   rapid.Int().Draw(t, "code"),
				Status: rapid.SampledFrom([]mail.Status{{}, {5, 1, 1}, {4, 0, 999}}).Draw(t, "status"),
				Text:   word.Draw(t, "text"),
			},
			Theirs: rapid.Bool().Draw(t, "theirs"), Trouble: custody.Trouble(rapid.Byte().Draw(t, "trouble")),
			Hint: span.Draw(t, "hint"), Taken: custody.Taken(rapid.Byte().Draw(t, "taken")), Permanent: rapid.Bool().Draw(t, "permanent"),
		}
	})
	event = rapid.Custom(func(t *rapid.T) custody.Event {
		switch rapid.IntRange(0, 3).Draw(t, "event") {
		case 1:
			return custody.Due{At: when.Draw(t, "at"), Blocked: word.Draw(t, "blocked"), Until: when.Draw(t, "until")}
		case 2:
			a := custody.Attempt{
				Began: when.Draw(t, "began"), Took: span.Draw(t, "took"), Way: word.Draw(t, "way"), Rule: word.Draw(t, "rule"),
				TLS: word.Draw(t, "tls"), Shared: rapid.Bool().Draw(t, "shared"), Outcomes: some(t, outcome),
			}
			return custody.Tried{At: when.Draw(t, "at"), Attempt: a}
		case 3:
			return custody.Ordered{
				At: when.Draw(t, "at"), By: word.Draw(t, "by"), Why: word.Draw(t, "why"),
				Order: custody.Order(rapid.Byte().Draw(t, "order")), Via: word.Draw(t, "via"), Until: when.Draw(t, "until"),
			}
		}
		return nil
	})
	duty = rapid.Custom(func(t *rapid.T) custody.Duty {
		return rapid.SampledFrom([]custody.Duty{
			custody.Try{}, custody.Try{Last: true}, custody.Close{},
			custody.Tell{Kind: custody.Failed, Rcpts: []int{1, 0}, Null: true},
		}).Draw(t, "duty")
	})
)

// some draws a list that is nil when empty, as it comes back.
func some[T any](t *rapid.T, g *rapid.Generator[T]) []T {
	list := rapid.SliceOfN(g, 0, 4).Draw(t, "list")
	if len(list) == 0 {
		return nil
	}
	return list
}

func message(t *rapid.T) custody.Message {
	m := custody.Message{
		ID: id.Draw(t, "id"), Accepted: when.Draw(t, "accepted"), Size: rapid.Int64().Draw(t, "size"),
		MessageID: word.Draw(t, "message id"), Subject: word.Draw(t, "subject"),
	}
	m.Envelope = mail.Envelope{
		From: address.Draw(t, "from"), To: some(t, rcpt), Body: mail.Body(rapid.Byte().Draw(t, "body")), UTF8: rapid.Bool().Draw(t, "utf8"),
		Return: mail.Return(rapid.Byte().Draw(t, "ret")), ID: word.Draw(t, "envid"),
		By: mail.DeliverBy{Within: span.Draw(t, "by"), Return: rapid.Bool().Draw(t, "R"), Notify: rapid.Bool().Draw(t, "N"), Trace: rapid.Bool().Draw(t, "T")},
	}
	m.Came = custody.Came{
		Client: word.Draw(t, "client"), Helo: word.Draw(t, "helo"), Protocol: word.Draw(t, "protocol"), User: word.Draw(t, "user"),
		Listener: word.Draw(t, "listener"), Rule: word.Draw(t, "rule"), Notice: custody.Kind(rapid.Byte().Draw(t, "kind")),
	}
	if rapid.Bool().Draw(t, "notice") {
		m.Came.About = id.Draw(t, "about")
	}
	return m
}

func delivery(t *rapid.T) custody.Delivery {
	d := custody.Delivery{
		ID: name.Draw(t, "id"), Of: rapid.Uint16().Draw(t, "of"), Domain: word.Draw(t, "domain"), Via: word.Draw(t, "via"), From: address.Draw(t, "from"),
		Accepted: when.Draw(t, "accepted"), Deadline: when.Draw(t, "deadline"), By: when.Draw(t, "by"), ByReturn: rapid.Bool().Draw(t, "R"),
		Tries: rapid.Int().Draw(t, "tries"), Next: when.Draw(t, "next"), Resume: when.Draw(t, "resume"), Warned: span.Draw(t, "warned"),
		ByTold: rapid.Bool().Draw(t, "told"), Last: custody.Trouble(rapid.Byte().Draw(t, "last")),
	}
	for i := range d.Runs {
		d.Runs[i] = rapid.Uint16().Draw(t, "runs")
	}
	if since := when.Draw(t, "held"); !since.IsZero() {
		d.Held = custody.Hold{Since: since, By: word.Draw(t, "by"), Why: word.Draw(t, "why")}
	}
	for _, r := range some(t, rcpt) {
		c := custody.Recipient{Recipient: r, State: custody.State(rapid.Byte().Draw(t, "state"))}
		if rapid.Bool().Draw(t, "tried") {
			c.Last = outcome.Draw(t, "outcome")
		}
		d.Rcpts = append(d.Rcpts, c)
	}
	return d
}

func roundTrip[T any](t *rapid.T, v T, encode func([]byte, T) []byte, decode func([]byte) (T, error)) {
	b := encode(nil, v)
	got, err := decode(b)
	if err != nil {
		t.Fatalf("decode: %v", err)
	}
	if d := cmp.Diff(v, got); d != "" {
		t.Fatalf("(-want +got):\n%s", d)
	}
	cut := b[:rapid.IntRange(0, len(b)-1).Draw(t, "cut")]
	if _, err := decode(cut); err == nil {
		t.Fatalf("a record cut to %d of %d octets was read", len(cut), len(b))
	}
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		roundTrip(t, message(t), AppendMessage, DecodeMessage)
		roundTrip(t, delivery(t), AppendDelivery, DecodeDelivery)
		e := custody.Entry{At: when.Draw(t, "at"), Delivery: name.Draw(t, "delivery"), Event: event.Draw(t, "event"), Duties: some(t, duty), Next: when.Draw(t, "next"), Letters: some(t, id)}
		roundTrip(t, e, AppendEntry, DecodeEntry)
	})
}

func TestNewerRecordsAreNamedAsSuch(t *testing.T) {
	b := AppendMessage(nil, custody.Message{})
	b[0] = codecVersion + 1
	if _, err := DecodeMessage(b); !errors.Is(err, ErrVersion) {
		t.Errorf("error %v, want ErrVersion", err)
	}
	b[0] = 0
	if _, err := DecodeMessage(b); !errors.Is(err, ErrCorrupt) {
		t.Errorf("error %v, want ErrCorrupt", err)
	}
}

// FuzzDecode: whatever the bytes, no panic and little memory; and what can be
// read is written the same way again.
func FuzzDecode(f *testing.F) {
	at := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	m := custody.Message{ID: custody.NewID(at, 1, 2), Accepted: at, Subject: "s", Envelope: mail.Envelope{To: []mail.Recipient{{Address: mail.Address{Local: "a", Domain: "b"}}}}}
	d := custody.NewDelivery(m, 1, "b", m.Envelope.To)
	d.Rcpts[0].Last = custody.Outcome{At: at, Rcpts: []int{0}, Reply: mail.Reply{Code: 550, Status: mail.Status{5, 1, 1}, Text: "no"}}
	e := custody.Entry{At: at, Delivery: d.ID, Event: custody.Tried{At: at, Attempt: custody.Attempt{Began: at, Outcomes: []custody.Outcome{d.Rcpts[0].Last}}}, Duties: []custody.Duty{custody.Try{}, custody.Tell{Rcpts: []int{0}}, custody.Close{}}, Letters: []custody.ID{m.ID}}
	f.Add(AppendMessage(nil, m))
	f.Add(AppendDelivery(nil, d))
	f.Add(AppendEntry(nil, e))
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := DecodeMessage(b); err == nil {
			again(t, m, AppendMessage, DecodeMessage)
		}
		if d, err := DecodeDelivery(b); err == nil {
			again(t, d, AppendDelivery, DecodeDelivery)
		}
		if e, err := DecodeEntry(b); err == nil {
			again(t, e, AppendEntry, DecodeEntry)
		}
	})
}

func again[T any](t *testing.T, v T, encode func([]byte, T) []byte, decode func([]byte) (T, error)) {
	b := encode(nil, v)
	w, err := decode(b)
	if err != nil || !bytes.Equal(b, encode(nil, w)) {
		t.Errorf("%+v became %+v, %v", v, w, err)
	}
}

func TestADeliveryOfTheFirstVersionIsRead(t *testing.T) {
	d := custody.Delivery{ID: custody.DeliveryID{N: 1}, Domain: "a.example", Of: 7}
	b := AppendDelivery(nil, d)
	b = b[:len(b)-1] // Of came with version 2
	b[0] = 1
	got, err := DecodeDelivery(b)
	if d.Of = 0; err != nil || !reflect.DeepEqual(got, d) {
		t.Errorf("%+v, %v", got, err)
	}
}
