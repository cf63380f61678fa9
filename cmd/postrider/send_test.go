package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postrider/postrider/internal/api"
	"github.com/postrider/postrider/internal/config"
)

func TestTheWordsOfSendmailAreUnderstood(t *testing.T) {
	for _, c := range []struct {
		args string
		want submission
	}{
		{"bob", submission{mode: 'm', to: []string{"bob"}}},
		{"-t", submission{mode: 'm', fromHdr: true}},
		{"-ti", submission{mode: 'm', fromHdr: true, dots: true}},
		{"-t -i", submission{mode: 'm', fromHdr: true, dots: true}},
		{"-oi -oem -FCronDaemon -odi -f ann@a.test bob carl", submission{mode: 'm', dots: true, name: "CronDaemon", from: "ann@a.test", to: []string{"bob", "carl"}}},
		{"-fann@a.test -N failure,delay -R hdrs -V abc -- -bob", submission{mode: 'm', from: "ann@a.test", notify: "failure,delay", ret: "hdrs", envid: "abc", to: []string{"-bob"}}},
		{"-r ann@a.test -v -Am -q15m -O Timeout=1s -h 3 -B 8BITMIME -p smtp bob", submission{mode: 'm', from: "ann@a.test", to: []string{"bob"}}},
		{"-bs", submission{mode: 's'}}, {"-bp", submission{mode: 'p'}}, {"-bi", submission{mode: 'i'}}, {"-bm bob", submission{mode: 'm', to: []string{"bob"}}},
		{"-c a.toml", submission{mode: 'm', config: "a.toml"}}, {"--config a.toml", submission{mode: 'm', config: "a.toml"}}, {"--config=a.toml", submission{mode: 'm', config: "a.toml"}},
	} {
		got, err := parseSendmail(strings.Fields(c.args))
		if err != nil {
			t.Errorf("%s: %v", c.args, err)
			continue
		}
		if d := cmp.Diff(c.want, got, cmp.AllowUnexported(submission{})); d != "" {
			t.Errorf("%s: -want +got\n%s", c.args, d)
		}
	}
	for _, args := range [][]string{{"-f", "", "bob"}, {"-r", "", "bob"}, {"-f", "<>", "bob"}, {"-f<>", "bob"}} {
		if got, err := parseSendmail(args); err != nil || got.from != "<>" || len(got.to) != 1 {
			t.Errorf("%q: %+v, %v", args, got, err)
		}
	}
	for _, bad := range []string{"-Z", "-f", "-bd", "-bX", "-N", "--config"} {
		if got, err := parseSendmail(strings.Fields(bad)); err == nil {
			t.Errorf("%s: understood as %+v", bad, got)
		}
	}
}

func TestAHeaderIsReadAsPeopleWriteIt(t *testing.T) {
	for _, c := range []struct{ text, head, rest string }{
		{"To: a\nCc: b\n\nbody\n", "To: a\nCc: b\n\n", "body\n"},
		{"To: a\r\nCc: b\r\n\r\nbody\r\n", "To: a\r\nCc: b\r\n", "\r\nbody\r\n"},
		{"To: a\n b\n\tc\n\nbody\n", "To: a\n b\n\tc\n\n", "body\n"},
		{"just text\nmore\n", "\njust text\n", "more\n"},
		{"To: a\njust text\n", "To: a\n\njust text\n", ""},
		{"From ann Mon Jan 1\nTo: a\n\nbody\n", "To: a\n\n", "body\n"},
		{"\nbody\n", "", "\nbody\n"},
		{"", "", ""},
		{"To: a", "To: a", ""},
	} {
		in := bufio.NewReader(strings.NewReader(c.text))
		head, err := readHeader(in)
		rest, _ := io.ReadAll(in)
		if err != nil || string(head) != c.head || string(rest) != c.rest {
			t.Errorf("%q: %q, then %q (%v)", c.text, head, rest, err)
		}
	}
	if _, err := readHeader(bufio.NewReader(strings.NewReader(strings.Repeat("a: b\n", maxHeader)))); err == nil {
		t.Error("a header without end is read")
	}
}

func TestRecipientsOfTheHeader(t *testing.T) {
	head := "To: Bob <bob@a.test>, \"Doe, Carl\" <carl@a.test>\nCc: root, bob@a.test\nBcc: eve@b.test\nReply-To: no@c.test\n\n"
	got, err := recipients([]byte(head), []string{"carl@a.test"})
	if want := []string{"bob@a.test", "root", "eve@b.test"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%q (%v), want %q", got, err, want)
	}
	if got := string(withoutBcc([]byte(head))); strings.Contains(got, "eve") || !strings.HasSuffix(got, "Reply-To: no@c.test\n\n") {
		t.Errorf("without Bcc: %q", got)
	}
	if got, err := recipients([]byte("To: a b c <\n"), nil); err == nil {
		t.Errorf("nonsense is read as %q", got)
	}
}

func TestALineOfOneDotEndsTheText(t *testing.T) {
	long := strings.Repeat("x", 100_000)
	for _, c := range []struct{ in, want string }{
		{"a\n.\nb\n", "a\n"}, {"a\r\n.\r\nb\n", "a\r\n"}, {".\n", ""}, {"a\n..\n.b\n", "a\n..\n.b\n"}, {"a\n.", "a\n."},
		{long + ".\n.\nb", long + ".\n"}, {"", ""}, {"a", "a"},
	} {
		got, err := io.ReadAll(&untilDot{in: bufio.NewReader(strings.NewReader(c.in))})
		if err != nil || string(got) != c.want {
			t.Errorf("%.40q: %.40q (%v)", c.in, got, err)
		}
	}
}

func TestWhatAPipeSaysIsMadeFitForTheWire(t *testing.T) {
	var b bytes.Buffer
	w := &wireEnds{w: &b}
	for _, s := range []string{"a\n", "b\r\n", "c\r", "\nd\n\n"} {
		io.WriteString(w, s)
	}
	if got := b.String(); got != "a\r\nb\r\nc\r\nd\r\n\r\n" {
		t.Errorf("%q", got)
	}
}

func TestHiddenHosts(t *testing.T) {
	n := config.Notices{HideHosts: []string{"mail.a.test", "*.internal"}, HideNets: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
	for host, want := range map[string]bool{
		"mail.a.test": true, "MAIL.a.test": true, "x.mail.a.test": false, "a.internal": true, "internal": false, "notinternal": false,
		"10.1.2.3": true, "[10.1.2.3]": true, "::ffff:10.1.2.3": true, "192.0.2.1": false, "": false,
	} {
		if hidden(n, host) != want {
			t.Errorf("%q hidden: %t", host, !want)
		}
	}
}

func TestExitCodes(t *testing.T) {
	for _, c := range []struct {
		args string
		want int
	}{
		{"postrider version", exitDone}, {"postrider --help", exitDone}, {"postrider queue --help", exitDone}, {"postrider send --help", exitDone},
		{"postrider", exitUsage}, {"postrider dance", exitUsage}, {"postrider queue bogus", exitUsage}, {"postrider queue --bogus", exitUsage},
		{"postrider remove --domain=", exitUsage}, {"postrider reroute --id x --via=", exitUsage}, {"postrider queue --domain a.test --state=", exitUsage},
		{"postrider check -c nowhere.toml", exitNo}, {"postrider serve -c nowhere.toml", exitNo}, {"postrider queue -c nowhere.toml", exitNo},
		{"sendmail -Z", exUsage}, {"sendmail -c nowhere.toml bob", exConfig}, {"postrider -c nowhere.toml send bob", exConfig}, {"newaliases", exitDone},
	} {
		var out, errs bytes.Buffer
		if got := run(strings.Fields(c.args), streams{strings.NewReader(""), &out, &errs}); got != c.want {
			t.Errorf("%s: exit %d, want %d\n%s%s", c.args, got, c.want, &out, &errs)
		}
		if c.want != exitDone && errs.Len() == 0 {
			t.Errorf("%s says nothing", c.args)
		}
	}
}

// endless has no line end, and is angry if somebody looks for one.
type endless struct {
	*testing.T
	read int
}

func (e *endless) Read(b []byte) (int, error) {
	if e.read += len(b); e.read > 2*api.MaxEnvelope {
		e.Fatal("a line without an end is read to its end")
	}
	return len(b), nil
}

func TestAnEnvelopeInTheDropFolderIsBounded(t *testing.T) {
	if q, _, err := dropEnvelope(&endless{T: t}); err == nil {
		t.Errorf("no line is an envelope: %v", q)
	}
	most := url.Values{"to": slices.Repeat([]string{strings.Repeat("l", 64) + "@" + strings.Repeat("d", 255)}, api.MaxRecipients)}
	line, err := json.Marshal(most)
	if err != nil {
		t.Fatal(err)
	}
	q, length, err := dropEnvelope(strings.NewReader(string(line) + "\nSubject: x\n"))
	if err != nil || len(q["to"]) != api.MaxRecipients || length != int64(len(line)+1) {
		t.Errorf("%d recipients in %d octets, %v", len(q["to"]), length, err)
	}
}

// Whoever may not be read is set aside, and told of once.
func TestAShutFileInTheDropFolderIsSetAside(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root may read everything")
	}
	file := filepath.Join(t.TempDir(), "shut.drop")
	write(t, file, "{}\n")
	if err := os.Chmod(file, 0); err != nil {
		t.Fatal(err)
	}
	if err := new(node).takeDrop(t.Context(), file); !errors.Is(err, fs.ErrPermission) {
		t.Error(err)
	}
	if _, err := os.Stat(file + ".bad"); err != nil {
		t.Error(err)
	}
}
