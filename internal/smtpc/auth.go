package smtpc

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	"github.com/emersion/go-sasl"

	"github.com/postrider/postrider/mail"
)

// authenticate proves who we are, PLAIN before LOGIN (RFC 4954). The host's
// refusal is about us, not about any message: the caller should wait, not bounce.
func (c *Conn) authenticate() *Failure {
	if !c.proven {
		return own(mail.Auth, mail.Status{4, 7, 0}, "password not sent: the host has not proven its name (tls = \"verify\" is needed with auth)")
	}
	switch {
	case slices.Contains(c.ext.Auth, sasl.Plain):
		return c.prove(sasl.NewPlainClient("", c.o.User, c.o.Password), true)
	case slices.Contains(c.ext.Auth, sasl.Login):
		return c.prove(&login{[]string{c.o.User, c.o.Password}}, false)
	case len(c.ext.Auth) == 0:
		return own(mail.Auth, mail.Status{4, 7, 0}, "host does not offer AUTH, and the route has a password for it")
	}
	return own(mail.Auth, mail.Status{4, 7, 0}, "host offers AUTH "+mail.Clean(strings.Join(c.ext.Auth, " "), 200)+", but we speak only PLAIN and LOGIN")
}

// prove runs one SASL exchange; early sends the first response with the command.
func (c *Conn) prove(client sasl.Client, early bool) *Failure {
	name, response, err := client.Start()
	if err != nil {
		return c.unproven(err)
	}
	line := "AUTH " + name
	if early {
		line += " " + initial(response)
	}
	at := step{mail.Auth, "AUTH"}
	for range 8 {
		r, f := c.ask(at, line)
		switch {
		case f != nil:
			return f
		case r.Success():
			return nil
		case r.Code != 334:
			return c.refused(at, r)
		}
		challenge, err := base64.StdEncoding.DecodeString(strings.TrimSpace(r.Text))
		if err == nil || name == sasl.Login { // LOGIN's challenges are decoration
			if response, err = client.Next(challenge); err == nil {
				line = base64.StdEncoding.EncodeToString(response)
				continue
			}
		}
		c.broken = true // the exchange is open; closing is the sure way out
		return c.unproven(err)
	}
	return c.unproven(fmt.Errorf("host asks without end"))
}

func (c *Conn) unproven(err error) *Failure {
	f := own(mail.Auth, mail.Status{4, 7, 0}, "AUTH broken off by us: "+mail.Clean(err.Error(), 200))
	f.Err = err
	return f
}

// initial encodes an initial response; an empty one is "=" (RFC 4954 4).
func initial(b []byte) string {
	if len(b) == 0 {
		return "="
	}
	return base64.StdEncoding.EncodeToString(b)
}

// login is the LOGIN mechanism. The one of go-sasl insists on the challenge
// "Password:", but hosts say "Password", "password:" and "Passwort:".
type login struct{ answers []string }

func (l *login) Start() (string, []byte, error) { return sasl.Login, nil, nil }

func (l *login) Next([]byte) ([]byte, error) {
	if len(l.answers) == 0 {
		return nil, sasl.ErrUnexpectedServerChallenge
	}
	a := l.answers[0]
	l.answers = l.answers[1:]
	return []byte(a), nil
}
