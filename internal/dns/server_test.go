package dns

import (
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	wire "github.com/miekg/dns"
)

// server is a real name server on loopback, UDP and TCP at the same port.
type server struct {
	addr string
	udp  atomic.Int32 // questions that came
	tcp  atomic.Int32
}

func serve(t *testing.T, answer func(q wire.Question, m *wire.Msg, tcp bool) bool) *server {
	t.Helper()
	s := new(server)
	var pc net.PacketConn
	var l net.Listener
	for range 20 { // the port must be free for both
		var err error
		if pc, err = net.ListenPacket("udp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		s.addr = pc.LocalAddr().String()
		if l, err = net.Listen("tcp", s.addr); err == nil {
			break
		}
		pc.Close()
	}
	h := wire.HandlerFunc(func(w wire.ResponseWriter, r *wire.Msg) {
		_, tcp := w.RemoteAddr().(*net.TCPAddr)
		if tcp {
			s.tcp.Add(1)
		} else {
			s.udp.Add(1)
		}
		m := new(wire.Msg)
		m.SetReply(r)
		m.RecursionAvailable = true
		if answer(r.Question[0], m, tcp) {
			w.WriteMsg(m)
		}
	})
	for _, srv := range []*wire.Server{{PacketConn: pc, Handler: h}, {Listener: l, Handler: h}} {
		up := make(chan struct{})
		srv.NotifyStartedFunc = func() { close(up) }
		go srv.ActivateAndServe()
		<-up
		t.Cleanup(func() { srv.Shutdown() })
	}
	return s
}

func client(t *testing.T, o Options) *Client {
	t.Helper()
	if o.Timeout == 0 {
		o.Timeout = 5 * time.Second // only silence may reach it, whatever else the machine does
	}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func records(t testing.TB, lines ...string) []wire.RR {
	t.Helper()
	var rrs []wire.RR
	for _, l := range lines {
		rr, err := wire.NewRR(l)
		if err != nil {
			t.Fatal(err)
		}
		rrs = append(rrs, rr)
	}
	return rrs
}

// world answers every question of the tests below by its first label.
func world(t *testing.T) func(wire.Question, *wire.Msg, bool) bool {
	big := make([]string, 100)
	for i := range big {
		big[i] = fmt.Sprintf("big.example.com. 300 IN MX %d mx%d.a-rather-long-label.example.com.", i, i)
	}
	return func(q wire.Question, m *wire.Msg, tcp bool) bool {
		label, _, _ := strings.Cut(q.Name, ".")
		switch label {
		case "mx":
			m.Answer = records(t, q.Name+" 300 IN MX 20 B.Example.COM.", q.Name+" 300 IN MX 10 a.example.com.")
		case "null":
			m.Answer = records(t, q.Name+" 300 IN MX 0 .")
		case "nx":
			m.Rcode = wire.RcodeNameError
			m.Ns = records(t, soa)
		case "nodata":
			m.Ns = records(t, soa)
		case "bare": // no data, and no SOA to say for how long
		case "fail":
			m.Rcode = wire.RcodeServerFailure
		case "bogus":
			m.Rcode = wire.RcodeServerFailure
			m.SetEdns0(1232, false)
			m.IsEdns0().Option = []wire.EDNS0{&wire.EDNS0_EDE{InfoCode: wire.ExtendedErrorCodeSignatureExpired}}
		case "refused":
			m.Rcode = wire.RcodeRefused
		case "notimp":
			m.Rcode = wire.RcodeNotImplemented
		case "lame":
			m.RecursionAvailable = false
			m.Ns = records(t, "example.com. 300 IN NS ns.example.net.")
		case "other":
			m.Question[0].Name = "somebody.else."
		case "silent":
			return false
		case "big":
			m.Answer = records(t, big...)
			m.Truncated = !tcp
			if !tcp {
				m.Answer = m.Answer[:3]
			}
		case "alias":
			m.Answer = records(t, q.Name+" 60 IN CNAME mid.example.com.", "mid.example.com. 300 IN CNAME end.example.com.", "end.example.com. 300 IN MX 5 a.example.com.")
		case "half": // the rest of the chain must be asked for
			m.Answer = records(t, q.Name+" 60 IN CNAME mx.example.com.")
		case "deadend":
			m.Answer = records(t, q.Name+" 60 IN CNAME gone.example.com.")
			m.Rcode = wire.RcodeNameError
			m.Ns = records(t, soa)
		case "loop":
			m.Answer = records(t, q.Name+" 60 IN CNAME pool.example.com.", "pool.example.com. 60 IN CNAME "+q.Name)
		case "ping":
			m.Answer = records(t, q.Name+" 60 IN CNAME pong.example.com.")
		case "pong":
			m.Answer = records(t, q.Name+" 60 IN CNAME ping.example.com.")
		case "oldserver":
			if m.IsEdns0() == nil {
				m.Answer = records(t, q.Name+" 300 IN MX 1 a.example.com.")
			}
		}
		return true
	}
}
