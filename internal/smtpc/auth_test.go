package smtpc

import (
	"bytes"
	"net"
	"strings"
	"testing"
	"testing/synctest"
)

func TestPasswordIsGivenOnlyAsTheHostCanTakeIt(t *testing.T) {
	for _, c := range []struct {
		name, offer string
		script      script
		want        string
	}{
		{"plain first", "LOGIN PLAIN", "C AUTH PLAIN AHUAcA==\nS 235 2.7.0 welcome\n", ""},
		{"plain refused", "PLAIN", "C AUTH PLAIN AHUAcA==\nS 535 5.7.8 wrong\n", "auth: 535 5.7.8 wrong"},
		{"plain deferred", "PLAIN", "C AUTH PLAIN AHUAcA==\nS 454 4.7.0 later\n", "auth: 454 4.7.0 later"},
		{"plain asked again", "PLAIN", "C AUTH PLAIN AHUAcA==\nS 334 \n", "auth: 4.7.0 AUTH broken off by us: sasl: unexpected server challenge"},
		{"login asked again", "LOGIN", "C AUTH LOGIN\nS 334 User?\nC dQ==\nS 334\nC cA==\nS 334 more\n", "auth: 4.7.0 AUTH broken off by us: sasl: unexpected server challenge"},
		{"unknown ones", "CRAM-MD5 GSSAPI", "", "auth: 4.7.0 host offers AUTH CRAM-MD5 GSSAPI, but we speak only PLAIN and LOGIN"},
		{"none", "", "", "auth: 4.7.0 host does not offer AUTH, and the route has a password for it"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ours, theirs := net.Pipe()
				go func() {
					(swap("PIPELINING", "AUTH "+c.offer, pipeHello) + c.script).play(t, theirs)
				}()
				conn, f := Open(t.Context(), ours, Options{Helo: "us.example"})
				if f != nil {
					t.Fatal(f)
				}
				// A pipe has no TLS; the proof is what authenticate asks for.
				conn.proven, conn.o.User, conn.o.Password = true, "u", "p"
				if f = conn.authenticate(); (f == nil) != (c.want == "") || f != nil && f.Error() != c.want {
					t.Errorf("%v, want %s", f, c.want)
				}
				conn.Close()
			})
		})
	}
}

// FuzzAuth asks anything at all in the exchange of a password: the client ends, and
// tells nobody the password (CVE-2018-6789, CVE-2023-42115: base64 of a stranger).
func FuzzAuth(f *testing.F) {
	for _, s := range []string{"235 2.7.0 welcome\r\n", "334 VXNlcm5hbWU6\r\n334 UGFzc3dvcmQ6\r\n235 ok\r\n", "334 =\r\n334 ====\r\n334\r\n334 \r\n", "535 5.7.8 hunter2hunter2 is wrong\r\n", "334 \x00\xff\r\n421 bye\r\n"} {
		f.Add([]byte(s), false)
		f.Add([]byte(s), true)
	}
	f.Fuzz(func(t *testing.T, words []byte, loginOnly bool) {
		const secret = "hunter2hunter2"
		offer := "PLAIN LOGIN"
		if loginOnly {
			offer = "LOGIN"
		}
		all := append([]byte("220 hi\r\n250-mx\r\n250 AUTH "+offer+"\r\n"), words...)
		c, fail := Open(t.Context(), &deaf{bytes.NewReader(all), 7}, Options{Helo: "us.example"})
		if fail != nil {
			t.Fatal(fail)
		}
		defer c.Close()
		c.o.User, c.o.Password, c.proven = "us", secret, true
		if fail := c.authenticate(); fail != nil {
			sane(t, Outcome{Stage: fail.Stage, Reply: fail.Reply, Theirs: fail.Theirs})
			if strings.Contains(fail.Error(), secret) && !bytes.Contains(words, []byte(secret)) {
				t.Errorf("the password is told: %v", fail)
			}
		}
	})
}
