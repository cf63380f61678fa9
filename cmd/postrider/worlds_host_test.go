package main

import (
	"bufio"
	"fmt"
	"hash/fnv"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/postrider/postrider/mail"
)

// peer is a host of the world: a server that follows its plan, and writes down what it
// said and what it took.
type peer struct {
	w    *universe
	name string
	hostPlan
	home bool // it is where the senders have their mailboxes

	mu    sync.Mutex
	now   manner
	conns int
	seen  map[string]time.Time // strangers
}

// take is a message that a host took on.
type take struct {
	host    string
	from    string
	to      []string
	text    string // as it came, dots undone
	at      time.Time
	replied bool // the whole answer was written
	done    time.Time
}

// word is a refusal as it was said.
type word struct {
	at   time.Time
	code int
	to   []string // of whom it spoke; none: of the connection
}

// live changes the host's manner when its time comes, until the world ends.
func (p *peer) live(at string) {
	for _, ph := range p.phases {
		if !p.w.sleepUntil(ph.from) {
			return
		}
		p.mu.Lock()
		p.now = ph.manner
		p.mu.Unlock()
		p.w.net.Set(at, ph.fault)
	}
}

func (p *peer) serve(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		p.conns++
		v := &caller{p: p, c: c, r: bufio.NewReader(c), n: p.conns}
		p.mu.Unlock()
		p.w.work.Go(func() {
			defer c.Close()
			v.talk()
		})
	}
}

// caller is one connection to a host.
type caller struct {
	p     *peer
	c     net.Conn
	r     *bufio.Reader
	n     int // of this host's connections
	steps int
	open  bool // MAIL was taken
	from  string
	to    []string
}

// idle is when a host ends a connection on which nothing is said.
const idle = 11 * time.Minute

// manner is how the host behaves now, and whether its misdeed strikes at this step.
func (v *caller) manner(at mail.Stage) (manner, bool) {
	v.p.mu.Lock()
	defer v.p.mu.Unlock()
	m := v.p.now
	v.steps++
	return m, m.how != well && m.at == at && v.p.lot(m.share, v.n, v.steps)
}

// lot draws by a hash: the same question has the same answer in every run.
func (p *peer) lot(percent int, of ...any) bool {
	h := fnv.New64a()
	fmt.Fprint(h, p.w.plan.seed, p.name, of)
	s := h.Sum64()
	s ^= s >> 29
	return int(s%100) < percent
}

// say answers, unless the host misbehaves. It answers false if the connection is over,
// and tells in ok whether what was meant was said.
func (v *caller) say(at mail.Stage, code int, words string) (goes, ok bool) {
	m, bad := v.manner(at)
	if !bad {
		return v.write(code, words), true
	}
	switch m.how {
	case defers:
		return v.write(451, m.later("4.3.0 come again")), false
	case refuses:
		return v.write(554, "5.7.0 not from you"), false
	case leaves:
		v.write(421, m.later("4.3.2 going down"))
	case silent:
		v.wait(idle + 5*time.Minute)
	case swallows:
		if m.slow > time.Second {
			v.wait(idle + 5*time.Minute)
		}
	case babbles:
		_, err := fmt.Fprintf(v.c, "Welcome to the\x00 jungle %d\r\n", v.p.w.next())
		return err == nil, false
	case drips:
		for _, b := range []byte(v.line(code, words)) {
			v.wait(m.slow)
			if _, err := v.c.Write([]byte{b}); err != nil {
				return false, false
			}
		}
		return true, true
	}
	return false, false
}

func (m manner) later(words string) string {
	if m.speaking {
		return words + ", try again in 900 seconds"
	}
	return words
}

// wait lets time pass, but not beyond the end of the world.
func (v *caller) wait(d time.Duration) {
	select {
	case <-time.After(d):
	case <-v.p.w.over:
	}
}

// line is a reply; a refusal is written down, and no two are alike.
func (v *caller) line(code int, words string) string {
	n := v.p.w.next()
	text := fmt.Sprintf("%s (%d)", words, n)
	if code >= 500 {
		_, bare, _ := strings.Cut(text, " ") // without the status
		v.p.w.heard(bare, word{time.Now(), code, append([]string(nil), v.to...)})
	}
	return fmt.Sprintf("%d %s\r\n", code, text)
}

func (v *caller) write(code int, words string) bool {
	_, err := v.c.Write([]byte(v.line(code, words)))
	return err == nil && code != 421
}

func (v *caller) read() (string, bool) {
	v.c.SetReadDeadline(time.Now().Add(idle))
	s, err := v.r.ReadString('\n')
	return strings.TrimRight(s, "\r\n"), err == nil
}

func (v *caller) talk() {
	if goes, ok := v.say(mail.Greeting, 220, v.p.name+" ESMTP"); !goes || !ok {
		return
	}
	for {
		line, ok := v.read()
		if !ok {
			return
		}
		verb, rest, _ := strings.Cut(line, " ")
		goes := true
		switch strings.ToUpper(verb) {
		case "EHLO":
			goes = v.hello()
		case "HELO":
			goes, _ = v.say(mail.Hello, 250, v.p.name)
		case "MAIL":
			v.from, v.to = inBrackets(rest), nil
			goes, v.open = v.say(mail.Mail, 250, "2.1.0 ok")
		case "RCPT":
			goes = v.rcpt(inBrackets(rest))
		case "DATA":
			goes = v.data()
		case "RSET":
			v.open, v.from, v.to = false, "", nil
			goes = v.write(250, "2.0.0 ok")
		case "QUIT":
			v.write(221, "2.0.0 bye")
			return
		default:
			goes = v.write(500, "5.5.1 what?")
		}
		if !goes {
			return
		}
	}
}

func (v *caller) hello() bool {
	o := v.p.offers
	if !o.hello {
		return v.write(502, "5.5.1 only HELO")
	}
	if m, bad := v.manner(mail.Hello); bad && m.how != drips {
		v.steps--
		goes, _ := v.say(mail.Hello, 250, v.p.name)
		return goes
	}
	lines := []string{v.p.name}
	for _, e := range []struct {
		has  bool
		name string
	}{{o.pipelining, "PIPELINING"}, {o.dsn, "DSN"}, {o.by, "DELIVERBY"}, {o.eightBit, "8BITMIME"}, {o.size, "SIZE 40000000"}} {
		if e.has {
			lines = append(lines, e.name)
		}
	}
	lines = append(lines, "ENHANCEDSTATUSCODES")
	_, err := v.c.Write([]byte("250-" + strings.Join(lines[:len(lines)-1], "\r\n250-") + "\r\n250 " + lines[len(lines)-1] + "\r\n"))
	return err == nil
}

func inBrackets(arg string) string {
	_, a, _ := strings.Cut(arg, "<")
	a, _, _ = strings.Cut(a, ">")
	return a
}

func (v *caller) rcpt(to string) bool {
	if !v.open {
		return v.write(503, "5.5.1 no transaction")
	}
	p := v.p
	p.mu.Lock()
	m := p.now
	first, known := p.seen[to+v.from]
	if !known && m.grey > 0 {
		first = time.Now()
		p.seen[to+v.from] = first
	}
	p.mu.Unlock()
	mine := v.to
	v.to = []string{to} // what is said now is about this one
	no := func(code int, words string) bool {
		goes := v.write(code, words)
		v.to = mine
		return goes
	}
	switch {
	case p.lot(m.unknown, to):
		return no(550, "5.1.1 no such user")
	case p.lot(m.busy, to, "busy"):
		return no(452, m.later("4.2.2 mailbox full"))
	case m.grey > 0 && time.Since(first) < m.grey:
		return no(450, m.later("4.2.0 greylisted"))
	case m.mostTo > 0 && len(mine) >= m.mostTo:
		return no(452, "4.5.3 too many recipients")
	}
	goes, ok := v.say(mail.Rcpt, 250, "2.1.5 ok")
	if v.to = mine; ok {
		v.to = append(v.to, to)
	}
	return goes
}

func (v *caller) data() bool {
	if len(v.to) == 0 {
		return v.write(503, "5.5.1 no recipient")
	}
	if goes, ok := v.say(mail.Data, 354, "go on"); !goes || !ok {
		return goes
	}
	var b strings.Builder
	for {
		line, ok := v.read()
		if !ok {
			return false
		}
		if line == "." {
			break
		}
		b.WriteString(strings.TrimPrefix(line, ".") + "\r\n")
	}
	t := &take{host: v.p.name, from: v.from, to: v.to, text: b.String(), at: time.Now()}
	m, bad := v.manner(mail.Dot)
	// The same step is asked again by say.
	v.steps--
	if taken := !bad || m.how == swallows || m.how == drips; taken {
		v.p.w.took(t)
	}
	goes, ok := v.say(mail.Dot, 250, "2.0.0 it is mine")
	v.p.w.answered(t, ok && goes)
	v.open, v.from, v.to = false, "", nil
	return goes
}
