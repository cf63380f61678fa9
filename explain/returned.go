package explain

import "strings"

// splitReturned parts the words of a report from the message that it returns in
// the same text.
func splitReturned(ls []line) (words []line, returned header) {
	words, returned, _ = splitAt(ls)
	return words, returned
}

// splitAt also returns the lines from where the header begins.
func splitAt(ls []line) (words []line, returned header, rest []line) {
	for i := 0; i < len(ls) && i < 4*maxText; {
		h, ok, read := headerAt(ls, i)
		if ok {
			words = ls[:i]
			for len(words) > 0 && (words[len(words)-1].blank() || announces(words[len(words)-1].text)) {
				words = words[:len(words)-1]
			}
			return words, h, ls[i:]
		}
		i += max(read, 1) // no part of what is no header is one
	}
	return ls, nil, nil
}

// headerAt reads the header of a returned message that begins at line i, and
// tells how many lines it looked at.
func headerAt(ls []line, i int) (h header, ok bool, read int) {
	l := ls[i]
	mark := " \t"
	if strings.HasPrefix(l.text, ">") {
		mark = "> "
	}
	indent := len(l.text) - len(strings.TrimLeft(l.text, mark))
	name, _, field := cutField(l.text[indent:])
	if !field || !ofHeader(name) {
		return nil, false, 1
	}
	if indent > 0 && !strings.EqualFold(name, "Received") && !strings.EqualFold(name, "Return-Path") {
		return nil, false, 1
	}
	block := ls[i:]
	if indent > 0 {
		block = outdent(block, indent, mark)
	}
	h, rest := readHeader(block)
	read = len(block) - len(rest)
	score := 0
	for _, n := range []string{"received", "message-id", "return-path", "from", "to", "subject", "date", "mime-version", "content-type"} {
		if h.has(n) {
			score++
			if n == "received" || n == "message-id" {
				score++
			}
		}
	}
	before := ""
	for k := i - 1; k >= 0 && k >= i-3; k-- {
		if !ls[k].blank() && strings.Trim(ls[k].text, " -=*_") != "" {
			before = ls[k].text
			break
		}
	}
	return h, score >= 4 || score >= 1 && announces(before), read
}

// outdent takes up to n of the same blanks or marks off the front of all lines.
func outdent(ls []line, n int, marks string) []line {
	out := make([]line, 0, len(ls))
	for _, l := range ls {
		k := 0
		for k < n && k < len(l.text) && strings.IndexByte(marks, l.text[k]) >= 0 {
			k++
		}
		out = append(out, line{l.n, l.text[k:]})
		if len(out) > 500 {
			break
		}
	}
	return out
}

func ofHeader(name string) bool {
	for _, n := range []string{"received", "message-id", "return-path", "from", "to", "subject", "date", "mime-version", "content-type", "reply-to", "sender", "delivered-to", "dkim-signature", "envelope-to", "x-received", "arc-seal"} {
		if strings.EqualFold(name, n) {
			return true
		}
	}
	return hasFold(name, "x-")
}

// announces reports a line that says that the message comes back below it.
func announces(s string) bool {
	low := lower(strings.TrimSpace(s))
	for _, w := range []string{"copy of the message", "copy of your message", "original message", "unsent message", "message headers follow", "original mail", "returned message", "message header", "non-delivered message", "beginning of the message", "your message follows", "headers follow", "your original", "begin of message"} {
		if strings.Contains(low, w) && (strings.HasPrefix(low, "-") || strings.HasPrefix(low, "=") || strings.HasPrefix(low, "*") || strings.HasSuffix(low, ":") || strings.HasSuffix(low, ".") || len(low) < 50) {
			return true
		}
	}
	return false
}

// unquoted takes the marks off lines that somebody quoted, and reports whether a
// report may be among them: "> Final-Recipient: …".
func unquoted(ls []line) ([]line, bool) {
	first, last, n := -1, 0, 0
	for i, l := range ls {
		if strings.HasPrefix(l.text, ">") {
			if first < 0 {
				first = i
			}
			last = i
			n++
		}
	}
	if n < 5 || n*2 < last-first {
		return nil, false
	}
	out := make([]line, 0, last-first+1)
	for _, l := range ls[first : last+1] {
		t := strings.TrimPrefix(l.text, ">")
		out = append(out, line{l.n, strings.TrimPrefix(t, " ")})
	}
	return out, true
}
