//go:build linux && !slow

package crash

// usualKills is how often the program is killed: so often that it takes seconds.
const usualKills = 15

// A disk whose power can be cut is there in the slow tests.
type disk struct{}

func (*disk) cut()         {}
func (*disk) renew() error { return nil }
