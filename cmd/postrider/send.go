package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	netmail "net/mail"
	"net/url"
	"slices"
	"strings"

	"github.com/postrider/postrider/internal/config"
	"github.com/postrider/postrider/mail"
)

// Exit codes of sendmail (sysexits.h), which scripts look at.
const (
	exUsage    = 64
	exData     = 65
	exSoftware = 70
	exTempFail = 75
	exConfig   = 78
)

// sendCmd stands in the list of commands; its words are sendmail's.
type sendCmd struct {
	Words []string `arg:"" optional:"" passthrough:"" help:"As of sendmail: -t -i -f ADDRESS -F NAME -N NOTIFY -R RET -V ENVID -bs -bp, recipients."`
}

// Run is for words that stand before the command, as in -c FILE send.
func (m sendCmd) Run(c *cli, s streams) error {
	words := m.Words
	if c.Config != "" {
		words = append([]string{"--config", c.Config}, words...)
	}
	if code := sendmail(words, s); code != exitDone {
		return exit(code)
	}
	return nil
}

// submission is what the words of a sendmail command ask for.
type submission struct {
	config  string
	from    string // -f: return path, "<>" the null one; "": the caller
	name    string // -F: full name of the sender
	notify  string // -N
	ret     string // -R
	envid   string // -V
	fromHdr bool   // -t: recipients are in the header
	dots    bool   // -i: a line of one dot is no end
	mode    byte   // 'm' submit, 's' SMTP on standard input, 'p' list the queue
	to      []string
}

// sendmail is the program under its old name, as cron, PHP and mail readers call
// it.
func sendmail(args []string, s streams) int {
	m, err := parseSendmail(args)
	if err != nil {
		fmt.Fprintln(s.err, "sendmail:", err)
		return exUsage
	}
	switch m.mode {
	case 'p':
		return run([]string{"mailq"}, s)
	case 'i': // as newaliases
		return exitDone
	}
	conf, err := load(m.config)
	if err != nil {
		fmt.Fprintln(s.err, "sendmail:", err)
		return exConfig
	}
	if m.mode == 's' {
		err = speak(conf, s)
	} else {
		err = m.submit(conf, s)
	}
	var bad badMail
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &bad):
		fmt.Fprintln(s.err, "sendmail:", err)
		return exData
	}
	fmt.Fprintln(s.err, "sendmail:", err)
	return exTempFail
}

// badMail is an error of whoever called.
type badMail struct{ error }

// parseSendmail reads the words of sendmail; flags that mean nothing here, such as
// -oem or -q, are passed over as its successors do.
func parseSendmail(args []string) (submission, error) {
	m := submission{mode: 'm'}
	value := func(i *int, rest string) (string, error) {
		if rest != "" {
			return rest, nil
		}
		if *i++; *i >= len(args) {
			return "", fmt.Errorf("%s needs a value", args[*i-1])
		}
		return args[*i], nil
	}
	for i := 0; i < len(args); i++ {
		a := args[i]
		switch {
		case a == "--":
			m.to = append(m.to, args[i+1:]...)
			return m, nil
		case a == "--config" || strings.HasPrefix(a, "--config="):
			var err error
			if m.config, err = value(&i, strings.TrimPrefix(strings.TrimPrefix(a, "--config"), "=")); err != nil {
				return m, err
			}
			continue
		case len(a) < 2 || a[0] != '-':
			m.to = append(m.to, a)
			continue
		}
		var err error
		switch rest := a[2:]; a[1] {
		case 't':
			m.fromHdr = true
			m.dots = m.dots || strings.Contains(rest, "i") // -ti
		case 'i':
			m.dots = true
		case 'f', 'r':
			if m.from, err = value(&i, rest); m.from == "" {
				m.from = "<>" // as Postfix and Exim take -f ''
			}
		case 'F':
			m.name, err = value(&i, rest)
		case 'N':
			m.notify, err = value(&i, rest)
		case 'R':
			m.ret, err = value(&i, rest)
		case 'V':
			m.envid, err = value(&i, rest)
		case 'c':
			m.config, err = value(&i, rest)
		case 'C', 'B', 'h', 'L', 'O', 'p', 'X':
			_, err = value(&i, rest)
		case 'o':
			if rest == "i" {
				m.dots = true
			}
		case 'b':
			if rest == "" || !strings.Contains("msip", rest) {
				return m, fmt.Errorf("%s is not understood", a)
			}
			m.mode = rest[0]
		case 'q', 'v', 'U', 'n', 'G', 'e', 'm', 'A':
		default:
			return m, fmt.Errorf("%s is not understood", a)
		}
		if err != nil {
			return m, err
		}
	}
	return m, nil
}

const maxHeader = 1 << 20 // octets of a submitted header

// submit reads the message and hands it to the server, or leaves it in the drop
// folder if there is none.
func (m submission) submit(conf *config.Config, s streams) error {
	in := bufio.NewReader(s.in)
	head, err := readHeader(in)
	if err != nil {
		return err
	}
	user := me()
	if m.from == "" {
		m.from = user
	}
	q := url.Values{"user": {user}, "to": {}}
	from := strings.Trim(m.from, "<>")
	if from != "" {
		q.Set("from", qualify(from, conf.Hostname))
	}
	for k, v := range map[string]string{"notify": m.notify, "ret": m.ret, "envid": mail.EncodeXText(m.envid)} {
		if v != "" {
			q.Set(k, v)
		}
	}
	to := m.to
	if m.fromHdr {
		if to, err = recipients(head, to); err != nil {
			return err
		}
	}
	if len(to) == 0 {
		return badMail{errors.New("no recipient")}
	}
	for _, t := range to {
		q["to"] = append(q["to"], qualify(t, conf.Hostname))
	}
	if !mail.Header(head).Has("From") {
		head = append([]byte(fmt.Sprintf("From: %s\n", (&netmail.Address{Name: m.name, Address: qualify(user, conf.Hostname)}).String())), head...)
	}
	var body io.Reader = in
	if !m.dots {
		body = &untilDot{in: in}
	}
	msg := io.MultiReader(bytes.NewReader(withoutBcc(head)), body)
	return hand(conf, q, msg)
}

// hand gives a message to the server; where it is down, or not for us to speak
// to, the drop folder keeps it until it comes.
func hand(conf *config.Config, q url.Values, msg io.Reader) error {
	c := &client{socket: conf.Socket()}
	nc, err := net.Dial("unix", c.socket)
	if err != nil {
		return drop(conf, q, msg)
	}
	c.http.Transport = once(nc)
	var done struct{ Message string }
	err = c.do("POST", "/api/v1/messages", q, "message/rfc822", msg, &done)
	var n no
	if errors.As(err, &n) && n.status == http.StatusUnprocessableEntity {
		return badMail{err}
	}
	return err
}

// readHeader reads up to and including the blank line; a line that is no field
// ends the header before it.
func readHeader(in *bufio.Reader) ([]byte, error) {
	var head []byte
	for len(head) < maxHeader {
		line, err := in.Peek(1)
		if err != nil {
			return head, nil
		}
		if len(head) == 0 && line[0] == '\n' || line[0] == '\r' {
			return head, nil
		}
		text, err := in.ReadBytes('\n')
		switch trimmed := bytes.TrimRight(text, "\r\n"); {
		case len(head) == 0 && bytes.HasPrefix(trimmed, []byte("From ")):
			continue // a mailbox file's separator
		case len(trimmed) == 0:
			return append(head, '\n'), nil
		case len(head) > 0 && (trimmed[0] == ' ' || trimmed[0] == '\t'):
		case bytes.IndexByte(trimmed, ':') <= 0 || bytes.ContainsAny(trimmed[:bytes.IndexByte(trimmed, ':')], " \t"):
			return append(append(head, '\n'), text...), nil // the body begins, unannounced
		}
		if head = append(head, text...); err != nil {
			return head, nil
		}
	}
	return nil, badMail{fmt.Errorf("the header exceeds %d octets", maxHeader)}
}

// recipients are those of To, Cc and Bcc, less those that were named as
// arguments: that is what -t makes of them.
func recipients(head []byte, not []string) ([]string, error) {
	var to []string
	for f := range mail.Header(head).Fields() {
		switch strings.ToLower(f.Name) {
		case "to", "cc", "bcc":
			if f.Value() == "" {
				continue
			}
			list, err := parseList(f.Value())
			if err != nil {
				return nil, badMail{fmt.Errorf("%s: %w", f.Name, err)}
			}
			for _, a := range list {
				if !slices.Contains(not, a) && !slices.Contains(to, a) {
					to = append(to, a)
				}
			}
		}
	}
	return to, nil
}

// parseList reads a list of addresses, local names without a domain among them.
func parseList(v string) ([]string, error) {
	list, err := netmail.ParseAddressList(v)
	if err == nil {
		var to []string
		for _, a := range list {
			to = append(to, a.Address)
		}
		return to, nil
	}
	var to []string
	for name := range strings.SplitSeq(v, ",") {
		name = strings.TrimSpace(name)
		if a, perr := netmail.ParseAddress(name); perr == nil {
			name = a.Address
		} else if strings.ContainsAny(name, " <>\"@:;") {
			return nil, err
		}
		to = append(to, name)
	}
	return to, nil
}

// withoutBcc drops the fields that nobody else may see.
func withoutBcc(head []byte) []byte {
	if !mail.Header(head).Has("Bcc") {
		return head
	}
	var out []byte
	length := 0
	for f := range mail.Header(head).Fields() {
		length += len(f.Raw)
		if !strings.EqualFold(f.Name, "Bcc") {
			out = append(out, f.Raw...)
		}
	}
	return append(out, head[length:]...)
}

// qualify gives a local name its domain.
func qualify(a, hostname string) string {
	if strings.Contains(a, "@") {
		return a
	}
	return a + "@" + hostname
}

// untilDot ends at a line of one dot.
type untilDot struct {
	in   *bufio.Reader
	line []byte
	mid  bool // the last piece did not end its line
	done bool
}

func (u *untilDot) Read(p []byte) (int, error) {
	for len(u.line) == 0 {
		if u.done {
			return 0, io.EOF
		}
		line, err := u.in.ReadSlice('\n')
		if !u.mid && (string(line) == ".\n" || string(line) == ".\r\n") {
			u.done = true
			return 0, io.EOF
		}
		u.mid = errors.Is(err, bufio.ErrBufferFull)
		u.line = append(u.line[:0], line...)
		if err != nil && !u.mid {
			if u.done = true; err != io.EOF {
				return 0, err
			}
		}
	}
	n := copy(p, u.line)
	u.line = u.line[n:]
	return n, nil
}

// wireEnds makes the line ends of this machine those of the wire.
type wireEnds struct {
	w    io.Writer
	last byte
}

func (e *wireEnds) Write(b []byte) (int, error) {
	out := make([]byte, 0, len(b)+len(b)/16+2)
	for _, c := range b {
		if c == '\n' && e.last != '\r' {
			out = append(out, '\r')
		}
		out, e.last = append(out, c), c
	}
	_, err := e.w.Write(out)
	return len(b), err
}

// speak is -bs: SMTP on standard input and output, spoken by the server.
func speak(conf *config.Config, s streams) error {
	for _, l := range conf.Listen {
		if l.Kind != "smtp" {
			continue
		}
		address := l.Address
		if strings.HasPrefix(address, ":") {
			address = "127.0.0.1" + address
		}
		nc, err := new(net.Dialer).DialContext(context.Background(), "tcp", address)
		if err != nil {
			return fmt.Errorf("%w: nobody answers at %s", errDown, address)
		}
		defer nc.Close()
		go func() {
			io.Copy(&wireEnds{w: nc}, s.in)
			nc.(*net.TCPConn).CloseWrite()
		}()
		_, err = io.Copy(s.out, nc)
		return err
	}
	return errors.New("the configuration has no listener of kind smtp")
}
