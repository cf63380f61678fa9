package smtpd

import (
	"context"
	"strings"
	"testing"

	"github.com/postrider/postrider/mail"
)

// FuzzSession says anything at all to a server: it must end, must not panic, and
// must not take a message that a lax next host could read as two.
func FuzzSession(f *testing.F) {
	f.Add(hello+envelope+"DATA\r\nhi\r\n.\r\nQUIT\r\n", false)
	f.Add("LHLO x\r\n"+envelope+"BDAT 2\r\nhiBDAT 3 LAST\r\n\r\n\x00RSET\r\n", true)
	f.Add("HELO x\r\nMAIL FROM:<a@b.c> SIZE=5 BY=1;R ENVID=+41\r\nRCPT TO:<\"a b\"@c> ORCPT=rfc822;x NOTIFY=NEVER\r\nVRFY\r\nSTARTTLS\r\n", false)
	for _, e := range endings {
		f.Add(hello+envelope+"DATA\r\nfirst"+e+smuggled+".\r\nQUIT\r\n", false)
	}
	f.Fuzz(func(t *testing.T, input string, lmtp bool) {
		h := &recorder{}
		s := New(Options{LMTP: lmtp, MaxSize: 1 << 16, SoftErrors: -1}, h)
		v := &visit{s: s, nc: reading{strings.NewReader(input)}}
		v.ctx, v.cancel = context.WithCancel(t.Context())
		v.small = make([]byte, smallBuffer)
		v.buf = v.small
		v.serve()
		v.cancel()
		for _, m := range h.taken() {
			if foul(m.body) || len(m.env.To) == 0 || len(m.body) > 1<<16 {
				t.Errorf("took %q", m.body)
			}
			checkAddress(t, m.env.From)
			for _, r := range m.env.To {
				checkAddress(t, r.Address)
			}
		}
	})
}

func checkAddress(t *testing.T, a mail.Address) {
	if strings.ContainsAny(a.String(), "\r\n\x00") {
		t.Errorf("address %q", a)
	}
}

// FuzzCommand reads anything as a command. What is accepted must hold nothing
// that could break out of a command of ours.
func FuzzCommand(f *testing.F) {
	f.Add("MAIL FROM:<a@b.c> SIZE=1 BODY=8BITMIME SMTPUTF8 RET=FULL ENVID=a+20 BY=5;RT")
	f.Add("RCPT TO:<@a:\"b c\"@d> NOTIFY=SUCCESS,DELAY ORCPT=utf-8;ü+20")
	f.Add("BDAT 18446744073709551616 LAST")
	o := Options{DeliverBy: true}.withDefaults()
	f.Fuzz(func(t *testing.T, line string) {
		verb, arg := cutCommand([]byte(line))
		switch verb {
		case mailFrom:
			m, no := parseMail(string(arg), &o)
			if no.IsZero() && (m.size < 0 || m.size > o.MaxSize || strings.ContainsAny(m.env.ID, " \r\n\x00") || !m.env.UTF8 && !m.env.From.IsASCII()) {
				t.Errorf("%q gives %+v", line, m)
			}
		case rcptTo:
			for _, utf8OK := range []bool{false, true} {
				r, no := parseRcpt(string(arg), utf8OK)
				if !no.IsZero() {
					continue
				}
				if strings.ContainsAny(r.Original, " \r\n\x00") || r.Address.IsNull() || !utf8OK && !(r.Address.IsASCII() && ascii(r.Original)) {
					t.Errorf("%q gives %+v", line, r)
				}
				if _, addr, _ := strings.Cut(r.Original, ";"); r.Original != "" {
					if plain, err := mail.DecodeXText(addr); err != nil || mail.Clean(plain, len(plain)) != plain {
						t.Errorf("%q gives %q: %v", line, plain, err)
					}
				}
			}
		case bdat:
			if n, _, ok := parseChunk(string(arg)); ok && n < 0 {
				t.Errorf("%q gives %d", line, n)
			}
		}
	})
}
