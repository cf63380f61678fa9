// Package notice writes our letters to senders: that a message is late, was not
// delivered, was handed on or has arrived. Their first lines are for a person
// who knows nothing of mail, the rest for the administrator who has to mend it,
// the second part for programs (RFC 3464).
//
// It decides nothing: whether a letter is due and of what kind is custody's
// business, and every time it promises comes from custody. Trouble is put into
// words by package cause, the form of the letter is package dsn's. Whatever a
// host, a client or an operator said is quoted, bounded and cleaned. It knows no
// clock, disk or network.
//
// Start reading at [Compose]; what is told to people is in words.go, to programs
// in machine.go, both from the facts in story.go.
package notice

import (
	"bytes"
	"mime"
	"strings"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/dsn"
	"github.com/postrider/postrider/mail"
)

// Options say how letters are written. Only Hostname must be set.
type Options struct {
	Hostname string       // our name, which every letter says it is from
	Contact  mail.Address // whom to ask about us; null: nobody is named
	// HideHost reports the names and addresses of internal hosts. They are left
	// out of letters that leave the organisation. nil: none is internal.
	HideHost func(host string) bool
	// Inside reports who may see internal hosts all the same; nil: nobody.
	Inside func(to mail.Address) bool
	// FullUpTo bounds the size of a message that is returned whole, in octets; a
	// larger one is returned as its header. 0: 50,000; below 0: never whole.
	FullUpTo int64
	// MaxTable bounds the rows of the table of attempts; beyond, its middle is
	// folded. 0: 20.
	MaxTable int
}

// News is what a letter tells.
type News struct {
	Kind     custody.Kind
	Message  custody.Message
	Delivery custody.Delivery // after the step that asks for the letter
	Rcpts    []int            // who is told of, indices into Delivery.Rcpts
	Entries  []custody.Entry  // the whole history of the delivery, that step included
	Schedule custody.Schedule
	Now      time.Time // of the step; its zone is the letter's

	Original []byte       // the message, or as much of it as is at hand; nil: nothing is returned
	Whole    bool         // Original is all of it
	ID       string       // the Message-ID for the letter
	To       mail.Address // gets the letter in place of the return path; null: the return path
	Blocked  string       // why no try can be made at present; "": nothing is in the way
}

// Letter is a finished letter. Its return path is null (RFC 3464 2).
type Letter struct {
	To      mail.Address
	Subject string
	Bytes   []byte
	// What its way must carry: BODY=8BITMIME, SMTPUTF8.
	EightBit bool
	UTF8     bool
}

// Compose writes the letter that a Tell asks for. The same news gives the same
// letter.
func Compose(o Options, n News) Letter {
	if o.FullUpTo == 0 {
		o.FullUpTo = 50_000
	}
	if o.MaxTable <= 0 {
		o.MaxTable = 20
	}
	s := tell(o, n)
	r := s.report()
	r.Text = s.text()
	msg, needs := dsn.Write(r, returned(o, n))
	return Letter{To: s.to, Subject: r.Subject, Bytes: msg, EightBit: needs.EightBit, UTF8: needs.UTF8}
}

// maxHeader bounds the header that is returned, in octets.
const maxHeader = 64 << 10

// returned chooses what comes back of the message: all of it if it failed, is
// small and was not asked for as header only; else the header (RFC 3461 4.3).
func returned(o Options, n News) dsn.Original {
	h, body := mail.SplitMessage(n.Original)
	r := dsn.Original{Header: h, UTF8: n.Message.Envelope.UTF8}
	if len(h) > maxHeader {
		r.Header = h[:maxHeader]
		if i := bytes.LastIndex(r.Header, []byte("\r\n")); i > 0 {
			r.Header = r.Header[:i+2]
		}
		return r
	}
	if n.Kind == custody.Failed && n.Whole && int64(len(n.Original)) <= o.FullUpTo &&
		n.Message.Envelope.Return != mail.ReturnHeaders && n.Message.Envelope.Body != mail.BinaryMIME {
		r.Body, r.Whole = body, true
	}
	return r
}

// subjectOf returns the subject of the message in plain letters.
func subjectOf(n News) string {
	s := n.Message.Subject
	if s == "" {
		h, _ := mail.SplitMessage(n.Original)
		s = h.Get("Subject")
	}
	if t, err := new(mime.WordDecoder).DecodeHeader(s); err == nil {
		s = t
	}
	return strings.TrimSpace(mail.Clean(s, 200))
}

// spell writes a length of time as people say it: "1 day 12 hours". The units
// are those of custody.FormatAge.
func spell(d time.Duration) string {
	var words []string
	names := map[byte]string{'d': "day", 'h': "hour", 'm': "minute", 's': "second"}
	age := custody.FormatAge(max(d, 0))
	for age != "" {
		n := strings.IndexAny(age, "dhms")
		word := age[:n] + " " + names[age[n]]
		if age[:n] != "1" {
			word += "s"
		}
		words, age = append(words, word), age[n+1:]
	}
	return strings.Join(words, " ")
}
