//go:build linux

package test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestLookUpBombsAreBounded: whatever a sender's domain has in the DNS, it costs few
// questions and little time, and an answer is given (RFC 7208 4.6.4, 11.1).
func TestLookUpBombsAreBounded(t *testing.T) { // alone: time counts
	var zoneText strings.Builder
	spf := func(domain, format string, args ...any) {
		fmt.Fprintf(&zoneText, "%s TXT \"v=spf1 %s -all\"\n", domain, fmt.Sprintf(format, args...))
	}
	each := func(n int, format string) string {
		var all []string
		for i := range n {
			all = append(all, fmt.Sprintf(format, i))
		}
		return strings.Join(all, " ")
	}
	for i := range 40 {
		spf(fmt.Sprintf("chain%d.test", i), "include:chain%d.test", i+1)
		spf(fmt.Sprintf("wide%d.test", i), "%s", each(10, "include:leaf%d.test"))
		fmt.Fprintf(&zoneText, "manymx.test MX 10 h%d.manymx.test.\nh%[1]d.manymx.test A 127.0.9.%[1]d\n", i)
		fmt.Fprintf(&zoneText, "127.0.0.2 PTR p%d.ptr.test.\np%[1]d.ptr.test A 127.0.9.%[1]d\n", i)
	}
	spf("loop.test", "include:loop.test")
	zoneText.WriteString("circle.test TXT \"v=spf1 redirect=circle.test\"\n")
	spf("wide.test", "%s", each(9, "include:wide%d.test"))
	spf("manymx.test", "mx mx:manymx.test")
	spf("void.test", "%s", each(9, "a:v%d.void.test"))
	spf("ptr.test", "ptr ptr:else.test")
	spf("macro.test", "exists:%s.macro.test", strings.Repeat("%{l}%{s}%{d}", 12))
	spf("silent.test", "include:mute.silent.test")
	zoneText.WriteString("mute.silent.test SILENT\nfailing.test SERVFAIL\n")
	fmt.Fprintf(&zoneText, "two.test TXT \"v=spf1 -all\"\ntwo.test TXT \"v=spf1 +all\"\n")
	fmt.Fprintf(&zoneText, "long.test %s\n", inStrings("v=spf1 "+each(200, "ip4:10.0.%d.0/24")+" -all"))

	z := newZone(t, zoneText.String())
	r, box := newRider(t), newSink(t)
	r.guard(z, route("author.test", "smtp:"+box.Addr), `
[door]
lookup_timeout = "2s"
[[rule]]
name = "spf"
spf = ["none", "fail", "softfail", "neutral", "permerror"]
then = "refuse"
`)
	for _, c := range []struct{ domain, word string }{
		{"chain0.test", "permerror"}, {"loop.test", "permerror"}, {"circle.test", "permerror"}, {"wide.test", "permerror"},
		{"manymx.test", "permerror"}, {"void.test", "permerror"}, {"ptr.test", "fail"}, {"macro.test", "fail|permerror"},
		{"two.test", "permerror"}, {"long.test", "fail"}, {"silent.test", "temperror"}, {"failing.test", "temperror"},
	} {
		before, began := len(z.asked()), time.Now()
		got := try(t, r.Addr, "<"+strings.Repeat("l", 60)+"@"+c.domain+">", []string{"<bob@author.test>"}, message("1@"+c.domain, "x", "x\r\n"))
		took, questions := time.Since(began), len(z.asked())-before
		want := "550 5.7.1 spf: SPF is (" + c.word + ") of " + c.domain
		if c.word == "temperror" { // a fault refuses nobody
			want = "250$"
		}
		if !regexp.MustCompile("^" + want).MatchString(got) {
			t.Errorf("%s: %q, want %s", c.domain, got, want)
		}
		// Twenty look-ups of ten terms, each for A and AAAA at most.
		if questions > 40 || took > 6*time.Second {
			t.Errorf("%s: %d questions, %v", c.domain, questions, took)
		}
		t.Logf("%-12s %3d questions %6.3f s: %.60s", c.domain, questions, took.Seconds(), got)
	}
}

// TestAMessageThatIsABombCostsLittle: floods of a header, of signatures and of names
// are bounded in memory, look-ups and time, of the processor and on the clock.
func TestAMessageThatIsABombCostsLittle(t *testing.T) {
	t.Parallel()
	z := newZone(t, "there.test TXT \"v=spf1 ip4:127.0.0.2 -all\"\nthere.test MX 10 there.test.\n_dmarc.bank.test TXT \"v=DMARC1; p=reject\"\n")
	r, box := newRider(t), newSink(t)
	r.guard(z, route("author.test", "smtp:"+box.Addr), "[[rule]]\nuse = \"dmarc-reject\"\n")
	signature := "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=d%d.evil.test; s=s; h=from; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=AAAA%d\r\n"
	var signatures, deep bytes.Buffer
	for i := range 1000 {
		fmt.Fprintf(&signatures, signature, i, i)
	}
	deep.WriteString("From: a@" + strings.Repeat("a.", 120) + "test\r\n")
	const rest = "Subject: x\r\n\r\ntext\r\n"
	lines := strings.Repeat(" a\r\n", 4<<20)
	// What as many octets in as short lines cost, and how long they take beside other tests,
	// where they are no bomb.
	before, began := r.cpu(t), time.Now()
	try(t, r.Addr, "<ann@there.test>", []string{"<bob@author.test>"}, []byte("From: c@bank.test\r\n\r\n"+lines))
	plain, length := r.cpu(t)-before, time.Since(began)
	for _, c := range []struct {
		name      string
		text      string
		want      string
		questions int // at most
	}{
		{"200,000 fields", strings.Repeat("X-Flood: a\r\n", 200000) + rest, "552 5.3.4 ", 2},
		{"a field of 16 MB", "X-Flood: " + strings.Repeat("a", 16<<20) + "\r\n" + rest, "552 5.3.4 ", 2},
		{"16 MB of folds", "X-Flood: a\r\n" + lines + rest, "552 5.3.4 ", 2},
		{"1,000 signatures", signatures.String() + "From: ann@there.test\r\n" + rest, "250", 60},
		{"a deep domain", deep.String() + rest, "250", 20},
		{"20,000 authors", "From: " + strings.Repeat("a@b.test, ", 20000) + "c@bank.test\r\n" + rest, "550 5.7.26 dmarc-reject: nothing proves that this is from whoever its From field means, ", 2},
	} {
		asked, used, memory, began := len(z.asked()), r.cpu(t), r.memory(t), time.Now()
		got := try(t, r.Addr, "<ann@there.test>", []string{"<bob@author.test>"}, []byte(c.text))
		cost, questions, grown, took := r.cpu(t)-used, len(z.asked())-asked, r.memory(t)-memory, time.Since(began)
		if !regexp.MustCompile("^" + c.want).MatchString(got) {
			t.Errorf("%s: %q, want %s", c.name, got, c.want)
		}
		if questions > c.questions || cost > 2*plain+time.Second || took > 10*length+5*time.Second || grown > 32<<20 {
			t.Errorf("%s: %d questions, %v of a processor, %v, %d more octets", c.name, questions, cost, took, grown)
		}
		t.Logf("%-18s %3d questions %5.2f s of a processor (no bomb: %.2f) %+d kB: %.70s", c.name, questions, cost.Seconds(), plain.Seconds(), grown>>10, got)
	}
	// What could not be read is said, and proves nothing.
	for _, m := range box.wait(t, 2) {
		head, _, _ := strings.Cut(string(m.Data), "\r\n\r\n")
		results, _, _ := strings.Cut(head[strings.Index(head, "Authentication-Results: mx.author.test;"):], "\r\nFrom:")
		if strings.Contains(results, "dkim=pass") {
			t.Errorf("%.2000s", results)
		}
	}
}

// cpu is the processor time that the program has used (proc(5), in hundredths of a second).
func (r *rider) cpu(t *testing.T) (used time.Duration) {
	t.Helper()
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(r.process.Pid), "stat"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	for _, f := range strings.Fields(rest)[11:13] {
		ticks, err := strconv.Atoi(f)
		if err != nil {
			t.Fatal(err)
		}
		used += time.Duration(ticks) * 10 * time.Millisecond
	}
	return used
}

// memory is the most that the program has held at a time so far, in octets.
func (r *rider) memory(t *testing.T) int {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(r.process.Pid), "status"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(b), "\n")
	i := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, "VmHWM:") })
	if i < 0 {
		t.Fatal("no VmHWM")
	}
	n, err := strconv.Atoi(strings.Fields(lines[i])[1])
	if err != nil {
		t.Fatal(err)
	}
	return n << 10
}
