package local

import (
	"container/heap"
	"sync"
	"time"

	"github.com/postrider/postrider/internal/spool"
)

// lanes knows of each lane the earliest wake. It lives in memory alone and is
// read from the queue's keys at Open. When the earliest delivery of a lane moves
// or leaves, its lane keeps the old moment as a bound and is marked stale: what
// comes next is looked up only if somebody asks for the lane.
type lanes struct {
	mu   sync.Mutex
	by   map[string]*lane
	heap laneHeap
	seek func(lane string) (wake int64, ok bool, err error) // the earliest wake on disk
}

type lane struct {
	name  string
	wake  int64 // nothing in the lane wakes before it
	stale bool  // perhaps nothing wakes at it either
	n     int   // deliveries with a wake
	at    int   // place in the heap
}

func newLanes(seek func(string) (int64, bool, error)) *lanes {
	return &lanes{by: make(map[string]*lane), seek: seek}
}

func (l *lanes) add(name string, wake int64) {
	ln := l.by[name]
	if ln == nil {
		ln = &lane{name: name, wake: wake}
		l.by[name] = ln
		heap.Push(&l.heap, ln)
	} else if wake <= ln.wake {
		ln.wake, ln.stale = wake, false
		heap.Fix(&l.heap, ln.at)
	}
	ln.n++
}

func (l *lanes) remove(name string, wake int64) {
	ln := l.by[name]
	if ln == nil {
		return
	}
	if ln.n--; ln.n <= 0 {
		heap.Remove(&l.heap, ln.at)
		delete(l.by, name)
	} else if wake == ln.wake {
		ln.stale = true
	}
}

// list returns up to n lanes that wake not after until, 0 for all time.
func (l *lanes) list(until int64, n int, skip func(string) bool) ([]spool.Lane, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []spool.Lane
	var seen []*lane
	defer func() {
		for _, ln := range seen {
			heap.Push(&l.heap, ln)
		}
	}()
	for len(out) < n && len(l.heap) > 0 && (until == 0 || l.heap[0].wake <= until) {
		ln := heap.Pop(&l.heap).(*lane)
		if skip != nil && skip(ln.name) {
			seen = append(seen, ln)
			continue
		}
		if ln.stale {
			wake, ok, err := l.seek(ln.name)
			if err != nil {
				seen = append(seen, ln)
				return nil, err
			}
			if !ok { // its last delivery is just leaving
				seen = append(seen, ln)
				continue
			}
			ln.wake, ln.stale = wake, false
			heap.Push(&l.heap, ln)
			continue
		}
		seen = append(seen, ln)
		out = append(out, spool.Lane{Name: ln.name, Wake: time.Unix(0, ln.wake).UTC()})
	}
	return out, nil
}

type laneHeap []*lane

func (h laneHeap) Len() int           { return len(h) }
func (h laneHeap) Less(i, j int) bool { return h[i].wake < h[j].wake }
func (h laneHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].at, h[j].at = i, j
}

func (h *laneHeap) Push(x any) {
	ln := x.(*lane)
	ln.at = len(*h)
	*h = append(*h, ln)
}

func (h *laneHeap) Pop() any {
	old := *h
	ln := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return ln
}
