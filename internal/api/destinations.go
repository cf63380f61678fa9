package api

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/queue"
	"github.com/postrider/postrider/mail"
)

// Destinations is what the API asks of the queue about destinations.
type Destinations interface {
	Sites(ctx context.Context, what queue.SitesQuery) (queue.Sites, error)
	Pause(ctx context.Context, p queue.Pause, dry bool) ([]queue.Site, error)
	Resume(ctx context.Context, name, by string, dry bool) ([]queue.Site, error)
	Paused(d custody.Delivery) (queue.Pause, bool)
}

// Site is a destination: the domains whose mail goes the same way.
type Site struct {
	Name        string    `json:"name" doc:"what pause and resume take"`
	Way         string    `json:"way" doc:"kind and next hop; empty: not looked up yet"`
	Rule        string    `json:"rule" doc:"what decided the way"`
	Domains     []string  `json:"domains" doc:"domains and ordered next hops behind it for which mail waits, those with most of it first, at most 20"`
	Behind      int       `json:"behind" doc:"how many there are"`
	Waiting     int       `json:"waiting" doc:"deliveries; held ones of which nothing more will be told are left out"`
	UnderWay    int       `json:"under_way" doc:"of these, those that are being tried or are about to be"`
	Oldest      time.Time `json:"oldest,omitzero" doc:"when the oldest of them was accepted; absent: none waits"`
	GivesUp     *SiteEnd  `json:"gives_up" doc:"what is given up next if every attempt fails, as far as the oldest deliveries and those looked at next tell; null: nothing is"`
	Connections int       `json:"connections" doc:"attempts under way"`
	Window      int       `json:"window" doc:"attempts allowed at a time now; 0: it is not known well enough"`
	Most        int       `json:"most" doc:"attempts allowed at a time however well it goes"`
	GapS        float64   `json:"gap_s" doc:"least time between two messages; 0: none"`
	Health      string    `json:"health" enum:"untried,living,deferring,silent,no way"`
	Since       time.Time `json:"since,omitzero" doc:"silent: when the first attempt of those began; else when it last answered"`
	Knocks      int       `json:"knocks" doc:"silent: attempts since"`
	NextKnock   time.Time `json:"next_knock,omitzero" doc:"silent: no attempt before; absent: when mail is due"`
	Last        *Last     `json:"last" doc:"what it said last; while mail waits, to what it did not take; null: nothing is known"`
	Paused      *Paused   `json:"paused" doc:"null: it is not"`
}

// SiteEnd is the end of a delivery.
type SiteEnd struct {
	At       time.Time `json:"at"`
	Delivery string    `json:"delivery"`
	Because  string    `json:"because"`
}

// Paused is an operator's order that a destination is not tried.
type Paused struct {
	Name  string    `json:"name" doc:"what resume takes: the domain or the destination"`
	By    string    `json:"by"`
	Why   string    `json:"why"`
	Since time.Time `json:"since"`
}

func (s *server) destinationRoutes(a huma.API) {
	if s.o.Destinations == nil {
		return
	}
	huma.Register(a, huma.Operation{
		OperationID: "destinations", Method: "GET", Path: "/api/v1/destinations", Summary: "Destinations: how they are, what they said last, what waits for them",
		Description: "Those that an operator paused come first, then those that are silent, those to which no way is known, those that defer. Where very much waits it is counted now and then; counted says when.",
	}, s.destinations)
	huma.Register(a, huma.Operation{
		OperationID: "pause", Method: "POST", Path: "/api/v1/destinations/pause", Summary: "Do not try a destination until it is resumed",
		Description: "Attempts under way come to their end. What waits goes on ageing and its senders are warned, but nothing ends before the resume.",
	}, s.pause)
	huma.Register(a, huma.Operation{
		OperationID: "resume", Method: "POST", Path: "/api/v1/destinations/resume", Summary: "Try a destination again",
		Description: "What fell due meanwhile is tried at once, in order, beginning with one connection.",
	}, s.resume)
}

type destinationsInput struct {
	Name  string `query:"name" doc:"a part of its name, or of a domain behind it"`
	Sort  string `query:"sort" enum:"trouble,waiting" default:"trouble" doc:"those in trouble first, or those with most mail"`
	Idle  bool   `query:"idle" doc:"also those for which nothing waits"`
	Limit int    `query:"limit" default:"100" minimum:"1" maximum:"1000"`
	From  int    `query:"from" minimum:"0" doc:"how many are passed over"`
}

// SitePage is a page of destinations.
type SitePage struct {
	Destinations []Site    `json:"destinations"`
	All          int       `json:"all" doc:"destinations on all pages"`
	Waiting      int       `json:"waiting" doc:"deliveries to all destinations"`
	Counted      time.Time `json:"counted" doc:"when what waits was counted"`
	More         bool      `json:"more,omitempty" doc:"there are more destinations than can be listed: those that will be tried last are missing"`
}

type destinationsOutput struct{ Body SitePage }

func (s *server) destinations(ctx context.Context, in *destinationsInput) (*destinationsOutput, error) {
	got, err := s.o.Destinations.Sites(ctx, queue.SitesQuery{Name: in.Name, Idle: in.Idle, Most: in.Sort == "waiting", Limit: in.Limit, From: in.From})
	if err != nil {
		return nil, fault(err)
	}
	return &destinationsOutput{SitePage{sites(got.List), got.All, got.Waiting, got.Counted, got.More}}, nil
}

// Steer is an operator's order about a destination.
type Steer struct {
	Destination string `json:"destination" doc:"a domain, or a destination as it is listed"`
	By          string `json:"by,omitempty" doc:"who orders it"`
	Why         string `json:"why,omitempty" doc:"pause: for everybody who waits"`
	DryRun      bool   `json:"dry_run,omitempty"`
}

type steerInput struct{ Body Steer }

type steerOutput struct{ Body []Site }

func (s *server) pause(ctx context.Context, in *steerInput) (*steerOutput, error) {
	o := in.Body
	p := queue.Pause{Name: o.Destination, By: by(ctx, o.By), Why: mail.Clean(o.Why, 500)}
	return steered(s.o.Destinations.Pause(ctx, p, o.DryRun))
}

func (s *server) resume(ctx context.Context, in *steerInput) (*steerOutput, error) {
	o := in.Body
	return steered(s.o.Destinations.Resume(ctx, o.Destination, by(ctx, o.By), o.DryRun))
}

// steered is the answer to an order about destinations: those that it is about.
func steered(concerned []queue.Site, err error) (*steerOutput, error) {
	if err == nil {
		return &steerOutput{sites(concerned)}, nil
	}
	words := strings.TrimPrefix(err.Error(), "queue: ")
	switch {
	case errors.Is(err, queue.ErrNoDestination):
		return nil, huma.Error404NotFound(words)
	case errors.Is(err, queue.ErrPaused), errors.Is(err, queue.ErrNotPaused):
		return nil, huma.Error409Conflict(words)
	}
	return nil, fault(err)
}

func sites(list []queue.Site) []Site {
	all := make([]Site, 0, len(list))
	for _, s := range list {
		v := Site{
			Name: mail.Clean(s.Name, 1000), Way: s.Way, Rule: s.Rule, Domains: s.Domains, Behind: s.Behind, Waiting: s.Waiting, UnderWay: s.UnderWay,
			Oldest: s.Oldest, Connections: s.Connections, Window: s.Window, Most: s.Most, GapS: s.Gap.Seconds(),
			Health: s.Health.String(), Since: s.Since, Knocks: s.Knocks, NextKnock: s.Knock, Paused: pausedBy(s.Paused),
		}
		if v.Domains == nil {
			v.Domains = []string{}
		}
		if !s.End.At.IsZero() {
			v.GivesUp = &SiteEnd{s.End.At, s.End.Delivery.String(), s.End.Because}
		}
		if o := s.Last; !o.IsZero() {
			v.Last = &Last{o.At, o.Host, o.IP, o.Stage, o.Reply.Code, o.Reply.Status, o.Reply.Text}
		}
		all = append(all, v)
	}
	return all
}

func pausedBy(p *queue.Pause) *Paused {
	if p == nil {
		return nil
	}
	return &Paused{p.Name, p.By, p.Why, p.Since}
}

// over is a delivery as the law sees it: held, if its destination is paused.
func (s *server) over(d custody.Delivery) custody.Delivery {
	if s.o.Destinations == nil || len(d.Pending()) == 0 {
		return d
	}
	if p, ok := s.o.Destinations.Paused(d); ok {
		return p.Over(d)
	}
	return d
}

// rests shows, if the destination of a delivery is paused, the fate that it has then.
func (s *server) rests(v Delivery, d custody.Delivery, sch custody.Schedule) Delivery {
	if s.o.Destinations == nil || !v.Left.IsZero() || len(d.Pending()) == 0 {
		return v
	}
	p, ok := s.o.Destinations.Paused(d)
	if !ok {
		return v
	}
	next, warn, end := custody.Fate(p.Over(d), sch)
	v.Fate = Fate{NextTry: when(next), NextWarning: when(warn), GivesUp: when(end), Because: v.Fate.Because, Blocked: p.String(), Paused: pausedBy(&p)}
	if d.Held.IsZero() {
		v.Fate.Because = p.String() + ": it does not end before the destination is resumed"
	}
	return v
}
