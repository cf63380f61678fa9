package policy

// truth is the answer to a condition.
type truth uint8

const (
	no    truth = iota
	yes         //
	open        // a look-up is wanted first
	fault       // a look-up failed
)

// condition is one thing that a rule asks.
type condition struct {
	key   string // as in the configuration
	since Stage  // when it is known
	need  Need   // all it may ever ask for
	// test answers; with open goes what is needed.
	test func(*Facts) (truth, Need)
	// say tells the fact it looks at, as it is: nothing about what was asked.
	// For the client and for logs, so cleaned.
	say func(*Facts) string
}

// ask puts a question to a fact.
func ask[T any](x *Fact[T], n Need, holds func(T) bool) (truth, Need) {
	switch x.state {
	case unknown:
		return open, n
	case failed:
		return fault, 0
	}
	return is(holds(x.value))
}

func is(b bool) (truth, Need) {
	if b {
		return yes, 0
	}
	return no, 0
}

// opposite is the answer to a condition that must not hold.
func opposite(t truth) truth {
	switch t {
	case no:
		return yes
	case yes:
		return no
	}
	return t
}
