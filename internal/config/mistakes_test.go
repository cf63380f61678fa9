package config

import (
	"errors"
	"strings"
	"testing"
)

// mistakes: a text, and all that is said of it, a line each, as "line:column: …".
var mistakes = []struct{ name, text, want string }{
	{"unknown key", "[schedule.default]\nretry = [\"5m\"]\nexpires = \"5d\"\n",
		`3:1: unknown key "expires" in schedule.default; did you mean "expire"?`},
	{"unknown key at the top", "hostnam = \"a.test\"\n", `1:1: unknown key "hostnam"; did you mean "hostname"?`},
	{"unknown table", "[schedules.default]\nretry = [\"5m\"]\n", `1:2: unknown table "schedules"; did you mean "schedule"?`},
	{"unknown list of tables", "[[routes]]\n", `1:3: unknown table "routes"; did you mean "route"?`},
	{"unknown and far", "[log]\nzzzzzz = 1\n", `2:1: unknown key "zzzzzz" in log; known are format, level`},
	{"the wrong table", "[log]\nmax_size = \"1MB\"\n", `2:1: unknown key "max_size" in log; it belongs in [smtp]`},
	{"the top's", "[log]\nhistory = \"1d\"\n", `2:1: unknown key "history" in log; it belongs at the top, above the first [table]`},
	{"a route's", "[log]\nmessages_per_connection = 1\n", `2:1: unknown key "messages_per_connection" in log; it belongs in [[route]]`},
	{"a schedule's", "greylisted = [\"5m\"]\n", `1:1: unknown key "greylisted"; it belongs in [schedule.NAME]`},

	{"all at once", "data = 5\n[log]\nformat = \"xml\"\n[schedule.default]\nretry = [\"5m\", \"5x\", 3]\nexpire = \"5\"\n",
		`1:8: data wants text in quotes, not a number
3:10: format "xml" is unknown (text or json)
5:16: retry: "5x" is not a length of time like 90s, 15m, 2h or 5d
5:22: retry wants gaps like "5m" or "1h for 1d", not a number
6:10: expire: "5" is not a length of time like 90s, 15m, 2h or 5d`},

	{"not a list", "[schedule.default]\nwarn = \"4h\"\n", `2:8: warn wants a list like ["4h", "2d"], not text`},
	{"no gaps", "[schedule.default]\nretry = []\n", `2:9: retry is empty; write a list like ["5m", "1h for 1d", "2h"]`},
	{"warn after expire", "[schedule.default]\nwarn = [\"4h\", \"6d\"]\n",
		`2:15: warn: 6d is not before expire (5d); the sender would be told of the end, not of a delay`},
	{"warn out of order", "[schedule.default]\nwarn = [\"2d\", \"4h\"]\n",
		`2:15: warn: 4h does not come after 2d; write the ages in order`},
	{"jitter", "[schedule.default]\njitter = 0.7\n", `2:10: jitter: 0.7 is not between 0 and 0.5`},
	{"jitter's kind", "[schedule.default]\njitter = true\n", `2:10: jitter wants a number like 0.1, not true or false`},
	{"no name", "[schedule]\nretry = [\"5m\"]\n", `2:1: "retry" stands in no schedule; write it below a name, like [schedule.default]`},
	{"no such schedule", "[[route]]\ndomain = \"*\"\nto = [\"mx\"]\nschedule = \"quik\"\n[schedule.quick]\n",
		`4:12: there is no schedule "quik"; did you mean "quick"? (default, notice or quick)`},

	{"not built", "[[listen]]\nkind = \"submission\"\naddress = \":587\"\n",
		`2:8: listen kind "submission" is not built yet; there are smtp, lmtp or http`},
	{"kind", "[[listen]]\nkind = \"smpt\"\naddress = \":25\"\n", `2:8: kind "smpt" is unknown; did you mean "smtp"? (smtp, lmtp or http)`},
	{"an empty listener", "[[listen]]\n",
		`1:3: listen without kind; it is smtp, lmtp or http
1:3: listen without address; write address = ":25" for all addresses, or one like "127.0.0.1:25"`},
	{"one bracket", "[listen]\nkind = \"smtp\"\n", `1:2: listen may stand several times; write [[listen]] in double brackets`},
	{"two brackets", "[[relay]]\n", `1:3: relay stands once; write [relay] in single brackets`},
	{"no table", "relay = 5\n", `1:9: relay wants a table, [relay], not a number`},
	{"twice", "[[listen]]\nkind = \"smtp\"\naddress = \":25\"\n[[listen]]\nkind = \"http\"\naddress = \"127.0.0.1:25\"\n",
		`6:11: address: "127.0.0.1:25" is taken by the listener in line 3`},
	{"no port", "[[listen]]\nkind = \"smtp\"\naddress = \"127.0.0.1\"\n", `3:11: address: "127.0.0.1" is not an address like 127.0.0.1:25 or :25`},
	{"bad port", "[[listen]]\nkind = \"smtp\"\naddress = \":99999\"\n", `3:11: address: ":99999": "99999" is not a port between 0 and 65535`},
	{"smtp on a socket", "[[listen]]\nkind = \"smtp\"\naddress = \"unix:/x\"\n",
		`3:11: address: only lmtp can listen on a socket file; write an address like 127.0.0.1:25`},
	{"lmtp on 25", "[[listen]]\nkind = \"lmtp\"\naddress = \":25\"\n", `3:11: address: LMTP must not use port 25 (RFC 2033 5); 24 is usual`},

	{"http for others", "[[listen]]\nkind = \"http\"\naddress = \":80\"\n",
		`3:11: address: other machines can reach :80, so a [[token]] is needed to tell who may see and order what; or write 127.0.0.1:8025
3:11: address: other machines can reach :80, so [tls] with cert and key is needed, else tokens and mail pass in plain text; or write 127.0.0.1:8025`},
	{"http for others, by token", "[[listen]]\nkind = \"http\"\naddress = \"mx.test:80\"\n[[token]]\nname = \"a\"\nrole = \"view\"\nfile = \"f\"\n",
		`3:11: address: other machines can reach mx.test:80, so [tls] with cert and key is needed, else tokens and mail pass in plain text; or write 127.0.0.1:8025`},
	{"tokens", "[[token]]\nname = \"a b\"\nrole = \"root\"\n[[token]]\nname = \"x\"\nrole = \"view\"\nfile = \"f\"\n[[token]]\nname = \"x\"\nrole = \"view\"\nfile = \"f\"\nsecret = \"hunter2\"\n",
		`1:3: token without file
2:8: name: "a b" goes into logs and orders: letters, digits, ".", "_" and "-", at most 64
3:8: role "root" is unknown (view or operate)
9:8: name: another token is called "x"
12:1: unknown key "secret" in token; known are file, name, role`},
	{"webhooks", "[[webhook]]\nurl = \"http://there.test/hunter2\"\nevents = [\"bouncd\"]\n[[webhook]]\nurl = \"https://u:hunter2@there.test/\"\nevents = []\nsecret_file = \"f\"\n" +
		"[[webhook]]\nurl = \"ftp://there.test/hunter2\"\n[[webhook]]\nurl = \"https://a.test/\"\n[[webhook]]\nurl = \"https://a.test/\"\n",
		`1:3: webhook without secret_file
2:7: url: http is for this machine alone, like http://127.0.0.1:9000/; write https
3:11: events "bouncd" is unknown; did you mean "bounced"? (accepted, attempt, deferred, warned, delivered, relayed, bounced, expired, held, released, removed, rerouted or ordered)
5:7: url: no user or password may stand in it; what is sent is signed with the secret of secret_file
6:10: events is empty; write a list like ["bounced", "expired", "warned"]
8:3: webhook without events
8:3: webhook without secret_file
9:7: url: not a URL like https://example.com/mail-events
10:3: webhook without events
10:3: webhook without secret_file
12:3: webhook without events
12:3: webhook without secret_file
13:7: url: another webhook has the same; name all events in one`},

	{"size", "[smtp]\nmax_size = \"50XB\"\n", `2:12: max_size: "50XB" is not a size like "50MB" or "64KiB"`},
	{"sizes", "[queue]\nmin_free = 1_000\n[notices]\nreturn_full = -1\n",
		`4:15: return_full: -1 is too small; at least 0`},
	{"small size", "[smtp]\nmax_size = 1000\n", `2:12: max_size: 1000 octets are too few; every host must take 64 KiB (RFC 5321 4.5.3.1.7)`},
	{"number", "[smtp]\nmax_recipients = 10\nmax_errors = \"many\"\nmax_hops = 99999999999\n",
		`2:18: max_recipients: 10 is too small; at least 100
3:14: max_errors wants a whole number like 100, not text
4:12: max_hops: 99999999999 is too large`},
	{"many", "[smtp]\nmax_recipients = 30001\n", `2:18: max_recipients: 30001 is too large; at most 30000`},
	{"newline", "[smtp]\nbare_newline = \"normalise\"\n",
		`2:16: bare_newline "normalise" is unknown; did you mean "normalize"? (refuse or normalize)`},
	{"injected", "[smtp]\nbanner = \"a\\r\\n220 b\"\n", `2:10: banner holds a line end or another control character`},
	{"too long for a reply", "[smtp]\nbanner = \"" + strings.Repeat("a", 251) + "\"\n[door]\nhelp = \"" + strings.Repeat("a", 101) + "\"\n",
		`2:10: banner goes into replies: ASCII, at most 250 letters, as a line has 512 octets at most (RFC 5321 4.5.3.1.5)
4:8: help goes into replies: ASCII, at most 100 letters, as a line has 512 octets at most (RFC 5321 4.5.3.1.5)`},
	{"time-out", "[smtp]\ncommand_timeout = \"0s\"\n", `2:19: command_timeout: "0s" is too short; at least 1s`},

	{"network", "[relay]\nclients = [\"10.1.2.3/8\", \"ten\"]\n",
		`2:12: clients: "10.1.2.3/8" has bits outside its network; did you mean "10.0.0.0/8"?
2:26: clients: "ten" is not a network like 10.0.0.0/8 or an address`},
	{"everybody", "[relay]\ndomains = [\"*\"]\n",
		`2:12: domains: "*" would take mail from anybody to anybody; name the domains, or name who may send anywhere in clients`},
	{"domain", "[relay]\ndomains = [\"a b\"]\n", `2:12: domains: "a b" is not a domain like example.com or *.example.com`},
	{"hostname", "hostname = \"10.0.0.1\"\n", `1:12: hostname: "10.0.0.1" is not a host name like mx1.example.com`},
	{"postmaster", "postmaster = \"admin\"\n", `1:14: postmaster: "admin" is not an address like admin@example.com`},
	{"aliases", "[aliases]\n\"a b\" = [\"a@b.test\"]\nroot = \"x\"\nRoot = [\"nobody\"]\nroom = []\n",
		`2:1: "a b" is not a local name like root, nor an address in quotes
3:8: alias root wants a list like ["admin@example.com"], not text
4:1: alias "Root" is the same as "root" above
4:9: alias Root: "nobody" is not an address like admin@example.com
5:8: alias room is empty; write a list like ["admin@example.com"]`},
	{"dns", "[dns]\nservers = [\"localhost\"]\n", `2:12: servers: "localhost" is not an address like 127.0.0.1:53`},

	{"an empty route", "[[route]]\n",
		`1:3: route without domain; write domain = "example.com", "*.example.com" or "*"
1:3: route without to; write to = ["mx"] or ["smtp:HOST:PORT"]`},
	{"next hops", "[[route]]\ndomain = \"*\"\nto = [\"mx\", \"smtp:\", \"lmtp:unix:x\", \"relay\", 5]\n",
		`3:13: to: "smtp:": there is no host
3:22: to: "lmtp:unix:x": the path of a socket begins with "/" and has no control characters
3:37: to: "relay": want "mx", "mx:PORT", "smtp:HOST:PORT", "lmtp:HOST:PORT" or "lmtp:unix:/PATH"
3:46: to wants next hops like "mx" or "smtp:HOST:PORT", not a number`},
	{"tls", "[[route]]\ndomain = \"*\"\nto = [\"mx\"]\ntls = \"must\"\n", `4:7: tls "must" is unknown (may, require or verify)`},
	{"auth", "[[route]]\ndomain = \"*\"\nto = [\"mx\"]\ntls = \"may\"\nauth = { user = \"u\", password = \"hunter2\" }\n",
		`4:7: tls = "may" would send no password; auth needs tls = "verify": a host that proves its name
5:8: auth without password_file; write auth = { user = "…", password_file = "…" }
5:22: unknown key "password" in route.auth; did you mean "password_file"?`},
	{"auth's kind", "[[route]]\ndomain = \"*\"\nto = [\"mx\"]\nauth = \"u:hunter2\"\n",
		`4:8: auth wants { user = "…", password_file = "…" }, not text`},
	{"source", "[[route]]\ndomain = \"*\"\nto = [\"mx\"]\nsource = \"::1\"\nprefer = \"ipv4\"\nrate = \"100\"\n",
		`4:10: source: from ::1 no address of the preferred kind can be reached; leave out one of the two
6:8: rate: "100" is not messages in a time, like "100/1m"`},
	{"certificate", "[tls]\ncert = \"c.pem\"\n", `2:1: cert without key; the file of its private key is needed too`},

	{"no TOML", "[log]\nformat = text\nlevel = info\n",
		`2:10: not a value; text is written in quotes: "5m"
3:12: expected newline but got U+006F 'o'; one key and one value stand on a line, text in quotes`},
	{"no quote", "data = \"x\nhistory = \"1d\"\n", `1:10: text without its closing quote`},
	{"twice the key", "data = \"x\"\n\ndata = \"y\"\n", `3:1: key data is already defined`},
	{"open list", "[schedule.default]\nretry = [\"5m\"\nexpire = \"5d\"\n", `3:1: expected ',' or ']' after array value`},
	{"two on a line", "data = \"x\" history = \"1d\"\n", `1:12: expected newline but got U+0068 'h'; one key and one value stand on a line, text in quotes`},
}

func TestEveryMistakeIsNamedWithItsPlace(t *testing.T) {
	for _, m := range mistakes {
		t.Run(m.name, func(t *testing.T) {
			_, err := Parse("/etc/postrider/postrider.toml", []byte(m.text))
			var all Errors
			if !errors.As(err, &all) {
				t.Fatalf("got %v, want\n%s", err, m.want)
			}
			got := strings.ReplaceAll(all.Error(), "/etc/postrider/postrider.toml:", "")
			if got != m.want {
				t.Errorf("got\n%s\nwant\n%s", got, m.want)
			}
			if strings.Contains(got, "hunter2") {
				t.Error("a secret is repeated")
			}
		})
	}
}

func TestDoubtsAreWarnings(t *testing.T) {
	const more = ` ("postrider lint" tells more)`
	const filter = "[[filter]]\nname = \"rspamd\"\nkind = \"milter\"\nto = \"inet:127.0.0.1:11332\"\n"
	const list = "[[list]]\nname = \"bl\"\nzone = \"bl.test\"\n"
	const route = "[[route]]\ndomain = \"*.test\"\nto = [\"mx\"]\n"
	for _, d := range []struct{ text, want string }{
		{good, ""},
		{"[relay]\nclients = [\"::1\"]\n", "no hostname is given, and this machine has no full name; many hosts refuse mail from localhost.localdomain\n" +
			"nothing listens; write [[listen]] with kind = \"smtp\" and an address"},
		{good[:strings.Index(good, "[relay]")], "no mail would be accepted; write relay.clients (who may send anywhere) or relay.domains (whom anybody may send to)"},
		{good + "clients = [\"0.0.0.0/0\"]\n", "7:12: clients: 0.0.0.0/0 lets everybody send anywhere: an open relay"},
		{strings.Replace(good, "127.0.0.1", "", 1), "no certificate in [tls]; mail comes in over the network in plain text\n" +
			"no postmaster; every mail host must have one, whose mail is read (RFC 5321 4.5.1)"},
		{good + "[door]\ntrusted = [\"10.0.0.0/8\", \"::/0\"]\n", "8:26: trusted: ::/0 lets everybody pass for any client, for those in relay.clients too: an open relay"},
		{good + filter + list, `7:3: no rule asks filter "rspamd", so it sees no mail; write a [[rule]] with filter = "rspamd"`},
		{good + filter + list + "[[rule]]\nname = \"a\"\nthen = \"accept\"\n", `7:3: no rule asks filter "rspamd", so it sees no mail; write a [[rule]] with filter = "rspamd"` + "\n" +
			`11:3: no rule asks list "bl"; write a [[rule]] with listed = "bl", or with a score to add up what all lists say`},
		{good + filter + list + "[[rule]]\nname = \"a\"\nfilter = \"rspamd\"\nnot = { listed = \"bl\" }\n", ""},
		{good + list + "of = \"domain\"\n[[rule]]\nname = \"a\"\nthen = \"refuse\"\nscore = 5\nat = \"hello\"\n", `7:3: no rule asks list "bl"; write a [[rule]] with listed = "bl", or with a score to add up what all lists say`},
		{good + strings.NewReplacer("milter", "smtp", "inet", "smtp").Replace(filter) + "back = \"127.0.0.1:10026\"\n", ""},
		{good + "[schedule.default]\nexpire = \"2d\"\nwarn = []\n", "8:10: mail is given up after 2d; hosts can be down for longer" + more + "\n" +
			"8:10: a host that is down from Friday 18:00 to Monday 09:00, 63 hours, loses what is accepted for it from Friday 18:00 to Saturday 09:00, 15h of mail, which goes back to its senders" + more + "\n" +
			"9:8: the sender hears nothing for 2d, and then that it is too late" + more},
		{good + "[schedule.notice]\nexpire = \"2d\"\nwarn = []\n", ""},
		{good + "[schedule.slow]\n", `7:11: no route names schedule "slow"; it governs nothing`},
		{good + "[smtp]\nmax_hops = 25\n", "8:12: max_hops below 100 takes a long way for a loop (RFC 5321 6.3)"},
		{good + route + strings.Replace(route, "*.test", "a.test", 1), `11:10: this route is never reached; the one in line 7 for "*.test" takes its mail first`},
		{good + route + strings.Replace(route, "*.test", "test", 1), ""},
	} {
		r := newReader("p.toml")
		r.hostname = func() (string, error) { return "box", nil }
		c, err := r.result(r.config([]byte(d.text)))
		if err != nil {
			t.Errorf("%s\n%v", d.text, err)
			continue
		}
		got := strings.ReplaceAll(strings.ReplaceAll(Errors(c.Warnings).Error(), "p.toml:", ""), "\n ", "\n")
		if got = strings.TrimPrefix(got, " "); got != d.want {
			t.Errorf("%s\ngot\n%s\nwant\n%s", d.text, got, d.want)
		}
	}
}

func TestHostnameDefaultsToTheMachines(t *testing.T) {
	r := newReader("p.toml")
	r.hostname = func() (string, error) { return "Box.Example.com.", nil }
	if c := r.config(nil); c.Hostname != "box.example.com" {
		t.Errorf("%q", c.Hostname)
	}
}

func TestNearestIsWhatAPersonMeant(t *testing.T) {
	known := []string{"retry", "expire", "warn", "jitter", "max_size", "password_file"}
	for word, want := range map[string]string{
		"expires": "expire", "retries": "retry", "Expire": "expire", "wran": "warn", "jiter": "jitter",
		"size": "max_size", "password": "password_file", "x": "", "": "", "lifetime": "",
	} {
		if got := nearest(word, known); got != want {
			t.Errorf("%q: got %q, want %q", word, got, want)
		}
	}
}

func TestShadowsOnlyWhatIsWhollyMatched(t *testing.T) {
	for _, c := range []struct {
		first, second string
		want          bool
	}{
		{"*", "a.test", true}, {"a.test", "a.test", true}, {"*.test", "a.test", true}, {"*.test", "*.a.test", true},
		{"*.test", "*.test", true}, {"*.test", "test", false}, {"*.test", "*", false}, {"a.test", "*", false}, {"*.a.test", "*.test", false},
	} {
		if got := shadow(map[string]int{c.first: 1}, c.second); (got == c.first) != c.want {
			t.Errorf("%q shadows %q: %q", c.first, c.second, got)
		}
	}
}
