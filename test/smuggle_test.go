//go:build linux

package test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"maps"
	"net"
	"net/textproto"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-msgauth/dkim"

	"github.com/postrider/postrider/test/peers"
)

// endings are what some server somewhere takes for the end of a message, and what is
// none: the smuggling of December 2023 (CVE-2023-51764 Postfix, -51765 Sendmail, -51766
// Exim, CVE-2023-52354 chasquid; RFC 5321 2.3.8, 4.1.1.4).
var endings = []string{
	"\n.\n", "\n.\r\n", "\n.\r", "\r.\r", "\r.\n", "\r.\r\n", "\r\n.\n", "\r\n.\r", "\r\n.\r\r\n", "\r\r\n.\r\r\n",
	"\r\n\x00.\r\n", "\r\x00\n.\r\n", "\r\n.\x00\r\n", "\r\n.\r\x00\n", "\r\n. \r\n", "\r\n.\t\r\n", "\n\n.\n\n",
	"\r\n.\v\r\n", "\r\n.\u0085\r\n", "\r\n.\u2028\r\n",
}

// smuggle is a message with an ending in its middle and another message behind it.
func smuggle(n int) []byte {
	return fmt.Appendf(nil, "From: ann@home.test\r\nTo: bob@there.test\r\nSubject: outer-%d\r\n\r\nfirst%sMAIL FROM:<ceo@home.test>\r\nRCPT TO:<victim@there.test>\r\nDATA\r\n"+
		"From: ceo@home.test\r\nTo: victim@there.test\r\nSubject: smuggled-%[1]d\r\n\r\npay\r\n", n, endings[n])
}

// sneak hands such a message over as an attacker would, and returns what was answered
// to it and to all that it may have turned into.
func sneak(t *testing.T, addr string, n int, chunks bool) string {
	t.Helper()
	c, err := dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	for _, say := range []string{"MAIL FROM:<ann@home.test>", "RCPT TO:<bob@there.test>"} {
		if _, err := c.say(250, "%s", say); err != nil {
			t.Fatal(err)
		}
	}
	text := smuggle(n)
	if chunks {
		fmt.Fprintf(c.conn, "BDAT %d LAST\r\n%s", len(text), text)
	} else {
		if _, err := c.say(354, "DATA"); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(c.conn, "%s.\r\n", text)
	}
	_, first, err := c.text.ReadResponse(0)
	if err != nil && first == "" {
		return err.Error()
	}
	// Time for what was smuggled to be answered, too.
	c.conn.SetDeadline(time.Now().Add(5 * time.Second))
	fmt.Fprintf(c.conn, "QUIT\r\n")
	rest, _ := io.ReadAll(c.text.R)
	return first + "\n" + string(rest)
}

// subjects counts messages by the Subject of their header.
func subjects(messages [][]byte) map[string]int {
	all := map[string]int{}
	for _, m := range messages {
		h, _ := textproto.NewReader(bufio.NewReader(bytes.NewReader(m))).ReadMIMEHeader()
		all[h.Get("Subject")]++
	}
	return all
}

// TestNothingIsSmuggledPastUs: whatever stands in a message, and whether bare line ends
// are refused or mended, the next hop gets no second message out of it: no Postfix, Exim,
// OpenSMTPD or Dovecot as Debian configures them.
func TestNothingIsSmuggledPastUs(t *testing.T) {
	t.Parallel()
	for name, peer := range map[string]func(testing.TB, peers.Config) *peers.Server{
		"Postfix": peers.Postfix, "Exim": peers.Exim, "OpenSMTPD": peers.OpenSMTPD, "Dovecot": peers.DovecotLMTP,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, hop := peers.Config{Domains: []string{"there.test"}}, "smtp:"
			if name == "Dovecot" {
				c, hop = peers.Config{Users: []string{"bob@there.test", "victim@there.test"}}, "lmtp:"
			}
			there, r := peer(t, c), newRider(t)
			hop += there.Addr
			want := map[string]int{}
			for _, mode := range []string{"refuse", "normalize"} {
				r.configure(fmt.Sprintf("[smtp]\nbare_newline = %q\n", mode), route("*", hop))
				r.start()
				for n := range endings {
					for _, chunks := range []bool{false, true} {
						got := sneak(t, r.Addr, n, chunks)
						switch {
						case strings.HasPrefix(got, "2.0.0 ") && strings.Count(got, "\n") == 2:
							want[fmt.Sprintf("outer-%d", n)]++
						case mode == "refuse" && strings.HasPrefix(got, "5.6.") && strings.Count(got, "\n") == 2:
						default:
							t.Errorf("%s: %q is answered %q", mode, endings[n], got)
						}
					}
				}
				r.until("an empty queue", func() bool { return len(r.queue()) == 0 })
				r.stop()
			}
			total := 0
			for _, n := range want {
				total += n
			}
			there.WaitMail(t, total, patience)
			there.WaitQueue(t, 0, patience)
			if got := subjects(there.Mail("")); !maps.Equal(got, want) {
				t.Errorf("%s has %v, want %v", name, got, want)
			}
			t.Logf("%d messages with a false end in them arrived as one each", total)
		})
	}
}

// TestNothingIsSmuggledByOthersThroughUs: what Postfix, Exim and OpenSMTPD pass on to us
// as one message comes out of us as one at most, at a next hop that believes any line
// end; and they get nothing past us that a strict next hop would not have had from them.
func TestNothingIsSmuggledByOthersThroughUs(t *testing.T) {
	t.Parallel()
	for name, peer := range map[string]func(testing.TB, peers.Config) *peers.Server{"Postfix": peers.Postfix, "Exim": peers.Exim, "OpenSMTPD": peers.OpenSMTPD} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			strict, lax, r := openSink(t, &sink{strict: true}), newSink(t), newRider(t)
			c := peers.Config{Domains: []string{"home.test"}, Relay: strict.Addr}
			direct := peer(t, c)
			c.Relay = r.Addr
			byUs := peer(t, c)
			r.serve("[smtp]\nbare_newline = \"normalize\"\n", route("*", "smtp:"+lax.Addr))
			for n := range endings {
				sneak(t, direct.Addr, n, false)
				sneak(t, byUs.Addr, n, false)
			}
			quiet := func() bool {
				return len(direct.Queue(t)) == 0 && len(byUs.Queue(t)) == 0 && len(r.queue()) == 0
			}
			r.until("empty queues", quiet)
			r.until("empty queues still", quiet) // what one had handed on meanwhile
			alone, through := subjects(texts(strict.mail())), subjects(texts(lax.mail()))
			if !maps.Equal(alone, through) || through["outer-0"] == 0 && through["outer-14"] == 0 {
				t.Errorf("through us came %v, directly %v", through, alone)
			}
			for _, m := range lax.mail() {
				if foul(m.Data) {
					t.Errorf("passed on: %q", m.Data)
				}
			}
			own := slices.Collect(maps.Keys(through))
			own = slices.DeleteFunc(own, func(s string) bool { return !strings.HasPrefix(s, "smuggled") })
			t.Logf("%s itself makes two messages of %d of %d", name, len(own), len(endings))
		})
	}
}

func texts(all []taken) (out [][]byte) {
	for _, m := range all {
		out = append(out, m.Data)
	}
	return out
}

// foul reports what some host may take for a line end, or stop at.
func foul(b []byte) bool {
	return bytes.ContainsAny(bytes.ReplaceAll(b, []byte("\r\n"), nil), "\r\n\x00")
}

// TestWhatIsSignedIsWhatIsSent: a signature is over the octets that go out, also where
// they were mended (Exim bug 3036: DKIM over other octets than the next host gets).
func TestWhatIsSignedIsWhatIsSent(t *testing.T) {
	t.Parallel()
	r, out := newRider(t), newSink(t)
	key := r.Dir + "/key.pem"
	record := signingKey(t, key, "ed25519")
	r.serve("[smtp]\nbare_newline = \"normalize\"\n", route("*", "smtp:"+out.Addr),
		fmt.Sprintf("[[sign]]\ndomain = \"home.test\"\nselector = \"s1\"\nkey = %q\n", key))
	for n := range endings {
		for _, chunks := range []bool{false, true} {
			if got := sneak(t, r.Addr, n, chunks); !strings.HasPrefix(got, "2.0.0 ") {
				t.Fatalf("%q: %s", endings[n], got)
			}
		}
	}
	for _, m := range out.wait(t, 2*len(endings)) {
		sigs, err := dkim.VerifyWithOptions(bytes.NewReader(m.Data), &dkim.VerifyOptions{
			LookupTXT: func(string) ([]string, error) { return []string{record}, nil },
		})
		if err != nil || len(sigs) != 1 || sigs[0].Err != nil {
			t.Errorf("%v %+v: %q", err, sigs, m.Data)
		}
	}
}

// readStrict reads a message to CRLF.CRLF and to nothing else.
func readStrict(r *bufio.Reader) ([]byte, error) {
	var b bytes.Buffer
	for !bytes.HasSuffix(b.Bytes(), []byte("\r\n.\r\n")) && b.String() != ".\r\n" {
		c, err := r.ReadByte()
		if err != nil {
			return nil, net.ErrClosed
		}
		b.WriteByte(c)
	}
	return bytes.ReplaceAll(b.Bytes()[:b.Len()-3], []byte("\r\n."), []byte("\r\n")), nil
}
