package explain

import "strings"

// view is a message seen as a report: what is for people, what is for programs,
// and what it returns.
type view struct {
	*walker
	letter   *part
	text     []line // for people
	words    []line // of text, without the returned message
	status   []line // the delivery-status part
	listed   bool   // a listing of a queue
	loose    bool   // status was found among other lines
	receipt  []line // a disposition notification (RFC 8098)
	feedback []line // a feedback report (RFC 5965)
	returned header
	to       []string        // see returnedTo
	bears    map[string]bool // see isTo
	beside   *asides         // see asides
	overall  *reasons        // see reasons
	sending  []string        // see organisations
	about    group           // the fields about the message
	groups   []group         // the fields about each recipient
	below    []line          // of the words, from where another message begins in them
	holds    []*part         // messages inside
	warnings []string
	host     string // that reports
	hostAt   line
	software Host // that it runs
}

// see reads a message as a report.
func see(w *walker, p *part) *view {
	v := &view{walker: w, letter: p}
	if !p.head.ofMessage() && len(p.parts) == 0 {
		// No message at all: lines of a report, or of a queue.
		v.words = p.whole()
	} else {
		v.gather(p)
	}
	if v.receipt != nil && v.rejects() {
		v.status, v.receipt = append(v.receipt, line{v.receipt[0].n, "Action: failed"}), nil
	}
	if v.status == nil {
		v.service()
	}
	v.text = v.words
	words, returned, below := splitAt(v.words)
	v.below = below
	if v.status == nil {
		if s := looseStatus(v.words); s != nil {
			v.status, v.loose = s, true
			if r, h := splitReturned(s); h != nil {
				v.status, returned = r, h
			}
			words = above(words, v.status[0].n)
		}
	}
	v.words = words
	if v.returned == nil && len(v.holds) > 0 {
		v.returned = v.holds[0].message(w).head
	}
	if !v.returned.has("Received") && len(returned) > len(v.returned) || v.returned == nil {
		v.returned = returned
	}
	return v
}

// rejects reports a receipt by which the program that files the mail says that
// it did not (Sieve's reject, RFC 5429).
func (v *view) rejects() bool {
	g, _ := nextGroup(v.receipt)
	d := lower(g.words("disposition"))
	return (strings.Contains(d, "deleted") || strings.Contains(d, "failed") || strings.Contains(d, "denied")) &&
		(strings.Contains(v.lowered("auto-submitted"), "reject") || strings.Contains(lower(texts(first(v.words, 20))), "reject"))
}

// above returns the lines in front of line n.
func above(ls []line, n int) []line {
	for i, l := range ls {
		if l.n >= n {
			return ls[:i]
		}
	}
	return ls
}

// whole returns all lines of what is no message.
func (p *part) whole() []line {
	ls := make([]line, 0, len(p.body)+len(p.head))
	for _, f := range p.head {
		for i, l := range f.lines {
			if i == 0 {
				l.text = f.name + ": " + l.text
			}
			ls = append(ls, l)
		}
	}
	return toUTF8(append(ls, p.body...), "")
}

// gather collects the leaves of a message, those of the messages inside it left
// out.
func (v *view) gather(p *part) {
	if len(p.parts) > 0 {
		v.gatherParts(p)
		return
	}
	switch p.kind {
	case "message/delivery-status", "message/global-delivery-status":
		v.status = append(v.status, p.lines()...)
		v.status = append(v.status, line{})
	case "message/disposition-notification", "message/global-disposition-notification":
		v.receipt = p.lines()
	case "message/feedback-report":
		v.feedback = p.lines()
	case "message/rfc822", "message/global":
		v.holds = append(v.holds, p)
	case "text/rfc822-headers", "text/rfc822-header", "message/rfc822-headers", "message/global-headers":
		if v.returned == nil {
			v.returned, _ = readHeader(skipEnvelope(p.lines()))
		}
	case "", "text/plain", "text/x-report":
		v.addWords(p.lines())
	case "text/html":
		if len(v.words) == 0 {
			v.addWords(unHTML(p.lines()))
		}
	}
}

func (v *view) gatherParts(p *part) {
	if p.kind == "multipart/alternative" {
		plain, page := (*part)(nil), (*part)(nil)
		for _, c := range p.parts {
			switch {
			case plain == nil && (c.kind == "text/plain" || c.kind == "") && len(c.parts) == 0 && texts(c.lines()) != "":
				plain = c
			case page == nil && c.kind == "text/html":
				page = c
			}
		}
		if plain != nil && page != nil {
			for _, c := range p.parts {
				if c != page {
					v.gather(c)
				}
			}
			return
		}
	}
	for _, c := range p.parts {
		v.gather(c)
	}
}

// addWords adds what is for people. What stands behind the fields for programs,
// or behind the returned message, is the returned message.
func (v *view) addWords(ls []line) {
	if (v.status != nil || v.feedback != nil || len(v.holds) > 0) && len(v.words) > 0 {
		return
	}
	if len(v.words) > 0 && len(ls) > 0 {
		v.words = append(v.words[:len(v.words):len(v.words)], line{n: ls[0].n})
	}
	v.words = append(v.words[:len(v.words):len(v.words)], ls...)
	if len(v.words) > 4*maxText {
		v.words = v.words[:4*maxText]
	}
}

// lowered returns the words of a header field in lower case.
func (v *view) lowered(name string) string {
	return strings.ToLower(v.letter.head.value(name))
}
