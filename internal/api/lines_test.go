package api

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/postrider/postrider/internal/spool"
)

// fails is a store that finds so much, and then an error.
type fails struct {
	spool.Store
	rows int
}

func (f fails) Find(ctx context.Context, q spool.Query) iter.Seq2[spool.Row, error] {
	return func(yield func(spool.Row, error) bool) {
		n := 0
		for row, err := range f.Store.Find(ctx, q) {
			if n++; n > f.rows {
				yield(spool.Row{}, errors.New("the disk is gone"))
				return
			}
			if !yield(row, err) {
				return
			}
		}
	}
}

func TestLinesAreAllThatWaits(t *testing.T) {
	to := make([]string, 2*linesPage+10) // more than two pages
	for i := range to {
		to[i] = "bob@there.test"
	}
	w := newWorld(t, "a <b> & c", append(to, "eve@elsewhere.test")...)
	s := httptest.NewServer(w.handler(true))
	defer s.Close()
	res, err := http.Get(s.URL + "/api/v1/queue/lines?domain=there.test")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if kind := res.Header.Get("Content-Type"); kind != asLines {
		t.Errorf("it is %q", kind)
	}
	seen := map[string]bool{}
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() {
		var d Delivery
		if err := json.Unmarshal(lines.Bytes(), &d); err != nil || d.Domain != "there.test" {
			t.Fatalf("%v: %s", err, lines.Bytes())
		}
		seen[d.ID] = true
	}
	if len(seen) != len(to) || lines.Err() != nil {
		t.Errorf("%d of %d deliveries, %v", len(seen), len(to), lines.Err())
	}
	if rec := w.ask(true, "GET", "/api/v1/queue/lines?older_than=long", ""); rec.Code != 422 {
		t.Errorf("a wrong age: %d %s", rec.Code, rec.Body)
	}
}

// odd is a store whose messages have an identifier that is no UTF-8, with a line end of some programs in it.
type odd struct{ spool.Store }

func (o odd) Find(ctx context.Context, q spool.Query) iter.Seq2[spool.Row, error] {
	return func(yield func(spool.Row, error) bool) {
		for row, err := range o.Store.Find(ctx, q) {
			row.Message.MessageID = "m\xff\u2028@author.test"
			if !yield(row, err) {
				return
			}
		}
	}
}

func TestLinesShowWhatIsNoUTF8(t *testing.T) {
	w := newWorld(t, "", "bob@there.test")
	o := w.plainOptions()
	o.Store = odd{w.store}
	rec := httptest.NewRecorder()
	New(o, true).ServeHTTP(rec, httptest.NewRequest("GET", "/api/v1/queue/lines", nil))
	var d Delivery
	if err := json.Unmarshal(rec.Body.Bytes(), &d); err != nil || d.MessageID != "m\ufffd\u2028@author.test" || strings.Contains(rec.Body.String(), "\u2028") {
		t.Errorf("%s, %v", rec.Body, err)
	}
}

func TestLinesThatCannotBeReadAreCutOff(t *testing.T) {
	w := newWorld(t, "", strings.Fields(strings.Repeat("bob@there.test ", 20))...)
	o := w.plainOptions()
	for _, rows := range []int{0, 10} {
		o.Store = fails{w.store, rows}
		s := httptest.NewServer(New(o, true))
		res, err := http.Get(s.URL + "/api/v1/queue/lines")
		if err == nil {
			_, err = io.Copy(io.Discard, res.Body)
			res.Body.Close()
		}
		if err == nil {
			t.Errorf("%d deliveries read: nobody sees that more wait", rows)
		}
		s.Close()
	}
}
