//go:build linux

package test

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/postrider/postrider/test/peers"
)

// signingKey writes a new private key and returns its record for the DNS.
func signingKey(t *testing.T, file, kind string) (record string) {
	t.Helper()
	var private any
	var public []byte
	var err error
	switch kind {
	case "rsa":
		var k *rsa.PrivateKey
		if k, err = rsa.GenerateKey(rand.Reader, 2048); err == nil {
			private = k
			public, err = x509.MarshalPKIXPublicKey(k.Public())
		}
	case "ed25519":
		var pub crypto.PublicKey
		pub, private, err = ed25519.GenerateKey(rand.Reader)
		public = pub.(ed25519.PublicKey)
	}
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	write(t, file, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	return "v=DKIM1; k=" + kind + "; p=" + base64.StdEncoding.EncodeToString(public)
}

// inStrings writes a text as a TXT record, whose strings have at most 255 octets.
func inStrings(text string) string {
	var all []string
	for len(text) > 200 {
		all, text = append(all, fmt.Sprintf("%q", text[:200])), text[200:]
	}
	return "TXT " + strings.Join(append(all, fmt.Sprintf("%q", text)), " ")
}

// TestWhatIsOursIsSigned: what our clients send, what is sent on this machine and
// what we write ourselves is signed with each key of the domain; OpenDKIM and another
// postrider say so. What strangers send is not.
func TestWhatIsOursIsSigned(t *testing.T) {
	t.Parallel()
	home, out, back := newRider(t), newSink(t), newSink(t)
	pem1, pem2, pem3 := filepath.Join(home.Dir, "1.pem"), filepath.Join(home.Dir, "2.pem"), filepath.Join(home.Dir, "3.pem")
	records := map[string]string{"s1": signingKey(t, pem1, "rsa"), "s2": signingKey(t, pem2, "ed25519"), "s3": signingKey(t, pem3, "rsa")}
	zoneText, keyData := "_dmarc.author.test TXT \"v=DMARC1; p=reject\"\n", ""
	for selector, record := range records {
		zoneText += selector + "._domainkey.author.test " + inStrings(record) + "\n"
		keyData += selector + "._domainkey.author.test " + record + "\n"
	}
	z := newZone(t, zoneText)
	sign := func(selector, file string) string {
		return fmt.Sprintf("[[sign]]\ndomain = \"author.test\"\nselector = %q\nkey = %q\n", selector, file)
	}
	routes := route("there.test", "smtp:"+out.Addr) + route("author.test", "smtp:"+back.Addr) + "[[rule]]\nname = \"anybody\"\nthen = \"accept\"\n"
	home.guard(z, routes, sign("s1", pem1), sign("s2", pem2))

	body := ".dots\r\n\r\ntrailing  \r\nGr\xc3\xbc\xc3\x9fe\r\n\r\n\r\n"
	letter := func(id string) []byte {
		return bytes.ReplaceAll(message(id, "signed", body), []byte("ann@home.test"), []byte("ann@author.test"))
	}
	submit(t, home.Addr, "<ann@author.test> BODY=8BITMIME", []string{"<bob@there.test>"}, letter("client@author.test"))
	cmd := exec.Command(home.program, "send", "--config", home.config(), "-f", "ann@author.test", "bob@there.test")
	cmd.Stdin = strings.NewReader("From: ann@author.test\nSubject: signed\n\nfrom this machine\n")
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("send: %v\n%s", err, said)
	}
	submit(t, home.Addr, "<ann@author.test>", []string{"<bob@nowhere.test>"}, letter("lost@author.test")) // no such domain

	texts := map[string][]byte{"a notice": back.wait(t, 1)[0].Data}
	for _, m := range out.wait(t, 2) {
		what := "of this machine"
		if bytes.Contains(m.Data, []byte("client@author.test")) {
			what = "of a client"
		}
		texts[what] = m.Data
	}
	verifies := peers.OpenDKIM(t, peers.Config{Files: map[string]string{"dns": keyData},
		Extra: "Mode v\nAlwaysAddARHeader yes\nAuthservID opendkim.test\nTestDNSData file:/srv/dns"})
	there, box := newRider(t), newSink(t)
	there.guard(z, route("author.test", "smtp:"+box.Addr), fmt.Sprintf(
		"[[filter]]\nname = \"opendkim\"\nkind = \"milter\"\nto = \"inet:%s\"\n[[rule]]\nname = \"opendkim\"\nfilter = \"opendkim\"\non_fault = \"defer\"\n[[rule]]\nuse = \"dmarc-reject\"\n", verifies.Addr))
	for what, text := range texts {
		head, _, _ := bytes.Cut(text, []byte("\r\n\r\n"))
		if n := bytes.Count(head, []byte("DKIM-Signature:")); n != 2 {
			t.Errorf("%s: %d signatures:\n%s", what, n, text)
		}
		if got := try(t, there.Addr, "<>", []string{"<bob@author.test>"}, text); got != "250" {
			t.Errorf("%s: %s", what, got)
		}
		if got := try(t, there.Addr, "<>", []string{"<bob@author.test>"}, append(text[:len(text):len(text)], "more\r\n"...)); !strings.HasPrefix(got, "550 5.7.26 dmarc-reject") {
			t.Errorf("%s and more: %s", what, got)
		}
	}
	for _, m := range box.wait(t, len(texts)) {
		head, _, _ := strings.Cut(string(m.Data), "DKIM-Signature:")
		plain := strings.Join(strings.Fields(head), " ")
		contains(t, plain, "Authentication-Results: opendkim.test; dkim=pass (2048-bit key", "dmarc=pass header.from=",
			"dkim=pass header.d=author.test header.s=s1 header.a=rsa-sha256", "dkim=pass header.d=author.test header.s=s2 header.a=ed25519-sha256")
	}

	// Another key is used from the next message on.
	home.configureGuard(z, routes, sign("s3", pem3))
	home.process.Signal(syscall.SIGHUP)
	home.until("the new configuration", func() bool { return strings.Contains(home.log(), "the new configuration is in force") })
	submit(t, home.Addr, "<ann@author.test>", []string{"<bob@there.test>"}, letter("third@author.test"))
	third := string(out.wait(t, 3)[2].Data)
	contains(t, third, "s=s3;")
	if strings.Contains(third, "s=s1;") {
		t.Error("the old key still signs")
	}

	// A stranger's mail in our name is not.
	if got := try(t, home.Addr, "<ann@author.test>", []string{"<bob@author.test>"}, letter("forged@author.test")); got != "250" {
		t.Fatal(got)
	}
	if forged := back.wait(t, 2)[1].Data; bytes.Contains(forged, []byte("DKIM-Signature")) {
		t.Errorf("signed:\n%s", forged)
	}
}

// TestWhatAFilterChangesIsSignedAfterIt: the signature is over what goes out.
func TestWhatAFilterChangesIsSignedAfterIt(t *testing.T) {
	t.Parallel()
	r, box := newRider(t), newSink(t)
	key := filepath.Join(r.Dir, "key.pem")
	z := newZone(t, "s1._domainkey.author.test "+inStrings(signingKey(t, key, "rsa"))+"\nthere.test TXT \"v=spf1 -all\"\n")
	front, back := claimAddr(t), claimAddr(t)
	scan, err := newScanner(front, back, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(scan.close)
	r.guard(z, route("*", "smtp:"+box.Addr), fmt.Sprintf("[[filter]]\nname = \"scan\"\nkind = \"smtp\"\nto = \"smtp:%s\"\nback = %q\n", front, back),
		fmt.Sprintf("[[sign]]\ndomain = \"author.test\"\nselector = \"s1\"\nkey = %q\n[[rule]]\nname = \"anybody\"\nthen = \"accept\"\n", key))
	letter := bytes.ReplaceAll(message("1@author.test", "signed", "text\r\n"), []byte("ann@home.test"), []byte("ann@author.test"))
	submit(t, r.Addr, "<ann@author.test>", []string{"<bob@there.test>"}, letter)
	signed := box.wait(t, 1)[0].Data
	if n := bytes.Count(signed, []byte("DKIM-Signature:")); n != 1 || !bytes.Contains(signed, []byte("Subject: [seen] signed\r\n")) {
		t.Errorf("%d signatures:\n%s", n, signed)
	}
	if got := try(t, r.Addr, "<ann@author.test>", []string{"<bob@author.test>"}, letter); got != "250" {
		t.Fatal(got)
	}
	if forged := box.wait(t, 2)[1].Data; bytes.Contains(forged, []byte("DKIM-Signature:")) {
		t.Errorf("a stranger's is signed:\n%s", forged)
	}
	there, last := newRider(t), newSink(t)
	there.guard(z, route("author.test", "smtp:"+last.Addr), "[[rule]]\nname = \"look\"\ndkim = \"fail\"\nthen = \"refuse\"\n")
	if got := try(t, there.Addr, "<ann@author.test>", []string{"<bob@author.test>"}, signed); got != "250" {
		t.Error(got)
	}
	contains(t, string(last.wait(t, 1)[0].Data), "dkim=pass header.d=author.test header.s=s1")
}
