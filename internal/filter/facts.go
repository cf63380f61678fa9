package filter

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/postrider/postrider/mail"
)

// maxHookText bounds a hook's words: one line of a reply has 512 octets with its
// code and end (RFC 5321 4.5.3.1.5), and intake adds to it.
const maxHookText = 400

// facts is what a hook is told.
type facts struct {
	Stage    mail.Stage        `json:"stage"`
	ID       string            `json:"id,omitempty"`
	Host     string            `json:"host,omitempty"`
	Listener string            `json:"listener,omitempty"`
	Client   *hookClient       `json:"client,omitempty"`
	Helo     string            `json:"helo,omitempty"`
	TLS      TLS               `json:"tls,omitzero"`
	User     string            `json:"user,omitempty"`
	From     *mail.Address     `json:"from,omitempty"` // "" is the null path
	To       []mail.Address    `json:"to,omitempty"`
	Size     *int64            `json:"size,omitempty"` // of header, blank line and body
	Header   []hookField       `json:"header,omitempty"`
	Cut      bool              `json:"header_cut,omitempty"`
	Proof    map[string]string `json:"proof,omitempty"`
}

type hookClient struct {
	Address string `json:"address"`
	Port    uint16 `json:"port"`
	Name    string `json:"name,omitempty"`
	PTR     string `json:"ptr,omitempty"`
}

type hookField struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// newFacts returns what is known at the message's stage.
func newFacts(m *Message) facts {
	f := facts{Stage: m.Stage, ID: m.ID, Host: m.Host, Listener: m.Listener, TLS: m.TLS, User: m.User, Proof: m.Proof}
	if m.Client.IsValid() {
		c := m.client()
		f.Client = &hookClient{c.Addr().String(), c.Port(), m.Name, m.PTR}
	}
	if m.Stage == mail.Connect {
		return f
	}
	f.Helo = m.Helo
	if m.Stage == mail.Hello {
		return f
	}
	f.From = &m.From
	if m.Stage == mail.Mail {
		return f
	}
	f.To = m.To
	if !m.whole() {
		return f
	}
	f.Stage = mail.Data
	size, sent := int64(len(m.Header))+2+m.Size, 0
	f.Size = &size
	for field := range m.Header.Fields() {
		if sent += len(field.Raw); sent > maxHookAnswer {
			f.Cut = true
			break
		}
		f.Header = append(f.Header, hookField{field.Name, field.Value()})
	}
	return f
}

// hookAnswer is what a hook answers.
type hookAnswer struct {
	Action  string      `json:"action"`
	Code    int         `json:"code"`
	Status  mail.Status `json:"status"`
	Text    string      `json:"text"`
	Headers []hookField `json:"headers"`
}

// words puts the hook's own words into the reply. With an action that says nothing
// to the client there may be none but for people to read.
func (a *hookAnswer) words(op *Opinion) error {
	r := &op.Reply
	if a.Code != 0 {
		r.Code = a.Code
	}
	if !a.Status.IsZero() {
		r.Status = a.Status
	}
	if op.Action == Pass || op.Action == Accept {
		if !r.IsZero() {
			return fmt.Errorf("%s with code %d and status %q", op.Action, r.Code, r.Status)
		}
		return nil
	}
	if a.Text != "" {
		r.Text = mail.Clean(a.Text, maxHookText)
	}
	if err := checkReply(*r); err != nil {
		return err
	}
	if action(*r) != op.Action {
		return fmt.Errorf("%s with code %d", op.Action, r.Code)
	}
	return nil
}

// hookOpinion reads a hook's answer.
func hookOpinion(answer []byte) (Opinion, error) {
	var a hookAnswer
	d := json.NewDecoder(bytes.NewReader(answer))
	d.DisallowUnknownFields()
	if err := d.Decode(&a); err != nil {
		return Opinion{}, fmt.Errorf("its answer: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return Opinion{}, errors.New("its answer: more behind the object")
	}
	var op Opinion
	switch a.Action {
	case Pass.String():
	case Accept.String():
		op.Action = Accept
	case Defer.String():
		op.Action, op.Reply = Defer, tempfail
	case Refuse.String():
		op.Action, op.Reply = Refuse, rejected
	default:
		return Opinion{}, fmt.Errorf("its answer: unknown action %q", mail.Clean(a.Action, 40))
	}
	if err := a.words(&op); err != nil {
		return Opinion{}, fmt.Errorf("its answer: %w", err)
	}
	for i, h := range a.Headers {
		c := Change{Kind: InsertHeader, Index: i, Name: h.Name, Value: " " + h.Value}
		if err := c.check(); err != nil {
			return Opinion{}, fmt.Errorf("its answer: %w", err)
		}
		op.Changes = append(op.Changes, c)
	}
	return op, nil
}
