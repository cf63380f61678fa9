package memo

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
)

// load opens the log and reads it.
func (m *Memo) load() error {
	f, err := m.disk.open(logName)
	if errors.Is(err, fs.ErrNotExist) {
		return m.begin()
	}
	if err != nil {
		return err
	}
	salt, err := readHead(f)
	if errors.Is(err, errHead) {
		f.Close()
		m.log.Error("memo: the memory cannot be read and begins empty; the damaged file is kept", "file", logName, "kept_as", badName)
		if err := m.disk.rename(logName, badName); err != nil {
			return err
		}
		return m.begin()
	}
	if err == nil {
		m.salted(salt)
		m.file.f = f
		err = m.replay()
	}
	if err != nil {
		f.Close()
		return fmt.Errorf("%s: %w", logName, err)
	}
	return nil
}

// begin writes an empty log.
func (m *Memo) begin() error {
	var salt [saltSize]byte
	rand.Read(salt[:])
	m.salted(salt)
	return m.rewrite()
}

func (m *Memo) salted(salt [saltSize]byte) {
	m.salt = salt
	m.file.sum = checksum(0, salt[:])
}

// replay puts the records of the log into memory and tells what was not sound.
func (m *Memo) replay() error {
	j := &m.file
	unread := map[kind]int{}
	end, d, err := readRecords(j.f, j.sum, func(r record) {
		if !m.apply(r) {
			unread[r.kind]++
		}
	})
	if err != nil {
		return err
	}
	j.size = int64(headSize) + end
	if d.octets > 0 {
		m.log.Warn("memo: damaged records were dropped", "file", logName, "octets", d.octets, "at", int64(headSize)+d.first, "places", d.places)
		j.anew = d.first < end || j.f.Truncate(j.size) != nil || j.f.Sync() != nil
	}
	for k, n := range unread {
		m.log.Warn("memo: records of a form that this version does not know were dropped", "file", logName, "kind", int(k), "records", n)
	}
	if n := m.unknown.len(); n > 0 {
		m.log.Info("memo: records of kinds that this version does not know are kept", "file", logName, "records", n)
	}
	return nil
}

// apply puts a record into memory; false: its value cannot be read.
func (m *Memo) apply(r record) bool {
	switch r.kind {
	case kindGreylist:
		return restore(m.greylist, r, parseGrey)
	case kindProven:
		return restore(m.proven, r, parseProven)
	}
	if t := m.blobs[r.kind]; t != nil {
		return restore(t, r, parseBlob)
	}
	v := foreign{kind: r.kind, key: r.key, value: append([]byte(nil), r.value...)}
	r.key ^= uint64(r.kind) << 56 // the same key may stand for something in each kind
	return restore(m.unknown, r, func([]byte) (foreign, bool) { return v, true })
}

func restore[V value](t *table[V], r record, parse func([]byte) (V, bool)) bool {
	if r.until == 0 {
		t.forget(r.key)
		return true
	}
	v, ok := parse(r.value)
	if ok {
		t.put(r.key, r.network, r.until, v)
	}
	return ok
}

// blob is a value that its view reads and writes by itself.
type blob []byte

func (v blob) size() int                { return len(v) }
func (v blob) appendTo(b []byte) []byte { return append(b, v...) }
func parseBlob(b []byte) (blob, bool)   { return append(blob(nil), b...), true }

// foreign is a record of a kind that only a newer version knows.
type foreign struct {
	kind  kind
	key   uint64
	value []byte
}

func (v foreign) size() int                { return len(v.value) }
func (v foreign) appendTo(b []byte) []byte { return append(b, v.value...) }
