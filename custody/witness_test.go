package custody

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/postrider/postrider/mail"
)

// whoItIs: nothing but an order changes what a delivery is, and no recipient is
// lost or made.
func (w *witness) whoItIs(b Delivery, e Event, _ []Duty) error {
	d := w.d
	if o, ok := e.(Ordered); ok && o.Order == OrderLife {
		b.Deadline = o.Until
	}
	if d.ID != b.ID || d.Domain != b.Domain || d.From != b.From || d.Accepted != b.Accepted || d.Deadline != b.Deadline || d.By != b.By || d.ByReturn != b.ByReturn {
		return errors.New("a step made another delivery")
	}
	if len(d.Rcpts) != len(b.Rcpts) {
		return errors.New("a recipient was lost")
	}
	for i := range d.Rcpts {
		if d.Rcpts[i].Recipient != b.Rcpts[i].Recipient {
			return errors.New("a recipient became another")
		}
	}
	return nil
}

// finality: what is final stays as it is; only its true cause makes it so.
func (w *witness) finality(b Delivery, e Event, _ []Duty) error {
	heard := map[int]Outcome{}
	var t Tried
	if tried, ok := e.(Tried); ok {
		t = tried
		for _, o := range t.Attempt.Outcomes {
			for i := range b.Rcpts {
				if o.Rcpts == nil || slices.Contains(o.Rcpts, i) {
					heard[i] = o
				}
			}
		}
	}
	o, _ := e.(Ordered)
	for i, was := range b.Rcpts {
		is := w.d.Rcpts[i]
		if was.State != Pending {
			if !reflect.DeepEqual(was, is) {
				return errors.New("a final state changed")
			}
			continue
		}
		said, heard := heard[i]
		want := Pending
		switch {
		case o.Order == OrderGiveUp:
			want = Expired
		case o.Order == OrderRemove:
			want = Removed
		case !heard:
		case said.Taken != Nothing:
			want = HandedOver
		case (said.Theirs && said.Reply.Code/100 == 5 || said.Permanent) && !t.Attempt.Shared:
			want = Refused
		case !t.At.Before(w.ends(b, said.Trouble)):
			want = Expired
		}
		if is.State != want {
			return fmt.Errorf("recipient %d became %v, not %v", i, is.State, want)
		}
		if heard && (is.Last.At != said.At || is.Last.Reply != said.Reply) {
			return errors.New("what was heard was not kept")
		}
	}
	return nil
}

// ends is from when on an attempt ends a delivery: the deadline, a day more where the
// fault was ours, but not beyond the sender's own time.
func (w *witness) ends(d Delivery, t Trouble) time.Time {
	end := End(d, w.s)
	if t == Ours {
		end = end.Add(24 * time.Hour)
	}
	if d.ByReturn && end.After(d.By) {
		end = d.By
	}
	return end
}

// tried: an attempt is counted, and the schedule says when the next is due.
func (w *witness) tried(b Delivery, e Event, _ []Duty) error {
	d := w.d
	t, ok := e.(Tried)
	if !ok {
		if d.Tries != b.Tries || d.Runs != b.Runs || d.Began != b.Began || d.Last != b.Last {
			return errors.New("an attempt was counted that was not made")
		}
		return nil
	}
	if d.Tries != b.Tries+1 || d.Began != t.Attempt.Began {
		return errors.New("an attempt was not counted")
	}
	if len(d.Pending()) == 0 {
		if !d.Next.IsZero() {
			return errors.New("a try is due for nobody")
		}
		return nil
	}
	if d.Next.Before(t.At) {
		return errors.New("the next try is due in the past")
	}
	end := End(d, w.s)
	if t.At.Before(end) && d.Next.After(end) {
		return errors.New("the last try does not fall on the deadline")
	}
	hint, missed, moved := time.Duration(0), false, false
	for i, r := range d.Rcpts {
		heard := r.Last.At.Equal(t.At) && b.Rcpts[i].State == Pending && slices.ContainsFunc(t.Attempt.Outcomes, func(o Outcome) bool {
			return o.Rcpts == nil || slices.Contains(o.Rcpts, i)
		})
		missed = missed || r.State == Pending && !heard
		moved = moved || heard && (r.State != Pending || b.Rcpts[i].Last.IsZero())
		if r.State == Pending && heard && r.Last.Hint > 0 && (hint == 0 || r.Last.Hint < hint) {
			hint = r.Last.Hint
		}
	}
	if missed && moved {
		if d.Next != t.At || d.Runs != b.Runs || d.Resume != b.Resume {
			return errors.New("recipients without an outcome are not due")
		}
		return nil
	}
	return w.paced(b, t, hint)
}

// paced: the gap is the schedule's or the host's; an ordered try takes none.
func (w *witness) paced(b Delivery, t Tried, hint time.Duration) error {
	d, end := w.d, End(w.d, w.s)
	if !end.After(t.At) {
		end = w.ends(d, d.Last)
	}
	clip := func(at time.Time) time.Time {
		if end.After(t.At) && at.After(end) {
			at = end
		}
		return later(at, t.At)
	}
	if !d.Resume.IsZero() {
		return errors.New("an ordered try was not made")
	}
	if !b.Resume.IsZero() {
		if d.Runs != b.Runs {
			return errors.New("an ordered try ate of the backoff")
		}
		if d.Next != clip(b.Resume) {
			return errors.New("an ordered try moved the schedule")
		}
		return nil
	}
	list, by := w.s.Retry, inAll
	switch d.Last {
	case Unreachable, Unrouted:
		if w.s.Unreachable != nil {
			list, by = w.s.Unreachable, byUnreachable
		}
	case Deferred, Ambiguous, Ours:
		if w.s.Deferred != nil {
			list, by = w.s.Deferred, byDeferred
		}
	case Greylisted:
		if w.s.Greylisted != nil {
			list, by = w.s.Greylisted, byGreylisted
		} else if w.s.Deferred != nil {
			list, by = w.s.Deferred, byDeferred
		}
	}
	runs := b.Runs
	n := int(runs[by])
	runs[inAll]++
	if by != inAll {
		runs[by]++
	}
	if d.Runs != runs {
		return errors.New("a scheduled try was not counted")
	}
	g := float64(unfold(list, n))
	low, high := t.Attempt.Began.Add(time.Duration(g*(1-w.s.Jitter))-1), t.Attempt.Began.Add(time.Duration(g*(1+w.s.Jitter))+1)
	if hint > 0 {
		soon := t.At.Add(min(max(hint, time.Second), 4*time.Hour))
		late := soon.Add(min(hint, 4*time.Hour)/10 + time.Second)
		switch {
		case runs[inAll] <= 3 && hint < 4*time.Hour:
			low, high = soon, late
		default:
			low, high = later(low, soon), later(high, late)
		}
	}
	if d.Next.Before(clip(low)) || d.Next.After(clip(high)) {
		return fmt.Errorf("the next try is due at %v, not between %v and %v", d.Next, clip(low), clip(high))
	}
	return nil
}

// unfold finds gap n of a list by walking it, as its words are read.
func unfold(list []Pace, n int) time.Duration {
	for i, p := range list {
		last := i == len(list)-1
		if p.Grow > 1 {
			for g := float64(p.Gap); ; g *= p.Grow {
				if g >= float64(p.Max)*(1-1e-9) {
					if n == 0 || last {
						return p.Max
					}
					n--
					break
				}
				if n == 0 {
					return time.Duration(g)
				}
				n--
			}
			continue
		}
		for range max(p.Times, 1) {
			if n == 0 {
				return p.Gap
			}
			n--
		}
		if last {
			return p.Gap
		}
	}
	return 0
}

// due: a try is asked for when it is due and may be, and at no other time.
func (w *witness) due(b Delivery, e Event, duties []Duty) error {
	try := slices.ContainsFunc(duties, func(d Duty) bool { _, try := d.(Try); return try })
	due, ok := e.(Due)
	if !ok {
		if try {
			return errors.New("a try was asked for when nothing was due")
		}
		return nil
	}
	if want := b.Held.IsZero() && due.Blocked == "" && !b.Next.After(due.At); try != want {
		return errors.New("a try was asked for at the wrong time, or not at all")
	}
	if try {
		if len(duties) != 1 || !reflect.DeepEqual(b, w.d) {
			return errors.New("something happened before the outcome of the try")
		}
		if duties[0].(Try).Last != !due.At.Before(End(b, w.s)) {
			return errors.New("which try is the last was not told")
		}
		return nil
	}
	switch {
	case w.d.Runs != b.Runs || w.d.Held != b.Held || w.d.Via != b.Via || w.d.Resume != b.Resume:
		return errors.New("waiting changed a delivery")
	case due.Until.IsZero() && w.d.Next != b.Next, w.d.Next.Before(b.Next):
		return errors.New("waiting moved the next try")
	case due.At.Before(End(b, w.s)) && w.d.Next.After(End(b, w.s)) && !b.Next.After(End(b, w.s)):
		return errors.New("a blocked destination put off the last try")
	}
	return nil
}

// ordered: an order changes when or whether, never the schedule.
func (w *witness) ordered(b Delivery, e Event, _ []Duty) error {
	o, ok := e.(Ordered)
	if !ok {
		return nil
	}
	want := b
	if held := !b.Held.IsZero(); o.Order == OrderRetry && !held || o.Order == OrderRelease && held || o.Order == OrderReroute {
		if b.Resume.IsZero() && b.Next.After(o.At) {
			want.Resume = b.Next
		}
		want.Next = o.At
	}
	switch o.Order {
	case OrderHold:
		if b.Held.IsZero() {
			want.Held = Hold{Since: o.At, By: o.By, Why: o.Why}
		}
	case OrderRelease:
		want.Held = Hold{}
	case OrderReroute:
		want.Via = o.Via
	case OrderLife:
		want.Deadline, want.Next = o.Until, w.d.Next
		if end := later(End(w.d, w.s), o.At); b.Held.IsZero() && (w.d.Next.Before(o.At) || w.d.Next.After(end)) {
			return fmt.Errorf("with the deadline at %v the next try is due at %v", end, w.d.Next)
		} else if !b.Held.IsZero() && w.d.Next != b.Next {
			return errors.New("a new deadline moved a try that is held")
		}
	case OrderWarn:
		want.Warned, want.ByTold = w.d.Warned, w.d.ByTold // who is told: warnings
	case OrderGiveUp, OrderRemove:
		if len(w.d.Pending()) > 0 {
			return errors.New("an order that ends it did not")
		}
		return nil // who became what: finality
	}
	if !reflect.DeepEqual(w.d, want) {
		return fmt.Errorf("%v made something else of it, not %+v", o.Order, want)
	}
	return nil
}

// told: whoever must be told is told, once; nobody else is (RFC 3461 5.2).
func (w *witness) told(b Delivery, e Event, duties []Duty) error {
	delayed, final := []int(nil), []int(nil)
	kind, null := NoKind, false
	for _, duty := range duties {
		t, ok := duty.(Tell)
		switch {
		case !ok:
		case t.Kind == Delayed && delayed == nil:
			delayed = t.Rcpts
			if t.Null {
				return errors.New("a null path was told of a delay")
			}
		case t.Kind != Delayed && final == nil:
			final, kind, null = t.Rcpts, t.Kind, t.Null
		default:
			return errors.New("two letters where one does")
		}
	}
	var want []int
	worst := NoKind
	for i, is := range w.d.Rcpts {
		if b.Rcpts[i].State != Pending || is.State == Pending {
			continue
		}
		if k := w.wants(is); k != NoKind {
			want = append(want, i)
			if worst == NoKind || k < worst {
				worst = k
			}
		}
	}
	if b.From.IsNull() && worst != Failed {
		want, worst = nil, NoKind
	}
	if !slices.Equal(final, want) || kind != worst || null != (b.From.IsNull() && len(want) > 0) {
		return fmt.Errorf("of the end %v were told %v, not %v %v", final, kind, want, worst)
	}
	for _, i := range final {
		if w.letters[i]++; w.letters[i] > 1 {
			return errors.New("told of the end twice")
		}
	}
	return w.warnings(b, e, duties, delayed)
}

// wants is what a final recipient is to be told.
func (w *witness) wants(r Recipient) Kind {
	n := r.Notify
	switch {
	case n == mail.NotifyNever || r.State == Removed:
	case r.State == Refused || r.State == Expired:
		if n == 0 || n&mail.NotifyFailure != 0 {
			return Failed
		}
	case n&mail.NotifySuccess != 0 && r.Last.Taken == Mailbox:
		return Delivered
	case n&mail.NotifySuccess != 0 && r.Last.Taken == Onward:
		return Relayed
	case w.s.Cleared && (w.warned > 0 || w.byTold) && (n == 0 || n&mail.NotifyDelay != 0):
		return Cleared
	}
	return NoKind
}

// warnings: each age is told once, when it has come, unless a try or the end of
// the same moment says more.
func (w *witness) warnings(b Delivery, e Event, duties []Duty, delayed []int) error {
	o, isOrder := e.(Ordered)
	if o.Order == OrderWarn {
		return w.warnedNow(b, o, delayed)
	}
	if isOrder || len(w.d.Pending()) == 0 || len(duties) > 0 && reflect.TypeOf(duties[0]) == reflect.TypeOf(Try{}) {
		if delayed != nil {
			return errors.New("told of a delay at the wrong time")
		}
		return nil
	}
	news := false
	for _, age := range w.s.Warn {
		if age > w.warned && e.when().Sub(b.Accepted) >= age {
			w.warned, news = age, true
		}
	}
	if !b.By.IsZero() && !b.ByReturn && !w.byTold && !e.when().Before(b.By) {
		w.byTold, news = true, true
	}
	var want []int
	if news && !b.From.IsNull() {
		for i, r := range w.d.Rcpts {
			if r.State == Pending && (r.Notify == 0 || r.Notify&mail.NotifyDelay != 0) {
				want = append(want, i)
			}
		}
	}
	if !slices.Equal(delayed, want) {
		return fmt.Errorf("of the delay %v were told, not %v", delayed, want)
	}
	if len(delayed) > 0 {
		if w.delays++; w.delays > len(w.s.Warn)+1 {
			return errors.New("more letters than ages")
		}
	}
	return nil
}

// warnedNow: an order to tell of the delay tells all who want to know, and what was
// due by then is told by it.
func (w *witness) warnedNow(b Delivery, o Ordered, delayed []int) error {
	var want []int
	for i, r := range w.d.Rcpts {
		if !b.From.IsNull() && r.State == Pending && (r.Notify == 0 || r.Notify&mail.NotifyDelay != 0) {
			want = append(want, i)
		}
	}
	if !slices.Equal(delayed, want) {
		return fmt.Errorf("%v were told, not %v", delayed, want)
	}
	for _, age := range w.s.Warn {
		if age > w.warned && o.At.Sub(b.Accepted) >= age {
			w.warned = age
		}
	}
	if len(want) > 0 {
		w.warned = max(w.warned, o.At.Sub(b.Accepted))
	}
	if !b.By.IsZero() && !b.ByReturn && !o.At.Before(b.By) {
		w.byTold = true
	}
	return nil
}

// closing: it leaves when nobody is pending, and is waked until then.
func (w *witness) closing(_ Delivery, _ Event, duties []Duty) error {
	for i, duty := range duties {
		if _, ok := duty.(Close); ok {
			if w.closed || i != len(duties)-1 {
				return errors.New("closed twice, or before the last word")
			}
			w.closed = true
		}
	}
	if pending := len(w.d.Pending()) > 0; pending == w.closed {
		return errors.New("closed with pending recipients, or open without")
	}
	if !w.closed && w.d.Held.IsZero() && Wake(w.d, w.s).IsZero() {
		return errors.New("nobody will wake it")
	}
	return nil
}

// afterwards: what has left the queue is not moved by anything.
func (w *witness) afterwards() error {
	for _, e := range []Event{
		Due{At: w.now.Add(time.Hour)}, Ordered{At: w.now, Order: OrderGiveUp}, Ordered{At: w.now, Order: OrderRetry},
		Tried{At: w.now, Attempt: Attempt{Outcomes: []Outcome{{At: w.now, Theirs: true, Reply: mail.Reply{Code: 550}}}}},
	} {
		if d, duties := w.step(w.d, w.s, e); !reflect.DeepEqual(d, w.d) || !reflect.DeepEqual(duties, []Duty{Close{}}) {
			return fmt.Errorf("%#v moved what had left: %+v", e, duties)
		}
	}
	if !Wake(w.d, w.s).IsZero() {
		return errors.New("what has left is waked")
	}
	return nil
}
