package filter

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/postrider/postrider/mail"
)

const skip = 1 << 10 // SMFIP_SKIP: the filter may say that it wants no more of a kind

func TestEveryReplyOfAMilterIsUnderstood(t *testing.T) {
	ann := mail.Address{Local: "ann", Domain: "example.org"}
	own := packet('y', "554 5.7.9 100%% spam\x00")
	ownOpinion := Opinion{Action: Refuse, Reply: mail.Reply{Code: 554, Status: mail.Status{5, 7, 9}, Text: "100% spam"}}
	for _, c := range []struct {
		name string
		at   byte // the command that gets the answer
		say  string
		want Opinion
	}{
		{"continue", 'E', packet('c'), Opinion{}},
		{"accept", 'E', packet('a'), Opinion{Action: Accept}},
		{"discard", 'E', packet('d'), Opinion{Action: Discard}},
		{"reject", 'E', packet('r'), Opinion{Action: Refuse, Reply: rejected}},
		{"tempfail", 'E', packet('t'), Opinion{Action: Defer, Reply: tempfail}},
		{"own words", 'E', own, ownOpinion},
		{"own words without a status", 'E', packet('y', "421 come again\x00"),
			Opinion{Action: Defer, Reply: mail.Reply{Code: 421, Text: "come again"}}},
		{"several lines", 'E', packet('y', "451-4.7.1 come\r\n451 4.7.1 %again\x1b\x00"),
			Opinion{Action: Defer, Reply: mail.Reply{Code: 451, Status: mail.Status{4, 7, 1}, Text: "come\nagain?"}}},
		{"progress", 'E', packet('p') + packet('p') + packet('a'), Opinion{Action: Accept}},
		{"quarantine", 'E', packet('q', "looks\nodd\x00") + packet('c'), Opinion{Quarantine: "looks?odd"}},
		{"quarantine without a reason", 'E', packet('q', "\x00") + packet('c'), Opinion{Quarantine: "no reason given"}},
		{"add header", 'E', packet('h', "X-A\x00b\n\tc\x00") + packet('c'),
			Opinion{Changes: []Change{{Kind: AddHeader, Name: "X-A", Value: " b\n\tc"}}}},
		{"insert header", 'E', packet('i', u32(1), "X-A\x00b\x00") + packet('a'),
			Opinion{Action: Accept, Changes: []Change{{Kind: InsertHeader, Index: 1, Name: "X-A", Value: " b"}}}},
		{"change header", 'E', packet('m', u32(2), "Subject\x00b\x00") + packet('c'),
			Opinion{Changes: []Change{{Kind: ChangeHeader, Index: 2, Name: "Subject", Value: " b"}}}},
		{"change header 0 is the first", 'E', packet('m', u32(0), "Subject\x00b\x00") + packet('c'),
			Opinion{Changes: []Change{{Kind: ChangeHeader, Index: 1, Name: "Subject", Value: " b"}}}},
		{"delete header", 'E', packet('m', u32(1), "Subject\x00\x00") + packet('c'),
			Opinion{Changes: []Change{{Kind: DeleteHeader, Index: 1, Name: "Subject"}}}},
		{"change from", 'E', packet('e', "<ann@example.org>\x00SIZE=1\x00") + packet('c'),
			Opinion{Changes: []Change{{Kind: ChangeFrom, Address: ann}}}},
		{"change from to null", 'E', packet('e', "<>\x00") + packet('c'), Opinion{Changes: []Change{{Kind: ChangeFrom}}}},
		{"add recipient", 'E', packet('+', "ann@example.org\x00") + packet('c'),
			Opinion{Changes: []Change{{Kind: AddRecipient, Address: ann}}}},
		{"add recipient with arguments", 'E', packet('2', "<ann@example.org>\x00NOTIFY=NEVER\x00") + packet('c'),
			Opinion{Changes: []Change{{Kind: AddRecipient, Address: ann}}}},
		{"delete recipient", 'E', packet('-', "<ann@example.org>\x00") + packet('c'),
			Opinion{Changes: []Change{{Kind: DeleteRecipient, Address: ann}}}},
		{"in order", 'E', packet('h', "X-A\x00b\x00") + packet('p') + packet('-', "<ann@example.org>\x00") + own,
			func() Opinion {
				o := ownOpinion
				o.Changes = []Change{{Kind: AddHeader, Name: "X-A", Value: " b"}, {Kind: DeleteRecipient, Address: ann}}
				return o
			}()},

		{"at connect", 'C', own, ownOpinion},
		{"at connect, accept", 'C', packet('a'), Opinion{Action: Accept}},
		{"at HELO", 'H', own, ownOpinion},
		{"at MAIL", 'M', packet('t'), Opinion{Action: Defer, Reply: tempfail}},
		{"at MAIL, discard", 'M', packet('d'), Opinion{Action: Discard}},
		{"at RCPT, one of two", 'R', own,
			Opinion{Refused: []Refused{{mail.Address{Local: "bob", Domain: "example.com"}, ownOpinion.Reply}}}},
		{"at RCPT, accept", 'R', packet('a'), Opinion{Action: Accept}},
		{"at RCPT, skip", 'R', packet('s'), Opinion{}},
		{"at DATA", 'T', own, ownOpinion},
		{"at a header field", 'L', own, ownOpinion},
		{"at a header field, skip", 'L', packet('s'), Opinion{}},
		{"at the end of the header", 'N', packet('a'), Opinion{Action: Accept}},
		{"at the body", 'B', own, ownOpinion},
		{"at the body, skip", 'B', packet('s'), Opinion{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &fake{says: map[byte][]string{c.at: {c.say}}, protocol: skip}
			op, err := f.start(t, nil).Ask(t.Context(), letter("Hello\r\n"))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, op, cmpopts.EquateEmpty()); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestTheMessageIsRefusedWhenNoRecipientIsLeft(t *testing.T) {
	bad, later := packet('y', "550 5.1.1 no\x00"), packet('y', "450 4.2.1 later\x00")
	for _, c := range []struct {
		says []string
		want Action
		code int
		sent bool // the message itself was shown
	}{
		{[]string{bad, bad}, Refuse, 550, false},
		{[]string{bad, later}, Defer, 450, false},
		{[]string{later, bad}, Defer, 450, false},
		{[]string{packet('c'), bad}, Pass, 0, true},
	} {
		f := &fake{says: map[byte][]string{'R': c.says}}
		op, err := f.start(t, nil).Ask(t.Context(), letter("Hello\r\n"))
		if err != nil {
			t.Fatal(err)
		}
		if op.Action != c.want || op.Reply.Code != c.code || strings.Contains(strings.Join(f.told(false), ""), "Ann") != c.sent {
			t.Errorf("%q: %+v, told %q", c.says, op, f.told(false))
		}
	}
}

// What stands here was checked against what Postfix 3.7 sends (milter8.c).
func TestWhatAMilterIsTold(t *testing.T) {
	envelope := []string{
		"C" + "client.example.net|4\x9c@192.0.2.7|", "Hclient.example.net|",
		"M<ann@example.net>|SIZE=100|BODY=8BITMIME|", "R<bob@example.com>|", "R<eve@example.com>|", "T",
	}
	fields := []string{"LFrom|Ann <ann@example.net>|", "LTo|bob@example.com|", "LSubject| in the\n\tpark|", "LMessage-ID|<1@example.net>|"}
	rest := []string{"N", "BHello\r\n", "E"}
	for _, c := range []struct {
		name    string
		f       *fake
		options func(*MilterOptions)
		want    [][]string
	}{
		{"all", &fake{}, nil, [][]string{envelope, fields, rest, {"Q"}}},
		{"the blank behind the colon", &fake{protocol: 1 << 20}, nil, [][]string{envelope,
			{"LFrom| Ann <ann@example.net>|", "LTo| bob@example.com|", "LSubject|  in the\n\tpark|", "LMessage-ID| <1@example.net>|"}, rest, {"Q"}}},
		{"only what it wants", &fake{protocol: 1<<0 | 1<<1 | 1<<5 | 1<<6 | 1<<9}, nil, [][]string{envelope[2:5], {"BHello\r\n", "E", "Q"}}},
		{"no envelope", &fake{protocol: 1<<2 | 1<<3}, nil, [][]string{envelope[:2], envelope[5:], fields, rest, {"Q"}}},
		{"no body", &fake{protocol: 1 << 4}, nil, [][]string{envelope, fields, {"N", "E", "Q"}}},
		{"without answers", &fake{protocol: 1<<7 | 0xff<<12}, nil, [][]string{envelope, fields, rest, {"Q"}}},
		{"version 2", &fake{version: 2}, func(o *MilterOptions) { o.Version = 2 }, [][]string{envelope[:5], fields, rest, {"Q"}}},
		{"a filter of version 2", &fake{version: 2}, nil, [][]string{envelope[:5], fields, rest, {"Q"}}},
		{"no more fields", &fake{protocol: skip, says: map[byte][]string{'L': {packet('s')}}}, nil, [][]string{envelope, fields[:1], rest, {"Q"}}},
		{"early end", &fake{says: map[byte][]string{'M': {packet('a')}}}, nil, [][]string{envelope[:3], {"A", "Q"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := letter("Hello\r\n")
			m.Header = mail.Header(strings.Replace(string(m.Header), "\r\nDate", "\r\nX-Date", 1))
			if _, err := c.f.start(t, c.options).Ask(t.Context(), m); err != nil {
				t.Fatal(err)
			}
			var want, told []string
			for _, w := range c.want {
				want = append(want, w...)
			}
			for _, h := range c.f.all() {
				if !strings.HasPrefix(h, "LX-Date") && h[0] != 'O' {
					told = append(told, h)
				}
			}
			if d := cmp.Diff(want, told); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestOnlyWhatIsKnownIsTold(t *testing.T) {
	for stage, want := range map[mail.Stage]string{
		mail.Connect: "OCQ", mail.Hello: "OCHQ", mail.Mail: "OCHMAQ", mail.Rcpt: "OCHMRRAQ", mail.Data: "OCHMRRTLLLLLNBEQ",
	} {
		f := new(fake)
		m := letter("Hello\r\n")
		m.Stage = stage
		if _, err := f.start(t, nil).Ask(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		var told strings.Builder
		for _, h := range f.all() {
			told.WriteByte(h[0])
		}
		if told.String() != want {
			t.Errorf("%v: %s, want %s", stage, &told, want)
		}
	}
}

func TestMacrosGoBeforeTheirCommand(t *testing.T) {
	f := new(fake)
	m := letter("")
	m.User, m.Method, m.Macros = "ann", "PLAIN", map[string]string{"{client_connections}": "3", "v": "postrider 1"}
	if _, err := f.start(t, nil).Ask(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, h := range f.told(true) {
		if h[0] == 'D' {
			got = append(got, h[1:])
		}
	}
	want := []string{
		"Cj|mx1.example.com|{daemon_name}|smtp|{daemon_addr}|192.0.2.1|{daemon_port}|25|v|postrider 1|_|client.example.net [192.0.2.7]|" +
			"{client_addr}|192.0.2.7|{client_port}|40000|{client_name}|client.example.net|{client_ptr}|client.example.net|" +
			"{client_connections}|3|{if_addr}|192.0.2.1|",
		"H{tls_version}|TLSv1.3|{cipher}|TLS_AES_128_GCM_SHA256|",
		"Mi|7K3M9Q|{auth_type}|PLAIN|{auth_authen}|ann|{mail_addr}|ann@example.net|{mail_host}|example.net|",
		"Ri|7K3M9Q|{rcpt_addr}|bob@example.com|{rcpt_host}|example.com|",
		"Ri|7K3M9Q|{rcpt_addr}|eve@example.com|{rcpt_host}|example.com|",
		"Ti|7K3M9Q|", "Ni|7K3M9Q|", "Ei|7K3M9Q|",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}

	f = &fake{negotiation: packet('O', u32(6), u32(0), u32(0), u32(0), "j, {client_addr}\x00", u32(5), "i {tls_version}\x00")}
	if _, err := f.start(t, nil).Ask(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	told := strings.Join(f.told(true), "\n")
	for _, want := range []string{"DCj|mx1.example.com|{client_addr}|192.0.2.7|\n", "DEi|7K3M9Q|{tls_version}|TLSv1.3|\n"} {
		if !strings.Contains(told, want) {
			t.Errorf("no %q in what was asked for: %q", want, told)
		}
	}
}

func TestClientsOfEveryKind(t *testing.T) {
	for client, want := range map[string]string{
		"192.0.2.7:40000":          "Cunknown|4\x9c@192.0.2.7|",
		"[::ffff:192.0.2.7]:40000": "Cunknown|4\x9c@192.0.2.7|",
		"[2001:db8::7]:40000":      "Cunknown|6\x9c@2001:db8::7|",
		"":                         "Clocalhost|4||127.0.0.1|", // port 0 is two NULs
	} {
		f := new(fake)
		m := letter("")
		m.Name, m.Client = "", netip.AddrPort{}
		if client != "" {
			m.Client = netip.MustParseAddrPort(client)
		}
		if _, err := f.start(t, nil).Ask(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		if got := f.told(false)[1]; got != want {
			t.Errorf("%q: told %q, want %q", client, got, want)
		}
	}
}

func TestALargeBodyGoesInChunks(t *testing.T) {
	const chunk = 65535
	var b strings.Builder
	for i := 0; b.Len() < 3*chunk; i++ {
		fmt.Fprintf(&b, "line %d\r\n", i)
	}
	for _, size := range []int{0, 1, chunk - 1, chunk, chunk + 1, 3 * chunk, b.Len()} {
		f := new(fake)
		if _, err := f.start(t, nil).Ask(t.Context(), letter(b.String()[:size])); err != nil {
			t.Fatal(err)
		}
		var got strings.Builder
		for _, h := range f.told(false) {
			if h[0] == 'B' {
				if len(h) > chunk+1 {
					t.Errorf("a chunk of %d octets", len(h)-1)
				}
				got.WriteString(h[1:])
			}
		}
		if got.String() != b.String()[:size] {
			t.Errorf("of %d octets came %d, or others", size, got.Len())
		}
	}
	f := &fake{protocol: skip, says: map[byte][]string{'B': {packet('c'), packet('s')}}}
	if _, err := f.start(t, nil).Ask(t.Context(), letter(b.String())); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(strings.Join(f.told(false), "\x00"), "\x00B"); n != 2 {
		t.Errorf("%d chunks to a filter that wanted no third", n)
	}
}

// TestNoPacketIsTooLargeForLibmilter: who sends a field that it cannot take is scanned
// all the same, and the field can be changed and removed.
func TestNoPacketIsTooLargeForLibmilter(t *testing.T) {
	const most = 65535
	line := " " + strings.Repeat("b", 70) + "\r\n"
	long := strings.Repeat(line, 1100)
	for _, c := range []struct {
		name, field, want string
		length            int // of what is told of the field, in order
	}{
		{"a value that fits", "X-Long:" + strings.Repeat("b", most-len("X-Long||")) + "\r\n", "LX-Long|bbb", most},
		{"one octet more", "X-Long:" + strings.Repeat("b", most-len("X-Long|")) + "\r\n", "LX-Long|bbb", most},
		{"many lines", "X-Long:" + long, "LX-Long|bbb", most},
		{"a blank line where it is cut", "X-Long: a\r\n" + strings.Repeat(" \r\n", 40000) + " b\r\n", "LX-Long|a|", len("X-Long|a|")},
		{"a name", strings.Repeat("X", 70000) + ": a\r\n", "LXXX", most},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &fake{says: map[byte][]string{'E': {packet('m', u32(2), "X-Long\x00second\x00") + packet('m', u32(1), "X-Long\x00\x00") + packet('c')}}}
			m := letter("Hello\r\n")
			m.Macros = map[string]string{"{cert_subject}": strings.Repeat("s", 70000)}
			m.Header = mail.Header(c.field + "X-Long: 2\r\nSubject: x\r\n")
			op, err := f.start(t, nil).Ask(t.Context(), m)
			if err != nil {
				t.Fatal(err)
			}
			for _, h := range f.told(true) {
				if len(h)-1 > most {
					t.Errorf("%.10q has %d octets", h, len(h)-1)
				}
			}
			told := f.told(false)
			i := slices.Index(told, "T") + 1
			if len(told[i])-1 > c.length || len(told[i])-1 < c.length-len(line) || !strings.HasPrefix(told[i], c.want) || !strings.HasSuffix(told[i], "|") {
				t.Errorf("of the field is told %.20q, %d octets", told[i], len(told[i])-1)
			}
			if got := told[i+1 : i+3]; got[0] != "LX-Long|2|" || got[1] != "LSubject|x|" {
				t.Errorf("behind it is told %q", got)
			}
			header, err := Apply(nil, m.Header, op.Changes)
			if want := "X-Long: second\r\nSubject: x\r\n"; c.field[1] == '-' && (err != nil || string(header) != want) {
				t.Errorf("changed to %.100q, %v, want %q", header, err, want)
			}
		})
	}
}

// A line that is no field ends the header for some readers and not for others. The
// filter sees all of it.
func TestNothingOfTheHeaderIsHidden(t *testing.T) {
	f := new(fake)
	m := letter("body\r\n")
	m.Header = mail.Header("Subject: one\r\nno field\r\nX-Evil: two\r\nX-\x00Nul: a\x00b\r\n")
	if _, err := f.start(t, nil).Ask(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	told := strings.Join(f.told(false), "\n")
	for _, want := range []string{"LSubject|one|", "no field\r\nX-Evil: two\r\n", "body\r\n"} {
		if !strings.Contains(told, want) {
			t.Errorf("%q is hidden: %q", want, told)
		}
	}
	m.Header, m.Helo = mail.Header("X-A: a\x00b\r\n"), "a\x00b"
	f = new(fake)
	if _, err := f.start(t, nil).Ask(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if told := strings.Join(f.told(false), "\n"); !strings.Contains(told, "LX-A|a?b|") || !strings.Contains(told, "Ha?b|") {
		t.Errorf("a NUL ended a string: %q", told)
	}
}

func TestAddressesOfMilters(t *testing.T) {
	for s, want := range map[string]string{
		"unix:/run/x.sock": "unix /run/x.sock", "127.0.0.1:11332": "tcp 127.0.0.1:11332", "inet:[::1]:8891": "tcp [::1]:8891",
		"unix:": "", "127.0.0.1": "", "inet:8891@localhost": "", ":8891": "", "host:0": "", "host:http": "", "": "",
	} {
		network, addr, err := ParseAddress(s)
		if got := network + " " + addr; err == nil && got != want || (err != nil) != (want == "") {
			t.Errorf("%q: %q, %v", s, got, err)
		}
	}
	for _, v := range []int{1, 7, -1} {
		if _, err := NewMilter(MilterOptions{Address: "unix:/x", Version: v}); err == nil {
			t.Errorf("version %d is taken", v)
		}
	}
}
