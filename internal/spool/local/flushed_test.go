package local

import (
	"io"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/mail"
)

// What is acknowledged has been told as flushed.
func TestEachFlushIsTold(t *testing.T) {
	var flushes, records, octets int
	s, err := Open("/spool", Options{FS: vfs.NewMem(), Flushed: func(took time.Duration, n, size int) {
		if took < 0 || n < 1 {
			t.Errorf("%d records in %v", n, took)
		}
		flushes, records, octets = flushes+1, records+n, octets+size
	}})
	if err != nil {
		t.Fatal(err)
	}
	const body = "Subject: hello\r\n\r\nhello\r\n"
	for n := range 3 {
		m := custody.Message{ID: custody.NewID(time.Now(), 0, uint64(n)), Accepted: time.Now(), Size: int64(len(body))}
		d, err := s.Begin(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(d, body)
		to := []mail.Recipient{{Address: mail.Address{Local: "bob", Domain: "there.test"}}}
		if err := d.Commit(t.Context(), m, []custody.Delivery{custody.NewDelivery(m, 1, "there.test", to)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if flushes != 3 || records != 3 || octets < 3*len(body) {
		t.Errorf("%d flushes of %d records with %d octets were told", flushes, records, octets)
	}
}
