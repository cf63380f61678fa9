package filter

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postrider/postrider/mail"
	"github.com/postrider/postrider/test/peers"
)

// asking returns a milter that asks a real filter.
func asking(t *testing.T, s *peers.Server, change func(*MilterOptions)) *Milter {
	t.Helper()
	o := MilterOptions{Name: "real", Address: s.Addr}
	if change != nil {
		change(&o)
	}
	m, err := NewMilter(o)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// signer returns a key as OpenDKIM reads it, and its record in the DNS.
func signer(t *testing.T) (key, record string) {
	t.Helper()
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	pub, err := x509.MarshalPKIXPublicKey(&k.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	der := x509.MarshalPKCS1PrivateKey(k)
	return string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: der})),
		"v=DKIM1; k=rsa; p=" + base64.StdEncoding.EncodeToString(pub)
}

// OpenDKIM signs over what it is told, octet by octet: a blank, a fold or an end of
// line that was not passed on as it stands would break the signature.
func TestOpenDKIMSignsAndVerifies(t *testing.T) {
	t.Parallel()
	key, record := signer(t)
	verifies := asking(t, peers.OpenDKIM(t, peers.Config{Files: map[string]string{"dns": "s._domainkey.example.net " + record + "\n"},
		Extra: "Mode v\nAlwaysAddARHeader yes\nAuthservID mx1.example.com\nTestDNSData file:/srv/dns"}), nil)
	bodies := map[string]string{"usual": "Hello\r\n", "none": "", "large": strings.Repeat("a line of text \r\n\r\n", 20000), "8-bit": "gr\xc3\xbc\xdf\r\n\r\n\r\n"}
	for _, canonical := range []string{"simple/simple", "relaxed/relaxed"} {
		signs := peers.OpenDKIM(t, peers.Config{Files: map[string]string{"key": key},
			Extra: "Mode s\nDomain example.net\nSelector s\nKeyFile /srv/key\nInternalHosts 192.0.2.0/24\nCanonicalization " + canonical})
		for name, body := range bodies {
			for _, version := range []int{6, 2} {
				m := letter(body)
				if version == 2 { // in which OpenDKIM takes all blanks behind the colon for one
					m.Header = mail.Header(strings.Replace(string(m.Header), ":  ", ": ", 1))
				}
				op, err := asking(t, signs, func(o *MilterOptions) { o.Version = version }).Ask(t.Context(), m)
				if err != nil {
					t.Fatalf("%s, %s, version %d: %v", canonical, name, version, err)
				}
				if len(op.Changes) != 1 || op.Changes[0].Kind != InsertHeader || op.Changes[0].Name != "DKIM-Signature" {
					t.Fatalf("%s, %s, version %d: not signed: %+v", canonical, name, version, op)
				}
				if m.Header, err = Apply(nil, m.Header, op.Changes); err != nil {
					t.Fatal(err)
				}
				m.Client = netip.MustParseAddrPort("198.51.100.7:40000")
				expect(t, verifies, m, "dkim=pass")
				m.Body, m.Size = strings.NewReader(body+"more\r\n"), m.Size+6
				expect(t, verifies, m, "dkim=fail")
			}
		}
	}
}

// TestALongFieldEvadesNoFilter: libmilter closes the connection at more than it takes. What
// OpenDKIM itself takes of a header, 64 KiB by default, it says in words.
func TestALongFieldEvadesNoFilter(t *testing.T) {
	t.Parallel()
	verifies := asking(t, peers.OpenDKIM(t, peers.Config{Extra: "Mode v\nAlwaysAddARHeader yes\nMaximumHeaders 0\nAuthservID mx1.example.com"}), nil)
	m := letter("Hello\r\n")
	m.Header = mail.Header("X-Long: a\r\n" + strings.Repeat(" "+strings.Repeat("b", 60)+"\r\n", 2000) + string(m.Header))
	expect(t, verifies, m, "dkim=none")
}

// expect asks a verifier, whose Authentication-Results must hold words.
func expect(t *testing.T, by *Milter, m *Message, words string) {
	t.Helper()
	op, err := by.Ask(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	header, err := Apply([]byte("Received: by us\r\n"), m.Header, op.Changes)
	if err != nil {
		t.Fatal(err)
	}
	if v := mail.Header(header).Get("Authentication-Results"); !strings.HasPrefix(v, "mx1.example.com") || !strings.Contains(v, words) {
		t.Errorf("no %q: %q", words, v)
	}
}

// gtube is what every spam filter takes for spam (spamassassin.apache.org/gtube).
const gtube = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X\r\n"

func TestRspamdAddsHeadersAndRejectsSpam(t *testing.T) {
	t.Parallel()
	s := peers.Rspamd(t, peers.Config{})
	spam := Opinion{Action: Refuse, Reply: mail.Reply{Code: 554, Status: mail.Status{5, 7, 1}, Text: "Gtube pattern"}}
	for _, addr := range []string{s.Addr, "unix:" + relay(t, s.Addr)} {
		m := asking(t, s, func(o *MilterOptions) { o.Address = addr })
		msg := letter("Hello\r\n")
		op, err := m.Ask(t.Context(), msg)
		if err != nil {
			t.Fatal(err)
		}
		header, err := Apply(nil, msg.Header, op.Changes)
		if err != nil || op.Action != Accept {
			t.Fatalf("%+v, %v", op, err)
		}
		if v := mail.Header(header).Get("X-Spam-Status"); !strings.HasPrefix(v, "No, score=") {
			t.Errorf("X-Spam-Status: %q", v)
		}
		if v := mail.Header(header).Get("X-Spamd-Result"); !strings.Contains(v, "FROM_EQ_ENVFROM") || !strings.Contains(v, "MID_RHS_MATCH_FROM") {
			t.Errorf("X-Spamd-Result: %q", v)
		}
		if op, err = m.Ask(t.Context(), letter(gtube)); err != nil || fmt.Sprint(op) != fmt.Sprint(spam) {
			t.Errorf("spam: %+v, %v", op, err)
		}
		if op, err = m.Ask(t.Context(), letter(strings.Repeat("a line of text\r\n", 20000))); err != nil || op.Action != Accept {
			t.Errorf("large: %+v, %v", op, err)
		}
	}
	log := s.Log()
	for _, want := range []string{"qid: <7K3M9Q>", "ip: 192.0.2.7", "from: <ann@example.net>", "rcpts: <bob@example.com,eve@example.com>", "(default: S (reject)", "len: 320"} {
		if !strings.Contains(log, want) {
			t.Errorf("rspamd does not log %q", want)
		}
	}
}

// relay makes a Unix socket that leads to a TCP address.
func relay(t *testing.T, addr string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", addr)
			if err != nil {
				near.Close()
				return
			}
			go func() { io.Copy(far, near); far.Close() }()
			go func() { io.Copy(near, far); near.Close() }()
		}
	}()
	return path
}
