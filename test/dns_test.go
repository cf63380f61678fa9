//go:build linux

package test

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"

	wire "github.com/miekg/dns"
	"github.com/rogpeppe/go-internal/testscript"
)

type zoneKey struct{}

// A zone is a name server that knows what a file says and is asked by nobody else.
// Each line of the file is an owner and a record as in a master file, without class
// and TTL: "there.test MX 10 mx.there.test."; an address as owner stands for its
// PTR. "NAME SERVFAIL" answers every question about a name so, and "NAME SILENT"
// answers none. Of a name that has no line there is none.
type zone struct {
	addr    string
	servers []*wire.Server

	mu      sync.Mutex
	log     io.Writer // of questions, "TXT there.test." a line
	records map[string][]wire.RR
	trouble map[string]string
}

// scriptDNS is dns FILE: what $DNS answers from now on. The questions stand in
// dns.log.
func scriptDNS(ts *testscript.TestScript, neg bool, args []string) {
	zones := ts.Value(zoneKey{}).(map[string]*zone)
	text := ts.ReadFile(args[0])
	if z := zones["DNS"]; z != nil {
		ts.Check(z.read(text))
		return
	}
	log, err := os.Create(ts.MkAbs("dns.log"))
	ts.Check(err)
	z := &zone{addr: ts.Getenv("DNS"), log: log}
	ts.Check(z.read(text))
	ts.Check(z.start())
	zones["DNS"] = z
	ts.Defer(func() { z.close(); log.Close() })
}

// newZone is a name server at a free port for a test, that knows what such a file
// says.
func newZone(t *testing.T, text string) *zone {
	t.Helper()
	z := &zone{addr: claimAddr(t), log: &strings.Builder{}}
	if err := z.read(text); err != nil {
		t.Fatal(err)
	}
	if err := z.start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(z.close)
	return z
}

// asked are the questions of a server of newZone so far.
func (z *zone) asked() []string {
	z.mu.Lock()
	defer z.mu.Unlock()
	return strings.Split(strings.TrimSuffix(z.log.(*strings.Builder).String(), "\n"), "\n")
}

// read puts the lines of a file in the place of what was there.
func (z *zone) read(text string) error {
	records, trouble := map[string][]wire.RR{}, map[string]string{}
	for i, line := range strings.Split(text, "\n") {
		owner, record, ok := strings.Cut(strings.TrimSpace(line), " ")
		if owner == "" || strings.HasPrefix(owner, ";") {
			continue
		}
		record = strings.TrimSpace(record)
		if ip, err := netip.ParseAddr(owner); err == nil {
			owner, _ = wire.ReverseAddr(ip.String())
		}
		owner = wire.CanonicalName(owner)
		if record == "SERVFAIL" || record == "SILENT" {
			trouble[owner] = record
			continue
		}
		rr, err := wire.NewRR(owner + " 60 IN " + record)
		if err != nil || rr == nil || !ok {
			return fmt.Errorf("dns: line %d: %q is no record: %v", i+1, line, err)
		}
		records[owner] = append(records[owner], rr)
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	z.records, z.trouble = records, trouble
	return nil
}

// start answers by UDP and by TCP.
func (z *zone) start() error {
	packets, err := net.ListenPacket("udp", z.addr)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", z.addr)
	if err != nil {
		packets.Close()
		return err
	}
	for _, s := range []*wire.Server{{PacketConn: packets}, {Listener: l}} {
		ready := make(chan struct{})
		s.Handler, s.NotifyStartedFunc = z, func() { close(ready) }
		z.servers = append(z.servers, s)
		go s.ActivateAndServe() // ends with Shutdown
		<-ready
	}
	return nil
}

func (z *zone) close() {
	for _, s := range z.servers {
		s.Shutdown()
	}
}

// ServeDNS answers one question.
func (z *zone) ServeDNS(w wire.ResponseWriter, ask *wire.Msg) {
	q := ask.Question[0]
	name := wire.CanonicalName(q.Name)
	z.mu.Lock()
	defer z.mu.Unlock()
	fmt.Fprintln(z.log, wire.TypeToString[q.Qtype], name)
	m := new(wire.Msg).SetReply(ask)
	m.Authoritative, m.RecursionAvailable = true, true
	switch z.trouble[name] {
	case "SILENT":
		return
	case "SERVFAIL":
		m.Rcode = wire.RcodeServerFailure
	default:
		z.answer(m, name, q.Qtype)
	}
	size := 512
	if opt := ask.IsEdns0(); opt != nil {
		m.SetEdns0(1232, false)
		size = int(opt.UDPSize())
	}
	if _, tcp := w.RemoteAddr().(*net.TCPAddr); tcp {
		size = wire.MaxMsgSize
	}
	m.Truncate(size)
	w.WriteMsg(m)
}

// answer puts in what there is, aliases followed.
func (z *zone) answer(m *wire.Msg, name string, qtype uint16) {
	for range 8 {
		next := ""
		for _, rr := range z.records[name] {
			alias, is := rr.(*wire.CNAME)
			if is {
				next = wire.CanonicalName(alias.Target)
			}
			if is || rr.Header().Rrtype == qtype {
				m.Answer = append(m.Answer, rr)
			}
		}
		if next == "" || qtype == wire.TypeCNAME {
			break
		}
		name = next
	}
	if len(m.Answer) == 0 && !z.exists(name) {
		m.Rcode = wire.RcodeNameError
	}
}

// exists reports whether there is something at a name, or below it.
func (z *zone) exists(name string) bool {
	for n := range z.records {
		if wire.IsSubDomain(name, n) {
			return true
		}
	}
	return false
}
