//go:build linux

package crash

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// A server is the program between its starts and its ends.
type server interface {
	address() string
	launch() error // returns when its processes run; it need not greet yet
	strike()       // ends it, at once; safe from any goroutine
	gone() error   // returns when nothing of it runs any more, and its disk can be used
}

// moment is when the program is ended.
type moment int

const (
	none       moment = iota
	anyTime           // no matter what is under way
	dotSent           // a client has just sent the end of a message
	ackRead           // a client has just read its 250
	receiving         // the next hop has read part of a message
	unanswered        // the next hop has read the end of one, and has not answered
	answered          // the next hop has just said 250
	reported          // the same of a bounce: read to its end, not answered
	recovering        // within 300 ms of the start before
)

var everyMoment = []moment{anyTime, dotSent, ackRead, receiving, unanswered, answered, reported, recovering}

func (m moment) String() string {
	return [...]string{"", "at any time", "the end of a message was sent", "250 was read", "the next hop is receiving", "the next hop has not answered",
		"the next hop has answered", "a bounce is not answered", "while it starts"}[m]
}

// A killer ends the program at chosen moments. Clients and sinks tell it what they
// have reached.
type killer struct {
	server server
	ledger *ledger
	starts []time.Duration // from each start to the first 220

	armed  atomic.Int32 // the moment that is waited for
	delay  atomic.Int64 // how long after it
	struck chan struct{}
}

// reached ends the program if that is what is waited for.
func (k *killer) reached(m moment) {
	if k.armed.Load() == int32(m) && k.armed.CompareAndSwap(int32(m), int32(none)) {
		time.Sleep(time.Duration(k.delay.Load()))
		k.end(m)
		k.struck <- struct{}{}
	}
}

func (k *killer) end(m moment) {
	k.ledger.cut(m)
	k.server.strike()
}

// run starts the program and ends it, n times, and starts it once more.
func (k *killer) run(n int, moments []moment) error {
	k.struck = make(chan struct{}, 1)
	for i := range n {
		m := moments[i%len(moments)]
		if err := k.start(m != recovering); err != nil {
			return fmt.Errorf("start %d: %w", i+1, err)
		}
		switch m {
		case recovering:
			time.Sleep(time.Duration(rand.IntN(300)) * time.Millisecond)
			k.end(m)
		case anyTime:
			time.Sleep(time.Duration(50+rand.IntN(850)) * time.Millisecond)
			k.end(m)
		default:
			time.Sleep(time.Duration(50+rand.IntN(700)) * time.Millisecond)
			k.await(m)
		}
		if err := k.over(); err != nil {
			return fmt.Errorf("crash %d: %w", i+1, err)
		}
	}
	return k.start(true)
}

// over waits until the program, which was ended, is gone.
func (k *killer) over() error {
	defer k.ledger.rise()
	return k.server.gone()
}

// await ends the program at a moment; after a while without one, nevertheless.
func (k *killer) await(m moment) {
	delay := 0
	if rand.IntN(2) == 0 {
		delay = rand.IntN(3000)
	}
	k.delay.Store(int64(time.Duration(delay) * time.Microsecond))
	k.armed.Store(int32(m))
	select {
	case <-k.struck:
	case <-time.After(3 * time.Second):
		if k.armed.CompareAndSwap(int32(m), int32(none)) {
			k.end(anyTime)
		} else {
			<-k.struck
		}
	}
}

// start starts the program, and waits until it greets if it is to.
func (k *killer) start(greet bool) error {
	began := time.Now()
	greeted := make(chan error, 1)
	if greet {
		go func() {
			err := greeting(k.server.address())
			if err == nil {
				k.starts = append(k.starts, time.Since(began))
			}
			greeted <- err
		}()
	}
	if err := k.server.launch(); err != nil || !greet {
		return err
	}
	return <-greeted
}

// startBar is how long a start is to take, from exec to 220.
const startBar = 500 * time.Millisecond

// patience is how long something that must happen may take.
const patience = time.Minute

// greeting waits until a server says 220.
func greeting(addr string) error {
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		if c, err := net.DialTimeout("tcp", addr, time.Second); err == nil {
			c.SetDeadline(deadline)
			line, err := bufio.NewReader(c).ReadString('\n')
			fmt.Fprint(c, "QUIT\r\n")
			c.Close()
			if err == nil && strings.HasPrefix(line, "220") {
				return nil
			}
		}
		if time.Now().After(deadline) {
			return errors.New("no greeting")
		}
	}
}

// times tells of the starts.
func (k *killer) times() string {
	if len(k.starts) == 0 {
		return "no start"
	}
	all := slices.Sorted(slices.Values(k.starts))
	slow := 0
	for _, took := range all {
		if took > startBar {
			slow++
		}
	}
	return fmt.Sprintf("from the start to the first 220, %d times: median %v, 99th %v, longest %v; %d longer than %v",
		len(all), all[len(all)/2].Round(time.Millisecond), all[len(all)*99/100].Round(time.Millisecond), all[len(all)-1].Round(time.Millisecond), slow, startBar)
}
