package memo

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"
)

const million = 1_000_000

// triplet is the nth of many visits: its key, and its client in one of the given
// number of networks.
func triplet(n, networks int) (string, netip.Addr) {
	var a [4]byte
	binary.BigEndian.PutUint32(a[:], uint32(n%networks)<<8|1)
	a[0] += 11
	return fmt.Sprintf("11.%d/24 someone.%d@sender.example.net recipient.%d@example.com", n%networks, n, n%97), netip.AddrFrom4(a)
}

// BenchmarkSeen measures a million triplets, of as many networks and of a tenth:
// octets of memory and of disk for each, the time of a visit, of opening, and of
// writing the log anew.
func BenchmarkSeen(b *testing.B) {
	for _, networks := range []int{million, million / 10, 1000} {
		b.Run(fmt.Sprintf("networks=%d", networks), func(b *testing.B) {
			dir := b.TempDir()
			limits := Limits{Greylist: million}
			before := heap()
			m, err := Open(dir, Options{Limits: limits})
			if err != nil {
				b.Fatal(err)
			}
			now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
			for n := range million {
				key, client := triplet(n, networks)
				m.Greylist().Seen(key, client, Terms{}, now)
			}
			m.flush()
			memory := heap() - before
			keys, clients := make([]string, 1<<16), make([]netip.Addr, 1<<16)
			for i := range keys {
				keys[i], clients[i] = triplet(rand.IntN(million), networks)
			}
			i, read := 0, byte(0)
			used := cpu()
			for j := range million {
				k := keys[j&(1<<16-1)]
				read += k[0] + k[len(k)-1] + clients[j&(1<<16-1)].As4()[3]
			}
			idle := float64(cpu()-used) / million // the test's own part of the figure
			used = cpu()
			for b.Loop() {
				m.Greylist().Seen(keys[i&(1<<16-1)], clients[i&(1<<16-1)], Terms{}, now.Add(time.Second))
				i++
			}
			b.ReportMetric(float64(cpu()-used)/float64(i)-idle, "cpu-ns/op")
			_ = read
			began := cpu()
			m.file.mu.Lock()
			if err := m.rewrite(); err != nil {
				b.Fatal(err)
			}
			m.file.mu.Unlock()
			rewriting := cpu() - began
			if err := m.Close(); err != nil {
				b.Fatal(err)
			}
			info, err := os.Stat(filepath.Join(dir, logName))
			if err != nil {
				b.Fatal(err)
			}
			began = cpu()
			m, err = Open(dir, Options{Limits: limits})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric((cpu() - began).Seconds(), "cpu-s/open")
			b.ReportMetric(rewriting.Seconds(), "cpu-s/rewrite")
			b.ReportMetric(float64(memory)/million, "B/entry")
			b.ReportMetric(float64(info.Size())/million, "disk-B/entry")
			if n := m.Sizes()[0].Entries; n != million {
				b.Fatalf("%d entries after opening", n)
			}
			if err := m.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// BenchmarkViews measures the other calls of one recipient.
func BenchmarkViews(b *testing.B) {
	m, err := Open(b.TempDir(), Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer m.Close()
	fill(b, m, 10_000)
	cache, refused := NewCache[answer](m, CallForward), NewRefusals[evidence](m)
	key, client := triplet(7, 10_000)
	o, err := NewOverrides[letIn](m)
	if err != nil {
		b.Fatal(err)
	}
	for i := range 100 {
		if err := o.Add(override(fmt.Sprint(i), 3)); err != nil {
			b.Fatal(err)
		}
	}
	for _, c := range []struct {
		name string
		f    func(i int)
	}{
		{"rate", func(int) { m.Rates().Add(key, client, 1, time.Hour, noon) }},
		{"proof", func(int) { m.Proven().Of(client, noon) }},
		{"answer", func(int) { cache.Find(key, noon) }},
		{"overrides", func(int) { o.Active(noon) }},
		{"refusal", func(i int) { refused.Add(refusal(fmt.Sprint(i), 0, client, "r"), key) }},
		{"groups of 10,000", func(int) { refused.Groups(Query{Client: netip.MustParsePrefix("11.0.0.0/8")}) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			used, i := cpu(), 0
			for b.Loop() {
				c.f(i)
				i++
			}
			b.ReportMetric(float64(cpu()-used)/float64(i), "cpu-ns/op")
		})
	}
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return s.HeapAlloc
}

// cpu is the time that this process has computed: the machine is shared, so that a
// clock on the wall measures the others too.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
