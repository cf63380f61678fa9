package smtpd

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
)

// loopback serves on a TCP port until the test ends, and connects to it.
func loopback(t *testing.T, o Options, h Host) *net.TCPConn {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := New(o, h)
	served := make(chan error, 1)
	go func() { served <- s.Serve(context.Background(), l) }()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return c.(*net.TCPConn)
}

// TestTheLastWordsReachAClientThatStillSends: a connection closed on octets
// nobody read is reset, and the client would never learn why.
func TestTheLastWordsReachAClientThatStillSends(t *testing.T) {
	c := loopback(t, Options{MaxSize: 1000}, &recorder{})
	go func() {
		io.WriteString(c, hello+envelope+"DATA\r\n"+strings.Repeat(line78, 3<<20/len(line78)))
		c.CloseWrite()
	}()
	got, err := io.ReadAll(c)
	if codes(string(got)) != "220, "+enveloped+"354, 552 5.3.4" || err != nil {
		t.Errorf("%v %s", err, got)
	}
}

// TestAHalfClosedClientIsAnswered: what was sent before the end still counts.
func TestAHalfClosedClientIsAnswered(t *testing.T) {
	h := &recorder{}
	c := loopback(t, Options{}, h)
	io.WriteString(c, hello+envelope+"DATA\r\nhi\r\n.\r\nNOOP\r\n")
	c.CloseWrite()
	got, err := io.ReadAll(c)
	if codes(string(got)) != "220, "+enveloped+"354, 250 2.0.0, 250 2.0.0" || err != nil || len(h.taken()) != 1 {
		t.Errorf("%v %s", err, got)
	}
}
