package smtpc

import (
	"bytes"
	"testing"
)

const chunkHello = `
	S 220 mx.example ready
	C EHLO us.example
	S 250-mx.example
	S 250-CHUNKING
	S 250 PIPELINING
`

const flight = fromA + rcpt0 + rcpt1 + "C BDAT 22 LAST\nC Subject: x\nC \nC .hello\n"

// afterReset waits for the replies to RSET and the envelope.
const afterReset = "C RSET\n" + fromA + rcpt0 + rcpt1 + "S 250 ok\nS 250 ok\nS 250 ok\nS 250 ok\nC BDAT 22 LAST\nC Subject: x\nC \nC .hello\n"

func TestMessageInOneFlightHasItsOutcomes(t *testing.T) {
	for _, c := range []struct {
		name   string
		script script
		want   []string
	}{
		{"taken", chunkHello + flight + "S 250 ok\nS 250 ok\nS 550 5.1.1 no\nS 250 queued\n", []string{"dot: 250 queued +theirs +onward\nrcpt: 550 5.1.1 no +theirs"}},
		{"MAIL refused", chunkHello + flight + "S 550 no\nS 503 no\nS 503 no\nS 503 no\n", []string{"mail: 550 no +theirs\nmail: 550 no +theirs"}},
		{"all refused, then reset", chunkHello + flight + "S 250 ok\nS 550 no\nS 450 no\nS 503 no\n" + afterReset + "S 250 yes\n",
			[]string{"rcpt: 550 no +theirs\nrcpt: 450 no +theirs", "dot: 250 yes +theirs +onward\ndot: 250 yes +theirs +onward"}},
		{"refused, then reset", chunkHello + flight + "S 250 ok\nS 250 ok\nS 250 ok\nS 554 spam\n" + afterReset + "S 250 yes\n",
			[]string{"dot: 554 spam +theirs\ndot: 554 spam +theirs", "dot: 250 yes +theirs +onward\ndot: 250 yes +theirs +onward"}},
		{"answer lost", chunkHello + flight + "S 250 ok\nS 250 ok\nS 550 no\nX", []string{"dot: 4.4.2 connection closed by the host before it replied to the final dot +ambiguous\nrcpt: 550 no +theirs\nbroken"}},
		{"421", chunkHello + flight + "S 421 busy\n", []string{"mail: 421 busy +theirs\nmail: 421 busy +theirs\nbroken"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var ms []Message
			for range c.want {
				ms = append(ms, letter(2))
			}
			f, rs := converse(t, c.script, Options{Chunking: true}, ms...)
			if f != nil {
				t.Fatal(f)
			}
			for i, w := range c.want {
				same(t, tell(rs[i]), w)
			}
		})
	}
}

// A large message goes in chunks behind its envelope; a chunk refused ends it.
func TestRefusedChunkEndsTheMessage(t *testing.T) {
	m := letter(1)
	m.Bytes = bytes.Repeat([]byte("0123456789abcd\r\n"), 4096)
	in := swap("PIPELINING", "XNOTHING", chunkHello) + fromA + okLine + rcpt0 + okLine + "C BDAT 32768\n"
	for range 2048 {
		in += "C 0123456789abcd\n"
	}
	f, rs := converse(t, in+"S 552 5.3.4 enough\n", Options{Chunking: true}, m)
	if f != nil {
		t.Fatal(f)
	}
	same(t, tell(rs[0]), "data: 552 5.3.4 enough +theirs\nbroken")
}
