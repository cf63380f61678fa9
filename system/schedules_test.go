package system

import (
	"strconv"
	"testing"
	"time"
)

// The policies of testdata/schedules.txt: a system as shipped where its name
// alone stands, else what is changed of it.
var walked = map[string]struct {
	id     string
	change func(*Policy)
}{
	"exchange_hub_unreachable":  {id: "exchange-2007"},
	"exchange_edge_unreachable": {id: "exchange-edge"},
	"exchange_online_2019":      {id: "exchange-online"},
	"postfix_default":           {"postfix", func(p *Policy) { p.Scan = 0 }}, // as if it looked all the time
	"postfix_default_scan300":   {id: "postfix"},
	"qmail_remote_default":      {id: "qmail"},
	"qmail_local_default":       {"qmail", func(p *Policy) { p.Retry = Quadratic{Unit: 100 * time.Second, Shifts: true} }},
	"opensmtpd_relay_default":   {id: "opensmtpd"},
	"exim_default":              {id: "exim"},
	"exim_debian_q30m":          {id: "exim-debian"},
	"sendmail_q30m":             {id: "sendmail"},
	"sendmail_debian_q10m":      {id: "sendmail-debian"},
	"courier_default":           {id: "courier"},
	"haraka_default":            {id: "haraka"},
	"zonemta_default":           {id: "zonemta"},
	"kumomta_default":           {id: "kumomta"},
	"kumomta_max_retry_1h": {"kumomta", func(p *Policy) {
		p.Retry = Geometric{First: 20 * time.Minute, Factor: 2, Max: time.Hour}
	}},
	"sparkpost_like_72h":       {id: "sparkpost"},
	"momentum_default_conf_7d": {id: "momentum"},
	"stalwart_016_default":     {id: "stalwart"},
	"maddy_default":            {id: "maddy"},
	"mox_default":              {id: "mox"},
	"chasquid_default":         {id: "chasquid"},
	"hmailserver_default":      {id: "hmailserver"},
	"james_codedefault":        {id: "james"},
	"james_sample_conf": {"james", func(p *Policy) {
		p.Limit = 4
		p.Retry = List{Gaps: []time.Duration{5 * time.Second, 100 * time.Second, 500 * time.Second}}
	}},
	"symantec_cloud":       {id: "symantec-cloud"},
	"mimecast_default":     {id: "mimecast"},
	"mailgun":              {id: "mailgun"},
	"imsva_85":             {id: "imsva"},
	"censornet_inbound_6d": {id: "censornet"},
}

// TestTheSchedulesAreReproduced walks each policy with attempts that always fail
// and compares every attempt and the end with a walk made independently.
func TestTheSchedulesAreReproduced(t *testing.T) {
	table := rows(t, "schedules.txt")
	if len(table) != len(walked) || len(table) != 31 {
		t.Errorf("%d schedules, %d policies, want 31", len(table), len(walked))
	}
	for _, row := range table {
		w, ok := walked[row[0]]
		if !ok {
			t.Errorf("%s: no policy", row[0])
			continue
		}
		s, _ := Find(w.id)
		if w.change != nil {
			w.change(&s.Policy)
		}
		c := s.Policy.Run(Unreachable, Reckoned)
		if got := strconv.Itoa(len(c.Attempts)); got != row[1] || c.Endless {
			t.Errorf("%s: %s attempts, want %s; endless %t", row[0], got, row[1], c.Endless)
			continue
		}
		sameTime(t, row[0]+": last attempt", c.Attempts[len(c.Attempts)-1], row[2])
		sameTime(t, row[0]+": given up", c.End.At.Pick(Reckoned), row[3])
		i := 0
		for _, at := range row[4:] {
			if at == "…" {
				i = len(c.Attempts) - 5
				continue
			}
			sameTime(t, row[0]+": attempt "+strconv.Itoa(i+1), c.Attempts[i], at)
			i++
		}
		if i != len(c.Attempts) {
			t.Errorf("%s: %d of %d attempts compared", row[0], i, len(c.Attempts))
		}
	}
}

func sameTime(t *testing.T, what string, got time.Duration, want string) {
	t.Helper()
	if sec := strconv.FormatInt(int64(got/time.Second), 10); sec != want {
		t.Errorf("%s at %s s, want %s", what, sec, want)
	}
}
