package explain

import (
	"strings"

	"github.com/postrider/postrider/mail"
)

// turn is a reply in the transcript of a session.
type turn struct {
	rcpt  string // "" if it is not about one
	said  said
	named []string // the addresses in what was said, in lower case
}

// transcript reads the dialogue that a report quotes. Whoever writes it marks
// the two sides in a way of its own; what is told apart here is a command from a
// reply with a code.
func transcript(ls []line) []turn {
	var (
		out   []turn
		rcpts []string
		stage mail.Stage
		host  hostIP
		fresh bool // nothing was said since the connection was made
	)
	for i := 0; i < len(ls) && len(out) < maxRecipients; i++ {
		t := strings.TrimSpace(ls[i].text)
		low := lower(head(t, maxLine))
		if k := strings.Index(low, "while talking to "); k >= 0 {
			host = hostIP{strings.Trim(lower(t[k+17:]), " .:,"), ""}
			rcpts, stage, fresh = nil, mail.NoStage, true
			if h := hostIn(t); h.ip != "" {
				host = h
			}
			continue
		}
		if st, ok := command(low); ok {
			stage, fresh = st, false
			if st == mail.Rcpt {
				if fs := addressesIn(t); len(fs) > 0 {
					rcpts = append(rcpts, fs[0].addr)
				}
			}
			continue
		}
		reply, ok := answer(t)
		if !ok {
			continue
		}
		for i+1 < len(ls) && len(reply) > 3 && reply[3] == '-' && len(reply) < maxSaid {
			next, ok := answer(strings.TrimSpace(ls[i+1].text))
			if !ok || len(next) < 3 || next[:3] != reply[:3] {
				break
			}
			i++
			reply += " " + next
			if len(next) > 3 && next[3] != '-' {
				break
			}
		}
		s := readSaid(reply)
		if fresh && s.stage == mail.NoStage {
			s.stage = mail.Greeting
		}
		fresh = false
		if s.code < 400 {
			continue
		}
		s.line, s.told, s.ours = ls[i].n, true, false
		if s.stage == mail.NoStage {
			s.stage = stage
		}
		if s.host == (hostIP{}) || sender(lower(reply), s.host.ip) {
			s.host = host
		}
		rcpt := ""
		if len(rcpts) > 0 {
			rcpt = rcpts[len(rcpts)-1]
		}
		out = append(out, turn{rcpt, s, addresses(lower(s.text))})
	}
	return out
}

// remarks returns the lines of sendmail's transcript that are its own and name
// nobody: "451 4.4.1 reply: read error from mx.example.com."
func remarks(ls []line) []said {
	var out []said
	in := false
	for _, l := range first(ls, maxText) {
		t := strings.TrimSpace(l.text)
		if !in {
			in = hasFold(t, "----- transcript of session follows")
			continue
		}
		if begun(t) && !strings.Contains(t, "@") && len(out) < maxRecipients {
			s := readSaid(t)
			s.line, s.ours = l.n, true
			out = append(out, s)
		}
	}
	return out
}

// command reports a line of the client's: ">>> RCPT To:<bob@example.com>".
func command(low string) (mail.Stage, bool) {
	if strings.HasPrefix(low, "<<<") {
		return 0, false
	}
	for _, p := range []string{">>>", "in:", "sent <<<", "c:", "-->", "sent:", "sent"} {
		if rest, ok := strings.CutPrefix(low, p); ok {
			low = strings.TrimLeft(rest, " >:<")
			break
		}
	}
	switch {
	case strings.HasPrefix(low, "(initial greeting)"):
		return mail.Greeting, true
	case strings.HasPrefix(low, "rcpt to"):
		return mail.Rcpt, true
	case strings.HasPrefix(low, "mail from"):
		return mail.Mail, true
	case low == "data", strings.HasPrefix(low, "data "):
		return mail.Data, true
	case strings.HasPrefix(low, "ehlo "), strings.HasPrefix(low, "helo "):
		return mail.Hello, true
	case low == "quit", low == "rset", low == ".":
		return mail.NoStage, true
	}
	return 0, false
}

// answer takes the reply out of a line of the server's: "<<< 550 no".
func answer(t string) (string, bool) {
	for _, p := range []string{"<<<", "Out:", "Received >>>", "S:", "<--", "RECV:", "Received:"} {
		if rest, ok := strings.CutPrefix(t, p); ok {
			t = strings.TrimSpace(rest)
			return t, len(t) >= 3 && digit(t[0]) && digit(t[1]) && digit(t[2])
		}
	}
	return "", false
}

// dialogue reports a line of a transcript.
func dialogue(t string) bool {
	return strings.HasPrefix(t, "<<<") || strings.HasPrefix(t, ">>> ") && !strings.Contains(t, "@") || hasFold(t, "while talking to") || hasFold(t, "... while talking to")
}

// begun reports a line that begins with a code.
func begun(t string) bool {
	return len(t) > 4 && digit(t[0]) && digit(t[1]) && digit(t[2]) && (t[3] == ' ' || t[3] == '-')
}
