//go:build linux

package test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/postrider/postrider/test/peers"
)

// doorHead is for tests of who may come in: strangers are all but 127.0.0.1, names
// are asked of a zone, and mail for author.test goes to a next hop.
const doorHead = `hostname = "mx.author.test"
data = %q
[[listen]]
kind = "smtp"
address = %q
[relay]
clients = ["127.0.0.1"]
domains = ["author.test"]
[schedule.default]
retry = ["1s"]
warn = []
expire = "1h"
[schedule.notice]
retry = ["1s"]
expire = "1h"
[dns]
servers = [%q]
`

// guard starts the program with such a head.
func (r *rider) guard(z *zone, sections ...string) {
	r.t.Helper()
	r.configureGuard(z, sections...)
	r.start()
}

func (r *rider) configureGuard(z *zone, sections ...string) {
	r.t.Helper()
	text := fmt.Sprintf(doorHead, filepath.Join(r.Dir, "data"), r.Addr, z.addr) + strings.Join(sections, "")
	if err := os.WriteFile(r.config(), []byte(text), 0o644); err != nil {
		r.t.Fatal(err)
	}
}

// stranger is a Postfix that sends for there.test by a postrider, from 127.0.0.2.
func stranger(t *testing.T, relay string) *peers.Server {
	return peers.Postfix(t, peers.Config{Hostname: "mail.there.test", Domains: []string{"there.test"}, Relay: relay, Extra: "smtp_bind_address = 127.0.0.2"})
}

// TestAGreylistedPostfixComesAgain: by itself, and gets in.
func TestAGreylistedPostfixComesAgain(t *testing.T) {
	t.Parallel()
	r, box := newRider(t), newSink(t)
	z := newZone(t, "127.0.0.2 PTR mail.there.test.\nmail.there.test A 127.0.0.2\nthere.test MX 10 mail.there.test.\n")
	theirs := stranger(t, r.Addr)
	r.guard(z, route("author.test", "smtp:"+box.Addr), "[[rule]]\nuse = \"defaults\"\n[[rule]]\nuse = \"greylist\"\ndelay = \"2s\"\n")
	submit(t, theirs.Addr, "<ann@there.test>", []string{"<bob@author.test>"}, message("grey@there.test", "again", "x\r\n"))

	contains(t, string(box.wait(t, 1)[0].Data), "Received: from mail.there.test (mail.there.test [127.0.0.2])", "Message-ID: <grey@there.test>")
	log := theirs.WaitLog(t, "status=sent", patience)
	contains(t, log, "said: 451 4.7.1 greylist: we do not know this sender at 127.0.0.2 yet; your server need only try again in 2 seconds or later (ref ")
	if n := strings.Count(log, "status=deferred"); n < 1 || n > 4 {
		t.Errorf("deferred %d times", n)
	}
	// What is known to come again is not asked to.
	submit(t, theirs.Addr, "<dora@there.test>", []string{"<ben@author.test>"}, message("known@there.test", "known", "x\r\n"))
	box.wait(t, 2)
	if log := theirs.Log(); strings.Contains(log[strings.Index(log, "status=sent"):], "status=deferred") {
		t.Errorf("the second message was deferred")
	}
}

// TestARefusedPostfixTellsItsUser our rule, its reference and whom to ask.
func TestARefusedPostfixTellsItsUser(t *testing.T) {
	t.Parallel()
	r := newRider(t)
	z := newZone(t, "mail.there.test A 127.0.0.2\nthere.test MX 10 mail.there.test.\n")
	theirs := stranger(t, r.Addr)
	r.guard(z)
	submit(t, theirs.Addr, "<ann@there.test>", []string{"<bob@author.test>"}, message("refused@there.test", "refused", "x\r\n"))

	text, _, perRcpt := failure(t, one(t, theirs, "ann@there.test"))
	ref := regexp.MustCompile(`\(ref (\w{8}), help: postmaster@mx\.author\.test\)`)
	for where, said := range map[string]string{"text": text, "Diagnostic-Code": perRcpt.Get("Diagnostic-Code")} {
		said = strings.Join(strings.Fields(said), " ")
		contains(t, said, "550 5.7.25 no-reverse-name: 127.0.0.2 has no name in the DNS; whoever owns the address can give it one (a PTR record), the name of your mail server (ref ")
		found := ref.FindStringSubmatch(said)
		if found == nil {
			t.Errorf("%s: no reference and no contact in %q", where, said)
			continue
		}
		contains(t, r.log(), "ref="+found[1])
	}
	if s := perRcpt.Get("Status"); s != "5.7.25" {
		t.Errorf("status %s", s)
	}
}
