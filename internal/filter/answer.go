package filter

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/postrider/postrider/mail"
)

// A milter's answers (SMFIR_…).
const (
	goOn   = 'c'
	noMore = 's'
	atWork = 'p'
)

// isChange marks the answers to the end of the message that are not the last one.
var isChange = [256]bool{'h': true, 'i': true, 'm': true, 'e': true, '+': true, '2': true, '-': true, 'q': true, 'b': true}

// The words of Postfix for a filter that gives none (milter8.c).
var (
	rejected = mail.Reply{Code: 550, Status: mail.Status{5, 7, 1}, Text: "Command rejected"}
	tempfail = mail.Reply{Code: 451, Status: mail.Status{4, 7, 1}, Text: "Service unavailable - try again later"}
)

var errBody = errors.New("it asks for another body, which postrider does not do")

// opinion reads a milter's answer to one step. done reports that it wants to be
// told no more.
func opinion(answer byte, words []byte) (op Opinion, done bool, err error) {
	switch answer {
	case goOn:
		return Opinion{}, false, nil
	case 'a':
		return Opinion{Action: Accept}, true, nil
	case 'd':
		return Opinion{Action: Discard}, true, nil
	case 'r':
		return Opinion{Action: Refuse, Reply: rejected}, true, nil
	case 't':
		return Opinion{Action: Defer, Reply: tempfail}, true, nil
	case 'y':
		s, rest, err := cut(words)
		if err == nil && len(rest) > 0 {
			err = errors.New("more behind its NUL")
		}
		if err != nil {
			return Opinion{}, false, fmt.Errorf("its reply: %w", err)
		}
		r, err := reply(s)
		if err != nil {
			return Opinion{}, false, fmt.Errorf("its reply: %w", err)
		}
		return Opinion{Action: action(r), Reply: r}, true, nil
	}
	return Opinion{}, false, fmt.Errorf("it answers %q, which means nothing here", string(answer))
}

// reply reads a reply in a filter's own words. Sendmail takes them for a format, so
// filters double every "%"; a single one means nothing (milter8.c).
func reply(s string) (mail.Reply, error) {
	lines := strings.Split(strings.TrimRight(strings.ReplaceAll(s, "\r\n", "\n"), "\n"), "\n")
	for i, l := range lines {
		parts := strings.Split(l, "%%")
		for j, p := range parts {
			parts[j] = strings.ReplaceAll(p, "%", "")
		}
		lines[i] = strings.Join(parts, "%")
	}
	r, err := mail.ParseReply(lines)
	if err == nil {
		err = checkReply(r)
	}
	if err != nil {
		return mail.Reply{}, fmt.Errorf("%w: %q", err, s)
	}
	return r, nil
}

// take reads one thing that a milter wants changed. exact says that it gives the
// values of header fields as they stand behind the colon, and not without their
// blank.
func (o *Opinion) take(answer byte, words []byte, exact bool) error {
	var c Change
	var err error
	switch answer {
	case 'q':
		reason, _, err := cut(words)
		o.Quarantine = or(mail.Clean(reason, mail.MaxReplyLine), "no reason given")
		return err
	case 'b':
		return errBody
	case 'e', '+', '2', '-':
		c, err = envelopeChange(answer, words)
	default:
		c, err = headerChange(answer, words, exact)
	}
	if err == nil {
		err = c.check()
	}
	if err != nil {
		return fmt.Errorf("it wants a change: %w", err)
	}
	o.Changes = append(o.Changes, c)
	return nil
}

// headerChange reads a change of the header: its position if it has one, name, value.
func headerChange(answer byte, words []byte, exact bool) (Change, error) {
	c := Change{Kind: AddHeader}
	if answer != 'h' {
		if len(words) < 4 {
			return c, errors.New("of a header field without a position")
		}
		at := binary.BigEndian.Uint32(words)
		if at > math.MaxInt32 {
			return c, fmt.Errorf("there is no position %d in a header", at)
		}
		c.Kind, c.Index, words = InsertHeader, int(at), words[4:]
	}
	all, err := cutAll(words)
	if err == nil && len(all) != 2 {
		err = errors.New("of a header field without name and value")
	}
	if err != nil {
		return c, err
	}
	c.Name, c.Value = all[0], all[1]
	if answer == 'm' {
		c.Kind, c.Index = ChangeHeader, max(c.Index, 1) // 0 is the first (milter8.c)
		if c.Value == "" {
			c.Kind = DeleteHeader
			return c, nil
		}
	}
	if !exact {
		c.Value = " " + c.Value
	}
	return c, nil
}

// envelopeChange reads a change of the envelope. The arguments that may stand behind
// the address are left out, as Postfix does.
func envelopeChange(answer byte, words []byte) (c Change, err error) {
	s, _, err := cut(words)
	if err != nil {
		return c, err
	}
	c.Kind = map[byte]Kind{'e': ChangeFrom, '+': AddRecipient, '2': AddRecipient, '-': DeleteRecipient}[answer]
	c.Address, err = address(s)
	if err == nil && c.Kind != ChangeFrom && c.Address.IsNull() {
		err = errors.New("the null path as a recipient")
	}
	if err != nil {
		return c, fmt.Errorf("%w: %q", err, s)
	}
	return c, nil
}
