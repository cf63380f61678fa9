package chain

import (
	"testing"
	"time"
)

// The seed's question: six days on the filter's clock.
func BenchmarkRun(b *testing.B) {
	s := Scenario{
		Hops:    []Hop{{Name: "exchange", System: "exchange-2007"}, {Name: "filter", System: "ironport-asyncos", Set: Settings{Expire: 144 * time.Hour}}, {Name: "destination"}},
		Outages: []Outage{{From: "filter", To: "destination"}},
	}
	for b.Loop() {
		if _, err := Run(s); err != nil {
			b.Fatal(err)
		}
	}
}
