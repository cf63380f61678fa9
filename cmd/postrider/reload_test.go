package main

import (
	"bytes"
	"log/slog"
	"net/netip"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/postrider/postrider/internal/config"
)

// reloaded are the keys and tables that a reload puts in force.
var reloaded = strings.Fields(`
	hostname history postmaster log.level tls.cert tls.key token smtp.banner smtp.max_size smtp.max_recipients
	smtp.max_connections smtp.max_connections_per_client smtp.max_connections_per_network smtp.max_errors smtp.max_hops
	smtp.bare_newline smtp.command_timeout smtp.data_timeout relay.clients relay.domains door.help door.greet_delay
	door.trusted door.etrn door.lookup_timeout rule list filter.name filter.kind filter.to filter.timeout filter.token_file filter.domains recipients sign aliases route schedule dns.servers
	notices.hide_hosts notices.postmaster_copy notices.return_full webhook`)

// A new key is put on one of the two lists, and reloaded if it stands on this one.
func TestEveryKeyIsReloadedOrWaitsForARestart(t *testing.T) {
	c, err := config.Parse("postrider.toml", []byte(config.Example))
	if err != nil {
		t.Fatal(err)
	}
	var waits []string
	for _, f := range fixed {
		waits = append(waits, f.key)
	}
	for _, s := range c.Settings() {
		key := regexp.MustCompile(`\[\d+\]`).ReplaceAllString(s.Key, "")
		table, _, _ := strings.Cut(key, ".")
		is := func(list []string) bool { return slices.Contains(list, key) || slices.Contains(list, table) }
		if is(reloaded) == is(waits) {
			t.Errorf("%s: reloaded is %t, and fixed too", key, is(reloaded))
		}
	}
}

func TestAReloadNamesWhatWaitsForARestart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "postrider.toml")
	const ours = "data = \"/d\"\n[[listen]]\nkind = \"smtp\"\naddress = \"192.0.2.1:25\"\n"
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		n, _ := inMemory(t, slog.NewTextHandler(&log, nil))
		defer n.close()
		n.world.level = new(slog.LevelVar)
		for _, c := range []struct {
			text, says string
			want       []string
		}{
			{"hostname = \"new.author.test\"\n" + ours + "[log]\nlevel = \"debug\"\n", "is in force", nil},
			{"hostname = \"new.author.test\"\n" + ours + "[queue]\nmin_free = \"1GB\"\n[log]\nformat = \"json\"\n", "[log.format queue.min_free]", []string{"log.format", "queue.min_free"}},
			{"hostname = \"new.author.test\"\n" + strings.Replace(ours, ":25", ":26", 1) + "[queue]\nmax_connections = 7\n", "[listen queue.max_connections]", []string{"listen", "queue.max_connections"}},
			{"hostname = \"new.author.test\"\n" + ours, "is in force", nil},
		} {
			log.Reset()
			write(t, file, c.text)
			n.reload(t.Context(), file)
			if got := n.settings.configuration().Restart; !slices.Equal(got, c.want) || !strings.Contains(log.String(), c.says) ||
				strings.Contains(log.String(), "restart") != (c.want != nil) {
				t.Errorf("%s\nwaits for a restart: %q, want %q; the log says\n%s", c.text, got, c.want, &log)
			}
			if n.settings.Hostname() != "new.author.test" {
				t.Errorf("our name is %s", n.settings.Hostname())
			}
			if debug := strings.Contains(c.text, "debug"); debug != (n.world.level.Level() == slog.LevelDebug) {
				t.Errorf("%s\nthe level of the log is %s", c.text, n.world.level.Level())
			}
		}
	})
}

func TestOtherServersForNamesAreAskedFromTheReloadOn(t *testing.T) {
	a, b := []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:53")}, []netip.AddrPort{netip.MustParseAddrPort("127.0.0.2:53")}
	n := &names{}
	seen := n.client.Load()
	for i, c := range []struct {
		servers []netip.AddrPort
		same    bool // what is known is kept
	}{{a, false}, {a, true}, {b, false}, {nil, false}, {nil, true}} {
		if err := n.use(c.servers); err != nil {
			t.Fatal(err)
		}
		if now := n.client.Load(); (now == seen) != c.same || now == nil {
			t.Errorf("%d: of %v nothing is known anew", i, c.servers)
		}
		seen = n.client.Load()
	}
}
