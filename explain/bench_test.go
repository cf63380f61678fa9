package explain

import (
	"bytes"
	"os"
	"testing"
)

// BenchmarkExplain reads the real bounces one after the other.
func BenchmarkExplain(b *testing.B) {
	var all [][]byte
	size := 0
	for _, o := range opinions(b) {
		raw, err := os.ReadFile(corpus + "mails/" + o.File)
		if err != nil {
			b.Fatal(err)
		}
		all = append(all, raw)
		size += len(raw)
	}
	b.SetBytes(int64(size / len(all)))
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		if _, err := Explain(bytes.NewReader(all[n%len(all)]), Options{}); err != nil {
			b.Fatal(err)
		}
		n++
	}
}
