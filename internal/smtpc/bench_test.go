package smtpc

import (
	"bytes"
	"net"
	"syscall"
	"testing"
)

// sink takes every message without looking: as little of the measurement as may be.
func sink(nc net.Conn) {
	nc.Write([]byte("220 hi\r\n"))
	b := make([]byte, 64<<10)
	body := false
	for n := 0; ; {
		k, err := nc.Read(b[n:])
		if err != nil {
			return
		}
		n += k
		switch {
		case body && bytes.HasSuffix(b[:n], []byte("\r\n.\r\n")):
			nc.Write([]byte("250 2.0.0 queued as 4XyZ\r\n"))
			body = false
		case body: // in the midst of it
			n = copy(b, b[max(0, n-4):n])
			continue
		case bytes.HasSuffix(b[:n], []byte("DATA\r\n")):
			nc.Write([]byte("250 2.1.0 ok\r\n250 2.1.5 ok\r\n354 go\r\n"))
			body = true
		case bytes.HasPrefix(b, []byte("EHLO")):
			nc.Write([]byte("250-mx\r\n250-PIPELINING\r\n250-SIZE 50000000\r\n250-DSN\r\n250 8BITMIME\r\n"))
		}
		n = 0
	}
}

// answers is a host without a socket: it leaves our own work alone to be measured.
type answers struct {
	deaf
	replies [2]string
	n       int
}

func (a *answers) Write(b []byte) (int, error) {
	a.words.Reset([]byte(a.replies[a.n%2]))
	a.n++
	return len(b), nil
}

func BenchmarkSendWithoutPeer(b *testing.B) {
	hello := "220 hi\r\n250-mx\r\n250-PIPELINING\r\n250-SIZE 50000000\r\n250 DSN\r\n"
	a := &answers{deaf: deaf{bytes.NewReader([]byte("220 hi\r\n")), 4096}}
	a.replies = [2]string{hello[8:], ""}
	c, f := Open(b.Context(), a, Options{Helo: "us.example"})
	if f != nil {
		b.Fatal(f)
	}
	a.n, a.replies = 0, [2]string{"250 2.1.0 ok\r\n250 2.1.5 ok\r\n354 go\r\n", "250 2.0.0 queued as 4XyZ\r\n"}
	m := fiveKB()
	b.ReportAllocs()
	for b.Loop() {
		if r := c.Send(b.Context(), m); r.Outcomes[0].Taken != Promised {
			b.Fatal(tell(r))
		}
	}
}

func fiveKB() Message {
	m := letter(1)
	m.Bytes = bytes.Repeat([]byte("The quick brown fox jumps over the lazy dog, and then it goes home.\r\n"), 74)
	return m
}

func BenchmarkSend(b *testing.B) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			go sink(nc)
		}
	}()
	nc, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	c, f := Open(b.Context(), nc, Options{Helo: "us.example"})
	if f != nil {
		b.Fatal(f)
	}
	defer c.Close()
	m := fiveKB()
	b.ReportAllocs()
	var before, after syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &before)
	for b.Loop() {
		if r := c.Send(b.Context(), m); r.Outcomes[0].Taken != Promised {
			b.Fatal(tell(r))
		}
	}
	syscall.Getrusage(syscall.RUSAGE_SELF, &after)
	cpu := (after.Utime.Nano() + after.Stime.Nano()) - (before.Utime.Nano() + before.Stime.Nano())
	b.ReportMetric(float64(cpu)/float64(b.N), "cpu-ns/op") // both ends
}
