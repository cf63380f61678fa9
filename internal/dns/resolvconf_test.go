package dns

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestResolvConfIsReadAsItsManualSays(t *testing.T) {
	local := []string{"127.0.0.1:53", "[::1]:53"}
	for _, c := range []struct {
		text    string
		servers []string
		trust   bool
	}{
		{"", local, false},
		{"# nothing\nsearch example.com\n", local, false},
		{"nameserver 192.0.2.53\nnameserver 2001:db8::53 # mine\n", []string{"192.0.2.53:53", "[2001:db8::53]:53"}, false},
		{"nameserver\tfe80::1%eth0\noptions edns0 trust-ad\n", []string{"[fe80::1%eth0]:53"}, true},
		{"nameserver ns.example.com\nnameserver 1.1.1.1\r\nnameserver 2.2.2.2\nnameserver 3.3.3.3\nnameserver 4.4.4.4",
			[]string{"1.1.1.1:53", "2.2.2.2:53", "3.3.3.3:53"}, false},
		{";nameserver 1.1.1.1\nnameserver", local, false},
	} {
		if got := parseResolvConf(c.text); !cmp.Equal(got.servers, c.servers) || got.trustAD != c.trust {
			t.Errorf("%q: %+v", c.text, got)
		}
	}
}

func TestResolvConfIsReadAgainWhenItChanged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "resolv.conf")
	write := func(s string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		w := watched{path: path}
		write("nameserver 192.0.2.1\n")
		if got := w.now().servers[0]; got != "192.0.2.1:53" {
			t.Error(got)
		}
		write("nameserver 192.0.2.200\n")
		if got := w.now().servers[0]; got != "192.0.2.1:53" {
			t.Errorf("looked again at once: %s", got)
		}
		time.Sleep(resolvConfEvery)
		if got := w.now().servers[0]; got != "192.0.2.200:53" {
			t.Errorf("after the change: %s", got)
		}
	})
}

func FuzzResolvConf(f *testing.F) {
	f.Add("nameserver 192.0.2.53\noptions trust-ad")
	f.Add("nameserver fe80::1%eth0 # x\n;y")
	f.Fuzz(func(t *testing.T, text string) {
		c := parseResolvConf(text)
		if len(c.servers) == 0 || len(c.servers) > 3 {
			t.Fatalf("%d servers", len(c.servers))
		}
		for _, s := range c.servers {
			if _, err := netip.ParseAddrPort(s); err != nil {
				t.Fatal(err)
			}
			if again, err := serverAddr(s); err != nil || again != s {
				t.Fatalf("%q became %q, %v", s, again, err)
			}
		}
	})
}
