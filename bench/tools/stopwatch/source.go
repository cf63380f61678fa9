package main

import (
	"bytes"
	"fmt"
	"net"
	"net/smtp"
	"sync"
	"sync/atomic"
	"time"
)

// mostRecipients of one transaction, which Postfix and postrider take by default; a
// message to more of them goes in several.
const mostRecipients = 1000

// sending is one run of a load.
type sending struct {
	load
	book  *ledger
	run   int64 // makes Message-IDs of this run its own
	began time.Time
	next  atomic.Int64 // message
	quit  atomic.Bool  // what is beside ends when the others have

	mu       sync.Mutex
	passages []*passage
	beside   []time.Duration
	accepted int
	last     time.Time // 250 of an ordinary message
	fault    error     // the first
}

func (l load) send(book *ledger) result {
	now := time.Now()
	s := &sending{load: l, book: book, run: now.UnixNano(), began: now, last: now}
	besideOnce, besideEnded := make(chan struct{}), make(chan struct{})
	if l.large > 0 || l.many > 0 {
		go func() {
			defer close(besideEnded)
			s.sendBeside(besideOnce)
		}()
	} else {
		close(besideOnce)
		close(besideEnded)
	}
	var all sync.WaitGroup
	for range l.sessions {
		all.Go(func() { s.note(s.session(besideOnce)) })
	}
	all.Wait()
	s.quit.Store(true)
	<-besideEnded
	return s.result()
}

// session sends ordinary messages over one connection until there are enough.
func (s *sending) session(besideOnce chan struct{}) error {
	c, err := s.dial()
	if err != nil {
		return err
	}
	defer c.Close()
	text := filler(s.size)
	for {
		k := int(s.next.Add(1) - 1)
		if s.enough(k, besideOnce) {
			return c.Quit()
		}
		if s.rate > 0 {
			time.Sleep(time.Until(s.began.Add(time.Duration(float64(k) / s.rate * float64(time.Second)))))
		}
		to := make([]string, s.recipients)
		for i := range to {
			to[i] = fmt.Sprintf("u%d-%d@d%d.test", k, i, (k+i*s.domains/s.recipients)%s.domains+1)
		}
		id := fmt.Sprintf("<%d.%d@stopwatch.test>", k, s.run)
		var p *passage
		err := s.transact(c, to, id, text, func() { p = s.book.sent(id, len(to), time.Now()) })
		if err != nil {
			return fmt.Errorf("message %d: %w", k, err)
		}
		s.accept(p)
	}
}

// enough is true when message k is one too many. At a rate the time is stretched until
// the message beside was through once; without, that could be never, since all that the
// server takes and does not yet give on stands before it.
func (s *sending) enough(k int, besideOnce chan struct{}) bool {
	if s.messages > 0 && k >= s.messages || s.failed() {
		return true
	}
	if s.length <= 0 || time.Since(s.began) < s.length {
		return false
	}
	if s.rate == 0 {
		return true
	}
	select {
	case <-besideOnce:
		return true
	default:
		return time.Since(s.began) > s.length+s.wait
	}
}

// sendBeside sends one message, waits until it is through, and begins again.
func (s *sending) sendBeside(once chan struct{}) {
	first := sync.OnceFunc(func() { close(once) })
	defer first()
	size, recipients := s.size, max(s.many, 1)
	if s.large > 0 {
		size = s.large
	}
	text := filler(size)
	to := make([]string, recipients)
	for i := range to {
		to[i] = fmt.Sprintf("many%d@d%d.test", i, i*100/recipients+1)
	}
	for n := 0; n == 0 || !s.quit.Load(); n++ {
		id := fmt.Sprintf("<beside%d.%d@stopwatch.test>", n, s.run)
		p := s.book.sent(id, len(to), time.Now())
		if err := s.several(to, id, text); err != nil {
			s.note(fmt.Errorf("message beside: %w", err))
			return
		}
		if !p.waited(time.Now().Add(s.length + s.wait)) {
			return
		}
		s.mu.Lock()
		s.beside = append(s.beside, p.through.Sub(p.sent))
		s.mu.Unlock()
		first()
	}
}

func (s *sending) several(to []string, id string, text []byte) error {
	c, err := s.dial()
	if err != nil {
		return err
	}
	defer c.Close()
	for len(to) > 0 {
		n := min(len(to), mostRecipients)
		if err := s.transact(c, to[:n], id, text, func() {}); err != nil {
			return err
		}
		to = to[n:]
	}
	return c.Quit()
}

// transact sends one message; dot is called right before its final dot. It does what
// smtp.Client does, but asks for no SMTPUTF8, which not every next hop has, and writes the
// text as it is: no line of it begins with a dot.
func (s *sending) transact(c *smtp.Client, to []string, id string, text []byte, dot func()) error {
	if err := command(c, 250, "MAIL FROM:<sender@s1.test>"); err != nil {
		return err
	}
	for _, t := range to {
		if err := command(c, 250, "RCPT TO:<"+t+">"); err != nil {
			return err
		}
	}
	if err := command(c, 354, "DATA"); err != nil {
		return err
	}
	fmt.Fprintf(c.Text.W, "From: <sender@s1.test>\r\nTo: <%s>\r\nSubject: a message\r\nMessage-Id: %s\r\n\r\n", to[0], id)
	if _, err := c.Text.W.Write(text); err != nil {
		return fmt.Errorf("text: %w", err)
	}
	dot()
	return command(c, 250, ".")
}

func command(c *smtp.Client, want int, line string) error {
	n, err := c.Text.Cmd("%s", line)
	if err == nil {
		c.Text.StartResponse(n)
		defer c.Text.EndResponse(n)
		_, _, err = c.Text.ReadResponse(want)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", line, err)
	}
	return nil
}

func (s *sending) dial() (*smtp.Client, error) {
	conn, err := net.DialTimeout("tcp", s.server, 30*time.Second)
	if err != nil {
		return nil, err
	}
	c, err := smtp.NewClient(conn, "127.0.0.1")
	if err != nil {
		return nil, err
	}
	return c, c.Hello("stopwatch.test")
}

// filler is lines of 78 octets, together about as long as a message of that size.
func filler(size int) []byte {
	const header = 150
	line := append(bytes.Repeat([]byte("y"), 76), "\r\n"...)
	return bytes.Repeat(line, max(size-header, 0)/len(line)+1)
}

func (s *sending) accept(p *passage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accepted++
	s.last = time.Now()
	s.passages = append(s.passages, p)
}

func (s *sending) note(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fault == nil {
		s.fault = err
	}
}

func (s *sending) failed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fault != nil
}

// result waits for what is on its way. All goroutines of the sender have ended.
func (s *sending) result() result {
	r := result{Messages: s.accepted, Accept: s.last.Sub(s.began).Seconds(), Beside: len(s.beside)}
	if s.fault != nil {
		r.SourceErr = s.fault.Error()
	}
	end, until := s.last, time.Now().Add(s.wait)
	var took []time.Duration
	for _, p := range s.passages {
		if !p.waited(until) {
			continue
		}
		took = append(took, p.through.Sub(p.sent))
		if p.through.After(end) {
			end = p.through
		}
	}
	if late := len(s.passages) - len(took); late > 0 && s.fault == nil {
		r.SourceErr = fmt.Sprintf("%d of %d did not come within %v", late, len(s.passages), s.wait)
	}
	r.Wall = end.Sub(s.began).Seconds()
	r.times(took)
	var beside result
	beside.times(s.beside)
	r.BesideMed = beside.Median / 1000
	s.book.mu.Lock()
	r.Twice = s.book.twice
	s.book.mu.Unlock()
	return r
}
