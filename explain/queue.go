package explain

import (
	"cmp"
	"encoding/json"
	"strings"
	"time"

	"github.com/postrider/postrider/cause"
)

// waiting is a message in a listing of a queue.
type waiting struct {
	started when
	at      line
	why     []line
	rcpts   []line
}

// listing reads what mailq, postqueue, exim -bp, qmail-qread or Get-Queue print:
// messages that wait, and why. It returns nothing for other lines.
func (v *view) listing() []facts {
	if !v.bare() || v.status != nil {
		return nil
	}
	var (
		out      []facts
		w        waiting
		software string
	)
	flush := func() {
		for _, r := range w.rcpts {
			if len(out) == maxRecipients {
				return
			}
			out = append(out, w.facts(r))
		}
		w.rcpts, w.why = nil, nil
	}
	for _, l := range first(v.words, 20*maxText) {
		id, started, ok := entryOf(l.text)
		switch t := strings.TrimSpace(l.text); {
		case ok:
			flush()
			w = waiting{started: started, at: l}
			software = cmp.Or(software, id)
		case w.at.n == 0 || t == "":
		case t[0] == '(' && len(w.rcpts) > 0 && id == "":
			// postfix: the reason stands above the recipients that it is about
			flush()
			w.why = []line{l}
		case t[0] == '(' || len(w.why) > 0 && len(w.rcpts) == 0 && !hasAddress(t):
			w.why = append(w.why, l)
		case hasAddress(t) && (len(l.text) > len(t)) && !strings.HasPrefix(t, "D ") && !strings.HasPrefix(t, "done"):
			w.rcpts = append(w.rcpts, line{l.n, t})
		}
	}
	flush()
	if len(out) == 0 {
		out, software = v.otherListing()
	}
	if len(out) > 0 {
		v.listed = true
		v.software = Host{Software: software, Confidence: cause.Likely}
	}
	return out
}

func hasAddress(t string) bool { return len(addressesIn(head(t, 500))) > 0 }

// facts makes what is known of one recipient of a waiting message.
func (w waiting) facts(r line) facts {
	f := facts{addr: addressesIn(head(r.text, 500))[0].addr, at: r, sure: cause.Sure, action: "delayed"}
	if len(w.why) > 0 {
		f.said = readSaid(strings.Trim(texts(w.why), "()"))
		f.said.line = w.why[0].n
		f.others = []said{f.said}
	}
	return f
}

// entryOf reads the line that begins a message in a listing, and whose listing
// it is.
func entryOf(s string) (software string, started when, ok bool) {
	fs := strings.Fields(head(s, 300))
	if len(fs) < 4 {
		return "", when{}, false
	}
	switch {
	case s[0] == ' ' || age(fs[0]):
		// exim: " 4d  2.9K 0t5C4K-000ZZY-00 <ann@author.test>"
		if age(fs[0]) && strings.Count(fs[2], "-") == 2 && len(fs[2]) >= 16 && strings.HasPrefix(fs[3], "<") {
			return "exim", when{}, true
		}
	case len(fs) >= 6 && monthOf(fs[1]) != 0 && strings.HasPrefix(fs[5], "#"):
		// qmail: "24 Jun 2024 08:54:02 GMT  #1234  567  <ann@author.test>"
		return "qmail", date(s), true
	case queueID(fs[0]):
		i := 1
		if fs[i] == "8BITMIME" {
			i++
		}
		if len(fs) < i+5 || number(fs[i]) < 0 || monthOf(fs[i+2]) == 0 || !strings.Contains(fs[i+4], ":") {
			return "", when{}, false
		}
		if strings.Count(fs[i+4], ":") == 2 {
			return "postfix", when{}, true
		}
		return "sendmail", when{}, true
	}
	return "", when{}, false
}

// age reports exim's "25m", "4d".
func age(s string) bool {
	return number(s) >= 0 && strings.TrimLeft(s, "0123456789") != "" && strings.Contains("mhdw", strings.TrimLeft(s, "0123456789"))
}

func queueID(s string) bool {
	s = strings.TrimRight(s, "*!-X?")
	if len(s) < 6 || len(s) > 24 {
		return false
	}
	for _, c := range []byte(s) {
		if !wordByte(c) {
			return false
		}
	}
	return true
}

// postqueue is a line of postqueue -j.
type postqueue struct {
	QueueName   string `json:"queue_name"`
	ArrivalTime int64  `json:"arrival_time"`
	Recipients  []struct {
		Address     string `json:"address"`
		DelayReason string `json:"delay_reason"`
	} `json:"recipients"`
}

// otherListing reads postqueue -j, and the last error of Exchange's Get-Queue.
func (v *view) otherListing() (out []facts, software string) {
	for i, l := range first(v.words, maxText) {
		t := strings.TrimSpace(l.text)
		if strings.HasPrefix(t, "{") && strings.Contains(t, "\"queue_name\"") {
			var q postqueue
			if json.Unmarshal([]byte(head(t, maxJSON)), &q) != nil {
				continue
			}
			for _, r := range q.Recipients {
				if len(out) == maxRecipients {
					return out, "postfix"
				}
				w := waiting{at: l}
				if r.DelayReason != "" {
					w.why = []line{{l.n, r.DelayReason}}
				}
				if hasAddress(r.Address) {
					f := w.facts(line{l.n, r.Address})
					if t := time.Unix(q.ArrivalTime, 0).UTC(); t.Year() > 1 && t.Year() <= lastYear {
						f.began = when{Time: t}
					}
					out = append(out, f)
				}
			}
			software = "postfix"
		}
		if name, words, ok := cutField(t); ok && strings.EqualFold(name, "LastError") && words != "" {
			f := facts{sure: cause.Guess, action: "delayed"}
			ls := []line{{l.n, words}}
			for _, m := range v.words[i+1:] {
				if m.blank() || len(ls) > maxWhy {
					break
				}
				if _, _, ok := cutField(strings.TrimSpace(m.text)); ok {
					break
				}
				ls = append(ls, m)
			}
			s := readSaid(lastError(texts(ls)))
			s.line = l.n
			f.said = unwrap(s)
			f.others = []said{f.said}
			out, software = append(out, f), "exchange-2013"
		}
	}
	return out, software
}

// lastError takes the error out of the newer form "[{LED=…};{MSG=…};{FQDN=…}]".
func lastError(s string) string {
	_, led, ok := strings.Cut(s, "{LED=")
	if !ok {
		return s
	}
	led, rest, _ := strings.Cut(led, "};{")
	host, ip := "", ""
	for p := range strings.SplitSeq(rest, "};{") {
		k, w, _ := strings.Cut(strings.Trim(p, "{}[]"), "=")
		switch k {
		case "FQDN":
			host = w
		case "IP":
			ip = w
		}
	}
	if ip != "" {
		return led + " (" + host + " [" + ip + "])"
	}
	return led
}
