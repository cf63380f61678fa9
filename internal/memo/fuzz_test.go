package memo

import (
	"bytes"
	"net/netip"
	"testing"
)

// FuzzLog opens a log that holds one sound record of any kind and value between
// any octets. It opens, counts every octet as sound or damaged, and what it found
// can be used and written anew.
func FuzzLog(f *testing.F) {
	salt := [saltSize]byte{7}
	sum := checksum(0, salt[:])
	sound := appendRecord(nil, sum, kindProven, shareOf(someone), nobody, 1<<31, provenEntry{1, 2})
	f.Add([]byte(nil), byte(kindGreylist), []byte{1, 2, 3, 4, 5, 6}, []byte(nil))
	f.Add(sound, byte(kindOverrides), []byte(`{"ID":"a","Value":{}}`), sound[:20])
	f.Add(sound[:30], byte(kindRefusals), refusalHead{client: someone, rule: "r", ref: "R"}.append(nil), sound)
	f.Add([]byte{mark, 1, 255, 255, 3}, byte(kindCallForward), []byte("12345678{}"), []byte{mark})
	f.Add([]byte{mark}, byte(99), []byte("tomorrow"), bytes.Repeat([]byte{mark, 1, 0x94, 1}, 100))
	f.Fuzz(func(t *testing.T, before []byte, k byte, value, behind []byte) {
		value = value[:min(len(value), maxValue)]
		log := append(head(salt), before...)
		log = appendRecord(log, sum, kind(k), 7, 1, 1<<31, blob(value))
		log = append(log, behind...)

		var octets int64
		found := false
		end, d, err := readRecords(bytes.NewReader(log[headSize:]), sum, func(r record) {
			octets += int64(recordSize(len(r.value)))
			found = found || r.kind == kind(k) && bytes.Equal(r.value, value)
		})
		if err != nil || end > int64(len(log)) || octets > int64(len(log)) || d.octets > int64(len(log)) {
			t.Fatalf("end %d, %+v, %d octets in records of %d: %v", end, d, octets, len(log), err)
		}
		if len(before) == 0 && !found {
			t.Fatal("the first record is not found")
		}

		disk := newDisk()
		disk.put(logName, log)
		m := open(t, disk, Options{})
		m.Greylist().Seen("key", someone, Terms{}, noon)
		m.Proven().Of(someone, noon)
		cache := NewCache[answer](m, CallForward)
		cache.Find("key", noon)
		for range NewRefusals[evidence](m).Find(Query{}) {
		}
		NewRefusals[evidence](m).Groups(Query{Client: netip.MustParsePrefix("192.0.2.0/24")})
		o, _ := NewOverrides[letIn](m)
		if err := o.Add(override("new", 3)); err != nil {
			t.Fatal(err)
		}
		check(t, m.greylist)
		check(t, m.unknown)
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
		want := len(dump(m))
		if got := len(dump(open(t, disk.powerCut(), Options{}))); got != want {
			t.Fatalf("%d records after opening again, not %d", got, want)
		}
	})
}
