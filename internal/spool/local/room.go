package local

import (
	"errors"
	"fmt"
	"math"
	"syscall"
	"time"

	"github.com/postrider/postrider/internal/spool"
)

// isFull reports errors that pass when there is room, be it for one more open file.
func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG) || wanting(err)
}

// room answers ErrFull if less than keep octets would be free.
func (s *Store) room(keep int64) error {
	if s.o.MinFree < 0 {
		return nil
	}
	free := s.free()
	if free > unknownRoom/2 && free < keep {
		s.tight.Store(true)
		s.tidy()
		return fmt.Errorf("%w: %d octets free in %s, %d are kept", spool.ErrFull, max(free, 0), s.dir, keep)
	}
	return nil
}

const unknownRoom = math.MinInt64 / 2

// free returns the octets that are free on the disk, about unknownRoom if nobody
// knows. It asks ten times a second at most, and takes off what is written in between:
// that may be more than there was.
func (s *Store) free() int64 {
	const fresh = 100 * time.Millisecond
	now := time.Now().UnixNano()
	at := s.freeAt.Load()
	if now-at < int64(fresh) && now >= at {
		return s.freeWas.Load()
	}
	free := int64(unknownRoom)
	if u, err := s.fs.GetDiskUsage(s.dir); err == nil {
		free = int64(u.AvailBytes)
	}
	s.freeWas.Store(free)
	s.freeAt.Store(now)
	return free
}
