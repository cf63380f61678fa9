package main

import (
	"fmt"
	"net/url"
	"reflect"

	"github.com/alecthomas/kong"

	"github.com/postrider/postrider/internal/api"
)

// choice is what the commands that find mail have in common.
type choice struct {
	Domain    string `help:"Domain of the recipients."`
	From      string `help:"Sender, or @domain, or <> for the null return path."`
	To        string `help:"Recipient, or @domain."`
	ID        string `name:"id" help:"Message or delivery id, as queue shows it."`
	MessageID string `name:"message-id" help:"Message-ID of the header."`
	OlderThan string `placeholder:"AGE" help:"Waiting for longer than this, like 4h or 2d."`
	State     string `enum:",waiting,trying,held" default:"" help:"waiting, trying or held."`
	Reply     string `placeholder:"WORDS" help:"Words of the last reply; an order is for whom it was said to."`
}

// AfterApply refuses a flag that is given without a word, as where the shell does not
// know a variable: it would count as not given, and more mail be chosen than was meant.
func (choice) AfterApply(ctx *kong.Context) error {
	for _, p := range ctx.Path {
		if p.Flag != nil && p.Flag.Target.Kind() == reflect.String && p.Flag.Target.Len() == 0 {
			return fmt.Errorf("--%s: nothing is given", p.Flag.Name)
		}
	}
	return nil
}

func (f choice) api() api.Filter {
	return api.Filter{ID: f.ID, MessageID: f.MessageID, From: f.From, To: f.To, Domain: f.Domain, State: f.State, Reply: f.Reply, OlderThan: f.OlderThan}
}

func (f choice) values() url.Values {
	q := url.Values{}
	for k, v := range map[string]string{"id": f.ID, "message_id": f.MessageID, "from": f.From, "to": f.To, "domain": f.Domain, "state": f.State, "reply": f.Reply, "older_than": f.OlderThan} {
		if v != "" {
			q.Set(k, v)
		}
	}
	return q
}
