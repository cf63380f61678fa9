package route

import (
	"strings"
	"testing"
)

func TestTargetsAreReadAsWritten(t *testing.T) {
	for _, c := range []struct {
		text string
		want Target
		back string // "": text
	}{
		{"mx", Target{}, ""},
		{"mx:2525", Target{Kind: MX, Port: 2525}, ""},
		{"smtp:Relay.Example.com:587", Target{Kind: Relay, Host: "relay.example.com", Port: 587}, "smtp:relay.example.com:587"},
		{"smtp:filter", Target{Kind: Relay, Host: "filter"}, "smtp:filter:25"},
		{"smtp:filter:25", Target{Kind: Relay, Host: "filter"}, ""},
		{"smtp:192.0.2.1:2526", Target{Kind: Relay, Host: "192.0.2.1", Port: 2526}, ""},
		{"smtp:[2001:DB8:0::1]:25", Target{Kind: Relay, Host: "2001:db8::1"}, "smtp:[2001:db8::1]:25"},
		{"smtp:[2001:db8::1]", Target{Kind: Relay, Host: "2001:db8::1"}, "smtp:[2001:db8::1]:25"},
		{"smtp:[fe80::1%eth0]:26", Target{Kind: Relay, Host: "fe80::1%eth0", Port: 26}, ""},
		{"lmtp:localhost:24", Target{Kind: LMTP, Host: "localhost", Port: 24}, ""},
		{"lmtp:unix:/run/dovecot/lmtp", Target{Kind: LMTP, Unix: "/run/dovecot/lmtp"}, ""},
	} {
		got, err := ParseTarget(c.text)
		if err != nil || got != c.want {
			t.Errorf("%s: %+v, %v", c.text, got, err)
		}
		if c.back == "" {
			c.back = c.text
		}
		if got.String() != c.back {
			t.Errorf("%s is written back as %s", c.text, got)
		}
	}
}

func TestABadTargetIsToldWhy(t *testing.T) {
	for text, want := range map[string]string{
		"":                                       `want "mx"`,
		"relay.example.com":                      `want "mx"`,
		"mx:relay.example.com":                   `smtp:HOST:PORT`,
		"mx:":                                    "not a port",
		"mx:0":                                   "not a port",
		"smtp:":                                  "no host",
		"smtp:host:":                             "no port",
		"smtp:host:65536":                        "not a port",
		"smtp:host:+25":                          "not a port",
		"smtp:host:025":                          "not a port",
		"smtp:2001:db8::1:25":                    "brackets",
		"smtp:[relay.example.com]:5":             "brackets",
		"smtp:[2001:db8::1]25":                   "[ADDRESS]:PORT",
		"smtp:10.0.0:25":                         "neither a host name nor an address",
		"smtp:ho st:25":                          "neither a host name nor an address",
		"smtp:unix:/run/x":                       "only LMTP",
		"lmtp:host":                              "no port of its own",
		"smtp:Unix":                              "in full",
		"lmtp:unix:run/x":                        `begins with "/"`,
		"lmtp:unix:/a\nb":                        "control",
		"lmtp:unix:/" + strings.Repeat("x", 107): "107",
	} {
		if _, err := ParseTarget(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func TestConfigurationWords(t *testing.T) {
	var tls TLS
	var f Family
	if err := tls.UnmarshalText([]byte("verify")); err != nil || tls != Verify {
		t.Error(tls, err)
	}
	if err := f.UnmarshalText([]byte("ipv6-first")); err != nil || f != IPv6First {
		t.Error(f, err)
	}
	if err := tls.UnmarshalText([]byte("always")); err == nil || !strings.Contains(err.Error(), "may, require, verify") {
		t.Error(err)
	}
}

func FuzzParseTarget(f *testing.F) {
	for _, s := range []string{"mx", "mx:25", "smtp:a.b:25", "smtp:[::1%x]:1", "lmtp:unix:/x", "lmtp:1.2.3.4:24", "smtp:b\u00fccher.example"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := ParseTarget(s)
		if err != nil {
			return
		}
		again, err := ParseTarget(got.String())
		if err != nil || again != got {
			t.Fatalf("%q: %+v is written %q and read %+v, %v", s, got, got, again, err)
		}
	})
}
