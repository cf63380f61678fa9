package watch

import (
	"sync"
	"time"
)

// Flow is something that happens again and again.
type Flow struct {
	What  string  `json:"what" doc:"accepted: messages; refused and deferred-at-door: answers to clients; attempts: by delivery; deferred, delivered, relayed, bounced, expired, removed and warned: recipients"`
	Total int64   `json:"total" doc:"since counting began"`
	S10   float64 `json:"per_s_10s" doc:"a second, in the last ten seconds"`
	M1    float64 `json:"per_s_1m"`
	M5    float64 `json:"per_s_5m"`
}

// flow numbers the flows.
type flow int

const (
	flowAccepted flow = iota
	flowRefused
	flowDeferredDoor
	flowAttempts
	flowDeferred
	flowDelivered
	flowRelayed
	flowBounced
	flowExpired
	flowRemoved
	flowWarned
	flows
)

var flowNames = [flows]string{
	Accepted, "refused", "deferred-at-door", "attempts", Deferred, Delivered, Relayed, Bounced, Expired, Removed, Warned,
}

// flowOf is the flow of a kind of outcome.
var flowOf = map[string]flow{Delivered: flowDelivered, Relayed: flowRelayed, Bounced: flowBounced, Expired: flowExpired, Removed: flowRemoved, Deferred: flowDeferred}

const (
	secondsKept = 300
	newestKept  = 64 // entries, all of which may come at once
	newestRate  = 50 // a second, for longer
)

// recent is what happened in the last five minutes, second by second, and the last
// entries as they are. Nothing of it runs by itself: what happens moves it on.
type recent struct {
	began time.Time

	mu      sync.Mutex
	total   [flows]int64
	seconds [secondsKept][flows]int64 // by Unix second
	now     int64                     // the newest of these

	kept [newestKept]record
	n    int       // entries kept so far
	at   time.Time // of the last one that asked
	room float64   // for so many
}

// add counts what happened then.
func (r *recent) add(at time.Time, f flow, n int64) {
	if n == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.move(at)
	r.total[f] += n
	if s := at.Unix(); s > r.now-secondsKept {
		r.seconds[s%secondsKept][f] += n
	}
}

// move forgets the seconds that are too long ago. The lock is held.
func (r *recent) move(at time.Time) {
	s := at.Unix()
	for t := max(r.now+1, s-secondsKept+1); t <= s; t++ {
		r.seconds[t%secondsKept] = [flows]int64{}
	}
	r.now = max(r.now, s)
}

// Flows tells what happens, and how often.
func (m *Metrics) Flows() []Flow {
	r, now := &m.recent, time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.move(now)
	rate := func(f flow, seconds int64) float64 {
		var n int64
		for s := r.now - seconds + 1; s <= r.now; s++ {
			n += r.seconds[s%secondsKept][f]
		}
		// The second that runs is not over, and the program may be younger.
		over := min(float64(seconds)-1+float64(now.Nanosecond())/1e9, now.Sub(r.began).Seconds())
		return float64(n) / max(over, 1)
	}
	all := make([]Flow, flows)
	for f := range flows {
		all[f] = Flow{flowNames[f], r.total[f], rate(f, 10), rate(f, 60), rate(f, secondsKept)}
	}
	return all
}

// Since is when counting began.
func (m *Metrics) Since() time.Time { return m.recent.began }

// wants reports whether an entry of that time is to be kept as it is. What comes
// faster than anybody reads is not: to copy an entry costs more than to count it.
func (r *recent) wants(at time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if gone := at.Sub(r.at); gone > 0 {
		r.at, r.room = at, min(newestKept, r.room+gone.Seconds()*newestRate)
	}
	if r.room < 1 {
		return false
	}
	r.room--
	return true
}

func (r *recent) keep(e *record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.kept[r.n%newestKept] = *e
	r.n++
}

// Newest returns what happened last, up to n events, the newest last. Attempts are
// told by their outcomes. Of what happens faster than fifty times a second it may
// leave some out.
func (m *Metrics) Newest(n int) []Happening {
	r := &m.recent
	r.mu.Lock()
	var es []record
	for i := max(0, r.n-newestKept); i < r.n; i++ {
		es = append(es, r.kept[i%newestKept])
	}
	r.mu.Unlock()
	var all []Happening
	for i := range es {
		for _, h := range es[i].read(Filter{}, "") {
			if h.Kind != Attempt {
				all = append(all, h)
			}
		}
	}
	return all[max(0, len(all)-n):]
}
