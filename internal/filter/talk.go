package filter

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/postrider/postrider/mail"
)

// talk is the dialogue with a milter over one connection.
type talk struct {
	wire
	agreed
	end    time.Duration // for the answer to the end of the message
	values values
	asked  string // what is being asked
	begun  bool   // a message was begun and is not ended
}

// ask tells the filter of the message, step by step, until it has its opinion.
func (t *talk) ask(m *Message) (Opinion, error) {
	t.values = newValues(m)
	op, done, err := t.one(atConnect, whence(m))
	if done || err != nil || m.Stage == mail.Connect {
		return op, err
	}
	op, done, err = t.one(atHello, cstrings(m.Helo))
	if done || err != nil || m.Stage == mail.Hello {
		return op, err
	}
	t.begun = true
	op, done, err = t.one(atMail, cstrings(append([]string{m.From.Path()}, m.Params...)...))
	if done || err != nil || m.Stage == mail.Mail {
		return op, err
	}
	op, done, err = t.recipients(m)
	if done || err != nil || !m.whole() {
		return op, err
	}
	refused := op.Refused
	op, err = t.content(m)
	op.Refused = refused
	return op, err
}

// whence returns the client as the protocol writes it: name, family, port, address.
func whence(m *Message) []byte {
	c := m.client()
	b := cstrings(nameOf(m))
	if c.Addr().Is4() {
		b = append(b, '4')
	} else {
		b = append(b, '6')
	}
	b = binary.BigEndian.AppendUint16(b, c.Port())
	return append(b, cstrings(c.Addr().WithZone("").String())...)
}

// tell sends a step with its macros, and waits for the answer if there is to be one.
// Macros are sent also for a step that the filter does not want, as Postfix does.
func (t *talk) tell(c command, what []byte) (answer byte, words []byte, err error) {
	t.asked = c.name
	if macros := t.values.of(t.macrosOf(c)); len(macros) > 0 {
		if err := t.put('D', []byte{c.letter}, macros); err != nil {
			return 0, nil, err
		}
	}
	if !t.wants(c) {
		return goOn, nil, nil
	}
	if err := t.put(c.letter, what); err != nil {
		return 0, nil, err
	}
	if t.steps&c.silent != 0 {
		return goOn, nil, nil
	}
	for {
		answer, words, err = t.next()
		if err != nil || answer != atWork {
			return answer, words, err
		}
	}
}

// one tells one thing. done reports that the filter wants to be told no more.
func (t *talk) one(c command, what []byte) (op Opinion, done bool, err error) {
	answer, words, err := t.tell(c, what)
	if err != nil {
		return Opinion{}, false, err
	}
	return opinion(answer, words)
}

// many tells one of several things of a kind, of which a filter may have had enough.
func (t *talk) many(c command, what []byte) (op Opinion, done, enough bool, err error) {
	answer, words, err := t.tell(c, what)
	switch {
	case err != nil:
		return Opinion{}, false, false, err
	case answer == noMore && t.steps&maySkip != 0:
		return Opinion{}, false, true, nil
	}
	op, done, err = opinion(answer, words)
	return op, done, false, err
}

// recipients tells of each recipient. A filter may refuse some: the message is
// refused, or deferred if waiting could help for any, when none is left.
func (t *talk) recipients(m *Message) (Opinion, bool, error) {
	var all Opinion
	for _, to := range m.To {
		t.values.rcpt(to)
		op, done, enough, err := t.many(atRcpt, cstrings(to.Path()))
		switch {
		case err != nil || done && (op.Action == Accept || op.Action == Discard):
			op.Refused = all.Refused
			return op, true, err
		case done:
			all.Refused = append(all.Refused, Refused{to, op.Reply})
			if all.Action != Defer {
				all.Action, all.Reply = op.Action, op.Reply
			}
		}
		if enough {
			break
		}
	}
	if len(m.To) == 0 || len(all.Refused) < len(m.To) {
		return Opinion{Refused: all.Refused}, false, nil
	}
	return all, true, nil
}

// content tells of the message itself.
func (t *talk) content(m *Message) (Opinion, error) {
	op, done, err := t.one(atData, nil)
	if done || err != nil {
		return op, err
	}
	rest, told := []byte(m.Header), true
	for f := range m.Header.Fields() {
		rest = rest[len(f.Raw):]
		if !told {
			continue
		}
		op, done, enough, err := t.many(atHeader, cstrings(f.Name, t.value(f)))
		if done || err != nil {
			return op, err
		}
		told = !enough
	}
	if op, done, err = t.one(atEndHeader, nil); done || err != nil {
		return op, err
	}
	if len(rest) > 0 { // a line that is no field ends the header, as many readers have it
		rest = slices.Concat(rest, []byte("\r\n"))
	}
	if op, done, err = t.body(rest, m); done || err != nil {
		return op, err
	}
	return t.conclude()
}

// value returns what stands behind a field's colon as a filter expects it: lines
// end in LF, and Sendmail eats a blank behind the colon unless it is asked not to.
func (t *talk) value(f mail.Field) string {
	_, v, _ := bytes.Cut(f.Raw, []byte(":"))
	v = bytes.TrimSuffix(bytes.TrimSuffix(v, []byte("\n")), []byte("\r"))
	s := strings.ReplaceAll(string(v), "\r\n", "\n")
	if t.steps&exactValues == 0 {
		s = strings.TrimPrefix(s, " ")
	}
	return s
}

// body sends first and the message's body in chunks of the protocol's size. There
// is none for an empty body: libmilter ends the connection over an empty chunk.
func (t *talk) body(first []byte, m *Message) (op Opinion, done bool, err error) {
	t.asked = atBody.name
	if !t.wants(atBody) {
		return Opinion{}, false, nil
	}
	left := int64(len(first)) + m.Size
	r := io.MultiReader(bytes.NewReader(first), io.NewSectionReader(m.Body, 0, m.Size))
	chunk := make([]byte, min(left, maxData))
	for enough := false; left > 0 && !done && !enough; {
		n, err := io.ReadFull(r, chunk[:min(int64(len(chunk)), left)])
		if err != nil {
			return Opinion{}, false, fmt.Errorf("cannot read the message: %w", err)
		}
		left -= int64(n)
		if op, done, enough, err = t.many(atBody, chunk[:n]); err != nil {
			return Opinion{}, false, err
		}
	}
	return op, done, nil
}

// conclude ends the message and hears what the filter wants done with it.
func (t *talk) conclude() (Opinion, error) {
	t.step = t.end
	answer, words, err := t.tell(atEnd, nil)
	var op Opinion
	for err == nil && isChange[answer] {
		if err = op.take(answer, words, t.steps&exactValues != 0); err == nil {
			answer, words, err = t.next()
			for err == nil && answer == atWork {
				answer, words, err = t.next()
			}
		}
	}
	if err != nil {
		return Opinion{}, err
	}
	t.begun = false
	last, _, err := opinion(answer, words)
	if err != nil {
		return Opinion{}, err
	}
	op.Action, op.Reply = last.Action, last.Reply
	return op, nil
}

// leave ends the dialogue. The opinion is there: what goes wrong now is of no
// interest.
func (t *talk) leave() {
	t.step = time.Second
	if t.begun {
		t.put('A')
	}
	t.put('Q')
	t.flush()
}
