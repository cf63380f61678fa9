//go:build linux

package test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"math/rand/v2"
	"mime"
	"mime/multipart"
	netmail "net/mail"
	"net/smtp"
	"net/textproto"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/postrider/postrider/test/peers"
)

// swaks sends a message from ann@home.test, and expects it to be accepted.
func swaks(t *testing.T, addr string, args ...string) string {
	t.Helper()
	out, code := peers.Swaks(t, append([]string{"--server", addr, "--from", "ann@home.test"}, args...)...)
	if code != 0 {
		t.Fatalf("swaks %q: exit %d\n%s", args, code, out)
	}
	return out
}

func contains(t *testing.T, text string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(text, w) {
			t.Errorf("no %q in:\n%s", w, text)
		}
	}
}

// message is a message from ann@home.test with a Message-ID that traces find.
func message(id, subject, body string) []byte {
	return []byte("From: Ann <ann@home.test>\r\nTo: Bob <bob@there.test>\r\nSubject: " + subject +
		"\r\nDate: Tue, 24 Nov 2026 04:03:11 +0000\r\nMessage-ID: <" + id + ">\r\n\r\n" + body)
}

// between starts Postfix as ann's server, a postrider it relays by, and Postfix
// as bob's server, whose reports come back the same way.
func between(t *testing.T, theirs peers.Config, more ...string) (home *peers.Server, r *rider, there *peers.Server) {
	t.Helper()
	r = newRider(t)
	theirs.Domains, theirs.Relay = []string{"there.test"}, r.Addr
	home = peers.Postfix(t, peers.Config{Hostname: "mx.home.test", Domains: []string{"home.test"}, Relay: r.Addr})
	if theirs.Hostname == "" {
		theirs.Hostname = "mx.there.test"
	}
	there = peers.Postfix(t, theirs)
	r.serve(route("home.test", "smtp:"+home.Addr), route("there.test", "smtp:"+there.Addr, more...))
	return home, r, there
}

func TestPostfixToPostfix(t *testing.T) {
	t.Parallel()
	home, r, there := between(t, peers.Config{})

	t.Run("every octet arrives", func(t *testing.T) {
		long := strings.Repeat("x", 900)
		m := message("octets@home.test", "dots", ".\r\n..\r\n.leading dot\r\n...\r\n\r\n\r\nGr\xc3\xbc\xc3\x9fe, and Latin-1: \xfc\xdf\r\n"+
			"\ttab, trailing blank \r\nFrom here it looks like mbox\r\n"+long+"\r\n.\r\n")
		m = append([]byte("X-Long: "+long+"\r\n\tfolded\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: 8bit\r\n"), m...)
		submit(t, home.Addr, "<ann@home.test> BODY=8BITMIME", []string{"<octets@there.test>"}, m)
		want := bytes.ReplaceAll(m, []byte("\r\n"), []byte("\n"))
		if got := one(t, there, "octets@there.test"); !bytes.HasSuffix(got, want) {
			t.Errorf("want at the end:\n%q\ngot:\n%q", want, got)
		}
	})
	t.Run("an attachment of 3 MB arrives", func(t *testing.T) {
		data := make([]byte, 3<<20)
		rand.NewChaCha8([32]byte{}).Read(data)
		file := filepath.Join(t.TempDir(), "bridge.bin")
		write(t, file, data)
		swaks(t, home.Addr, "--to", "attached@there.test", "--body", "see below", "--attach", "@"+file, "--hide-all")
		_, parts := parse(t, one(t, there, "attached@there.test"))
		got, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(parts[len(parts)-1].body, "\n", ""))
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d octets of %d, %v", len(got), len(data), err)
		}
	})
	t.Run("an address in UTF-8 arrives", func(t *testing.T) {
		m := message("utf8@home.test", "Gr\u00fc\u00dfe", "x\r\n")
		submit(t, home.Addr, "<ann@home.test> SMTPUTF8 BODY=8BITMIME", []string{"<j\u00fcrgen@there.test>"}, m)
		contains(t, string(one(t, there, "j\u00fcrgen@there.test")), "Subject: Gr\u00fc\u00dfe", "with UTF8SMTP")
	})
	t.Run("DSN parameters go all the way", func(t *testing.T) {
		submit(t, home.Addr, "<dsn@home.test> RET=HDRS ENVID=QQ314+2B159",
			[]string{"<dsn@there.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;Old+2BName@there.test"},
			message("dsn@home.test", "tell me", "secret body\r\n"))
		report := one(t, home, "dsn@home.test")
		contains(t, string(report), "Reporting-MTA: dns; mx.there.test", "Original-Envelope-Id: QQ314+159",
			"Original-Recipient: rfc822;Old+Name@there.test", "Action: delivered", "tell me")
		if bytes.Contains(report, []byte("secret body")) {
			t.Errorf("RET=HDRS did not reach the reporter:\n%s", report)
		}
		done := r.waitEvent("dsn@home.test", "relayed")
		contains(t, done.events("relayed")[0].Text, "queued as")
		if n := len(home.Mail("dsn@home.test")); n != 1 {
			t.Errorf("%d reports", n)
		}
	})
}

// TestOthersRelayByUs: Exim sends BDAT where it is offered, OpenSMTPD DATA.
func TestOthersRelayByUs(t *testing.T) {
	t.Parallel()
	r, out := newRider(t), newSink(t)
	exim := peers.Exim(t, peers.Config{Relay: r.Addr})
	open := peers.OpenSMTPD(t, peers.Config{Relay: r.Addr})
	r.serve(route("*", "smtp:"+out.Addr))
	body := strings.Repeat(".a line\r\n\r\n", 9000) // more than a chunk
	for _, s := range []*peers.Server{exim, open} {
		submit(t, s.Addr, "<ann@home.test>", []string{"<bob@there.test>"}, message("by@"+s.Hostname, "on", body))
	}
	for _, m := range out.wait(t, 2) {
		if !bytes.HasSuffix(m.Data, []byte("\r\n\r\n"+body)) {
			t.Errorf("changed, %d octets:\n%.1000s", len(m.Data), m.Data)
		}
	}
	log := exim.WaitLog(t, "=> bob@there.test", patience)
	if !regexp.MustCompile(`=> bob@there\.test .* K `).MatchString(log) {
		t.Error("Exim did not send BDAT")
	}
}

// one waits for the message of an address.
func one(t *testing.T, s *peers.Server, rcpt string) []byte {
	t.Helper()
	await(t, "mail for "+rcpt, func() bool { return len(s.Mail(rcpt)) > 0 })
	return s.Mail(rcpt)[0]
}

// A part of a MIME message.
type part struct {
	kind string
	body string
}

// parse reads a message with parts as any mail program would.
func parse(t *testing.T, raw []byte) (netmail.Header, []part) {
	t.Helper()
	m, err := netmail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		t.Fatalf("%v:\n%s", err, raw)
	}
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || !strings.HasPrefix(kind, "multipart/") {
		t.Fatalf("it has no parts, %v:\n%s", err, raw)
	}
	var parts []part
	for r := multipart.NewReader(m.Body, params["boundary"]); ; {
		p, err := r.NextPart()
		if err == io.EOF {
			return m.Header, parts
		}
		if err != nil {
			t.Fatalf("%v:\n%s", err, raw)
		}
		kind, _, err := mime.ParseMediaType(p.Header.Get("Content-Type"))
		body, err2 := io.ReadAll(p)
		if err != nil || err2 != nil {
			t.Fatalf("%v, %v:\n%s", err, err2, raw)
		}
		parts = append(parts, part{kind, string(body)})
	}
}

// failure reads a report of failure about one recipient: what it tells people, and
// the fields for programs.
func failure(t *testing.T, raw []byte) (text string, perMessage, perRcpt textproto.MIMEHeader) {
	t.Helper()
	h, parts := parse(t, raw)
	contains(t, h.Get("Content-Type"), "multipart/report", "report-type=delivery-status")
	contains(t, h.Get("Auto-Submitted"), "auto-replied")
	if len(parts) != 3 || parts[0].kind != "text/plain" || parts[1].kind != "message/delivery-status" {
		t.Fatalf("not a report:\n%s", raw)
	}
	status := textproto.NewReader(bufio.NewReader(strings.NewReader(parts[1].body)))
	perMessage, err := status.ReadMIMEHeader()
	if err != nil {
		t.Fatalf("%v:\n%s", err, raw)
	}
	perRcpt, err = status.ReadMIMEHeader()
	if err != nil && err != io.EOF {
		t.Fatalf("%v:\n%s", err, raw)
	}
	return parts[0].body, perMessage, perRcpt
}

func TestABounceSaysWhoRefused(t *testing.T) {
	t.Parallel()
	home, r, _ := between(t, peers.Config{Users: []string{"bob@there.test"}})
	submit(t, home.Addr, "<ann@home.test>", []string{"<nobody@there.test>"}, message("lost@home.test", "The bridge", "Dear Nobody\r\n"))

	raw := one(t, home, "ann@home.test")
	text, perMessage, perRcpt := failure(t, raw)
	const words = "<nobody@there.test>: Recipient address rejected: User unknown in virtual mailbox table"
	contains(t, perMessage.Get("Reporting-Mta"), "dns; rider.test")
	contains(t, perRcpt.Get("Final-Recipient"), "rfc822; nobody@there.test")
	contains(t, perRcpt.Get("Action"), "failed")
	contains(t, perRcpt.Get("Status"), "5.1.1")
	contains(t, perRcpt.Get("Remote-Mta"), "dns; [127.0.0.1]")
	contains(t, perRcpt.Get("Diagnostic-Code"), "smtp; 550 5.1.1 "+words)
	text = strings.Join(strings.Fields(text), " ") // its lines are wrapped
	contains(t, text, "answered: > 550 5.1.1", "The refusal is not its own: it comes from 127.0.0.1.", "User unknown")
	contains(t, string(raw), "Return-Path: <>", "Dear Nobody", "Subject: Not delivered: The bridge")

	d := r.waitEvent("lost@home.test", "bounced")
	if e := d.events("bounced")[0]; d.Attempts != 1 || e.Code != 550 || e.Status != "5.1.1" || e.Text != words {
		t.Errorf("trace: %+v", d)
	}
}

var queueID = regexp.MustCompile(`queued as (\w+)`)

func TestMailOutlivesTheNextHop(t *testing.T) {
	t.Parallel()
	home, r, there := between(t, peers.Config{})
	there.Stop()
	submit(t, home.Addr, "<ann@home.test>", []string{"<bob@there.test>"}, message("waits@home.test", "patience", "x\r\n"))
	r.until("second attempt", func() bool { q := r.queue(); return len(q) == 1 && q[0].Attempts >= 2 })
	q := r.queue("--domain", "there.test")[0]
	if q.Last == nil || q.Last.Code != 0 || q.Last.Stage != "connect" || !strings.Contains(q.Last.Text, "connection refused") {
		t.Errorf("queue: %+v, last %+v", q, q.Last)
	}
	there.Start(t)
	there.WaitMail(t, 1, patience)

	d := r.waitEvent("waits@home.test", "relayed")
	if deferred, attempts := len(d.events("deferred")), len(d.events("attempt")); deferred < 2 || attempts != deferred+1 || attempts != d.Attempts {
		t.Errorf("trace: %s, %d attempts", d.kinds(), d.Attempts)
	}
	last := d.Events[len(d.Events)-1]
	id := queueID.FindStringSubmatch(last.Text)
	if last.Kind != "relayed" || last.Code != 250 || id == nil || !strings.Contains(there.Log(), id[1]) {
		t.Errorf("not Postfix's queue id at the end: %+v", last)
	}
	if n := len(r.queue()); n != 0 {
		t.Errorf("%d still wait", n)
	}
}

func TestTLSOut(t *testing.T) {
	t.Parallel()
	r := newRider(t)
	there := peers.Postfix(t, peers.Config{Domains: []string{"there.test", "proven.test"}, TLS: true})
	plain := peers.Postfix(t, peers.Config{Domains: []string{"plain.test"}})
	to := "smtp:" + there.Addr
	r.serve(route("there.test", to, `tls = "require"`), route("proven.test", to, `tls = "verify"`), route("plain.test", "smtp:"+plain.Addr, `tls = "require"`))
	for _, domain := range []string{"there.test", "proven.test", "plain.test"} {
		submit(t, r.Addr, "<ann@home.test>", []string{"<bob@" + domain + ">"}, message(domain+"@home.test", "secret", "x\r\n"))
	}

	required := r.waitEvent("there.test@home.test", "relayed")
	if a := required.events("attempt")[0]; !strings.HasPrefix(a.TLS, "TLS1.3 ") || !strings.HasSuffix(a.TLS, " unverified") {
		t.Errorf("require: %+v", a)
	}
	contains(t, there.Log(), "Anonymous TLS connection established from")
	for find, words := range map[string]string{
		"proven.test@home.test": "certificate signed by unknown authority",
		"plain.test@home.test":  "host does not offer STARTTLS, and the route demands it",
	} {
		e := r.waitEvent(find, "deferred").events("deferred")[0]
		if e.Stage != "tls" || e.Code != 0 || e.Status != "4.7.5" || !strings.Contains(e.Text, words) {
			t.Errorf("%s: %+v", find, e)
		}
	}
	if n := len(plain.Mail("")) + len(there.Mail("bob@proven.test")); n != 0 {
		t.Errorf("%d messages went where they must not", n)
	}

	r.stop()
	r.Env = []string{"SSL_CERT_FILE=" + there.CertFile} // now it is trusted
	r.start()
	a := r.waitEvent("proven.test@home.test", "relayed").events("attempt")
	if last := a[len(a)-1]; !strings.HasSuffix(last.TLS, " verified") {
		t.Errorf("verify: %+v", last)
	}
}

func TestTLSIn(t *testing.T) {
	t.Parallel()
	r := newRider(t)
	out := newSink(t)
	home := peers.Postfix(t, peers.Config{Relay: r.Addr, Extra: "smtp_tls_security_level = encrypt\nsmtp_tls_loglevel = 1"})
	cert, key := filepath.Join(r.Dir, "cert.pem"), filepath.Join(r.Dir, "key.pem")
	first := certify(t, cert, key)
	r.serve(route("*", "smtp:"+out.Addr), fmt.Sprintf("[tls]\ncert = %q\nkey = %q\n", cert, key))

	verify := []string{"--tls-verify", "--tls-ca-path", cert, "--to", "bob@there.test"}
	contains(t, swaks(t, r.Addr, append(verify, "--tls")...), "TLS started with cipher TLSv1.3")
	contains(t, swaks(t, r.Addr, append(verify, "--tls", "--tls-protocol", "tlsv1_2")...), "TLS started with cipher TLSv1.2")
	swaks(t, home.Addr, "--to", "bob@there.test")
	home.WaitLog(t, "TLS connection established to 127.0.0.1", patience)
	for _, m := range out.wait(t, 3) {
		contains(t, string(m.Data), "with ESMTPS")
	}

	served := func() []byte {
		c, err := smtp.Dial(r.Addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.StartTLS(&tls.Config{InsecureSkipVerify: true}); err != nil {
			t.Fatal(err)
		}
		state, _ := c.TLSConnectionState()
		return state.PeerCertificates[0].Raw
	}
	if !bytes.Equal(served(), first) {
		t.Error("another certificate than that of the file")
	}
	// A key that does not fit is half of a change: the old pair stays.
	certify(t, filepath.Join(r.Dir, "other.pem"), key)
	if !bytes.Equal(served(), first) {
		t.Error("half a change changed the certificate")
	}
	second := certify(t, cert, key)
	if !bytes.Equal(served(), second) {
		t.Error("the old certificate is still served")
	}
	swaks(t, r.Addr, append(verify, "--tls")...)
	swaks(t, home.Addr, "--to", "bob@there.test")
	out.wait(t, 5)
}

// TestEximAsNextHop: it offers no DSN here, so a success that was asked for is
// reported by us, as handed on.
func TestEximAsNextHop(t *testing.T) {
	t.Parallel()
	r, back := newRider(t), newSink(t)
	there := peers.Exim(t, peers.Config{Domains: []string{"there.test"}, Users: []string{"bob@there.test"}, TLS: true})
	r.serve(route("there.test", "smtp:"+there.Addr, `tls = "require"`), route("home.test", "smtp:"+back.Addr))
	submit(t, r.Addr, "<ann@home.test>", []string{"<bob@there.test> NOTIFY=SUCCESS", "<nobody@there.test>"}, message("exim@home.test", "to Exim", ".dot\r\n"))

	if m := one(t, there, "bob@there.test"); !bytes.HasSuffix(m, []byte("\n\n.dot\n")) {
		t.Errorf("got:\n%s", m)
	}
	d := r.waitEvent("exim@home.test", "relayed")
	contains(t, d.events("relayed")[0].Text, "OK id=")
	if b := d.events("bounced")[0]; b.Code != 550 || b.Status != "5.1.1" || b.Text != "Unknown user" {
		t.Errorf("refused: %+v", b)
	}
	var reports []byte
	await(t, "both reports", func() bool {
		reports = nil
		for _, m := range back.mail() {
			reports = append(reports, m.Data...)
		}
		return bytes.Contains(reports, []byte("Action: relayed")) && bytes.Contains(reports, []byte("Action: failed"))
	})
	contains(t, string(reports), "Final-Recipient: rfc822; bob@there.test", "Final-Recipient: rfc822; nobody@there.test", "OK id=")
}

// TestOpenSMTPDWithABrokenTLS: Debian's 6.8.0p2 offers STARTTLS and fails every
// handshake. Where TLS is a courtesy the mail must go on without.
func TestOpenSMTPDWithABrokenTLS(t *testing.T) {
	t.Parallel()
	r := newRider(t)
	there := peers.OpenSMTPD(t, peers.Config{Domains: []string{"there.test", "secret.test"}, TLS: true})
	r.serve(route("secret.test", "smtp:"+there.Addr, `tls = "require"`), route("*", "smtp:"+there.Addr))
	submit(t, r.Addr, "<ann@home.test>", []string{"<bob@there.test>"}, message("may@home.test", "to OpenSMTPD", ".dot\r\n"))
	submit(t, r.Addr, "<ann@home.test>", []string{"<bob@secret.test>"}, message("must@home.test", "secret", "x\r\n"))

	if m := one(t, there, "bob@there.test"); !bytes.HasSuffix(m, []byte("\n\n.dot\n")) {
		t.Errorf("got:\n%s", m)
	}
	d := r.waitEvent("may@home.test", "relayed")
	contains(t, d.events("relayed")[0].Text, "Message accepted for delivery")
	if a := d.events("attempt"); len(a) != 1 || a[0].TLS != "" {
		t.Errorf("attempts: %+v", a)
	}
	if e := r.waitEvent("must@home.test", "deferred").events("deferred")[0]; e.Stage != "tls" || !strings.Contains(e.Text, "TLS handshake failed") {
		t.Errorf("require: %+v", e)
	}
	if n := len(there.Mail("bob@secret.test")); n != 0 {
		t.Error("secret mail went in plain text")
	}
}

func TestDovecotBySocketAndByTCP(t *testing.T) {
	t.Parallel()
	r, back := newRider(t), newSink(t)
	there := peers.DovecotLMTP(t, peers.Config{Users: []string{"bob@there.test", "bob@tcp.test"}, TLS: true})
	r.serve(route("there.test", "lmtp:unix:"+there.Socket), route("tcp.test", "lmtp:"+there.Addr, `tls = "require"`), route("home.test", "smtp:"+back.Addr))
	for _, domain := range []string{"there.test", "tcp.test"} {
		id := "two@" + domain
		submit(t, r.Addr, "<ann@home.test>", []string{"<bob@" + domain + ">", "<nobody@" + domain + ">"}, message(id, "for two", ".dot\r\n"))
		if m := one(t, there, "bob@"+domain); !bytes.HasSuffix(m, []byte("\n\n.dot\n")) {
			t.Errorf("got:\n%s", m)
		}
		d := r.waitEvent(id, "delivered")
		e := d.events("delivered")[0]
		contains(t, e.Text, "<bob@"+domain+">", "Saved")
		b := d.events("bounced")
		if len(b) != 1 || b[0].Code != 550 || b[0].Status != "5.1.1" || !slices.Equal(b[0].Recipients, []string{"nobody@" + domain}) || d.State != "mixed" {
			t.Errorf("%s: %s, %+v", id, d.State, b)
		}
	}
	for _, m := range back.wait(t, 2) {
		_, _, perRcpt := failure(t, m.Data)
		contains(t, perRcpt.Get("Final-Recipient"), "rfc822; nobody@")
		contains(t, perRcpt.Get("Diagnostic-Code"), "550 5.1.1 <nobody@")
	}
}

// TestDovecotOverQuota: it is Dovecot's setting whether a full mailbox refuses
// mail for good or lets it wait, and postrider follows its word.
func TestDovecotOverQuota(t *testing.T) {
	t.Parallel()
	r, back := newRider(t), newSink(t)
	never := peers.DovecotLMTP(t, peers.Config{Quota: "2k"})
	later := peers.DovecotLMTP(t, peers.Config{Quota: "2k", Extra: "quota_full_tempfail = yes"})
	r.serve(route("never.test", "lmtp:unix:"+never.Socket), route("later.test", "lmtp:"+later.Addr), route("home.test", "smtp:"+back.Addr))
	large := strings.Repeat("long ", 1000) + "\r\n"
	for _, domain := range []string{"never.test", "later.test"} {
		submit(t, r.Addr, "<ann@home.test>", []string{"<bob@" + domain + ">"}, message("large@"+domain, "large", large))
	}
	if e := r.waitEvent("large@never.test", "bounced").events("bounced")[0]; e.Code != 552 || e.Status != "5.2.2" || e.Stage != "dot" {
		t.Errorf("refused: %+v", e)
	}
	_, _, perRcpt := failure(t, back.wait(t, 1)[0].Data)
	contains(t, perRcpt.Get("Status"), "5.2.2")
	if e := r.waitEvent("large@later.test", "deferred").events("deferred")[0]; e.Code != 452 || e.Status != "4.2.2" {
		t.Errorf("deferred: %+v", e)
	}
	if q := r.queue("--reply", "4.2.2"); len(q) != 1 || q[0].Domain != "later.test" {
		t.Errorf("queue: %+v", q)
	}
}

func TestTheNextSmarthostTakesOver(t *testing.T) {
	t.Parallel()
	r := newRider(t)
	dead := claimAddr(t)
	there := peers.Postfix(t, peers.Config{Domains: []string{"there.test"}})
	r.serve(route("*", "smtp:"+dead+" smtp:"+there.Addr))
	submit(t, r.Addr, "<ann@home.test>", []string{"<bob@there.test>"}, message("failover@home.test", "over", "x\r\n"))
	there.WaitMail(t, 1, patience)
	if d := r.waitEvent("failover@home.test", "relayed"); d.kinds() != "accepted attempt relayed" || d.Attempts != 1 {
		t.Errorf("trace: %s, %d attempts", d.kinds(), d.Attempts)
	}
}

func TestSwaksPipelinesAndSpeaksLMTP(t *testing.T) {
	t.Parallel()
	r, out := newRider(t), newSink(t)
	r.serve(route("*", "smtp:"+out.Addr))
	contains(t, swaks(t, r.Addr, "--pipeline", "--to", "bob@there.test,eve@there.test,kim@else.test", "--body", "pipelined"), "PIPELINING", "Ours now, queued as")
	contains(t, swaks(t, r.LMTP, "--protocol", "LMTP", "--to", "bob@there.test,eve@there.test", "--body", "by LMTP"), "LHLO swaks.test")
	got, code := peers.Swaks(t, "--socket", r.Socket, "--protocol", "LMTP", "--from", "ann@home.test", "--to", "bob@there.test", "--body", "by socket")
	if code != 0 {
		t.Fatalf("at the socket: exit %d\n%s", code, got)
	}
	count := map[string]int{}
	await(t, "all recipients at the sink", func() bool {
		clear(count)
		n := 0
		for _, m := range out.mail() {
			for _, body := range []string{"pipelined", "by LMTP", "by socket"} {
				if bytes.Contains(m.Data, []byte(body)) {
					count[body] += len(m.To)
					n += len(m.To)
				}
			}
		}
		return n >= 6
	})
	if count["pipelined"] != 3 || count["by LMTP"] != 2 || count["by socket"] != 1 {
		t.Errorf("recipients: %v", count)
	}
	for _, m := range out.mail() {
		if bytes.Contains(m.Data, []byte("by LMTP")) {
			contains(t, string(m.Data), "with LMTP")
		}
	}
	// LMTP answers for each recipient (RFC 2033 4.2); the other is refused alone.
	part, code := peers.Swaks(t, "--server", r.LMTP, "--protocol", "LMTP", "--from", "ann@home.test", "--to", "bob@there.test,nobody@rider.test")
	if code != 0 || !strings.Contains(part, "<** 550 5.1.1") {
		t.Errorf("exit %d\n%s", code, part)
	}
	if _, err := os.Stat(r.Socket); err != nil {
		t.Error(err)
	}
}
