package custody

import (
	"fmt"
	"slices"
	"testing"
)

func BenchmarkStep(b *testing.B) {
	s := plain(b)
	s.Jitter = 0.1
	for _, n := range []int{1, 100} {
		d, _ := live(delivery(n), s, try(accepted, dead))
		for _, e := range []Event{Due{At: d.Next}, Due{At: accepted}, try(d.Next, dead), try(d.Next, away)} {
			b.Run(fmt.Sprintf("%T of %d", e, n), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					Step(d, s, e)
				}
			})
		}
	}
}

func BenchmarkFate(b *testing.B) {
	s, d := plain(b), delivery(1)
	b.ReportAllocs()
	for b.Loop() {
		Fate(d, s)
		Wake(d, s)
	}
}

func BenchmarkForecast(b *testing.B) {
	s, d := plain(b), delivery(1)
	for b.Loop() {
		_ = slices.Collect(Forecast(d, s))
	}
}
