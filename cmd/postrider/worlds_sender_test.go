package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/postrider/postrider/mail"
)

// sent is one try of a sender to hand a message over. Each try is a message of its
// own, so that what comes of it can be told apart.
type sent struct {
	mailing
	id    string
	from  string // "": null
	text  string
	to    []mail.Recipient // those the server took
	began time.Time
	acked time.Time // when 250 was read; zero: it was not
	lost  bool      // the whole message went out, and no answer came
	queue string    // the name that the server gave it
}

// send hands a message over, trying again for some hours.
func (w *universe) send(p mailing, n int) {
	if !w.sleepUntil(p.at) {
		return
	}
	d := roll(w.plan.seed, uint64(1000+n))
	for try := range 20 {
		s := &sent{mailing: p, id: fmt.Sprintf("w%d-%d-%d", w.plan.seed, n, try), from: fmt.Sprintf("s%d@home.test", p.sender)}
		if p.null {
			s.from = ""
		}
		s.text = p.text(s.id)
		s.breaks = p.breaks && try == 0
		w.posted(s)
		err := w.hand(s)
		if err == nil {
			return
		}
		select {
		case <-time.After(5*time.Minute + d.within(10*time.Minute)):
		case <-w.over:
			return
		}
	}
}

var errHungUp = errors.New("the sender hung up")

// hand is one conversation; nil if the message was acknowledged.
func (w *universe) hand(s *sent) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c, err := w.net.DialFrom(ctx, netip.MustParseAddr(fmt.Sprintf("192.0.2.%d", 200+s.sender)), "tcp", nodeAt)
	if err != nil {
		return err
	}
	defer c.Close()
	r := bufio.NewReader(c)
	say := func(line string, want int) (string, error) {
		c.SetDeadline(time.Now().Add(5 * time.Minute))
		if line != "" {
			if _, err := c.Write([]byte(line + "\r\n")); err != nil {
				return "", err
			}
		}
		for {
			l, err := r.ReadString('\n')
			if err != nil {
				return "", err
			}
			if len(l) > 3 && l[3] == '-' {
				continue
			}
			if code, _ := strconv.Atoi(l[:3]); code != want {
				return "", fmt.Errorf("%q answered %q", line, l)
			}
			return l, nil
		}
	}
	if _, err := say("", 220); err != nil {
		return err
	}
	if _, err := say("EHLO sender.home.test", 250); err != nil {
		return err
	}
	if _, err := say("MAIL FROM:<"+s.from+">"+s.params(), 250); err != nil {
		return err
	}
	var to []mail.Recipient
	for _, t := range s.mailing.to {
		line := "RCPT TO:<" + t.Address.String() + ">"
		if t.Notify != 0 {
			line += " NOTIFY=" + t.Notify.String()
		}
		if _, err := say(line, 250); err != nil {
			return err
		}
		to = append(to, t)
	}
	if _, err := say("DATA", 354); err != nil {
		return err
	}
	text := strings.ReplaceAll("\r\n"+s.text, "\r\n.", "\r\n..")[2:]
	if s.breaks {
		c.Write([]byte(text[:len(text)/2]))
		return errHungUp
	}
	w.mayArrive(s, to)
	l, err := say(text+".", 250)
	if err != nil {
		w.unanswered(s, err)
		return err
	}
	_, name, _ := strings.Cut(strings.TrimSpace(l), "queued as ")
	w.acknowledged(s, name)
	say("QUIT", 221)
	return nil
}

// params are the parameters of MAIL.
func (s *sent) params() string {
	p := fmt.Sprintf(" SIZE=%d", len(s.text))
	if r := s.ret.String(); r != "" {
		p += " RET=" + r
	}
	if s.envid != "" {
		p += " ENVID=" + s.envid
	}
	if by := s.by; !by.IsZero() {
		mode := "N"
		if by.Return {
			mode = "R"
		}
		p += fmt.Sprintf(" BY=%d;%s", int(by.Within.Seconds()), mode)
	}
	return p
}
