package policy

import "testing"

// BenchmarkDecide asks the default set at RCPT, everything looked up.
func BenchmarkDecide(b *testing.B) {
	tb := table(b, Internet()...)
	for _, bb := range []struct {
		name string
		f    *Facts
	}{
		{"own", with(func(f *Facts) { f.Own = true })},
		{"proven", with(func(f *Facts) { f.Proven = Known(true) })},
		{"greylisted", stranger()},
		{"refused", with(func(f *Facts) { f.Name = Known(Name{}) })},
		{"unasked", unasked()},
	} {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				tb.Decide(Recipient, bb.f)
			}
		})
	}
}

// What every message of our own clients and of those who have proven themselves
// passes through costs no memory.
func TestDecideAllocatesNothingForTheGood(t *testing.T) {
	tb := table(t, Internet()...)
	for name, f := range map[string]*Facts{
		"own": with(func(f *Facts) { f.Own = true }), "proven": with(func(f *Facts) { f.Proven = Known(true) }), "unasked": unasked(),
	} {
		if n := testing.AllocsPerRun(100, func() { tb.Decide(Recipient, f) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
