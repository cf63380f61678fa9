package intake

import (
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/postrider/postrider/internal/memo"
	"github.com/postrider/postrider/policy"
)

// Memory is what the door remembers from one visit to the next, and over a restart.
// A nil Memory remembers nothing.
type Memory struct {
	// Allowed are the overrides, and Refusals the latest of those who were refused.
	Allowed  *memo.Overrides[policy.Override]
	Refusals memo.Refusals[policy.Record]

	grey   memo.Greylist
	proven memo.Proven
	rates  memo.Rates
	names  memo.Cache[bool] // whether a next hop knows a recipient
	log    *slog.Logger

	mu     sync.Mutex
	coming map[rated]int // messages that are let in and not stored yet
}

// rated is what a rate counts.
type rated struct {
	rate policy.Rate
	key  string
}

// provenFor is how long a client that had mail accepted is known.
const provenFor = 90 * 24 * time.Hour

// NewMemory reads what is remembered. An override that cannot be read is logged.
func NewMemory(m *memo.Memo, log *slog.Logger) *Memory {
	allowed, err := memo.NewOverrides[policy.Override](m)
	if err != nil {
		log.Error("reading overrides", "err", err)
	}
	return &Memory{
		Allowed: allowed, Refusals: memo.NewRefusals[policy.Record](m),
		grey: m.Greylist(), proven: m.Proven(), rates: m.Rates(), names: memo.NewCache[bool](m, memo.CallForward), log: log, coming: map[rated]int{},
	}
}

// overrides are those in force.
func (m *Memory) overrides(now time.Time) []policy.Override {
	if m == nil {
		return nil
	}
	active := m.Allowed.Active(now)
	if len(active) == 0 {
		return nil
	}
	all := make([]policy.Override, len(active))
	for i, o := range active {
		all[i] = o.Value
		all[i].ID, all[i].Until = o.ID, o.Until
	}
	return all
}

// came returns when greylisting first saw a key; zero: never. Those who came again
// are remembered from their last visit on: it is said of them that they came first no
// longer ago than the longest delay.
func (m *Memory) came(key string, delay time.Duration, now time.Time) policy.Fact[time.Time] {
	if m == nil {
		return policy.Failed[time.Time]("nothing is remembered")
	}
	v := m.grey.Look(key, memo.Terms{Window: policy.GreyWindow}, now)
	if v.Visits < 2 {
		return policy.Known(time.Time{})
	}
	if again := now.Add(-delay); v.Wait == 0 && !v.Came && v.First.Before(again) {
		return policy.Known(again)
	}
	return policy.Known(v.First)
}

// greylist notes a visit as the rule has judged it.
func (m *Memory) greylist(key string, client netip.Addr, g policy.Greylisting, now time.Time) {
	if m == nil {
		return
	}
	t := memo.Terms{Delay: time.Nanosecond, Window: policy.GreyWindow, Memory: g.Memory}
	if g.Wait > 0 {
		t.Delay = policy.GreyWindow // it does not pass, whatever the rule's own delay is
	}
	m.grey.Seen(key, client, t, now)
}

func (m *Memory) isProven(client netip.Addr, now time.Time) policy.Fact[bool] {
	if m == nil {
		return policy.Failed[bool]("nothing is remembered")
	}
	_, ok := m.proven.Of(client, now)
	return policy.Known(ok)
}

// prove notes that a client had a message accepted.
func (m *Memory) prove(client netip.Addr, now time.Time) {
	if m != nil && client.IsValid() {
		m.proven.Add(client, provenFor, now)
	}
}

// count tells how many were let in: those that are stored, and those on their way.
func (m *Memory) count(r rated, now time.Time) policy.Count {
	if m == nil {
		return policy.Count{Rate: r.rate, Fault: "nothing is remembered"}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return policy.Count{Rate: r.rate, N: m.coming[r] + m.rates.Count(r.rate.By.String()+" "+r.key, r.rate.In, now)}
}

// comes notes a message that is let in, until it has gone.
func (m *Memory) comes(r rated) {
	if m != nil {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.coming[r]++
	}
}

// gone notes that a message is stored, or will not be.
func (m *Memory) gone(r rated, stored bool, client netip.Addr, now time.Time) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.coming[r]--; m.coming[r] == 0 {
		delete(m.coming, r)
	}
	if stored {
		m.rates.Add(r.rate.By.String()+" "+r.key, client, 1, r.rate.In, now)
	}
}

func (m *Memory) refused(r policy.Record, client netip.Addr) {
	if m == nil {
		return
	}
	mail := r.From
	for _, to := range r.To {
		mail += " " + to
	}
	err := m.Refusals.Add(memo.Refusal[policy.Record]{Ref: r.Ref, At: r.At, Client: client, Rule: r.Rule, Detail: r}, mail)
	if err != nil {
		m.log.Error("remembering a refusal", "ref", r.Ref, "err", err)
	}
}
