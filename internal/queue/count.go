package queue

import (
	"context"
	"encoding/binary"
	"sync"
	"time"

	"github.com/postrider/postrider/custody"
)

const (
	oldestKept = 10                     // of each lane, the oldest deliveries that are known by name
	countShare = 20                     // counting may take this part of one processor's time
	countShort = 100 * time.Millisecond // a count that takes no longer is waited for
	countLong  = time.Minute            // so is one that nobody has asked for since
)

// counter keeps the last count of what waits.
type counter struct {
	one  sync.Mutex // a count at a time
	mu   sync.Mutex
	last *count
}

// count is what waited in each lane at one moment.
type count struct {
	at    time.Time
	took  time.Duration
	lanes map[string]queued
	all   int  // deliveries in lanes
	more  bool // there are more lanes than lanesKept: those that wake last are left out
}

// queued is what waits in one lane.
type queued struct {
	n      int                  // deliveries
	oldest []custody.DeliveryID // oldestKept of them, oldest message first
}

// counted returns what waits. Where so much does that counting takes long, it is what
// waited a little ago; count.at tells when.
func (q *Queue) counted(ctx context.Context) (*count, error) {
	c := &q.counter
	c.mu.Lock()
	last := c.last
	c.mu.Unlock()
	if last != nil {
		age := time.Since(last.at.Add(last.took))
		if age < countShare*last.took {
			return last, nil
		}
		if last.took > countShort && age < countLong {
			q.recount()
			return last, nil
		}
	}
	c.one.Lock()
	defer c.one.Unlock()
	c.mu.Lock()
	newer := c.last
	c.mu.Unlock()
	if newer != last { // counted while this one waited for its turn
		return newer, nil
	}
	return q.countNow(ctx)
}

// recount has a count made aside, unless one is being made.
func (q *Queue) recount() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.stopped || !q.counter.one.TryLock() {
		return
	}
	ctx := q.ctx
	q.aside(func() {
		defer q.counter.one.Unlock()
		if _, err := q.countNow(ctx); err != nil && ctx.Err() == nil {
			q.o.Log.Error("the queue cannot count what waits", "err", err)
		}
	})
}

// countNow counts what waits, by the keys of the index alone.
func (q *Queue) countNow(ctx context.Context) (*count, error) {
	c := &count{at: time.Now(), lanes: map[string]queued{}}
	names, err := q.laneNames(ctx)
	if err != nil {
		return nil, err
	}
	c.more = len(names) == lanesKept
	for _, name := range names {
		ids, err := q.o.Store.Queued(ctx, name)
		if err != nil {
			return nil, err
		}
		if len(ids) > 0 {
			c.lanes[name] = queued{len(ids), append([]custody.DeliveryID(nil), ids[:min(len(ids), oldestKept)]...)}
			c.all += len(ids)
		}
	}
	c.took = time.Since(c.at)
	q.book.forget(func(lane string) bool { return c.lanes[lane].n > 0 }, c.at)
	q.counter.mu.Lock()
	defer q.counter.mu.Unlock()
	q.counter.last = c
	return c, nil
}

// laneNames lists the lanes in which something wakes, earliest first, lanesKept of
// them at most.
func (q *Queue) laneNames(ctx context.Context) (names []string, err error) {
	_, err = q.o.Store.Lanes(ctx, time.Time{}, 1, func(name string) bool {
		if len(names) == lanesKept {
			return false
		}
		names = append(names, name)
		return true
	})
	return names, err
}

// born is when the message with an ID was made ours (custody.NewID).
func born(id custody.ID) time.Time {
	return time.UnixMilli(int64(binary.BigEndian.Uint64(id[:8]) >> 16)).UTC()
}
