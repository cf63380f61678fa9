//go:build linux

package test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"strings"
	"sync"
	"testing"

	"github.com/postrider/postrider/test/peers"
)

// A judge is a milter that does what a message's Subject says, and refuses the
// recipient nobody@author.test.
type judge struct {
	addr string
	mu   sync.Mutex
	told []string // commands of the last connection, NUL as |
}

// newJudge listens until the test ends.
func newJudge(t *testing.T) *judge {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	j := &judge{addr: l.Addr().String()}
	var wait sync.WaitGroup
	wait.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { c.Close() })
			wait.Go(func() { j.talk(c) })
		}
	})
	t.Cleanup(func() { l.Close() })
	return j
}

// milterPacket is an answer of the milter protocol.
func milterPacket(cmd byte, data ...string) string {
	s := strings.Join(data, "")
	return string(binary.BigEndian.AppendUint32(nil, uint32(len(s)+1))) + string(cmd) + s
}

func (j *judge) talk(c net.Conn) {
	defer c.Close()
	subject := ""
	number := func(n uint32) string { return string(binary.BigEndian.AppendUint32(nil, n)) }
	for {
		var n uint32
		if binary.Read(c, binary.BigEndian, &n) != nil || n == 0 || n > 1<<20 {
			return
		}
		b := make([]byte, n)
		if _, err := io.ReadFull(c, b); err != nil {
			return
		}
		cmd, data := b[0], string(b[1:])
		j.mu.Lock()
		if cmd == 'O' || cmd == 'M' {
			j.told = nil
		}
		j.told = append(j.told, string(cmd)+strings.ReplaceAll(data, "\x00", "|"))
		j.mu.Unlock()
		say := milterPacket('c')
		switch cmd {
		case 'D', 'A', 'Q', 'K':
			continue
		case 'O':
			say = milterPacket('O', number(6), data[4:8], number(0))
		case 'L':
			if name, value, _ := strings.Cut(data, "\x00"); name == "Subject" {
				subject = strings.TrimSpace(strings.TrimRight(value, "\x00"))
			}
		case 'R':
			if strings.HasPrefix(data, "<nobody@author.test>") {
				say = milterPacket('y', "550 5.7.1 not for nobody\x00")
			}
		case 'E':
			say = map[string]string{
				"refuse":     milterPacket('y', "554 5.7.9 we have seen this before\x00"),
				"refuse 2":   milterPacket('r'),
				"later":      milterPacket('t'),
				"later 2":    milterPacket('y', "452 4.2.1 we are busy 100%%\x00"),
				"add":        milterPacket('h', "X-Judge\x00fine\x00") + milterPacket('m', number(1), "Subject\x00added\x00") + milterPacket('i', number(0), "X-First\x00first\x00") + milterPacket('c'),
				"move":       milterPacket('-', "<bob@author.test>\x00") + milterPacket('+', "<ben@author.test>\x00") + milterPacket('e', "<list@there.test>\x00") + milterPacket('a'),
				"alone":      milterPacket('-', "<bob@author.test>\x00") + milterPacket('a'),
				"quarantine": milterPacket('q', "looks odd\x00") + milterPacket('c'),
				"discard":    milterPacket('d'),
				"body":       milterPacket('b', "another text\r\n") + milterPacket('c'),
				"nonsense":   milterPacket('?'),
			}[subject]
			if say == "" {
				say = milterPacket('a')
			}
		}
		if _, err := io.WriteString(c, say); err != nil {
			return
		}
	}
}

// try sends a message from a stranger and returns the last reply, whose reference is
// masked; "250" if it is taken.
func try(t *testing.T, addr, from string, to []string, message []byte) string {
	t.Helper()
	c, err := dialFrom("127.0.0.2", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	if err := c.send(from, to, message); err != nil {
		var said *textproto.Error
		if !errors.As(err, &said) {
			t.Fatal(err)
		}
		return reference.ReplaceAllString(fmt.Sprint(said.Code, " ", said.Msg), "(ref ______,")
	}
	return "250"
}

func TestAMilterIsObeyed(t *testing.T) {
	t.Parallel()
	r, box, j := newRider(t), newSink(t), newJudge(t)
	r.guard(newZone(t, ""), route("author.test", "smtp:"+box.Addr), fmt.Sprintf(`
[[filter]]
name = "judge"
kind = "milter"
to = "inet:%s"
[[rule]]
name = "first"
filter = "judge"
on_fault = "defer"
`, j.addr))
	const help = " (ref ______, help: postmaster@mx.author.test)"
	bob := []string{"<bob@author.test>"}
	for _, c := range []struct {
		subject string
		to      []string
		want    string
	}{
		{"refuse", bob, "554 5.7.9 first: we have seen this before" + help},
		{"refuse 2", bob, "550 5.7.1 first: Command rejected" + help},
		{"later", bob, "451 4.7.1 first: Service unavailable - try again later" + help},
		{"later 2", bob, "452 4.2.1 first: we are busy 100%" + help},
		{"anything", []string{"<nobody@author.test>"}, "550 5.7.1 first: not for nobody" + help},
		{"body", bob, "451 4.3.0 first: a check of ours (filter) has no answer for the moment; this is not your fault, please try again later" + help},
		{"nonsense", bob, "451 4.3.0 first: a check of ours (filter) has no answer for the moment; this is not your fault, please try again later" + help},
		{"add", bob, "250"},
		{"move", bob, "250"},
	} {
		if got := try(t, r.Addr, "<ann@there.test>", c.to, message(c.subject+"@there.test", c.subject, "x\r\n")); got != c.want {
			t.Errorf("%s: %q, want %q", c.subject, got, c.want)
		}
	}
	for _, m := range box.wait(t, 2) {
		switch text := string(m.Data); {
		case strings.Contains(text, "<add@"):
			contains(t, text, "X-First: first\r\nReceived: from client.test", "\r\nSubject: added\r\n", "\r\nX-Judge: fine\r\n\r\nx\r\n")
		case m.From != "list@there.test" || len(m.To) != 1 || m.To[0] != "ben@author.test":
			t.Errorf("move: from %s to %v", m.From, m.To)
		}
	}

	// What was taken is never thrown away: it waits for a person.
	for subject, c := range map[string]struct {
		to   []string
		held string
	}{
		"quarantine": {bob, "postrider: a filter wants a person to look at it: looks odd"},
		"alone":      {bob, "postrider: a filter takes away its last recipient"},
		"discard":    {bob, "postrider: a filter would throw it away"},
		"for two":    {[]string{"<bob@author.test>", "<nobody@author.test>"}, "postrider: a filter refuses it for <nobody@author.test>: 550 5.7.1 not for nobody"},
	} {
		if got := try(t, r.Addr, "<ann@there.test>", c.to, message(strings.ReplaceAll(subject, " ", "")+"@there.test", subject, "x\r\n")); got != "250" {
			t.Errorf("%s: %q", subject, got)
		}
		held := r.queue("--state", "held", "--from", "ann@there.test")
		var why []string
		for _, d := range held {
			if strings.HasPrefix(d.MessageID, "<"+strings.ReplaceAll(subject, " ", "")) || strings.HasPrefix(d.MessageID, strings.ReplaceAll(subject, " ", "")) {
				why = append(why, d.Held)
			}
		}
		if len(why) != 1 || why[0] != c.held {
			t.Errorf("%s: held %q", subject, why)
		}
	}
	for _, m := range box.wait(t, 3) {
		if strings.Contains(string(m.Data), "for two") && (len(m.To) != 1 || m.To[0] != "bob@author.test") {
			t.Errorf("for two: %v", m.To)
		}
	}
	// It hears of the client and not of us.
	j.mu.Lock()
	defer j.mu.Unlock()
	contains(t, strings.Join(j.told, "\n"), "M<ann@there.test>|", "LSubject|")
}

// TestAFilterThatIsAway defers or passes, as its rule says, and never refuses.
func TestAFilterThatIsAway(t *testing.T) {
	t.Parallel()
	for onFault, want := range map[string]string{
		"defer": "451 4.3.0 scan: a check of ours (filter) has no answer for the moment; this is not your fault, please try again later (ref ______, help: postmaster@mx.author.test)",
		"pass":  "250",
	} {
		for _, kind := range []string{"milter", "http"} {
			r, box := newRider(t), newSink(t)
			to := map[string]string{"milter": "inet:" + claimAddr(t), "http": "http://" + claimAddr(t) + "/"}[kind]
			r.guard(newZone(t, ""), route("author.test", "smtp:"+box.Addr), fmt.Sprintf("[[filter]]\nname = \"away\"\nkind = %q\nto = %q\n[[rule]]\nname = \"scan\"\nfilter = \"away\"\non_fault = %q\n", kind, to, onFault))
			if got := try(t, r.Addr, "<ann@there.test>", []string{"<bob@author.test>"}, message("away@there.test", "x", "x\r\n")); got != want {
				t.Errorf("%s, %s: %q", kind, onFault, got)
			}
			contains(t, r.log(), `fault="scan: filter away could not be asked: `, "dial tcp 127.0.0.1:")
		}
	}
}

func TestAPolicyServiceIsObeyed(t *testing.T) {
	t.Parallel()
	r, box := newRider(t), newSink(t)
	asked := make(chan string, 10)
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		b, _ := io.ReadAll(q.Body)
		asked <- string(b)
		if strings.Contains(string(b), "spam") {
			io.WriteString(w, `{"action": "refuse", "code": 554, "status": "5.7.1", "text": "the judge says no"}`)
			return
		}
		io.WriteString(w, `{"action": "pass", "headers": [{"name": "X-Class", "value": "news"}]}`)
	}))
	t.Cleanup(hook.Close)
	r.guard(newZone(t, "there.test TXT \"v=spf1 ip4:127.0.0.2 -all\"\n"), route("author.test", "smtp:"+box.Addr), fmt.Sprintf(
		"[[filter]]\nname = \"judge\"\nkind = \"http\"\nto = %q\n[[rule]]\nname = \"no-fail\"\nspf = \"fail\"\nthen = \"refuse\"\n[[rule]]\nname = \"judged\"\nfilter = \"judge\"\n", hook.URL))
	bob := []string{"<bob@author.test>"}
	if got, want := try(t, r.Addr, "<ann@there.test>", bob, message("1@there.test", "spam", "x\r\n")), "554 5.7.1 judged: the judge says no (ref ______, help: postmaster@mx.author.test)"; got != want {
		t.Errorf("%q", got)
	}
	if got := try(t, r.Addr, "<ann@there.test>", bob, message("2@there.test", "news", "x\r\n")); got != "250" {
		t.Errorf("%q", got)
	}
	contains(t, string(box.wait(t, 1)[0].Data), "X-Class: news\r\n")
	contains(t, <-asked, `"address":"127.0.0.2"`, `"helo":"client.test"`, `"from":"ann@there.test"`, `"to":["bob@author.test"]`, `"spf":"pass"`)
}

// TestRspamdIsHeard: what it refuses is refused in its words, what it lets pass bears
// its mark.
func TestRspamdIsHeard(t *testing.T) {
	t.Parallel()
	spam := peers.Rspamd(t, peers.Config{})
	r, box := newRider(t), newSink(t)
	r.guard(newZone(t, ""), route("author.test", "smtp:"+box.Addr), fmt.Sprintf(
		"[[filter]]\nname = \"rspamd\"\nkind = \"milter\"\nto = \"inet:%s\"\n[[rule]]\nname = \"rspamd\"\nfilter = \"rspamd\"\non_fault = \"defer\"\n", spam.Addr))
	bob := []string{"<bob@author.test>"}
	// What every spam filter takes for spam (spamassassin.apache.org/gtube).
	const gtube = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X\r\n"
	if got, want := try(t, r.Addr, "<ann@there.test>", bob, message("spam@there.test", "x", gtube)), "554 5.7.1 rspamd: Gtube pattern (ref ______, help: postmaster@mx.author.test)"; got != want {
		t.Errorf("%q", got)
	}
	if got := try(t, r.Addr, "<ann@there.test>", bob, message("ham@there.test", "x", "Hello Bob\r\n")); got != "250" {
		t.Errorf("%q", got)
	}
	text := string(box.wait(t, 1)[0].Data)
	contains(t, text, "X-Spam-Status: No, score=", "<ham@there.test>")
	contains(t, spam.Log(), "ip: 127.0.0.2", "from: <ann@there.test>", "rcpts: <bob@author.test>")
}
