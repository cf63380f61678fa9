package filter

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postrider/postrider/internal/memnet"
	"github.com/postrider/postrider/mail"
)

// packet is one packet of the milter protocol: command and data.
func packet(cmd byte, data ...string) string {
	s := strings.Join(data, "")
	return string(binary.BigEndian.AppendUint32(nil, uint32(len(s)+1))) + string(cmd) + s
}

// u32 is a number as the protocol writes it.
func u32(n uint32) string { return string(binary.BigEndian.AppendUint32(nil, n)) }

// fake is a milter whose every octet the test decides. The zero value says
// "continue" to all it is told.
type fake struct {
	version, protocol uint32            // to negotiate; version 0: 6
	negotiation       string            // instead of what follows from these
	says              map[byte][]string // raw octets for the first, second... of a command; then "c"
	cut               int               // close when so many octets were written; 0: never
	hangup            byte              // close when told this

	ended   chan struct{} // closed when the first connection is
	once    sync.Once
	mu      sync.Mutex
	heard   []string // "C", "H"... with the data, NUL shown as "|"
	written int
}

// serve talks to one client until it ends.
func (f *fake) serve(c net.Conn) {
	defer f.once.Do(func() { close(f.ended) })
	defer c.Close()
	turn := map[byte]int{}
	for {
		cmd, data, err := readPacket(c)
		if err != nil {
			return
		}
		f.mu.Lock()
		f.heard = append(f.heard, string(cmd)+strings.ReplaceAll(string(data), "\x00", "|"))
		f.mu.Unlock()
		if cmd == f.hangup {
			return
		}
		var say string
		switch {
		case strings.IndexByte("DAQ", cmd) >= 0:
			continue
		case cmd == 'O' && f.negotiation != "":
			say = f.negotiation
		case cmd == 'O':
			v := f.version
			if v == 0 {
				v = 6
			}
			say = packet('O', u32(v), string(data[4:8]), u32(f.protocol))
		case turn[cmd] < len(f.says[cmd]):
			say = f.says[cmd][turn[cmd]]
			turn[cmd]++
		case f.protocol>>noReply[cmd]&1 == 1 && noReply[cmd] > 0:
			continue
		default:
			say = packet('c')
		}
		f.mu.Lock()
		left := f.cut - f.written
		f.written += len(say)
		f.mu.Unlock()
		if f.cut > 0 && len(say) >= left {
			io.WriteString(c, say[:left])
			return
		}
		if _, err := io.WriteString(c, say); err != nil {
			return
		}
	}
}

// noReply are the bits by which a filter says that it will not answer a command.
var noReply = map[byte]int{'L': 7, 'C': 12, 'H': 13, 'M': 14, 'R': 15, 'T': 16, 'N': 18, 'B': 19}

func readPacket(r io.Reader) (cmd byte, data []byte, err error) {
	var n uint32
	if err := binary.Read(r, binary.BigEndian, &n); err != nil {
		return 0, nil, err
	}
	data = make([]byte, n)
	if _, err = io.ReadFull(r, data); err != nil {
		return 0, nil, err
	}
	return data[0], data[1:], nil
}

// all is what the fake was told until the end of its first connection.
func (f *fake) all() []string {
	<-f.ended
	return f.told(false)
}

// told is what the fake was told, without the macros unless all.
func (f *fake) told(all bool) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []string
	for _, h := range f.heard {
		if all || h[0] != 'D' {
			out = append(out, h)
		}
	}
	return out
}

const fakeAddr = "192.0.2.9:8891"

// start lets the fake listen and returns how to ask it.
func (f *fake) start(t testing.TB, change func(*MilterOptions)) *Milter {
	t.Helper()
	f.ended = make(chan struct{})
	n := memnet.New()
	l, err := n.Listen(fakeAddr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go f.serve(c)
		}
	}()
	o := MilterOptions{Name: "fake", Address: fakeAddr, Dial: n.DialContext}
	if change != nil {
		change(&o)
	}
	m, err := NewMilter(o)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// letter is a message with that body.
func letter(body string) *Message {
	return &Message{
		Host: "mx1.example.com", Listener: "smtp", ID: "7K3M9Q", Helo: "client.example.net",
		Client: netip.MustParseAddrPort("192.0.2.7:40000"), Name: "client.example.net", PTR: "client.example.net",
		Local: netip.MustParseAddrPort("192.0.2.1:25"), TLS: TLS{Version: "TLSv1.3", Cipher: "TLS_AES_128_GCM_SHA256"},
		From: mail.Address{Local: "ann", Domain: "example.net"}, Params: []string{"SIZE=100", "BODY=8BITMIME"},
		To: []mail.Address{{Local: "bob", Domain: "example.com"}, {Local: "eve", Domain: "example.com"}},
		Header: mail.Header("From: Ann <ann@example.net>\r\nTo: bob@example.com\r\nSubject:  in the\r\n\tpark\r\n" +
			"Date: " + time.Now().Format(mail.DateTime) + "\r\nMessage-ID: <1@example.net>\r\n"),
		Body: bytes.NewReader([]byte(body)), Size: int64(len(body)),
	}
}

// isFault ends the test unless err is a fault of the fake's at that question.
func isFault(t testing.TB, err error, asked string) {
	t.Helper()
	f, ok := err.(*Fault)
	if !ok || f.Asked != asked {
		t.Fatalf("want a fault at %q, have %v", asked, err)
	}
	want := fmt.Sprintf("filter: fake at %s: %s, after ", f.Of, asked)
	if s := f.Error(); !strings.HasPrefix(s, want) || strings.ContainsAny(s, "\r\n\x00") {
		t.Errorf("%q does not begin with %q or is not one line", s, want)
	}
}
