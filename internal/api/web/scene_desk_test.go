package web

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/api"
	"github.com/postrider/postrider/internal/watch"
	"github.com/postrider/postrider/mail"
	"github.com/postrider/postrider/policy"
)

func (s *scene) atTheDoor() {
	ago := func(d time.Duration) time.Time { return s.now.Add(-d) }
	refusal := func(at time.Duration, client, name, helo, from, to, rule string, code int, status mail.Status, text, why string) policy.Record {
		s.number++
		r := policy.Record{
			Ref: fmt.Sprintf("K7X5%04d", s.number%10000), At: ago(at), Client: client, Name: name, Helo: helo, From: from, To: []string{to}, Stage: policy.Recipient, Action: policy.Refuse,
			Rule: rule, Place: "built-in rule " + rule, Reply: mail.Reply{Code: code, Status: status, Text: text}, Why: why,
		}
		if code < 500 {
			r.Action = policy.Greylist
		}
		s.door.records = append(s.door.records, r)
		return r
	}
	bakery := refusal(12*time.Minute, "198.51.100.7", "", "mail.corner-bakery.example", "<orders@corner-bakery.example>", "purchasing@example.com", "no-reverse-name", 550, mail.Status{5, 7, 25}, "no-reverse-name: 198.51.100.7 has no name in the DNS; see https://example.com/mail", "198.51.100.7 has no name in the DNS")
	spam := refusal(3*time.Minute, "203.0.113.201", "host-201.dyn.example", "localhost", "<win@lottery.example>", "info@example.com", "our-name-in-helo", 550, mail.Status{5, 7, 1}, "our-name-in-helo: you are not localhost", "it calls itself localhost")
	first := refusal(26*time.Minute, "192.0.2.144", "out3.parish-news.example", "out3.parish-news.example", "<editor@parish-news.example>", "helen.marsh@example.com", "greylist", 451, mail.Status{4, 7, 1}, "greylist: come again in 300 seconds", "it was never here before")
	s.door.groups = []policy.Group{
		{Client: "203.0.113.201", Rule: "our-name-in-helo", Count: 412, Mails: 398, Last: spam.At, Latest: spam},
		{Client: "198.51.100.7", Rule: "no-reverse-name", Count: 17, Mails: 3, Last: bakery.At, Latest: bakery, Honest: []string{"it comes again with patience, as a server does", "SPF says that it may send for corner-bakery.example"}},
		{Client: "192.0.2.144", Rule: "greylist", Count: 2, Mails: 1, Last: first.At, Latest: first, Honest: []string{"its name is confirmed"}},
	}
	client := func(s string) netip.Prefix { p, _ := api.ParseNetwork(s); return p }
	s.door.allowed = []policy.Allowed{
		{Override: policy.Override{ID: "QX7M2K", Rule: "no-reverse-name", Client: client("198.51.100.7"), Until: s.now.Add(26 * 24 * time.Hour), By: "maria", Because: "they have promised a PTR record"}, Made: ago(4 * 24 * time.Hour)},
		{Override: policy.Override{ID: "T4HD9P", Rule: "greylist", Domain: "city-hospital.example", Until: s.now.Add(9 * 24 * time.Hour), By: "tom", Because: "lab results must not wait"}, Made: ago(21 * 24 * time.Hour)},
	}
}

// desk serves the scene to who may give orders, as maria.
func (s *scene) desk(secret string) http.Handler {
	outlooks := api.NewOutlooks(s.store, s, s.schedule)
	metrics := api.NewMetrics(api.MetricsOptions{Watch: watch.NewMetrics(watch.MetricsOptions{}), Store: s.store, Queue: s, Outlooks: outlooks})
	access := api.NewAccess(nil)
	if err := access.Use([]api.Token{{Name: "maria", Role: api.Operate, Secret: secret}}); err != nil {
		s.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	s.t.Cleanup(stop)
	go outlooks.Run(ctx)
	go metrics.Run(ctx)
	settings := []api.Setting{}
	for _, set := range s.conf.Settings() {
		set.File = strings.TrimPrefix(set.File, "/etc/postrider/")
		settings = append(settings, api.Setting(set))
	}
	return api.New(api.Options{
		Store: s.store, Queue: s, Destinations: s, Door: &s.door, Hostname: func() string { return s.conf.Hostname }, Version: "1.0", Pages: Routes, Schedule: s.schedule, Access: access, Loopback: true,
		Events: watch.NewFeed(), Metrics: metrics, Outlooks: outlooks, Via: func(string) error { return nil },
		Tools: api.NewTools(api.ToolsOptions{
			Schedules: func([]byte) ([]custody.Schedule, error) {
				return []custody.Schedule{s.conf.Schedule("default"), s.conf.Schedule("patient")}, nil
			},
			Config: func() api.Configuration {
				return api.Configuration{File: s.conf.File, Settings: settings, Rules: s.conf.Door.Table.Rules()}
			},
		}),
	}, false)
}
