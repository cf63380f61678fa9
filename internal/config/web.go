package config

import (
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/postrider/postrider/internal/watch"
)

// Token says who may use the API and the pages over the network. Its secret stands
// in a file, which is read by the service, never here.
type Token struct {
	Rule string // "postrider.toml:41 token"
	Name string // in logs and in what is ordered with it
	Role string // "view" or "operate"
	File string
}

// Webhook is who is told of events by POST.
type Webhook struct {
	Rule       string
	URL        string // https, or http to this machine
	Events     []string
	SecretFile string // with which what is told is signed
}

var tokenName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

func (r *reader) readTokens(all []section, c *Config) {
	var names []string
	for _, s := range all {
		t := Token{Rule: s.rule()}
		read(s, "name", &t.Name, func(v value) (string, bool) {
			n, ok := text(v)
			if ok && !tokenName.MatchString(n) {
				v.bad(`name: %q goes into logs and orders: letters, digits, ".", "_" and "-", at most 64`, n)
				return "", false
			}
			return n, ok
		})
		read(s, "role", &t.Role, word("view", "operate"))
		read(s, "file", &t.File, path)
		r.mention(s.find("file"), t.File, true)
		s.wants("token", "name", "role", "file")
		s.unique(t.Name, names)
		names = append(names, t.Name)
		c.Tokens = append(c.Tokens, t)
	}
}

// guarded reports a listener for pages that other machines reach and that is not
// fit for it. Tokens and [tls] are read before.
func (r *reader) guarded(at value, c *Config) {
	if len(c.Tokens) == 0 {
		at.bad("address: other machines can reach %s, so a [[token]] is needed to tell who may see and order what; or write 127.0.0.1:8025", at.n.text)
	}
	if c.TLS.Cert == "" {
		at.bad("address: other machines can reach %s, so [tls] with cert and key is needed, else tokens and mail pass in plain text; or write 127.0.0.1:8025", at.n.text)
	}
}

func (r *reader) readWebhooks(all []section, c *Config) {
	var urls []string
	for _, s := range all {
		w := Webhook{Rule: s.rule()}
		read(s, "url", &w.URL, hookURL)
		read(s, "events", &w.Events, someOf(`["bounced", "expired", "warned"]`, word(watch.Kinds()...)))
		read(s, "secret_file", &w.SecretFile, path)
		r.mention(s.find("secret_file"), w.SecretFile, true)
		s.wants("webhook", "url", "events", "secret_file")
		if w.URL != "" && slices.Contains(urls, w.URL) {
			s.find("url").bad("url: another webhook has the same; name all events in one")
		}
		urls = append(urls, w.URL)
		c.Webhooks = append(c.Webhooks, w)
	}
}

// hookURL reads where a webhook is. No error repeats it: it may hold a secret.
func hookURL(v value) (string, bool) {
	s, ok := v.asText(`a URL like "https://example.com/mail-events"`)
	if !ok {
		return "", false
	}
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		v.bad("url: not a URL like https://example.com/mail-events")
	case u.User != nil:
		v.bad("url: no user or password may stand in it; what is sent is signed with the secret of secret_file")
	case u.Scheme == "http" && !onThisMachine(u.Hostname()):
		v.bad("url: http is for this machine alone, like http://127.0.0.1:9000/; write https")
	default:
		u.Fragment = ""
		return u.String(), true
	}
	return "", false
}

// onThisMachine reports whether a host is the loopback.
func onThisMachine(host string) bool {
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback() || strings.EqualFold(host, "localhost")
}

// isLoopback reports whether only this machine can reach the address.
func isLoopback(address string) bool {
	host, _, _ := net.SplitHostPort(address)
	return onThisMachine(host)
}
