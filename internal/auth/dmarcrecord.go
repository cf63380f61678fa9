package auth

import (
	"net/url"
	"slices"
	"strings"
)

// Handling is what a domain asks to be done with mail that only claims to be its
// own, in the words of RFC 9989 4.7.
type Handling string

const (
	NoHandling Handling = "none"
	Quarantine Handling = "quarantine"
	Reject     Handling = "reject"
)

// handlings are in the order of their strictness.
var handlings = []Handling{NoHandling, Quarantine, Reject}

// milder is one step below (RFC 9989 4.7, tag t).
func (h Handling) milder() Handling { return handlings[max(0, slices.Index(handlings, h)-1)] }

// stricter returns the stricter of two. An empty Handling is the mildest.
func stricter(a, b Handling) Handling {
	if slices.Index(handlings, a) > slices.Index(handlings, b) {
		return a
	}
	return b
}

// dmarcRecord is a DMARC policy record (RFC 9989 4.7). pct, rf and ri are gone;
// what reports want is not read yet.
type dmarcRecord struct {
	p, sp, np  Handling // sp, np: "" where not given
	psd        string   // "y", "n" or "u"
	testing    bool     // t=y
	strictDKIM bool     // adkim=s
	strictSPF  bool     // aspf=s
	broken     bool     // it has no policy that can be read, and wants no reports
}

// readDMARC reads a text; false if it is no DMARC record at all.
func readDMARC(txt string) (dmarcRecord, bool) {
	version, rest, _ := strings.Cut(txt, ";")
	v, one, _ := strings.Cut(version, "=")
	if strings.Trim(v, " \t") != "v" || strings.Trim(one, " \t") != "DMARC1" {
		return dmarcRecord{}, false
	}
	tags := map[string]string{}
	for tag := range strings.SplitSeq(rest, ";") {
		name, value, ok := strings.Cut(tag, "=")
		name = strings.ToLower(strings.Trim(name, " \t"))
		if _, twice := tags[name]; ok && !twice {
			tags[name] = strings.ToLower(strings.Trim(value, " \t"))
		}
	}
	r := dmarcRecord{
		psd:        "u",
		testing:    tags["t"] == "y",
		strictDKIM: tags["adkim"] == "s",
		strictSPF:  tags["aspf"] == "s",
	}
	if psd := tags["psd"]; psd == "y" || psd == "n" {
		r.psd = psd
	}
	valid := true
	for name, to := range map[string]*Handling{"p": &r.p, "sp": &r.sp, "np": &r.np} {
		value, given := tags[name]
		*to = Handling(value)
		valid = valid && (!given || slices.Contains(handlings, *to))
	}
	if !valid {
		// RFC 9989 4.10.1: who wants reports is taken to ask for nothing yet.
		r.p, r.sp, r.np, r.broken = NoHandling, "", "", !reports(tags["rua"])
	}
	if r.p == "" {
		r.p = NoHandling // RFC 9989 4.7, tag p
	}
	return r, true
}

// reports reports whether a list has an address for reports.
func reports(rua string) bool {
	for one := range strings.SplitSeq(rua, ",") {
		u, err := url.Parse(strings.TrimSpace(one))
		if err == nil && u.Scheme != "" && (u.Opaque != "" || u.Host != "") {
			return true
		}
	}
	return false
}

// asks returns what the record asks for mail of a domain: its own, or one below
// that exists or does not (RFC 9989 4.10.1).
func (r dmarcRecord) asks(below, exists bool) Handling {
	h := r.p
	if below && r.sp != "" {
		h = r.sp
	}
	if below && !exists && r.np != "" {
		h = r.np
	}
	if r.testing {
		h = h.milder()
	}
	return h
}
