package auth

import (
	"bytes"
	"context"
	"crypto/x509"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/internal/dns"
	"github.com/postrider/postrider/test/peers"
)

// letters are messages whose bytes are easily counted in two ways.
func letters() map[string]string {
	head, _, _ := strings.Cut(letter, "\r\n\r\n")
	head += "\r\n\r\n"
	return map[string]string{
		"usual":         letter,
		"empty":         head,
		"only a line":   head + "\r\n",
		"blank lines":   head + "\r\n\r\n\r\n",
		"white space":   head + "a \t b \r\n \t\r\n\r\nc\t\r\n \r\n",
		"8-bit":         strings.Replace(head, "in the park", "im Gr\xc3\xbcnen", 1) + "gr\xc3\xbc\xc3\x9fe\r\n",
		"long line":     head + strings.Repeat("x", 5000) + "\r\n",
		"large":         head + strings.Repeat("a line of text \r\n\r\n", 20000),
		"two of a kind": "Comments: one\r\nCc: a@example.net\r\nCc: b@example.net\r\n" + head + "x\r\n",
		"odd fields":    "SUBJECT :  odd\r\nX-Empty:\r\n" + strings.Replace(head, "Subject:", "X-Subject:", 1) + "x\r\n",
	}
}

// openDKIM runs a program of OpenDKIM's, whose packages scripts/peers.sh unpacks,
// and returns what it printed. It asks no name server: what it may know of the DNS
// stands in its configuration.
func openDKIM(t *testing.T, stdin, program string, args ...string) string {
	t.Helper()
	tree := peers.Tree(t, "opendkim")
	libs, _ := filepath.Glob(filepath.Join(tree, "usr/lib/*-linux-gnu"))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(tree, "usr/sbin", program), args...)
	cmd.Env = []string{"PATH=/usr/bin:/bin", "LD_LIBRARY_PATH=" + strings.Join(append(libs, filepath.Join(tree, "usr/lib")), ":")}
	cmd.Stdin = strings.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v: %s", program, err, errs.String())
	}
	return out.String()
}

func write600(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// each lets opendkim look at all messages in its test mode, and returns what it
// printed about each, behind a mark.
func each(t *testing.T, conf string, msgs map[string]string, verbose, mark string) map[string]string {
	t.Helper()
	dir := t.TempDir()
	names := slices.Sorted(maps.Keys(msgs))
	var files []string
	for i, name := range names {
		files = append(files, write600(t, filepath.Join(dir, fmt.Sprint(i)), msgs[name]))
	}
	out := openDKIM(t, "", "opendkim", "-x", write600(t, filepath.Join(dir, "conf"), conf), verbose, "-t", strings.Join(files, ","))
	parts := strings.Split(out, mark)
	if len(parts) != len(names)+1 {
		t.Fatalf("%d answers for %d messages: %s", len(parts)-1, len(names), out)
	}
	said := map[string]string{}
	for i, name := range names {
		said[name], _, _ = strings.Cut(parts[i+1], "opendkim: ")
	}
	return said
}

func TestOpenDKIMVerifiesOurSignatures(t *testing.T) {
	var records strings.Builder
	for _, k := range exampleKeys() {
		name, text := k.Record()
		fmt.Fprintf(&records, "%s %s\n", name, text)
	}
	conf := "Mode v\nAlwaysAddARHeader yes\nTestDNSData file:" + write600(t, filepath.Join(t.TempDir(), "dns"), records.String()) + "\n"
	for _, c := range []struct{ more, want string }{{"", "pass"}, {"more\r\n", "fail"}} {
		msgs := map[string]string{}
		for name, msg := range letters() {
			msgs[name] = sealed(t, msg, exampleKeys()...) + c.more
		}
		for name, out := range each(t, conf, msgs, "-vv", "### INSHEADER") {
			results := strings.Split(out, "dkim=")
			for i, k := range exampleKeys() {
				if len(results) != 3 || !strings.HasPrefix(results[i+1], c.want) || !strings.Contains(results[i+1], "header.s="+k.Selector) {
					t.Errorf("%s: want %s of selector %s: %s", name, c.want, k.Selector, out)
				}
			}
		}
	}
}

func TestOpenDKIMsSignaturesAreVerified(t *testing.T) {
	z := new(dns.Zone)
	publish(z, exampleKeys()...)
	for _, k := range exampleKeys() {
		file := write600(t, filepath.Join(t.TempDir(), "key"), string(armored(t, k)))
		for _, how := range []string{"simple/simple", "relaxed/simple", "simple/relaxed", "relaxed/relaxed"} {
			msgs := letters()
			if strings.HasPrefix(how, "simple/") {
				if k.Selector == "ed" {
					continue // it does not verify its own ones either
				}
				delete(msgs, "odd fields") // the milter protocol has no blank before the colon
			}
			out := each(t, strings.Join([]string{"Mode s", "Domain example.com", "Selector " + k.Selector,
				"KeyFile " + file, "RequireSafeKeys no", "Canonicalization " + how, "OversignHeaders From", "SignatureTTL 3600",
				"SignatureAlgorithm " + algorithm(k.Private) + "-sha256", ""}, "\n"), msgs, "-v", "DKIM-Signature: ")
			for name, msg := range msgs {
				msg = "DKIM-Signature: " + strings.TrimRight(out[name], "\r\n") + "\r\n" + msg
				if s := verify(t, z, msg); len(s) != 1 || s[0].Result != Pass {
					t.Errorf("%s, %s, %s: %+v", k.Selector, how, name, s)
				}
				if s := verify(t, z, msg+"more\r\n"); len(s) != 1 || s[0].Result != Fail {
					t.Errorf("%s, %s, %s, changed: %+v", k.Selector, how, name, s)
				}
			}
		}
	}
}

func armored(t *testing.T, k Key) []byte {
	der, err := x509.MarshalPKCS8PrivateKey(k.Private)
	return armor(t, "PRIVATE KEY", der, err)
}

// opendkim-testmsg signs with SHA-1: true, and yet proof of nothing.
func TestATrueSignatureWithSHA1IsRefused(t *testing.T) {
	dir := t.TempDir()
	key := exampleKeys()[0]
	file := write600(t, filepath.Join(dir, "key"), string(armored(t, key)))
	msg := openDKIM(t, letter, "opendkim-testmsg", "-C", "-d", key.Domain, "-s", key.Selector, "-k", file, "-t", dir)
	z := new(dns.Zone)
	publish(z, key)
	if s := verify(t, z, msg); len(s) != 1 || s[0].Result != Policy || s[0].Algorithm != "rsa-sha1" {
		t.Errorf("%+v", s)
	}
}
