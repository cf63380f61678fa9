package api

import (
	"context"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/postrider/postrider/internal/queue"
	"github.com/postrider/postrider/internal/watch"
	"github.com/postrider/postrider/mail"
)

// state collects how things are at the moment of a scrape. It reads counts that are
// kept anyway and the last survey: a scrape costs the same whatever waits.
type state struct{ m *Metrics }

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

var (
	deliveriesDesc  = describe("postrider_queue_deliveries", "Deliveries in the queue.")
	messagesDesc    = describe("postrider_queue_messages", "Messages in the queue.")
	storedDesc      = describe("postrider_store_bytes", "Octets that the store takes on the disk.")
	freeDesc        = describe("postrider_store_free_bytes", "Octets that are free on the disk of the store.")
	faultDesc       = describe("postrider_store_fault", "1 if the store takes nothing, else 0.")
	connsDesc       = describe("postrider_connections", "Connections to other hosts: opening, busy with a message, or idle.", "state")
	overridesDesc   = describe("postrider_overrides", "Overrides that are in force.")
	overrideEndDesc = describe("postrider_override_ends_timestamp_seconds", "When the next override ends.")

	statesDesc     = describe("postrider_queue_state_deliveries", "Deliveries in the queue at the last survey, by state.", "state")
	agesDesc       = describe("postrider_queue_age_seconds", "Ages of the deliveries in the queue at the last survey, held ones left out; _count goes down as well as up.")
	oldestDesc     = describe("postrider_queue_oldest_age_seconds", "Age of the oldest delivery of the last survey that waits, and that is held; 0: none.", "state")
	siteDesc       = describe("postrider_destination_deliveries", "Deliveries that wait for the destinations with most of them and for those in trouble; the rest together as other.", "destination")
	siteAgeDesc    = describe("postrider_destination_oldest_age_seconds", "Age of the oldest of them; 0: none waits.", "destination")
	siteSilentDesc = describe("postrider_destination_silent_seconds", "For how long every attempt there brought only silence; 0: it answers.", "destination")
	sitePausedDesc = describe("postrider_destination_paused", "1 if an operator has paused it, else 0.", "destination")

	surveyDesc = describe("postrider_queue_survey_timestamp_seconds", "When the last survey of the queue began.")
	lookedDesc = describe("postrider_queue_survey_seconds", "How long the last survey of the queue took, rests included.")
)

// gauge tells one number.
type gauge func(d *prometheus.Desc, v float64, labels ...string)

func (s *state) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		deliveriesDesc, messagesDesc, storedDesc, freeDesc, faultDesc, connsDesc, overridesDesc, overrideEndDesc,
		statesDesc, agesDesc, oldestDesc, siteDesc, siteAgeDesc, siteSilentDesc, sitePausedDesc, surveyDesc, lookedDesc,
	} {
		ch <- d
	}
}

func (s *state) Collect(ch chan<- prometheus.Metric) {
	now := time.Now()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		g, err := prometheus.NewConstMetric(d, prometheus.GaugeValue, v, labels...)
		if err != nil {
			g = prometheus.NewInvalidMetric(d, err)
		}
		ch <- g
	}
	h := s.m.o.Store.Health(context.Background())
	gauge(deliveriesDesc, float64(h.Waiting))
	gauge(messagesDesc, float64(h.Messages))
	gauge(storedDesc, float64(h.Bytes))
	gauge(freeDesc, float64(h.Free))
	fault := 0.
	if h.Fault != "" {
		fault = 1
	}
	gauge(faultDesc, fault)
	if s.m.o.Connections != nil {
		opening, busy, idle := s.m.o.Connections()
		gauge(connsDesc, float64(opening), "opening")
		gauge(connsDesc, float64(busy), "busy")
		gauge(connsDesc, float64(idle), "idle")
	}
	s.overrides(gauge, now)
	if v := s.m.o.Outlooks.survey(context.Background()); !v.At.IsZero() {
		s.survey(gauge, v, now)
		ch <- ages(v)
	}
	if d := s.m.sites.seen(context.Background()); d.seen {
		d.collect(gauge, now)
	}
}

func (s *state) overrides(gauge gauge, now time.Time) {
	if s.m.o.Door == nil {
		return
	}
	n, next := 0, time.Time{}
	for _, a := range s.m.o.Door.Allowed(now) {
		if a.Ended {
			continue
		}
		if n++; next.IsZero() || a.Until.Before(next) {
			next = a.Until
		}
	}
	gauge(overridesDesc, float64(n))
	if n > 0 {
		gauge(overrideEndDesc, float64(next.Unix()))
	}
}

func (s *state) survey(gauge gauge, v Survey, now time.Time) {
	for name, n := range v.States {
		gauge(statesDesc, float64(n), name)
	}
	gauge(oldestDesc, since(v.Oldest, now), "waiting")
	gauge(oldestDesc, since(v.OldestHeld, now), "held")
	gauge(surveyDesc, float64(v.At.UnixMilli())/1000)
	gauge(lookedDesc, v.Took.Seconds())
}

// since is how long ago something was, in seconds; 0 if it never was.
func since(t, now time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return max(0, now.Sub(t)).Seconds()
}

func (d destinations) collect(gauge gauge, now time.Time) {
	others := d.all
	told := map[string]bool{watch.TheOthers: true} // a word of ours before a name of theirs
	for _, s := range slices.Concat(d.most, d.ill) {
		name := mail.Clean(s.Name, siteNameMost)
		if told[name] {
			continue
		}
		told[name] = true
		others -= s.Waiting
		silent, paused := 0., 0.
		if s.Health == queue.Silent {
			silent = since(s.Since, now)
		}
		if s.Paused != nil {
			paused = 1
		}
		gauge(siteDesc, float64(s.Waiting), name)
		gauge(siteAgeDesc, since(s.Oldest, now), name)
		gauge(siteSilentDesc, silent, name)
		gauge(sitePausedDesc, paused, name)
	}
	gauge(siteDesc, float64(max(0, others)), watch.TheOthers)
}

const siteNameMost = 255 // octets of the name of a destination

// ages is the histogram of the ages.
func ages(v Survey) prometheus.Metric {
	buckets, sum := map[float64]uint64{}, uint64(0)
	for i, bound := range SurveyAges {
		sum += uint64(v.Ages[i])
		buckets[bound.Seconds()] = sum
	}
	return prometheus.MustNewConstHistogram(agesDesc, sum+uint64(v.Ages[len(SurveyAges)]), v.AgeSum.Seconds(), buckets)
}
