package api

import (
	"context"
	"time"

	"github.com/postrider/postrider/internal/queue"
	"github.com/postrider/postrider/internal/watch"
	"github.com/postrider/postrider/mail"
)

// Now is what comes, leaves and waits at a moment.
type Now struct {
	At       time.Time         `json:"at"`
	Since    time.Time         `json:"since" doc:"when counting began: the start of the program"`
	Hostname string            `json:"hostname"`
	Version  string            `json:"version"`
	Flows    []watch.Flow      `json:"flows"`
	Store    Stored            `json:"store"`
	Queue    Waiting           `json:"queue"`
	Conns    *Conns            `json:"connections" doc:"to other hosts; null: not counted"`
	Newest   []watch.Happening `json:"newest" doc:"the last events, the newest last"`
}

// Stored is how the store is, at this very moment.
type Stored struct {
	Deliveries int64  `json:"deliveries" doc:"in the queue"`
	Messages   int64  `json:"messages"`
	Bytes      int64  `json:"bytes" doc:"octets on the disk"`
	Free       int64  `json:"free" doc:"octets that are free there"`
	Durability string `json:"durability" doc:"what a 250 from here means"`
	Fault      string `json:"fault" doc:"why it takes nothing; empty: it does"`
}

// Waiting is the queue as the last survey found it.
type Waiting struct {
	Surveyed   time.Time      `json:"surveyed,omitzero" doc:"when the survey began; absent: the first is under way"`
	States     map[string]int `json:"states" doc:"deliveries waiting, trying and held"`
	Ages       []Age          `json:"ages" doc:"deliveries by age, held ones left out"`
	Oldest     *time.Time     `json:"oldest" doc:"when the oldest that is not held was accepted"`
	OldestHeld *time.Time     `json:"oldest_held"`
	Trouble    []Trouble      `json:"trouble" doc:"destinations that are paused, silent, unknown or deferring, the worst first"`
}

// Trouble is a destination whose mail waits in vain.
type Trouble struct {
	Destination string    `json:"destination" doc:"as pause takes it"`
	Domains     []string  `json:"domains" doc:"domains and ordered next hops behind it for which most waits"`
	Behind      int       `json:"behind" doc:"how many there are"`
	Health      string    `json:"health" doc:"untried, living, deferring, silent or no way"`
	Waiting     int       `json:"waiting" doc:"deliveries"`
	Oldest      time.Time `json:"oldest,omitzero" doc:"when the oldest of them was accepted"`
	Since       time.Time `json:"since,omitzero" doc:"silent: since when; else when it last answered; absent: not known"`
	Knocks      int       `json:"knocks,omitempty" doc:"silent: attempts since"`
	Last        *Last     `json:"last" doc:"what it said to the mail that waits; null: not known"`
	Paused      string    `json:"paused,omitempty" doc:"who paused it and why"`
}

// Age counts the deliveries between the bound before and this one.
type Age struct {
	UpTo  int64 `json:"up_to_s" doc:"0: without bound"`
	Count int   `json:"count"`
}

// Conns counts connections to other hosts.
type Conns struct {
	Opening int `json:"opening"`
	Busy    int `json:"busy"`
	Idle    int `json:"idle"`
}

type nowInput struct {
	Newest int `query:"newest" default:"20" minimum:"0" maximum:"50" doc:"events that are told"`
}

type nowOutput struct{ Body Now }

func (s *server) now(ctx context.Context, in *nowInput) (*nowOutput, error) {
	n := s.o.Metrics.Now(ctx, in.Newest)
	n.Hostname, n.Version = s.o.Hostname(), s.o.Version
	return &nowOutput{n}, nil
}

// Now tells what comes, leaves and waits, with up to so many of the newest events.
func (m *Metrics) Now(ctx context.Context, newest int) Now {
	m.sites.wake()
	n := Now{
		At: time.Now(), Since: m.o.Watch.Since(), Flows: m.o.Watch.Flows(),
		Queue: waiting(m.o.Outlooks.survey(ctx)), Newest: m.o.Watch.Newest(newest),
	}
	h := m.o.Store.Health(ctx)
	n.Store = Stored{h.Waiting, h.Messages, h.Bytes, h.Free, h.Durability, h.Fault}
	n.Queue.Trouble = []Trouble{}
	for _, s := range m.sites.seen(ctx).ill {
		n.Queue.Trouble = append(n.Queue.Trouble, trouble(s))
	}
	if n.Newest == nil {
		n.Newest = []watch.Happening{}
	}
	if m.o.Connections != nil {
		n.Conns = &Conns{}
		n.Conns.Opening, n.Conns.Busy, n.Conns.Idle = m.o.Connections()
	}
	return n
}

func waiting(v Survey) Waiting {
	w := Waiting{Surveyed: v.At, States: v.States, Ages: []Age{}}
	if v.States == nil {
		w.States = map[string]int{}
	}
	for i, n := range v.Ages {
		a := Age{Count: n}
		if i < len(SurveyAges) {
			a.UpTo = int64(SurveyAges[i].Seconds())
		}
		w.Ages = append(w.Ages, a)
	}
	if !v.Oldest.IsZero() {
		w.Oldest = &v.Oldest
	}
	if !v.OldestHeld.IsZero() {
		w.OldestHeld = &v.OldestHeld
	}
	return w
}

func trouble(s queue.Site) Trouble {
	t := Trouble{
		Destination: mail.Clean(s.Name, siteNameMost), Domains: s.Domains, Behind: s.Behind, Health: s.Health.String(), Waiting: s.Waiting, Oldest: s.Oldest, Since: s.Since, Knocks: s.Knocks,
	}
	if t.Domains == nil {
		t.Domains = []string{}
	}
	if o := s.Last; !o.IsZero() {
		t.Last = &Last{o.At, o.Host, o.IP, o.Stage, o.Reply.Code, o.Reply.Status, o.Reply.Text}
	}
	if s.Paused != nil {
		t.Paused = s.Paused.String()
	}
	return t
}
