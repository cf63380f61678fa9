package api

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/spool"
	"github.com/postrider/postrider/mail"
)

// many is a store in which very many deliveries wait.
type many struct {
	spool.Store
	n int
}

func (s many) row(i int) spool.Row {
	at := time.Now().Add(-time.Hour)
	m := custody.Message{ID: custody.NewID(at, 0, uint64(i)), Accepted: at, Envelope: mail.Envelope{From: mail.Address{Local: "ann", Domain: "author.test"}}}
	return spool.Row{Item: spool.Item{Message: m, Delivery: custody.NewDelivery(m, 1, "there.test", []mail.Recipient{{Address: mail.Address{Local: "bob", Domain: "there.test"}}})}}
}

func (s many) Find(context.Context, spool.Query) iter.Seq2[spool.Row, error] {
	return func(yield func(spool.Row, error) bool) {
		for i := 0; i < s.n && yield(s.row(i), nil); i++ {
		}
	}
}

func (s many) Item(context.Context, custody.DeliveryID) (spool.Item, error) {
	return s.row(1).Item, nil
}

// refusing is a queue that carries out every second order.
type refusing struct {
	orders
	n int
}

func (q *refusing) Order(context.Context, custody.DeliveryID, []int, custody.Ordered) error {
	if q.n++; q.n%2 == 0 {
		return spool.ErrFull
	}
	return nil
}

// What an order takes does not grow with what waits.
func TestTheAnswerToAnOrderNamesSomeOfVeryMany(t *testing.T) {
	const n = 2*doneMost + 200
	for _, c := range []struct {
		body, all, faults string
		done, no          int
	}{
		{`{"order":"retry","filter":{},"all":true,"dry_run":true}`, fmt.Sprint(n), "0", doneMost, 0},
		{`{"order":"retry","filter":{},"all":true}`, fmt.Sprint(n), fmt.Sprint(n / 2), doneMost, doneMost},
	} {
		o := newWorld(t, "hello").plainOptions()
		o.Store, o.Queue = many{n: n}, &refusing{}
		r := httptest.NewRequest("POST", "/api/v1/orders", strings.NewReader(c.body))
		r.Header.Set("Content-Type", "application/json")
		rec := httptest.NewRecorder()
		New(o, true).ServeHTTP(rec, r)
		var all []Done
		if err := json.Unmarshal(rec.Body.Bytes(), &all); err != nil {
			t.Fatal(err)
		}
		done, no := 0, 0
		for _, d := range all {
			if d.Fault == "" {
				done++
			} else {
				no++
			}
		}
		h := rec.Header()
		if done != c.done || no != c.no || h.Get("Postrider-Total") != c.all || h.Get("Postrider-Faults") != c.faults {
			t.Errorf("%s: %d done and %d not are named of %q, %q", c.body, done, no, h.Get("Postrider-Total"), h.Get("Postrider-Faults"))
		}
	}
}
