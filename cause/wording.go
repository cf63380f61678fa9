package cause

import (
	"strings"

	"github.com/postrider/postrider/mail"
)

// words is a host's text made ready for matching.
type words struct {
	all   string // lower case, one line
	plain string // the same without addresses, links and angle brackets
}

// newWords drops what a rule must not stumble over: "<spam@example.com>: user
// unknown" is not about spam.
func newWords(text string) words {
	all := strings.ToLower(strings.Join(strings.Fields(text), " "))
	var keep []string
	for w := range strings.FieldsSeq(all) {
		switch {
		case strings.Contains(w, "@"), strings.Contains(w, "://"), strings.HasPrefix(w, "www."):
			if i := strings.IndexByte(w, '>'); i >= 0 && i+1 < len(w) {
				keep = append(keep, w[i+1:])
			}
			continue
		}
		keep = append(keep, w)
	}
	return words{all, strings.Join(keep, " ")}
}

// bare reports words that are only an address and "rejected".
func (w words) bare() bool {
	switch strings.Trim(w.plain, " .:;-") {
	case "rejected", "refused", "recipient":
		return strings.Contains(w.all, "@")
	}
	return false
}

// rule says that a host which uses one of these phrases means this kind. A "*"
// in a phrase stands for up to 40 other octets.
type rule struct {
	kind   Kind
	strong bool // nobody uses the phrase for anything else
	links  bool // look into links and addresses too
	class  int  // of the reply code; 0: any
	phrase []string
}

// gap is how far the parts of a phrase may stand from each other, in octets.
const gap = 40

// pattern is a rule made ready: its phrases in parts, each with the pairs of
// letters that a text must have for the phrase to be looked for at all.
type pattern struct {
	rule
	parts [][]string
	pairs [][2]uint16
}

// made makes rules ready.
func made(rs []rule) []pattern {
	out := make([]pattern, len(rs))
	for i, r := range rs {
		p := pattern{rule: r}
		for _, s := range r.phrase {
			parts := strings.Split(s, "*")
			last := parts[len(parts)-1]
			p.parts = append(p.parts, parts)
			p.pairs = append(p.pairs, [2]uint16{pair(parts[0], 0), pair(last, len(last)-2)})
		}
		out[i] = p
	}
	return out
}

// pairs holds which pairs of letters a text has, some of them confused.
type pairs [1024 / 64]uint64

func pair(s string, i int) uint16 { return uint16(s[i]&31)<<5 | uint16(s[i+1]&31) }

func pairsOf(s string) (ps pairs) {
	for i := range len(s) - 1 {
		k := pair(s, i)
		ps[k/64] |= 1 << (k % 64)
	}
	return ps
}

func (ps *pairs) has(k uint16) bool { return ps[k/64]&(1<<(k%64)) != 0 }

// wording returns what the words of a reply mean by the first rule that fits,
// and whether the wording alone is proof.
func wording(w words, r mail.Reply) (Kind, bool) {
	inAll, inPlain := pairsOf(w.all), pairsOf(w.plain)
	for i := range patterns {
		p := &patterns[i]
		if p.class != 0 && r.Code != 0 && p.class != r.Code/100 {
			continue
		}
		text, in := w.plain, &inPlain
		if p.links {
			text, in = w.all, &inAll
		}
		for k, parts := range p.parts {
			if in.has(p.pairs[k][0]) && in.has(p.pairs[k][1]) && like(text, parts) {
				return p.kind, p.strong
			}
		}
	}
	return Unknown, false
}

// like reports whether text holds the parts of a phrase, in order and near each
// other.
func like(text string, parts []string) bool {
	for from := 0; ; {
		i := strings.Index(text[from:], parts[0])
		if i < 0 {
			return false
		}
		at := from + i + len(parts[0])
		ok := true
		for _, p := range parts[1:] {
			k := strings.Index(text[at:min(len(text), at+gap+len(p))], p)
			if k < 0 {
				ok = false
				break
			}
			at += k + len(p)
		}
		if ok {
			return true
		}
		from += i + 1
	}
}

// Errno returns the kind that an operating system's error number or name in a
// text stands for: "[Errno 61] Connection refused", "Winsock error code:
// 10060", "ECONNREFUSED". Numbers differ between systems; where one number
// means two things the words beside it must decide.
func Errno(text string) Kind {
	text = strings.ToLower(text)
	for _, mark := range []string{"errno ", "socket error code ", "winsock error code: ", "error code: ", "os error "} {
		_, after, ok := strings.Cut(text, mark)
		if !ok {
			continue
		}
		n := 0
		for n < len(after) && after[n] >= '0' && after[n] <= '9' {
			n++
		}
		if k := errnoKind(after[:n]); k != Unknown {
			return k
		}
	}
	for _, e := range []struct {
		name string
		kind Kind
	}{{"econnrefused", Refused}, {"etimedout", Timeout}, {"ehostunreach", NoRoute}, {"enetunreach", NoRoute}, {"econnreset", Broken}, {"ehostdown", NoRoute}} {
		if strings.Contains(text, e.name) {
			return e.kind
		}
	}
	return Unknown
}

// errnoKind: BSD and macOS, Linux, Windows, Solaris and AIX (Go's syscall tables).
func errnoKind(n string) Kind {
	switch n {
	case "61", "111", "10061", "146", "79":
		return Refused
	case "60", "110", "10060", "145", "78":
		return Timeout
	case "65", "113", "10065", "148", "51", "101", "10051", "128", "70", "64", "112", "10064", "147", "80", "81":
		return NoRoute
	case "54", "104", "10054", "131", "73":
		return Broken
	}
	return Unknown
}
