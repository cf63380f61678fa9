package memo

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"
)

const (
	logName = "memo.log"
	newName = "memo.log.new"     // the log as it is written anew; means nothing until it is renamed
	badName = "memo.log.damaged" // one whose head could not be read, kept for whoever wants to look

	behind     = time.Second // how long a record waits to be written
	slowest    = time.Minute // between two tries while the disk fails
	kick       = 4 << 20     // octets that are not left to wait
	maxPending = 16 << 20    // octets that may wait while the disk fails; then memory alone knows
	maxGarbage = 4 << 20     // octets beyond twice what is alive that the log may have
	atATime    = 2048        // entries that are copied under one lock
)

// disk is what the log needs of a folder; file, of a file in it.
type disk interface {
	open(name string) (file, error)
	create(name string) (file, error)
	rename(from, to string) error
	sync() error
}

type file interface {
	io.ReadWriteCloser
	io.WriterAt
	Sync() error
	Truncate(int64) error
}

type folder string

func (d folder) open(name string) (file, error) {
	return os.OpenFile(filepath.Join(string(d), name), os.O_RDWR, 0)
}

func (d folder) create(name string) (file, error) {
	return os.OpenFile(filepath.Join(string(d), name), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
}

func (d folder) rename(from, to string) error {
	return os.Rename(filepath.Join(string(d), from), filepath.Join(string(d), to))
}

func (d folder) sync() error {
	f, err := os.Open(string(d))
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// journal is the open end of the log. Who holds its lock may take Memo.mu, never
// the other way round.
type journal struct {
	mu        sync.Mutex
	f         file   // nil: closed
	sum       uint32 // where the checksums begin
	size      int64  // octets that are known to be on disk
	unwritten []byte // taken from pending; not on disk yet
	anew      bool   // the file is not to be trusted with more: it must be written anew
	enough    int64  // octets below which it is left alone
	faulty    bool   // the fault was logged
	wait      time.Duration
}

// note lets the state of an entry be written behind. Memo.mu is held.
func note[V value](m *Memo, k kind, key, network uint64, until uint32, v V) {
	if m.overflown {
		return
	}
	m.pending = appendRecord(m.pending, m.file.sum, k, key, network, until, v)
	switch {
	case len(m.pending) > m.maxPending:
		m.pending, m.overflown = nil, true
	case !m.armed:
		m.armed = true
		m.timer.Reset(behind)
	case len(m.pending) > kick && !m.hurried:
		m.hurried = true
		m.timer.Reset(0)
	}
}

// flush is what the timer calls: it writes what waits, and the whole log anew when
// most of it is garbage.
func (m *Memo) flush() {
	m.mu.Lock()
	m.armed, m.hurried = false, false
	m.mu.Unlock()
	j := &m.file
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.f == nil {
		return
	}
	err := m.write(nil)
	if err == nil && j.size > max(2*m.alive()+m.maxGarbage, j.enough) {
		if err = m.rewrite(); err != nil {
			j.enough = j.size + m.maxGarbage
		}
	}
	m.report(err)
	if err != nil {
		j.wait = min(max(2*j.wait, behind), slowest)
		m.mu.Lock()
		m.armed = true
		m.timer.Reset(j.wait)
		m.mu.Unlock()
	}
}

// report logs the first of a row of faults, and its end.
func (m *Memo) report(err error) {
	j := &m.file
	switch {
	case err != nil && !j.faulty:
		m.log.Error("memo: cannot write; memory goes on, but a restart would lose what is new", "file", logName, "err", err)
	case err == nil && j.faulty:
		m.log.Info("memo: writes again", "file", logName)
	}
	if j.faulty = err != nil; !j.faulty {
		j.wait = 0
	}
}

// durably writes one record and returns when it is on disk; then, and only then,
// apply puts it into memory.
func (m *Memo) durably(rec []byte, apply func()) error {
	j := &m.file
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.f == nil {
		return ErrClosed
	}
	err := m.write(rec)
	m.report(err)
	if err != nil {
		return fmt.Errorf("memo: write %s: %w", logName, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	apply()
	return nil
}

// take moves what waits to what is being written.
func (m *Memo) take() {
	j := &m.file
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(j.unwritten) == 0 {
		j.unwritten, m.pending = m.pending, reuse(j.unwritten)
	} else {
		j.unwritten = append(j.unwritten, m.pending...)
		m.pending = reuse(m.pending)
	}
	if len(j.unwritten) > m.maxPending {
		m.overflown = true
	}
	if m.overflown {
		j.unwritten, m.pending, j.anew = nil, nil, true
	}
}

// reuse empties a buffer, and gives back a large one.
func reuse(b []byte) []byte {
	if cap(b) > 2*kick {
		return nil
	}
	return b[:0]
}

// write makes durable what waits, and extra behind it. After an error extra is
// dropped, and what waited goes on waiting.
func (m *Memo) write(extra []byte) error {
	j := &m.file
	m.take()
	if j.anew {
		if err := m.rewrite(); err != nil {
			return err
		}
	}
	return j.append(extra)
}

func (j *journal) append(extra []byte) error {
	b := append(j.unwritten, extra...)
	if len(b) == 0 {
		return nil
	}
	_, err := j.f.WriteAt(b, j.size)
	if err == nil {
		if err = j.f.Sync(); err != nil {
			j.anew = true // what a failed flush left on disk nobody knows
		}
	}
	if err != nil {
		if j.f.Truncate(j.size) != nil {
			j.anew = true
		}
		return err
	}
	j.size += int64(len(b))
	j.unwritten = reuse(b)
	return nil
}
