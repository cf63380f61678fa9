package config

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/custody"
)

// settings returns what is in force by key, as JSON with its line behind it; "*"
// stands behind a default.
func settings(t *testing.T, c *Config) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, s := range c.Settings() {
		b, err := json.Marshal(s.Value)
		if err != nil {
			t.Fatal(err)
		}
		if _, twice := all[s.Key]; twice {
			t.Errorf("%s stands there twice", s.Key)
		}
		switch all[s.Key] = fmt.Sprintf("%s :%d", b, s.Line); {
		case s.Default && (s.Line != 0 || s.File != ""):
			t.Errorf("%s is a default, and written in %s:%d", s.Key, s.File, s.Line)
		case s.Default:
			all[s.Key] = string(b) + " *"
		case s.Hidden:
			all[s.Key] = "hidden " + all[s.Key]
		}
	}
	return all
}

func TestEverySettingIsShownWithItsPlace(t *testing.T) {
	const text = `hostname = "A.test"
data = "mail"
[[listen]]
kind = "smtp"
address = ":25"
[[listen]]
kind = "lmtp"
address = ":24"
[relay]
clients = ["127.0.0.1", "10.0.0.0/8"]
[smtp]
max_size = "20MB"
[[rule]]
use = "no-reverse-name"
log_only = true
[[rule]]
name = "slow"
rate = { by = "client", most = 5, in = "1h" }
then = "defer"
[schedule.slow]
retry = ["1h"]
jitter = 0.2
[[route]]
domain = "*"
to = ["smtp:relay.test"]
schedule = "slow"
auth = { user = "us", password_file = "secret-file" }
[aliases]
"sales@a.test" = ["ann@a.test"]
[[webhook]]
url = "https://hooks.test/services/secret-path?key=secret"
events = ["bounced"]
secret_file = "secret-file"
[[filter]]
name = "f"
kind = "http"
to = "http://127.0.0.1:9/judge?key=secret"
`
	got := settings(t, parse(t, text))
	for key, want := range map[string]string{
		"hostname": `"a.test" :1`, "data": `"/etc/postrider/mail" :2`, "history": `"14d" *`, "postmaster": `null *`,
		"listen[0].kind": `"smtp" :4`, "listen[1].address": `":24" :8`,
		"relay.clients": `["127.0.0.1","10.0.0.0/8"] :10`, "relay.domains": `[] *`,
		"smtp.max_size": `"20MB" :12`, "smtp.max_errors": `20 *`, "smtp.bare_newline": `"refuse" *`, "smtp.data_timeout": `"3m" *`,
		"rule[0].log_only": `true :15`, "rule[0].client_name": `["none"] *`, "rule[0].code": `550 *`,
		"rule[1].rate.most": `5 :18`, "rule[1].rate.in": `"1h" :18`,
		"schedule.slow.retry": `["1h"] :21`, "schedule.slow.expire": `"5d" *`, "schedule.slow.warn": `["4h","2d"] *`, "schedule.default.expire": `"5d" *`, "schedule.notice.expire": `"2d" *`,
		"route[0].to": `["smtp:relay.test"] :25`, "route[0].auth.user": `"us" :27`, "route[0].auth.password_file": `hidden null :27`, "route[0].tls": "",
		"aliases.sales@a.test": `["ann@a.test"] :29`, "log.level": `"info" *`, "queue.max_connections": `500 *`,
		"webhook[0].url": `"https://hooks.test/…" :31`, "webhook[0].secret_file": `hidden null :33`,
		"filter[0].to": `"http://127.0.0.1:9/judge" :37`, "filter[0].timeout": `"30s" *`,
	} {
		if got[key] != want {
			t.Errorf("%s is %s, want %s", key, got[key], want)
		}
	}
	for key, value := range got {
		if strings.Contains(value, "secret") {
			t.Errorf("%s shows %s", key, value)
		}
	}
}

func TestEveryKeyOfTheExampleIsShown(t *testing.T) {
	c := parse(t, Example)
	got := settings(t, c)
	lines := map[int]bool{}
	for _, s := range c.Settings() {
		lines[s.Line] = true
	}
	for i, line := range strings.Split(Example, "\n") {
		key, _, is := strings.Cut(strings.TrimSpace(line), "=")
		if is && !strings.HasPrefix(key, "#") && !lines[i+1] {
			t.Errorf("line %d is not shown: %s", i+1, line)
		}
	}
	for _, hidden := range []string{"tls.key", "token[0].file", "filter[1].token_file", "sign[0].key", "route[1].auth.password_file", "webhook[0].secret_file"} {
		if !strings.HasPrefix(got[hidden], "hidden null") {
			t.Errorf("%s is %s", hidden, got[hidden])
		}
	}
}

func TestWhatNoFileSaysIsADefault(t *testing.T) {
	got := settings(t, Default("/x"))
	for key, want := range map[string]string{
		"data": `"/x/postrider-data" *`, "route[0].to": `["mx"] *`, "listen[1].address": `"127.0.0.1:8025" *`, "schedule.default.warn": `["4h","2d"] *`,
	} {
		if got[key] != want {
			t.Errorf("%s is %s, want %s", key, got[key], want)
		}
	}
	c := parse(t, good) // one that a program made, with doubts about it
	c.Schedules["default"] = custody.Schedule{Name: "default", Rule: builtIn, Retry: []custody.Pace{{Gap: time.Second}}, Expire: time.Minute}
	if got := settings(t, c); got["schedule.default.expire"] != `"1m" *` {
		t.Errorf("its schedule expires after %s", got["schedule.default.expire"])
	}
	if got := settings(t, parse(t, good)); got["route[0].domain"] != `"*" *` || got["route[0].to"] != `["mx"] *` {
		t.Errorf("the built-in route: %s to %s", got["route[0].domain"], got["route[0].to"])
	}
}
