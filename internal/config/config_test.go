package config

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/route"
	"github.com/postrider/postrider/mail"
)

// good is a file without mistakes or doubts, to which tests add theirs.
const good = "hostname = \"a.test\"\n[[listen]]\nkind = \"smtp\"\naddress = \"127.0.0.1:25\"\n[relay]\ndomains = [\"a.test\"]\n"

func parse(t *testing.T, text string) *Config {
	t.Helper()
	c, err := Parse("/etc/postrider/postrider.toml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestExampleHasEveryKey(t *testing.T) {
	c := parse(t, Example)
	for _, w := range c.Warnings {
		t.Errorf("warning: %v", w)
	}
	r := newReader("example.toml")
	r.config([]byte(Example))
	written := map[string]bool{}
	for _, s := range r.sections {
		if s.n != nil {
			for _, key := range s.n.names {
				written[dotted(s.kind, key)] = true
			}
		}
	}
	for kind, keys := range keysOf() {
		for _, key := range keys {
			name := dotted(kind, key) // what a rule asks not to be is what it asks
			if !written[name] && !written[strings.Replace(name, "rule.not.", "rule.", 1)] {
				t.Errorf("example.toml does not show %s", name)
			}
		}
	}
}

// TestExampleTellsTheDefaults keeps the document and the code together.
func TestExampleTellsTheDefaults(t *testing.T) {
	e, d := parse(t, Example), newReader("").defaults()
	e.SMTP.Banner = ""
	if diff := cmp.Diff(d.SMTP, e.SMTP); diff != "" {
		t.Error(diff)
	}
	if e.Data != d.Data || e.History != d.History || e.Queue != d.Queue || e.Log != d.Log ||
		e.Notices.ReturnFull != d.Notices.ReturnFull {
		t.Errorf("example.toml: %+v %+v %+v, defaults: %+v %+v %+v", e.Data, e.Queue, e.Notices, d.Data, d.Queue, d.Notices)
	}
	names := cmpopts.IgnoreFields(custody.Schedule{}, "Name", "Rule")
	if diff := cmp.Diff(defaultSchedule(), e.Schedules["default"], names); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(noticeSchedule(defaultSchedule()), e.Schedules["notice"], names); diff != "" {
		t.Error(diff)
	}
	builtInRoute := parse(t, good).Routes[0]
	if diff := cmp.Diff(builtInRoute, e.Routes[2], cmp.Comparer(sameAddr), cmpopts.IgnoreFields(route.Route{}, "Rule")); diff != "" {
		t.Error(diff)
	}
}

func sameAddr(a, b netip.Addr) bool { return a == b }

func TestExampleIsReadAsItSays(t *testing.T) {
	c := parse(t, Example)
	if l := c.Listen[1]; l.Network != "unix" || l.Address != "/run/postrider/lmtp" || l.Kind != "lmtp" {
		t.Errorf("%+v", l)
	}
	want := route.Route{
		Domain: "partner.example", To: c.Routes[1].To, Schedule: "default",
		TLS: route.Verify, Auth: route.Auth{User: "us", PasswordFile: "/etc/postrider/relay.password"},
		Source: netip.MustParseAddr("192.0.2.7"), Helo: "out.example.com",
		Limits: route.Limits{MaxConns: 10, MaxMessages: 100, Messages: 100, Per: time.Minute},
	}
	if diff := cmp.Diff(want, c.Routes[1], cmp.Comparer(sameAddr), cmpopts.IgnoreFields(route.Route{}, "Rule")); diff != "" {
		t.Error(diff)
	}
	if to := c.Routes[1].To; len(to) != 2 || to[1].String() != "smtp:[2001:db8::7]:25" {
		t.Errorf("to: %v", to)
	}
	if to := c.Aliases["sales@example.com"].To; len(to) != 2 || to[1] != (mail.Address{Local: "ben", Domain: "example.net"}) {
		t.Errorf("sales: %v", to)
	}
	if a := c.Aliases["abuse"]; len(a.To) != 1 || !strings.HasSuffix(a.Rule, " postmaster") {
		t.Errorf("abuse: %+v", a)
	}
	if n := c.Notices; !slices.Equal(n.HideHosts, []string{"*.internal"}) || len(n.HideNets) != 1 {
		t.Errorf("%+v", n)
	}
	s := c.Schedule("local")
	if s.Expire != 5*day || len(s.Retry) != 6 || len(s.Unreachable) != 2 || !slices.Equal(s.Warn, []time.Duration{time.Hour, day}) {
		t.Errorf("local: %+v", s)
	}
	d := c.Door
	if len(d.Lists) != 1 || d.Lists[0].Replies["127.0.0.10/31"] != 1 || len(d.Filters) != 3 || len(d.Recipients) != 2 || len(d.Sign) != 1 || d.Lookups != 20*time.Second {
		t.Errorf("door: %+v", d)
	}
	if back := c.Listen[len(c.Listen)-1]; back.Name != "amavis" || !back.Back || back.Address != "127.0.0.1:10026" {
		t.Errorf("a filter hands back at %+v", back)
	}
	var names []string
	for _, r := range d.Rules {
		names = append(names, r.Name)
	}
	if got := strings.Join(names, " "); !strings.HasPrefix(got, "partner no-reverse-name all-there-is come-again rspamd judge own-clients postmaster listed") {
		t.Errorf("rules: %s", got)
	}
	if r := d.Table.Rules()[1]; !r.LogOnly || !strings.HasPrefix(r.Place, "postrider.toml:") || !strings.HasSuffix(r.Place, " rule no-reverse-name") || r.Code != 550 {
		t.Errorf("a changed default rule: %+v", r)
	}
	if c.Log != (Log{Level: slog.LevelInfo}) {
		t.Errorf("log: %+v", c.Log)
	}
	if got := c.DNS.Servers; len(got) != 1 || got[0] != netip.MustParseAddrPort("127.0.0.1:53") {
		t.Errorf("dns: %v", got)
	}
}

func TestDefaultIsLoopbackOnly(t *testing.T) {
	c := Default("/home/x")
	if c.Data != "/home/x/postrider-data" || c.Socket() != "/home/x/postrider-data/postrider.sock" || Default("").Data != "postrider-data" {
		t.Errorf("data %q", c.Data)
	}
	want := []Listen{
		{Kind: "smtp", Network: "tcp", Address: "127.0.0.1:2525", Rule: "built-in default listen"},
		{Kind: "http", Network: "tcp", Address: "127.0.0.1:8025", Rule: "built-in default listen"},
	}
	if diff := cmp.Diff(want, c.Listen); diff != "" {
		t.Error(diff)
	}
	for _, p := range c.Relay.Clients {
		if !p.Addr().IsLoopback() {
			t.Errorf("%v may send anywhere", p)
		}
	}
	if len(c.Relay.Domains) != 0 || c.Relay.Rule != "built-in default relay" || c.Hostname == "" {
		t.Errorf("%+v", c)
	}
	if s := c.Schedule("default"); s.Rule != "built-in default" || s.Check() != nil || c.Schedule("gone").Name != "default" {
		t.Errorf("%+v", s)
	}
	if _, err := Parse("postrider.toml", []byte(DefaultText())); err != nil {
		t.Error(err)
	}
}

func TestRulesNameFileAndLine(t *testing.T) {
	c := parse(t, good+"[[route]]\ndomain = \"*\"\nto = [\"mx\"]\n[smtp]\n\nmax_size = \"1MB\"\n[schedule.default]\nexpire = \"5d\"\n[aliases]\nroot = [\"a@b.test\"]\n")
	for got, want := range map[string]string{
		c.Routes[0].Rule:           "postrider.toml:7 route",
		c.Relay.Rule:               "postrider.toml:5 relay",
		c.Listen[0].Rule:           "postrider.toml:2 listen",
		c.Schedule("default").Rule: "postrider.toml:13 schedule.default",
		c.Schedule("notice").Rule:  "built-in notice",
		c.Aliases["root"].Rule:     "postrider.toml:16 aliases.root",
		c.Rule("smtp.max_size"):    "postrider.toml:12 smtp.max_size",
		c.Rule("relay.domains"):    "postrider.toml:6 relay.domains",
		c.Rule("smtp.max_errors"):  "built-in default smtp.max_errors",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestSchedulesInheritFromTheBuiltIn(t *testing.T) {
	c := parse(t, good+"[schedule.default]\nretry = [\"1m\"]\nexpire = \"1h\"\n[schedule.slow]\ncleared = true\n")
	d, n, slow := c.Schedule("default"), c.Schedule("notice"), c.Schedule("slow")
	if len(d.Retry) != 1 || d.Jitter != 0.1 || len(d.Warn) != 0 || d.Expire != time.Hour {
		t.Errorf("default: %+v", d)
	}
	if len(n.Retry) != 1 || n.Expire != time.Hour {
		t.Errorf("notice: %+v", n)
	}
	if len(slow.Retry) != 6 || len(slow.Warn) != 2 || slow.Expire != 5*day || !slow.Cleared || slow.Name != "slow" {
		t.Errorf("slow: %+v", slow)
	}
	for name, s := range c.Schedules {
		if err := s.Check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLoadFindsFilesBesideTheConfiguration(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		t.Helper()
		f := filepath.Join(dir, name)
		if err := os.WriteFile(f, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return f
	}
	route := "[[route]]\ndomain = \"*\"\nto = [\"smtp:a.test:25\"]\nauth = { user = \"u\", password_file = \"secret\" }\n"
	file := write("p.toml", good+"data = \"d\"\n", 0o600)
	if _, err := Load(file); err == nil || !strings.Contains(err.Error(), `p.toml:7:1: unknown key "data" in relay; it belongs at the top`) {
		t.Errorf("%v", err)
	}
	file = write("p.toml", "data = \"d\"\n"+good+route, 0o600)
	_, err := Load(file)
	if want := file + ":11:38: password_file: there is no such file"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	write("secret", "x\n", 0o644)
	c, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	if c.Data != filepath.Join(dir, "d") || c.Routes[0].Auth.PasswordFile != filepath.Join(dir, "secret") {
		t.Errorf("%q %q", c.Data, c.Routes[0].Auth.PasswordFile)
	}
	if len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0].Text, "everybody on this machine can read it (mode 0644)") {
		t.Errorf("%v", c.Warnings)
	}
	file = write("p.toml", good+"[tls]\ncert = \"secret\"\nkey = \"secret\"\n", 0o600)
	if _, err := Load(file); err == nil || !strings.Contains(err.Error(), "p.toml:8:8: cert: ") {
		t.Errorf("%v", err)
	}
	var problems Errors
	if _, err := Load(filepath.Join(dir, "gone.toml")); err == nil || errors.As(err, &problems) || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

// What [[sign]] calls its key is not the key of the certificate.
func TestACertificateIsLookedAtWithItsOwnKey(t *testing.T) {
	dir := t.TempDir()
	write := func(name, kind string, der []byte, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"tls", "dkim"} {
		public, private, err := ed25519.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		der, err := x509.MarshalPKCS8PrivateKey(private)
		write(name+".key", "PRIVATE KEY", der, err)
		c := &x509.Certificate{SerialNumber: big.NewInt(1)}
		der, err = x509.CreateCertificate(nil, c, c, public, private)
		write(name+".cert", "CERTIFICATE", der, err)
	}
	file := filepath.Join(dir, "p.toml")
	for cert, right := range map[string]bool{"tls": true, "dkim": false} {
		text := good + "[tls]\ncert = \"" + cert + ".cert\"\nkey = \"tls.key\"\n[[sign]]\ndomain = \"a.test\"\nselector = \"s\"\nkey = \"dkim.key\"\n"
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(file); (err == nil) != right || err != nil && !strings.Contains(err.Error(), "p.toml:8:8: cert: ") {
			t.Errorf("%s.cert: %v", cert, err)
		}
	}
}

func TestFindPrefersWhatWasAsked(t *testing.T) {
	if f, ok := Find("x.toml"); f != "x.toml" || !ok {
		t.Errorf("%q %v", f, ok)
	}
	t.Chdir(t.TempDir())
	if _, err := os.Stat("/etc/postrider/postrider.toml"); err == nil {
		t.Skip("this machine has a configuration")
	}
	if f, ok := Find(""); ok {
		t.Errorf("found %q", f)
	}
	if err := os.WriteFile("postrider.toml", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if f, ok := Find(""); f != "postrider.toml" || !ok {
		t.Errorf("%q %v", f, ok)
	}
}

func FuzzLoad(f *testing.F) {
	f.Add(Example)
	f.Add(DefaultText())
	for _, m := range mistakes {
		f.Add(m.text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := Parse("f.toml", []byte(text))
		if err == nil {
			for name, s := range c.Schedules {
				if err := s.Check(); err != nil {
					t.Errorf("schedule %s: %v", name, err)
				}
			}
			if _, err := route.NewTable(c.Routes); err != nil || len(c.Routes) == 0 {
				t.Errorf("routes: %v", err)
			}
			return
		}
		var all Errors
		if !errors.As(err, &all) || len(all) == 0 {
			t.Fatalf("%T %v", err, err)
		}
		lines := strings.Count(text, "\n") + 1
		for _, p := range all {
			if p.Text == "" || p.Line < 0 || p.Line > lines || p.Line > 0 && p.Col < 1 {
				t.Errorf("%+v", p)
			}
		}
	})
}

func TestSizesAreWrittenAsPeopleDo(t *testing.T) {
	for text, want := range map[string]int64{
		`"50MB"`: 50_000_000, `"66kB"`: 66_000, `"1GiB"`: 1 << 30, `"1.5 MiB"`: 3 << 19, `"70000"`: 70_000, `"100000B"`: 100_000, `1_000_000`: 1_000_000,
	} {
		if c := parse(t, good+"[smtp]\nmax_size = "+text+"\n"); c.SMTP.MaxSize != want {
			t.Errorf("%s: %d, want %d", text, c.SMTP.MaxSize, want)
		}
	}
}

func FuzzScenario(f *testing.F) {
	f.Add("[message]\nfrom = \"a@b.test\"\n[[hop]]\nname = \"a\"\nsystem = \"postfix\"\n[[outage]]\nfrom = \"a\"\nto = \"b\"\nstart = \"0s\"\nend = \"1d\"\nresult = \"refused\"\n")
	f.Add("[[hop]]\nretry = [\"1h for 1d\"]\n[[hop]]\n")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := ParseScenario("f.toml", []byte(text))
		if err == nil {
			if err := c.Check(); err != nil {
				t.Errorf("taken, but %v", err)
			}
			return
		}
		var all Errors
		if !errors.As(err, &all) || len(all) == 0 {
			t.Fatalf("%T %v", err, err)
		}
	})
}
