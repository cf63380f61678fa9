package notice

import (
	"testing"

	"github.com/postrider/postrider/custody"
)

// BenchmarkCompose writes the last letter of a message that a dead host kept until it
// was given up.
func BenchmarkCompose(b *testing.B) {
	l := newLife("bob@there.test")
	l.schedule.Warn = nil
	l.runs(connectionRefused(), 1)
	n := l.news(custody.Tell{Kind: custody.Failed, Rcpts: []int{0}})
	b.ReportAllocs()
	for b.Loop() {
		Compose(l.options, n)
	}
}
