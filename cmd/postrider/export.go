package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/api"
	"github.com/postrider/postrider/internal/spool"
	"github.com/postrider/postrider/internal/spool/local"
	"github.com/postrider/postrider/internal/watch"
	"github.com/postrider/postrider/mail"
)

type exportCmd struct {
	choice
	Dir  string `arg:"" optional:"" help:"Folder to write to; it is made if it is not there."`
	Out  string `placeholder:"DIR" help:"The same."`
	Data string `placeholder:"DIR" help:"Data folder to read; default: that of the configuration."`
	JSON bool   `name:"json" help:"Name what was written, one object a line."`
}

func (x exportCmd) Run(c *cli, s streams) error {
	out := x.Out
	if (out == "") == (x.Dir == "") {
		return fmt.Errorf("export where to? Name one folder")
	}
	if out == "" {
		out = x.Dir
	}
	dir, err := spoolIn(x.Data, c.Config)
	if err != nil {
		return err
	}
	q, err := x.api().Query(time.Now())
	if err != nil {
		return err
	}
	if err := os.MkdirAll(out, 0o700); err != nil {
		return err
	}
	root, err := os.OpenRoot(out)
	if err != nil {
		return err
	}
	defer root.Close()
	p := newProgress(s.err, "exporting")
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	e := &exporter{root: root, s: s, json: x.JSON}
	err = local.Export(ctx, dir, q, local.SurveyOptions{Progress: p.tell}, e.message)
	p.end()
	if err != nil {
		return inUse(err)
	}
	if !x.JSON {
		fmt.Fprintf(s.out, "%d %s in %s\n", e.written, plural(e.written, "message", "messages"), out)
	}
	switch {
	case e.damaged+e.kept > 0:
		return fmt.Errorf("%d %s damaged, %d there already and left as they were", e.damaged, plural(e.damaged, "is", "are"), e.kept)
	case e.written == 0:
		return errNothing
	}
	return nil
}

// exporter writes messages into a folder: ID.eml as it is stored, then ID.json, which
// says that the other is complete. It overwrites nothing.
type exporter struct {
	root *os.Root
	s    streams
	json bool

	written, damaged, kept int
}

// exportedJSON is what is known of an exported message.
type exportedJSON struct {
	ID         string             `json:"id"`
	File       string             `json:"file"`
	Damage     []string           `json:"damage,omitempty"`
	MessageID  string             `json:"message_id"`
	Subject    string             `json:"subject"`
	Accepted   time.Time          `json:"accepted"`
	Size       int64              `json:"size"`
	Came       custody.Came       `json:"came"`
	Envelope   exportedEnvelope   `json:"envelope"`
	Deliveries []exportedDelivery `json:"deliveries"`
}

// exportedEnvelope is what MAIL said; what RCPT said stands in the deliveries.
type exportedEnvelope struct {
	From     string `json:"from"`
	Body     string `json:"body"`
	SMTPUTF8 bool   `json:"smtputf8,omitempty"`
	Ret      string `json:"ret,omitempty"`
	EnvID    string `json:"envid,omitempty"`
	By       string `json:"by,omitempty"` // the moment and the mode of DELIVERBY
}

type exportedDelivery struct {
	ID         string              `json:"id"`
	Domain     string              `json:"domain"`
	Via        string              `json:"via,omitempty"`
	State      string              `json:"state"`
	Held       string              `json:"held,omitempty"`
	Attempts   int                 `json:"attempts"`
	NextTry    time.Time           `json:"next_try,omitzero"`
	Deadline   time.Time           `json:"deadline,omitzero"`
	Left       time.Time           `json:"left,omitzero"`
	Recipients []exportedRecipient `json:"recipients"`
	Events     []watch.Event       `json:"events"`
}

type exportedRecipient struct {
	mail.Recipient
	State custody.State `json:"state"`
	Last  *api.Last     `json:"last"`
}

func (e *exporter) message(x local.Exported) error {
	id := x.Message.ID.String()
	m := x.Message
	v := exportedJSON{
		ID: id, File: id + ".eml", Damage: x.Flaws, MessageID: m.MessageID, Subject: m.Subject,
		Accepted: m.Accepted, Size: m.Size, Came: m.Came, Envelope: exportEnvelope(m),
	}
	for _, row := range x.Deliveries {
		v.Deliveries = append(v.Deliveries, exportDelivery(x, row))
	}
	for _, name := range []string{v.File, v.File + ".damaged", id + ".json"} {
		if _, err := e.root.Lstat(name); err == nil {
			e.kept++
			fmt.Fprintf(e.s.err, "%s is there already\n", name)
			return nil
		}
	}
	bad := error(nil)
	err := e.create(v.File, func(w io.Writer) error {
		err := x.WriteBody(w)
		if errors.Is(err, spool.ErrCorrupt) {
			bad, err = err, nil
		}
		return err
	})
	if bad != nil && err == nil { // what there is of it must not pass for a message
		v.File += ".damaged"
		v.Damage = append(v.Damage, strings.TrimPrefix(bad.Error(), spool.ErrCorrupt.Error()+": "))
		err = e.root.Rename(id+".eml", v.File)
	}
	if err != nil {
		return err
	}
	err = e.create(id+".json", func(w io.Writer) error {
		j := json.NewEncoder(w)
		j.SetEscapeHTML(false)
		j.SetIndent("", "  ")
		return j.Encode(v)
	})
	if err != nil {
		return err
	}
	if e.written++; len(v.Damage) > 0 {
		e.damaged++
		fmt.Fprintf(e.s.err, "%s: %s\n", id, strings.Join(v.Damage, "; "))
	}
	if e.json {
		return writeJSON(e.s.out, map[string]any{"id": id, "file": v.File, "damage": v.Damage})
	}
	return nil
}

func exportEnvelope(m custody.Message) exportedEnvelope {
	env := m.Envelope
	v := exportedEnvelope{From: env.From.String(), Body: env.Body.String(), SMTPUTF8: env.UTF8, Ret: env.Return.String(), EnvID: env.ID}
	if !env.By.IsZero() {
		mode := ";N"
		if env.By.Return {
			mode = ";R"
		}
		v.By = m.Accepted.Add(env.By.Within).Format(time.RFC3339) + mode
	}
	return v
}

// create writes a new file; one that could not be written as a whole is not left.
func (e *exporter) create(name string, write func(io.Writer) error) error {
	f, err := e.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	b := bufio.NewWriterSize(f, 64<<10)
	if err = errors.Join(write(b), b.Flush(), f.Close()); err != nil {
		_ = e.root.Remove(name)
	}
	return err
}

func exportDelivery(x local.Exported, row spool.Row) exportedDelivery {
	d := row.Delivery
	v := exportedDelivery{
		ID: d.ID.String(), Domain: d.Domain, Via: d.Via, State: "waiting", Attempts: d.Tries, Deadline: d.Deadline, Left: row.Left,
		Events: []watch.Event{watch.Accept(x.Message)},
	}
	switch {
	case !row.Left.IsZero():
		v.State = "left"
	case !d.Held.IsZero():
		v.State, v.Held = "held", strings.TrimSuffix(d.Held.By+": "+d.Held.Why, ": ")
	default:
		v.NextTry = d.Next
	}
	for _, r := range d.Own() {
		out := exportedRecipient{Recipient: r.Recipient, State: r.State}
		if o := r.Last; !o.IsZero() {
			out.Last = &api.Last{At: o.At, Host: o.Host, IP: o.IP, Stage: o.Stage, Code: o.Reply.Code, Status: o.Reply.Status, Text: o.Reply.Text}
		}
		v.Recipients = append(v.Recipients, out)
	}
	for _, e := range x.Timeline(d.ID) {
		v.Events = append(v.Events, watch.Events(e, d.Rcpts)...)
	}
	return v
}
