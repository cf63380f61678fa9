package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	wire "github.com/miekg/dns"
)

const soa = "example.com. 600 IN SOA ns. host. 1 2 3 4 60"

func TestEveryFailureKeepsItsName(t *testing.T) {
	t.Parallel()
	s := serve(t, world(t))
	patient := client(t, Options{Servers: []string{s.addr}})
	hasty := client(t, Options{Servers: []string{s.addr}, Timeout: 50 * time.Millisecond})
	for _, tc := range []struct {
		label string
		want  Kind
		temp  bool
	}{
		{"mx", 0, false}, {"null", 0, false}, {"big", 0, false}, {"alias", 0, false}, {"half", 0, false},
		{"nx", NoName, false}, {"nodata", NoData, false}, {"bare", NoData, false}, {"deadend", NoName, false},
		{"fail", Failed, true}, {"bogus", Bogus, true}, {"refused", Refused, true}, {"notimp", Garbled, true},
		{"lame", Lame, true}, {"other", Garbled, true}, {"silent", Silent, true}, {"loop", Loop, true}, {"ping", Loop, true},
		{strings.Repeat("x", 64), BadName, false}, {`a\.b`, BadName, false},
	} {
		c := patient
		if tc.want == Silent {
			c = hasty
		}
		_, err := c.MX(t.Context(), tc.label+".example.com")
		e, _ := err.(*Error)
		if KindOf(err) != tc.want || e != nil && (e.Temporary() != tc.temp || e.Type != "MX" || e.Name != tc.label+".example.com") {
			t.Errorf("%s: %v", tc.label, err)
		}
		if e != nil && tc.want != BadName && tc.label != "ping" && e.Server != s.addr {
			t.Errorf("%s: server %q", tc.label, e.Server)
		}
	}
	if got := s.tcp.Load(); got != 1 {
		t.Errorf("%d questions by TCP, want the truncated one", got)
	}
}

func TestAnswersAreReadWhole(t *testing.T) {
	t.Parallel()
	s := serve(t, func(q wire.Question, m *wire.Msg, tcp bool) bool {
		m.AuthenticatedData = true
		switch wire.TypeToString[q.Qtype] + " " + q.Name {
		case "MX alias.example.com.", "MX null.example.com.", "MX big.example.com.", "MX mx.example.com.":
			return world(t)(q, m, tcp)
		case "A host.example.com.":
			m.Answer = records(t, q.Name+" 300 IN A 192.0.2.1")
		case "AAAA host.example.com.":
			m.Answer = records(t, q.Name+" 300 IN AAAA ::ffff:127.0.0.1", q.Name+" 300 IN AAAA 2001:db8::1")
		case "TXT t.example.com.":
			m.Answer = records(t, q.Name+` 300 IN TXT "v=spf1 " "a:\"x\" \\ \233 -all"`)
		case "PTR 1.2.0.192.in-addr.arpa.":
			m.Answer = records(t, q.Name+" 300 IN PTR Host.example.com.")
		}
		return true
	})
	c := client(t, Options{Servers: []string{s.addr}})
	ctx := t.Context()
	mx, err := c.MX(ctx, "MX.example.com.")
	if want := []MX{{20, "b.example.com"}, {10, "a.example.com"}}; err != nil || !cmp.Equal(mx.Records, want) || !mx.Secure {
		t.Errorf("MX: %+v, %v", mx, err)
	}
	if mx, err := c.MX(ctx, "null.example.com"); err != nil || !cmp.Equal(mx.Records, []MX{{0, ""}}) {
		t.Errorf("null MX: %+v, %v", mx, err)
	}
	if mx, err := c.MX(ctx, "alias.example.com"); err != nil || mx.Name != "end.example.com" || len(mx.Records) != 1 {
		t.Errorf("alias: %+v, %v", mx, err)
	}
	if mx, err := c.MX(ctx, "big.example.com"); err != nil || len(mx.Records) != 100 {
		t.Errorf("truncated: %d records, %v", len(mx.Records), err)
	}
	ips, err := c.IPs(ctx, "host.example.com")
	if err != nil || len(ips.Records) != 3 || ips.Records[0] != netip.MustParseAddr("192.0.2.1") {
		t.Errorf("IPs: %+v, %v", ips, err)
	}
	if n := len(ips.Records); n == 3 && !ips.Records[1].Is4() && !ips.Records[2].Is4() {
		t.Errorf("a mapped address was left in disguise: %v", ips.Records)
	}
	txt, err := c.TXT(ctx, "t.example.com")
	if want := []string{"v=spf1 a:\"x\" \\ \xe9 -all"}; err != nil || !cmp.Equal(txt.Records, want) {
		t.Errorf("TXT: %q, %v", txt.Records, err)
	}
	ptr, err := c.PTR(ctx, netip.MustParseAddr("::ffff:192.0.2.1"))
	if want := []string{"host.example.com"}; err != nil || !cmp.Equal(ptr.Records, want) {
		t.Errorf("PTR: %q, %v", ptr.Records, err)
	}
}

func TestOneFamilyMayFail(t *testing.T) {
	t.Parallel()
	s := serve(t, func(q wire.Question, m *wire.Msg, _ bool) bool {
		label, _, _ := strings.Cut(q.Name, ".")
		a, aaaa, _ := strings.Cut(label, "-")
		if q.Qtype == wire.TypeAAAA {
			a = aaaa
		}
		switch {
		case a == "ok" && q.Qtype == wire.TypeA:
			m.Answer = records(t, q.Name+" 300 IN A 192.0.2.1")
		case a == "ok":
			m.Answer = records(t, q.Name+" 300 IN AAAA 2001:db8::1")
		case a == "fail":
			m.Rcode = wire.RcodeServerFailure
		case a == "nx":
			m.Rcode = wire.RcodeNameError
		}
		return true
	})
	c := client(t, Options{Servers: []string{s.addr}})
	for name, want := range map[string]Kind{
		"ok-ok": 0, "ok-fail": 0, "fail-ok": 0, "ok-no": 0, "no-ok": 0,
		"fail-no": Failed, "no-fail": Failed, "nx-nx": NoName, "no-no": NoData, "nx-no": NoData, "no-nx": NoData,
	} {
		if a, err := c.IPs(t.Context(), name+".example.com"); KindOf(err) != want || (err == nil) != (len(a.Records) > 0) {
			t.Errorf("%s: %v, %v; want %v", name, a.Records, err, want)
		}
	}
}

// Where an address is looked for among a host's, half an answer is none for half of
// those who might be meant.
func TestAFamilyThatFailedIsNotTakenForAnEmptyOne(t *testing.T) {
	var z Zone
	for _, host := range []string{"both", "a-fails", "aaaa-fails"} {
		z.Add(host+".example.com", "A 192.0.2.1", "AAAA 2001:db8::1")
	}
	z.Add("only-a.example.com", "A 192.0.2.1")
	z.Fail("a-fails.example.com", "A", Silent)
	z.Fail("aaaa-fails.example.com", "AAAA", Failed)
	for _, host := range []string{"none-a-fails", "none-aaaa-fails", "both-fail"} {
		z.Add(host+".example.com", `TXT "x"`)
	}
	z.Fail("none-a-fails.example.com", "A", Silent)
	z.Fail("none-aaaa-fails.example.com", "AAAA", Failed)
	z.Fail("both-fail.example.com", "A", Silent)
	z.Fail("both-fail.example.com", "AAAA", Failed)
	for _, c := range []struct {
		host, ip string
		want     Kind
	}{
		{"both", "192.0.2.1", 0}, {"both", "2001:db8::1", 0},
		{"only-a", "192.0.2.1", 0}, {"only-a", "2001:db8::1", 0},
		{"a-fails", "192.0.2.1", Silent}, {"a-fails", "::ffff:192.0.2.1", Silent}, {"a-fails", "2001:db8::1", 0},
		{"aaaa-fails", "192.0.2.1", 0}, {"aaaa-fails", "2001:db8::1", Failed},
		{"none-a-fails", "192.0.2.1", Silent}, {"none-a-fails", "2001:db8::1", NoData},
		{"none-aaaa-fails", "192.0.2.1", NoData}, {"none-aaaa-fails", "2001:db8::1", Failed},
		{"both-fail", "192.0.2.1", Silent}, {"both-fail", "2001:db8::1", Failed},
	} {
		a, err := IPsLike(t.Context(), &z, c.host+".example.com", netip.MustParseAddr(c.ip))
		if KindOf(err) != c.want || (err == nil) != (len(a.Records) > 0) {
			t.Errorf("%s of %s: %v, %v; want %v", c.ip, c.host, a.Records, err, c.want)
		}
	}
}

func TestWhatWasHeardIsRemembered(t *testing.T) {
	t.Parallel()
	s := serve(t, world(t))
	c := client(t, Options{Servers: []string{s.addr}})
	for _, label := range []string{"mx", "nx", "nodata", "bare", "fail", "alias"} {
		before := s.udp.Load()
		for range 3 {
			c.MX(t.Context(), label+".example.com")
		}
		if got := s.udp.Load() - before; got != 1 {
			t.Errorf("%s was asked %d times", label, got)
		}
	}
	for label, want := range map[string]time.Duration{
		"mx": 300 * time.Second, "alias": 60 * time.Second, "nx": 60 * time.Second, "bare": noSOA, "fail": failureTTL,
	} {
		left := time.Until(c.cache.entries[question{label + ".example.com", wire.TypeMX}].until)
		if left > want || left < want-2*time.Second {
			t.Errorf("%s is kept for %v, want %v", label, left, want)
		}
	}
}

// answers are what a server may say: how many records, and one of them.
var answers = map[string]struct {
	n    int
	text string
}{
	"an address":       {1, "A 192.0.2.1"},
	"many addresses":   {4000, "A 192.0.2.1"},
	"hosts":            {500, "MX 10 " + strings.Repeat(strings.Repeat("m", 49)+".", 4)},
	"names":            {500, "PTR " + strings.Repeat(strings.Repeat("m", 49)+".", 4)},
	"a long text":      {1, "TXT" + strings.Repeat(` "`+strings.Repeat("t", 255)+`"`, 200)},
	"a text in crumbs": {1, "TXT" + strings.Repeat(` "t"`, 20_000)},
	"texts in crumbs":  {4000, `TXT "t"`},
	"a binary text":    {1, "TXT" + strings.Repeat(` "`+strings.Repeat(`\001`, 255)+`"`, 200)},
	"an empty text":    {1000, `TXT ""`},
	"nothing":          {0, ""},
}

// received is an answer as the wire brings it.
func received(t *testing.T, name, kind string) result {
	t.Helper()
	a := answers[kind]
	m := &wire.Msg{Compress: true}
	for range a.n {
		m.Answer = append(m.Answer, records(t, name+". 300 IN "+a.text)...)
	}
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	got := new(wire.Msg)
	if err := got.Unpack(b); err != nil {
		t.Fatal(err)
	}
	r := result{name: name, ttl: time.Hour}
	if a.n == 0 {
		r.err = &Error{Name: name, Type: "A", Kind: NoName, Server: "192.0.2.53:53"}
		return r
	}
	r.rrs = append(r.rrs, got.Answer...)
	return r
}

func TestNoAnswerIsHeavierThanItsWeight(t *testing.T) {
	heap := func() int {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc)
	}
	for kind, a := range answers {
		c := cache{limit: 1 << 40, entries: make(map[question]entry)}
		before := heap()
		for i := range 1 + 1000/(a.n+len(a.text)/100+1) {
			name := fmt.Sprintf("%d.%s.example.com", i, strings.Repeat("n", 60))
			c.keep(question{name, wire.TypeA}, received(t, name, kind))
		}
		if fills := heap() - before; fills > c.weight || fills < c.weight/8 {
			t.Errorf("%s: %d answers weigh %d octets and fill %d", kind, len(c.entries), c.weight, fills)
		}
		runtime.KeepAlive(&c)
	}
}

func TestTheCacheIsBounded(t *testing.T) {
	c := cache{limit: 100_000, entries: make(map[question]entry)}
	for i := range 1000 {
		c.keep(question{fmt.Sprint(i), 1}, result{ttl: time.Duration(i+1) * time.Second})
		if c.weight > c.limit {
			t.Fatalf("%d octets", c.weight)
		}
	}
	if c.weight < c.limit*9/10 {
		t.Errorf("%d octets of %d are used", c.weight, c.limit)
	}
	c.keep(question{"vast", wire.TypeA}, received(t, "vast", "many addresses"))
	if _, ok := c.find(question{"vast", wire.TypeA}); ok {
		t.Error("one answer may fill the cache")
	}
	for range 1000 { // the same again is one entry
		c.keep(question{"999", 1}, result{ttl: time.Hour})
	}
	if _, ok := c.find(question{"999", 1}); !ok {
		t.Error("the newest is not there")
	}
	c.keep(question{"old", 1}, result{ttl: 1})
	if _, ok := c.find(question{"old", 1}); ok {
		t.Error("an answer outlived its time")
	}
}

func TestManyWhoAskAtOnceAskOnce(t *testing.T) {
	t.Parallel()
	const many = 20
	asked := make(chan struct{}, many)
	free := make(chan struct{})
	s := serve(t, func(q wire.Question, m *wire.Msg, tcp bool) bool {
		asked <- struct{}{}
		<-free
		return world(t)(q, m, tcp)
	})
	c := client(t, Options{Servers: []string{s.addr}, Timeout: 5 * time.Second})
	ctx, leave := context.WithCancel(t.Context())
	first := make(chan error, 1)
	go func() {
		_, err := c.MX(ctx, "mx.example.com")
		first <- err
	}()
	<-asked
	var wg sync.WaitGroup
	var good atomic.Int32
	for range many {
		wg.Go(func() {
			if a, err := c.MX(t.Context(), "mx.example.com"); err == nil && len(a.Records) == 2 {
				good.Add(1)
			}
		})
	}
	leave() // the one who asked first goes; the others still get their answer
	if err := <-first; !errors.Is(err, context.Canceled) || KindOf(err) != Silent {
		t.Errorf("who left: %v", err)
	}
	close(free)
	wg.Wait()
	if s.udp.Load() != 1 || good.Load() != many {
		t.Errorf("%d questions, %d answers", s.udp.Load(), good.Load())
	}
}

func TestTheNextServerIsAsked(t *testing.T) {
	t.Parallel()
	dead := serve(t, func(wire.Question, *wire.Msg, bool) bool { return false })
	failing := serve(t, func(_ wire.Question, m *wire.Msg, _ bool) bool {
		m.Rcode = wire.RcodeServerFailure
		return true
	})
	good := serve(t, world(t))
	const wait = 200 * time.Millisecond
	c := client(t, Options{Servers: []string{dead.addr, failing.addr, good.addr}, Timeout: wait})
	if _, err := c.MX(t.Context(), "mx.example.com"); err != nil {
		t.Error(err)
	}
	// A failure that was spoken says more than silence, and is not asked for twice.
	c = client(t, Options{Servers: []string{dead.addr, failing.addr}, Timeout: wait})
	before := failing.udp.Load()
	_, err := c.MX(t.Context(), "mx.example.com")
	if e, ok := errors.AsType[*Error](err); !ok || e.Kind != Failed || e.Server != failing.addr || failing.udp.Load() != before+1 {
		t.Errorf("%v, failing server asked %d times", err, failing.udp.Load()-before)
	}
	if got := dead.udp.Load(); got != 3 {
		t.Errorf("silent server asked %d times, want 1 + 2 rounds", got)
	}
}

func TestAnOldServerIsAskedWithoutEDNS(t *testing.T) {
	t.Parallel()
	var seen atomic.Int32
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &wire.Server{PacketConn: pc, Handler: wire.HandlerFunc(func(w wire.ResponseWriter, r *wire.Msg) {
		m := new(wire.Msg)
		m.SetReply(r)
		if r.IsEdns0() != nil {
			seen.Add(1)
			m.Rcode = wire.RcodeFormatError
		} else {
			m.Answer = records(t, "mx.example.com. 300 IN MX 1 a.example.com.")
		}
		w.WriteMsg(m)
	})}
	go srv.ActivateAndServe()
	t.Cleanup(func() { pc.Close() })
	c := client(t, Options{Servers: []string{pc.LocalAddr().String()}, Timeout: time.Second})
	if _, err := c.MX(t.Context(), "mx.example.com"); err != nil || seen.Load() != 1 {
		t.Errorf("%v, %d questions with EDNS", err, seen.Load())
	}
}

func TestNoServerIsSaidInSoManyWords(t *testing.T) {
	t.Parallel()
	refuse := func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: "udp", Err: os.NewSyscallError("connect", os.ErrPermission)}
	}
	c := client(t, Options{ResolvConf: filepath.Join(t.TempDir(), "none"), Dial: refuse})
	_, err := c.MX(t.Context(), "example.com")
	if KindOf(err) != NoServer || !strings.Contains(err.Error(), "no DNS server configured or reachable") || !strings.Contains(err.Error(), "127.0.0.1:53") {
		t.Error(err)
	}
	if _, err := New(Options{Servers: []string{"dns.example.com"}}); err == nil || !strings.Contains(err.Error(), "dns.example.com") {
		t.Errorf("New: %v", err)
	}
}

func TestOnlyATrustedServerMakesAnAnswerSecure(t *testing.T) {
	t.Parallel()
	s := serve(t, func(q wire.Question, m *wire.Msg, tcp bool) bool {
		m.AuthenticatedData = true
		return world(t)(q, m, tcp)
	})
	reroute := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, s.addr)
	}
	for _, tc := range []struct {
		o    Options
		want bool
	}{
		{Options{Servers: []string{s.addr}}, true}, // loopback
		{Options{Servers: []string{"192.0.2.53"}, Dial: reroute}, false},
		{Options{Servers: []string{"192.0.2.53"}, Dial: reroute, TrustAD: true}, true},
	} {
		a, err := client(t, tc.o).MX(t.Context(), "mx.example.com")
		if err != nil || a.Secure != tc.want {
			t.Errorf("%v: Secure %t, %v", tc.o.Servers, a.Secure, err)
		}
		_, err = client(t, tc.o).MX(t.Context(), "nx.example.com")
		if e, _ := err.(*Error); e == nil || e.Secure != tc.want {
			t.Errorf("%v: %v", tc.o.Servers, err)
		}
	}
}

func BenchmarkRemembered(b *testing.B) {
	c, _ := New(Options{})
	mx := records(b, "example.com. 300 IN MX 10 mx1.example.com.", "example.com. 300 IN MX 20 mx2.example.com.")
	c.cache.keep(question{"example.com", wire.TypeMX}, result{rrs: mx, name: "example.com", ttl: time.Hour})
	for b.Loop() {
		c.MX(b.Context(), "example.com")
	}
}
