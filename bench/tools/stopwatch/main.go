// Stopwatch sends mail through a server that relays to it, and times each message
// from the final dot in to the final dot out. Sender and next hop are one process, so
// there is one clock. It is for loopback: it trusts what it hears, and never retries.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"slices"
	"time"
)

// load is what is sent. Zero for messages, length, rate, large, many and deferrals
// means: no such limit, no such thing.
type load struct {
	server     string        // HOST:PORT that takes the mail
	sessions   int           // at once, at least 1
	messages   int           // of all sessions together
	length     time.Duration // after which no further message begins
	rate       float64       // messages a second of all sessions together, evenly spread
	size       int           // octets of a message, header included
	recipients int           // of a message
	domains    int           // that the messages go to in turn: d1.test, d2.test …
	large      int           // octets of a message beside these, sent again as soon as it is through
	many       int           // recipients of a message beside these, in 100 domains, the same way
	wait       time.Duration // for what is not through when the last message is accepted
}

// result is what is printed: one object of JSON. Times in seconds (_s) or
// milliseconds (_ms).
type result struct {
	Messages  int     `json:"messages"`  // answered 250
	Through   int     `json:"through"`   // of these, all recipients reached the next hop
	Twice     int     `json:"twice"`     // recipients that the next hop was given more than once
	Accept    float64 `json:"accept_s"`  // the first command to the last 250
	Wall      float64 `json:"wall_s"`    // the first command to the last message through
	Median    float64 `json:"median_ms"` // final dot sent to final dot read by the next hop
	P99       float64 `json:"p99_ms"`
	Max       float64 `json:"max_ms"`
	Beside    int     `json:"beside,omitempty"` // large messages, or those to many, that went through
	BesideMed float64 `json:"beside_median_s,omitempty"`
	SourceErr string  `json:"source_err,omitempty"` // the first thing that went wrong
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("stopwatch: ")
	l := load{}
	flag.StringVar(&l.server, "in", "127.0.0.1:2725", "`host:port` of the server")
	out := flag.String("out", "127.0.0.1:2800", "`host:port` to be the next hop at")
	flag.IntVar(&l.sessions, "sessions", 1, "`number` at once")
	flag.IntVar(&l.messages, "messages", 0, "`number` to send")
	flag.DurationVar(&l.length, "for", 0, "`time` after which no further message begins")
	flag.Float64Var(&l.rate, "rate", 0, "messages a `second`; 0: as fast as they are taken")
	flag.IntVar(&l.size, "size", 5000, "`octets` of a message")
	flag.IntVar(&l.recipients, "recipients", 1, "`number` for each message")
	flag.IntVar(&l.domains, "domains", 1, "`number` that the messages go to in turn")
	flag.IntVar(&l.large, "large", 0, "`octets` of a message beside these, again and again")
	flag.IntVar(&l.many, "many", 0, "`recipients` of a message beside these, again and again")
	flag.DurationVar(&l.wait, "wait", time.Minute, "`time` for what is not through at the end")
	warm := flag.Int("warm", 0, "`number` sent before the others, at their rate, and left out of the result")
	deferrals := flag.Int("defer", 0, "`times` that each recipient is answered 450 first")
	flag.Parse()
	if err := l.check(); err != nil {
		log.Fatal(err)
	}
	at, err := net.Listen("tcp", *out)
	if err != nil {
		log.Fatal(err)
	}
	book := newLedger()
	go (&sink{book: book, deferrals: *deferrals}).serve(at)
	if *warm > 0 {
		first := l
		first.messages, first.length, first.large, first.many = *warm, 0, 0, 0
		if r := first.send(book); r.SourceErr != "" {
			log.Fatal(r.SourceErr)
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(l.send(book)); err != nil {
		log.Fatal(err)
	}
}

func (l load) check() error {
	switch {
	case l.messages <= 0 && l.length <= 0:
		return fmt.Errorf("neither -messages nor -for: it would never end")
	case l.sessions < 1 || l.recipients < 1 || l.domains < 1:
		return fmt.Errorf("-sessions, -recipients and -domains are at least 1")
	case l.large > 0 && l.many > 0:
		return fmt.Errorf("-large and -many: one of them at a time")
	}
	return nil
}

// percentile of sorted times, in milliseconds; 0 of none.
func percentile(sorted []time.Duration, share float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return float64(sorted[min(int(share*float64(len(sorted))), len(sorted)-1)].Microseconds()) / 1000
}

func (r *result) times(took []time.Duration) {
	slices.Sort(took)
	r.Through = len(took)
	r.Median, r.P99, r.Max = percentile(took, 0.5), percentile(took, 0.99), percentile(took, 1)
}
