package smtpd

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postrider/postrider/mail"
)

// endings are the sequences that some server somewhere takes for the end of a
// message, and that are none (RFC 5321 2.3.8, 4.1.1.4; CVE-2023-51764 Postfix, -51765
// Sendmail, -51766 Exim, CVE-2023-52354 chasquid, CVE-2024-27305 aiosmtpd).
var endings = []string{
	"\n.\n", "\n.\r\n", "\n.\r", "\r.\r", "\r.\n", "\r.\r\n", "\r\n.\n", "\r\n.\r", "\r\n.\r\r\n", "\r\r\n.\r\r\n",
	"\r\n\x00.\r\n", "\r\x00\n.\r\n", "\r\n.\x00\r\n", "\r\n.\r\x00\n", "\r\n. \r\n", "\r\n.\t\r\n", "\n\n.\n\n",
	"\v.\v", "\u0085.\u0085", "\u2028.\u2028",
}

const smuggled = "MAIL FROM:<ceo@example.com>\r\nRCPT TO:<victim@example.net>\r\nDATA\r\nsmuggled\r\n"

// foul reports whether s holds what some next host may take for a line end, or
// stop at.
func foul(s string) bool {
	s = strings.ReplaceAll(s, "\r\n", "")
	return strings.ContainsAny(s, "\r\n\x00")
}

func TestNothingButCRLFDotCRLFEndsAMessage(t *testing.T) {
	for _, mode := range []BareNewline{Refuse, Normalize} {
		for _, end := range endings {
			bubble(t, func(t *testing.T) {
				h := &recorder{}
				got, _ := dialog(t, Options{BareNewline: mode}, h, hello+envelope+"DATA\r\nfirst"+end+smuggled+".\r\nQUIT\r\n")
				clean := !foul(end)
				answer := strings.TrimPrefix(codes(got), enveloped+"354, ")
				switch {
				case mode == Normalize || clean:
					if answer != "250 2.0.0, 221 2.0.0" {
						t.Errorf("%q mode %d: %s", end, mode, answer)
					}
				case answer != "550 5.6.11, 221 2.0.0" && answer != "550 5.6.0, 221 2.0.0":
					t.Errorf("%q mode %d: %s", end, mode, answer)
				}
				for _, m := range h.taken() {
					if foul(m.body) || !strings.HasPrefix(m.body, "first") || !strings.HasSuffix(m.body, "smuggled\r\n") {
						t.Errorf("%q mode %d: passed on %q", end, mode, m.body)
					}
				}
				if refused := mode == Refuse && !clean; refused == (len(h.taken()) == 1) {
					t.Errorf("%q mode %d: %d messages", end, mode, len(h.taken()))
				}
			})
		}
	}
}

func TestChunksObeyTheLawOfLineEndsToo(t *testing.T) {
	for _, mode := range []BareNewline{Refuse, Normalize} {
		for _, end := range append(endings, "\r\n.\r\n", "\r") {
			bubble(t, func(t *testing.T) {
				h := &recorder{}
				text := "first" + end + smuggled
				// Cut in the middle of the sequence: a CRLF may span two chunks.
				cut := len("first") + 1
				input := hello + envelope + bdatOf(text[:cut], false) + bdatOf(text[cut:], true) + "QUIT\r\n"
				got, _ := dialog(t, Options{BareNewline: mode}, h, input)
				if mode == Refuse && foul(end) {
					if len(h.taken()) != 0 || !strings.Contains(got, "\r\n550 5.6.") {
						t.Errorf("%q passed on: %s", end, got)
					}
					return
				}
				if len(h.taken()) != 1 || foul(h.taken()[0].body) {
					t.Errorf("%q mode %d: %+v", end, mode, h.taken())
				}
				if !foul(end) && h.taken()[0].body != text {
					t.Errorf("%q became %q", text, h.taken()[0].body)
				}
			})
		}
	}
}

func bdatOf(chunk string, last bool) string {
	if last {
		return "BDAT " + itoa(len(chunk)) + " LAST\r\n" + chunk
	}
	return "BDAT " + itoa(len(chunk)) + "\r\n" + chunk
}

func TestWhatBecomesOfABody(t *testing.T) {
	const after = "NOOP\r\n"
	tests := []struct {
		name, wire, body, want string
		o                      Options
	}{
		{name: "empty", wire: ".\r\n", body: "", want: "250 2.0.0, 250 2.0.0"},
		{name: "dots", wire: "..\r\n.a\r\n...\r\n.\r\n", body: ".\r\na\r\n..\r\n", want: "250 2.0.0, 250 2.0.0"},
		{name: "high bytes", wire: "\xff\xfe\r\n.\r\n", body: "\xff\xfe\r\n", want: "250 2.0.0, 250 2.0.0"},
		{name: "normalized", o: Options{BareNewline: Normalize}, wire: "a\nb\rc\r\r\nd\x00e\n.\r\n.\n\r\n.\r\n", body: "a\r\nb\r\nc\r\n\r\nde\r\n.\r\n\r\n\r\n", want: "250 2.0.0, 250 2.0.0"},
		{name: "long line refused", o: Options{MaxBodyLine: 5}, wire: "12345\r\n123456\r\n.\r\n", want: "550 5.6.0, 250 2.0.0"},
		{name: "long line at the limit", o: Options{MaxBodyLine: 5}, wire: "12345\r\n.12345\r\n.\r\n", body: "12345\r\n12345\r\n", want: "250 2.0.0, 250 2.0.0"},
		{name: "long line over buffers", o: Options{MaxBodyLine: 99_999}, wire: strings.Repeat("x", 100_000) + "\r\n.\r\n", want: "550 5.6.0, 250 2.0.0"},
		{name: "no limit of lines", wire: strings.Repeat("x", 1_000_000) + "\r\n.\r\n", body: strings.Repeat("x", 1_000_000) + "\r\n", want: "250 2.0.0, 250 2.0.0"},
		{name: "at the size limit", o: Options{MaxSize: 7}, wire: "12345\r\n.\r\n", body: "12345\r\n", want: "250 2.0.0, 250 2.0.0"},
		{name: "stuffing is not size", o: Options{MaxSize: 8}, wire: "..2345\r\n.\r\n", body: ".2345\r\n", want: "250 2.0.0, 250 2.0.0"},
		{name: "too big", o: Options{MaxSize: 7}, wire: "123456\r\n.\r\n", want: "552 5.3.4, 250 2.0.0"},
		{name: "far too big", o: Options{MaxSize: 7}, wire: strings.Repeat("0123456\r\n", 200_000) + ".\r\n", want: "552 5.3.4"},
		{name: "the first fault counts", o: Options{MaxSize: 7}, wire: "1\n23456\r\nNOOP\r\n.\r\n", want: "550 5.6.11, 250 2.0.0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				h := &recorder{}
				got, _ := dialog(t, tt.o, h, hello+envelope+"DATA\r\n"+tt.wire+after)
				if diff := cmp.Diff(enveloped+"354, "+tt.want, codes(got)); diff != "" {
					t.Error(diff)
				}
				var body string
				for _, m := range h.taken() {
					body += m.body
				}
				if body != tt.body {
					t.Errorf("body %.99q, want %.99q", body, tt.body)
				}
			})
		})
	}
}

// RFC 3030; of other servers CVE-2017-16943 and CVE-2017-16944.
func TestChunks(t *testing.T) {
	tests := []struct {
		name, input, body, want string
		o                       Options
		hungUp                  bool
	}{
		{name: "one", input: envelope + "BDAT 4 LAST\r\nhi\r\nNOOP\r\n", body: "hi\r\n", want: "250 2.0.0, 250 2.0.0"},
		{name: "dots are text", input: envelope + "BDAT 8\r\nx\r\n.\r\n..BDAT 2 LAST\r\n\r\n", body: "x\r\n.\r\n..\r\n", want: "250 2.0.0, 250 2.0.0"},
		{name: "many", input: envelope + "BDAT 1\r\nhNOOP\r\nBDAT 1\r\niBDAT 0\r\nBDAT 0 LAST\r\nNOOP\r\n", body: "hi", want: "250 2.0.0, 250 2.0.0, 250 2.0.0, 250 2.0.0, 250 2.0.0, 250 2.0.0"},
		{name: "ends in CR", input: envelope + "BDAT 3 LAST\r\nhi\rNOOP\r\n", want: "550 5.6.11, 250 2.0.0"},
		{name: "ends in CR, mended", o: Options{BareNewline: Normalize}, input: envelope + "BDAT 3\r\nhi\rBDAT 0 LAST\r\nNOOP\r\n", body: "hi\r\n", want: "250 2.0.0, 250 2.0.0, 250 2.0.0"},
		{name: "CRLF over two chunks", input: envelope + "BDAT 3\r\nhi\rBDAT 1 LAST\r\n\nNOOP\r\n", body: "hi\r\n", want: "250 2.0.0, 250 2.0.0, 250 2.0.0"},
		{name: "left", input: envelope + "BDAT 2\r\nhiQUIT\r\n", want: "250 2.0.0, 221 2.0.0", hungUp: true},
		{name: "begun anew", input: envelope + "BDAT 2\r\nhi" + hello + "MAIL FROM:<>\r\n", want: "250 2.0.0, 250, 250 2.1.0"},
		{name: "junk between chunks", o: Options{MaxJunk: 2}, input: envelope + "BDAT 2\r\nhiNOOP\r\nNOOP\r\n", want: "250 2.0.0, 250 2.0.0, 421 4.7.0", hungUp: true},
		{name: "long line between chunks", input: envelope + "BDAT 2\r\nhi" + strings.Repeat("x", 5000) + "\r\nBDAT 0 LAST\r\n", body: "hi", want: "250 2.0.0, 500 5.5.2, 250 2.0.0"},
		{name: "empty", input: envelope + "BDAT 0 LAST\r\nNOOP\r\n", want: "250 2.0.0, 250 2.0.0"},
		{name: "other commands wait", input: envelope + "BDAT 1\r\nhDATA\r\nMAIL FROM:<>\r\nFOO\r\nBDAT 1 last\r\ni", body: "hi", want: "250 2.0.0, 503 5.5.1, 503 5.5.1, 503 5.5.1, 250 2.0.0"},
		{name: "taken back", input: envelope + "BDAT 1\r\nhRSET\r\nBDAT 1 LAST\r\niNOOP\r\n", want: "250 2.0.0, 250 2.0.0, 503 5.5.1, 250 2.0.0"},
		{name: "no MAIL", input: "BDAT 6\r\nQUIT\r\nNOOP\r\n", want: "503 5.5.1, 250 2.0.0"},
		{name: "no RCPT accepted", input: "MAIL FROM:<>\r\nRCPT TO:<bad>\r\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n", want: "250 2.1.0, 553 5.1.3, 554 5.5.1, 250 2.0.0"},
		{name: "-1", input: envelope + "BDAT -1\r\nNOOP\r\n", want: "501 5.5.4", hungUp: true},
		{name: "2^64", input: envelope + "BDAT 18446744073709551616\r\nNOOP\r\n", want: "501 5.5.4", hungUp: true},
		{name: "no size", input: envelope + "BDAT\r\nNOOP\r\n", want: "501 5.5.4", hungUp: true},
		{name: "bad word", input: envelope + "BDAT 1 FIRST\r\nNOOP\r\n", want: "501 5.5.4", hungUp: true},
		{name: "bad later", input: envelope + "BDAT 1\r\nhBDAT x\r\nNOOP\r\n", want: "250 2.0.0, 501 5.5.4", hungUp: true},
		{name: "huge", o: Options{MaxSize: 9}, input: envelope + "BDAT 4000000000000000000\r\n0123456789abcdef", want: "552 5.3.4", hungUp: true},
		{name: "huge without MAIL", o: Options{MaxSize: 9}, input: "BDAT 4000000000000000000\r\n0123456789abcdef", want: "503 5.5.1", hungUp: true},
		{name: "too big", o: Options{MaxSize: 9}, input: envelope + "BDAT 5\r\n01234BDAT 6\r\n012345BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n", want: "250 2.0.0, 552 5.3.4, 503 5.5.1, 250 2.0.0"},
		{name: "LMTP", o: Options{LMTP: true}, input: "LHLO x\r\n" + envelope + "RCPT TO:<c@d.e>\r\nBDAT 1\r\nxBDAT 1 LAST\r\ny", body: "xy", want: "250, 250 2.1.0, 250 2.1.5, 250 2.1.5, 250 2.0.0, 250 2.0.0, 250 2.0.0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				input, want := hello+tt.input, greeted+tt.want
				if tt.o.LMTP {
					input, want = tt.input, tt.want
				} else if strings.HasPrefix(tt.input, envelope) {
					want = enveloped + tt.want
				}
				h := &recorder{}
				got, hungUp := dialog(t, tt.o, h, input)
				if diff := cmp.Diff(want, codes(got)); diff != "" || hungUp != tt.hungUp {
					t.Errorf("hung up: %v %s", hungUp, diff)
				}
				var body string
				for _, m := range h.taken() {
					body += m.body
				}
				if body != tt.body {
					t.Errorf("body %q, want %q", body, tt.body)
				}
			})
		})
	}
}

// TestAHostThatStopsReadingLeavesNoOctetsBehind: a refusal in the middle of a
// message must not turn the rest of it into commands.
func TestAHostThatStopsReadingLeavesNoOctetsBehind(t *testing.T) {
	full := mail.Reply{Code: 452, Status: mail.Status{4, 3, 1}, Text: "Disk full"}
	lazy := func(r mail.Reply, n int64) func(context.Context, Transfer) mail.Reply {
		return func(_ context.Context, m Transfer) mail.Reply {
			io.CopyN(io.Discard, m.Body, n)
			return r
		}
	}
	text := strings.Repeat("QUIT\r\n..\r\n", 20_000)
	for _, n := range []int64{0, 1, 5, 70_000} {
		for _, tt := range []struct {
			r    mail.Reply
			want string
		}{{full, "452 4.3.1"}, {mail.Reply{}, "451 4.3.0"}, {messageOK, "451 4.3.0"}, {reply(421, "stop"), "421 4.0.0"}} {
			bubble(t, func(t *testing.T) {
				want := enveloped + "354, " + tt.want
				if tt.r.Code != 421 {
					want += ", 250 2.0.0"
				}
				got, _ := dialog(t, Options{}, &recorder{data: lazy(tt.r, n)}, hello+envelope+"DATA\r\n"+text+".\r\nNOOP\r\n")
				if diff := cmp.Diff(want, codes(got)); diff != "" {
					t.Error(diff)
				}
			})
			bubble(t, func(t *testing.T) {
				want := enveloped + tt.want
				if tt.r.Code != 421 {
					want += ", 503 5.5.1, 250 2.0.0"
				}
				got, _ := dialog(t, Options{}, &recorder{data: lazy(tt.r, n)}, hello+envelope+bdatOf(text, false)+bdatOf(text, true)+"NOOP\r\n")
				if diff := cmp.Diff(want, codes(got)); diff != "" {
					t.Error(diff)
				}
			})
		}
	}
}

func TestAMessageCutOffIsNeverWhole(t *testing.T) {
	for _, input := range []string{"DATA\r\nhi", "DATA\r\nhi\r\n.\r", "DATA\r\nhi\r\n.", "DATA\r\n", "BDAT 5 LAST\r\nhi", "BDAT 2\r\nhi", "BDAT 2\r\nhiBDAT 0"} {
		bubble(t, func(t *testing.T) {
			h := &recorder{}
			var err error
			h.data = func(_ context.Context, m Transfer) mail.Reply {
				_, err = io.Copy(io.Discard, m.Body)
				return messageOK // a Host gone mad
			}
			_, l := start(t, Options{}, h)
			c := l.dial("192.0.2.9:1025")
			c.say(hello + envelope + input)
			c.listen()
			c.Close()
			if got, _ := c.listen(); got != "" || !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%q: answered %q, err %v", input, got, err)
			}
			if got := h.story(); !strings.HasSuffix(got, "data close") {
				t.Error(got)
			}
		})
	}
}

// simple is the framing of DATA as one would first write it.
func simple(wire string, m BareNewline) (body string, rest string, err error, whole bool) {
	var out bytes.Buffer
	bol := true
	for i := 0; i < len(wire); {
		switch s := wire[i:]; {
		case bol && strings.HasPrefix(s, ".\r\n"):
			return out.String(), s[3:], err, true
		case bol && s[0] == '.':
			if len(s) == 1 || s == ".\r" {
				return out.String(), "", err, false
			}
			bol = false
			i++
		case strings.HasPrefix(s, "\r\n"):
			out.WriteString("\r\n")
			bol = true
			i += 2
		case s == "\r":
			return out.String(), "", err, false
		case s[0] == '\r' || s[0] == '\n' || s[0] == 0:
			if err == nil && m == Refuse {
				if err = ErrBareNewline; s[0] == 0 {
					err = ErrNUL
				}
			}
			if s[0] != 0 {
				out.WriteString("\r\n")
			}
			bol = false
			i++
		default:
			out.WriteByte(s[0])
			bol = false
			i++
		}
	}
	return out.String(), "", err, false
}

// decode runs the decoder over wire, which comes in pieces of the given sizes.
func decode(wire string, m BareNewline, sizes []byte) (body, rest string, err error, whole bool) {
	v := &visit{s: New(Options{BareNewline: m}, nil)}
	d := v.decoder(true)
	var out bytes.Buffer
	var have []byte
	for piece := 0; ; piece++ {
		for len(have) > 0 {
			s := d.next(have)
			if s.err != nil {
				err = s.err
				d.mode = pass
				continue
			}
			out.Write(s.out)
			have = have[s.n:]
			if s.end {
				return out.String(), string(have) + wire, err, true
			}
			if s.stuck() {
				break
			}
		}
		if wire == "" {
			return out.String(), "", err, false
		}
		n := 1
		if len(sizes) > 0 {
			n = 1 + int(sizes[piece%len(sizes)])
		}
		n = min(n, len(wire))
		have = append(have[:len(have):len(have)], wire[:n]...)
		wire = wire[n:]
	}
}

func FuzzDataReader(f *testing.F) {
	f.Add("hi\r\n..\r\n.x\r\n.\r\nrest", []byte{3}, false)
	for i, e := range endings {
		f.Add("x"+e+"y\r\n.\r\nz", []byte{byte(i)}, i%2 == 0)
	}
	f.Add(strings.Repeat("x", 5000)+"\r\n\x00.\r\n.\r\n", []byte{255, 1}, true)
	f.Fuzz(func(t *testing.T, wire string, sizes []byte, repair bool) {
		m := Refuse
		if repair {
			m = Normalize
		}
		body, rest, err, whole := decode(wire, m, sizes)
		wantBody, wantRest, wantErr, wantWhole := simple(wire, m)
		if whole != wantWhole || rest != wantRest || err != wantErr {
			t.Fatalf("got %v %q %v, want %v %q %v", whole, rest, err, wantWhole, wantRest, wantErr)
		}
		if err == nil && body != wantBody {
			t.Fatalf("body %q, want %q", body, wantBody)
		}
		if err == nil && foul(body) {
			t.Fatalf("passed on %q", body)
		}
	})
}
