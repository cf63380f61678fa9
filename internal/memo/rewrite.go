package memo

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"time"
)

// rewrite writes the whole memory into a new log and puts it in the place of the
// old one. What changes meanwhile still goes into the old one each second, if that
// is to be trusted, and to the end of the new one.
func (m *Memo) rewrite() error {
	j := &m.file
	m.mu.Lock()
	lost := m.overflown
	m.overflown = false // all that there is goes into the new log, so what comes counts again
	m.mu.Unlock()
	j.anew = j.anew || lost
	f, err := m.disk.create(newName)
	if err == nil {
		var size int64
		if size, err = m.copyTo(f); err == nil {
			err = m.disk.rename(newName, logName)
		}
		if err == nil {
			if j.f != nil {
				j.f.Close()
			}
			j.f, j.size, j.unwritten, j.enough = f, size, nil, 0
			err = m.disk.sync()
			j.anew = err != nil // after a crash the name might still lead to the old log
			return err
		}
		f.Truncate(0) // gives the room back; a leftover means nothing
		f.Close()
	}
	if lost {
		m.mu.Lock()
		m.pending, m.overflown = nil, true
		m.mu.Unlock()
	}
	return fmt.Errorf("write %s anew: %w", logName, err)
}

// copyTo writes a log that holds all there is, and flushes it.
func (m *Memo) copyTo(f file) (size int64, err error) {
	w := bufio.NewWriterSize(f, 256<<10)
	w.Write(head(m.salt))
	size = int64(headSize)
	last := time.Now()
	for b := range m.snapshot() {
		size += int64(len(b))
		if _, err := w.Write(b); err != nil {
			return 0, err
		}
		if time.Since(last) > behind {
			n, err := m.passOn(w)
			if err != nil {
				return 0, err
			}
			size += n
			last = time.Now()
		}
	}
	if err := flushed(w, f); err != nil { // the long one, while the next records gather
		return 0, err
	}
	n, err := m.passOn(w)
	if err != nil {
		return 0, err
	}
	return size + n, flushed(w, f)
}

func flushed(w *bufio.Writer, f file) error {
	if err := w.Flush(); err != nil {
		return err
	}
	return f.Sync()
}

// passOn writes what has changed since the last time to w, and into the old log.
func (m *Memo) passOn(w io.Writer) (int64, error) {
	j := &m.file
	before := len(j.unwritten)
	m.take()
	if len(j.unwritten) < before {
		return 0, nil // too much at once: take has seen to it that all is written anew again
	}
	news := bytes.Clone(j.unwritten[before:])
	if j.f != nil && !j.anew {
		j.append(nil) // an error leaves them waiting, and the new log has them in any case
	}
	n, err := w.Write(news)
	return int64(n), err
}

// snapshot yields records of all there is that has not ended, some at a time. A
// record is good until the next one is asked for.
func (m *Memo) snapshot() iter.Seq[[]byte] {
	parts := []func([]byte, uint32) ([]byte, uint32){
		part(m, kindGreylist, m.greylist), part(m, kindProven, m.proven),
		func(b []byte, from uint32) ([]byte, uint32) {
			next := m.unknown.each(from, atATime, func(network uint64, e *entry[foreign]) {
				b = appendRecord(b, m.file.sum, e.v.kind, e.v.key, network, e.until, e.v)
			})
			return b, next
		},
	}
	for _, k := range slices.Sorted(maps.Keys(m.blobs)) {
		parts = append(parts, part(m, k, m.blobs[k]))
	}
	return func(yield func([]byte) bool) {
		var b []byte
		for _, p := range parts {
			for from := uint32(1); from != 0; {
				m.mu.Lock()
				b, from = p(b[:0], from)
				m.mu.Unlock()
				if !yield(b) {
					return
				}
			}
		}
	}
}

func part[V value](m *Memo, k kind, t *table[V]) func([]byte, uint32) ([]byte, uint32) {
	return func(b []byte, from uint32) ([]byte, uint32) {
		next := t.each(from, atATime, func(network uint64, e *entry[V]) {
			if e.until > m.told {
				b = appendRecord(b, m.file.sum, k, e.key, network, e.until, e.v)
			}
		})
		return b, next
	}
}

// alive is how much of the log is not garbage.
func (m *Memo) alive() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.greylist.octets + m.proven.octets + m.unknown.octets
	for _, t := range m.blobs {
		n += t.octets
	}
	return n
}
