package explain

import (
	"strings"
)

// part is a part of a message, or the message itself.
type part struct {
	head    header
	kind    string // media type, in lower case; "" if none is told
	params  map[string]string
	body    []line // as it stands
	parts   []*part
	decoded []line
	done    bool
	depth   int
}

// walker counts what has been read, over all levels, and has the language of what
// is said about it.
type walker struct {
	parts int
	*language
}

// parse reads a message or part. Whatever is broken in its frame is passed over.
func (w *walker) parse(ls []line, depth int) *part {
	h, body := readHeader(ls)
	p := &part{head: h, body: body, depth: depth}
	w.parts++
	p.kind, p.params = mediaType(h.value("Content-Type"))
	if depth >= maxDepth || w.parts >= maxParts {
		return p
	}
	boundary := p.params["boundary"]
	if !strings.HasPrefix(p.kind, "multipart/") || boundary == "" || !delimited(body, boundary) {
		var words []line
		if words, boundary = p.lostFrame(); boundary == "" {
			return p
		}
		p.parts = append(p.parts, &part{body: words, depth: depth + 1})
	}
	for _, ls := range cutParts(body, boundary) {
		if w.parts >= maxParts {
			break
		}
		p.parts = append(p.parts, w.parse(ls, depth+1))
	}
	return p
}

// lostFrame finds the boundary of parts whose frame is not declared, and what
// stands before the first of them. Parts of a message that is returned in the
// text are none.
func (p *part) lostFrame() (words []line, boundary string) {
	if p.kind != "" && p.kind != "text/plain" && !strings.HasPrefix(p.kind, "multipart/") && !strings.HasPrefix(p.kind, "message/delivery") {
		return nil, ""
	}
	boundary = guessBoundary(p.body)
	if boundary == "" {
		return nil, ""
	}
	for i, l := range p.body {
		if is, _ := isDelimiter(l.text, boundary); is {
			words = p.body[:i]
			break
		}
	}
	if _, returned := splitReturned(words); returned != nil {
		return nil, ""
	}
	return words, boundary
}

// skipEnvelope drops blank lines and the line that mailbox files put in front.
func skipEnvelope(ls []line) []line {
	for len(ls) > 0 && (ls[0].text == "" || strings.HasPrefix(ls[0].text, "From ") || strings.HasPrefix(ls[0].text, ">From ")) {
		ls = ls[1:]
	}
	return ls
}

// isDelimiter reports a line that ends a part, and whether it is the last.
func isDelimiter(s, boundary string) (is, last bool) {
	if len(s) < len(boundary)+2 || s[0] != '-' || s[1] != '-' || s[2:2+len(boundary)] != boundary {
		return false, false
	}
	switch strings.TrimRight(s[2+len(boundary):], " \t") {
	case "":
		return true, false
	case "--":
		return true, true
	}
	return false, false
}

func delimited(ls []line, boundary string) bool {
	for _, l := range ls {
		if is, _ := isDelimiter(l.text, boundary); is {
			return true
		}
	}
	return false
}

// guessBoundary finds a boundary by its use: a line that begins with "--" before
// a line that begins with "Content-".
func guessBoundary(ls []line) string {
	for i := 1; i < len(ls); i++ {
		if !hasFold(ls[i].text, "content-") {
			continue
		}
		s := strings.TrimRight(ls[i-1].text, " \t")
		if len(s) > 4 && len(s) < 200 && strings.HasPrefix(s, "--") && !strings.Contains(s, " ") && strings.Trim(s, "-") != "" {
			return s[2:]
		}
	}
	return ""
}

// cutParts splits a body at its boundary. The words before the first part are
// for programs that do not know parts.
func cutParts(ls []line, boundary string) [][]line {
	var out [][]line
	start := -1
	for i, l := range ls {
		is, last := isDelimiter(l.text, boundary)
		if !is {
			continue
		}
		if start >= 0 {
			out = append(out, ls[start:i])
		}
		start = i + 1
		if last {
			start = -1
			break
		}
	}
	if start >= 0 && start <= len(ls) {
		out = append(out, ls[start:])
	}
	return out
}

// lines returns the part's words, decoded.
func (p *part) lines() []line {
	if !p.done {
		p.done = true
		p.decoded = decode(p.body, p.head.value("Content-Transfer-Encoding"), p.params["charset"])
	}
	return p.decoded
}

// message returns the message that the part holds.
func (p *part) message(w *walker) *part {
	if p.depth >= maxDepth || w.parts >= maxParts {
		h, body := readHeader(skipEnvelope(p.lines()))
		return &part{head: h, body: body, depth: p.depth + 1}
	}
	return w.parse(skipEnvelope(p.lines()), p.depth+1)
}
