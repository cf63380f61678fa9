package explain

import (
	"encoding/json"
	"strings"
)

// gathered is the finding of recipients with one fate; that of the first stands
// for all.
type gathered struct {
	Finding
	rcpts []string
}

// gather puts findings together that differ only in the recipient.
func gather(fs []Finding) []gathered {
	var out []gathered
	at := map[string]int{}
	for _, f := range fs {
		k := sameness(f)
		i, seen := at[k]
		if !seen {
			i = len(out)
			at[k] = i
			out = append(out, gathered{Finding: f})
		}
		out[i].rcpts = append(out[i].rcpts, f.Recipient)
	}
	return out
}

// sameness is what findings have in common that are told together: all but the
// recipient, wherever it is named, and the lines.
func sameness(f Finding) string {
	rcpt := f.Recipient
	f.Recipient, f.Evidence = "", nil
	f.Hops = nil // the same message
	b, err := json.Marshal(f)
	if err != nil {
		return rcpt + "\x00" + err.Error() // a date that JSON cannot write: told alone
	}
	if rcpt == "" {
		return string(b)
	}
	name, err := json.Marshal(rcpt)
	if err != nil {
		return string(b)
	}
	return strings.ReplaceAll(string(b), strings.Trim(string(name), `"`), "\x00")
}

// domainOf is the part of an address behind the @.
func domainOf(addr string) string {
	if i := strings.LastIndexByte(addr, '@'); i >= 0 {
		return addr[i+1:]
	}
	return ""
}
