package local

import (
	"fmt"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/spool"
)

// spoiled remembers large bodies that were found damaged, so that nobody begins to
// hand one on again. A person may have mended one since: it is read through before
// the next reader gets it.
type spoiled struct {
	mu    sync.Mutex
	names map[uint64]bool
}

const maxSpoiled = 10_000

func (s *spoiled) has(name uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.names[name]
}

func (s *spoiled) set(name uint64, bad bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !bad {
		delete(s.names, name)
	} else if len(s.names) < maxSpoiled {
		if s.names == nil {
			s.names = make(map[uint64]bool)
		}
		s.names[name] = true
	}
}

// openBig opens a large body; spool.ErrCorrupt if it is known to be damaged.
func (s *Store) openBig(id custody.ID, p place) (*storedBody, error) {
	f, err := s.fs.Open(s.path("big", bigName(p.big)), vfs.SequentialReadsOption)
	if err != nil {
		return nil, err
	}
	b := &storedBody{place: p, from: f, close: f.Close}
	st, err := f.Stat()
	if err == nil && st.Size() != p.size {
		err = fmt.Errorf("%w: %s has %d octets of %d", spool.ErrCorrupt, b, st.Size(), p.size)
	}
	if err == nil && s.spoiled.has(p.big) {
		if err = b.readThrough(); err == nil {
			s.spoiled.set(p.big, false)
		}
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	b.found = func(err error) {
		s.spoiled.set(p.big, true)
		s.tellSpoiled(id, err)
	}
	return b, nil
}
