package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/sourcegraph/conc/panics"

	"github.com/postrider/postrider/chain"
	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/explain"
	"github.com/postrider/postrider/mail"
	"github.com/postrider/postrider/policy"
	"github.com/postrider/postrider/system"
)

const (
	toolsAtOnce  = 8                // questions whose bodies are in memory
	toolsWait    = 10 * time.Second // for their turn, at most
	toolsRead    = 20 * time.Second // for what they bring along
	toolsWork    = 20 * time.Second // for the answer
	explainMost  = 8 << 20          // octets
	explainFiles = 100              // messages of one mailbox
	textMost     = 512 << 10        // octets of a scenario or configuration
)

// Tools answers what has nothing to do with the mail that is here: what a bounce
// says, what a chain would do, what is wrong with a policy. They take turns, so that
// mail is not held up. Make it with NewTools.
type Tools struct {
	o       ToolsOptions
	reading chan struct{} // a place for each question that is here
	working chan struct{} // for each that is worked on: half the processors are for mail
}

// ToolsOptions is what the tools ask of the configuration. An error of the first two
// is Mistakes where the text is wrong.
type ToolsOptions struct {
	Scenario  func(text []byte) (chain.Scenario, error)
	Schedules func(text []byte) ([]custody.Schedule, error) // of a text; of nil those in force
	Config    func() Configuration
	Log       *slog.Logger // faults of ours; nil: slog.Default
}

// NewTools makes Tools, one for all listeners.
func NewTools(o ToolsOptions) *Tools {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return &Tools{o, make(chan struct{}, toolsAtOnce), make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2))}
}

// Mistake is one thing that is wrong with a text, or doubtful.
type Mistake struct {
	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty" doc:"0: the text as a whole"`
	Col  int    `json:"col,omitempty" doc:"in octets, from 1"`
	Text string `json:"text" doc:"what is wrong; after a semicolon what was probably meant"`
}

// Mistakes is all that is wrong with a text.
type Mistakes []Mistake

// Error returns one line a mistake.
func (m Mistakes) Error() string {
	lines := make([]string, len(m))
	for i, one := range m {
		lines[i] = one.Text
		if one.Line > 0 {
			lines[i] = fmt.Sprintf("line %d, column %d: %s", one.Line, one.Col, one.Text)
		}
	}
	return strings.Join(lines, "\n")
}

// Configuration is what is in force.
type Configuration struct {
	File     string        `json:"file" doc:"empty: the built-in default"`
	Settings []Setting     `json:"settings"`
	Restart  []string      `json:"restart,omitempty" doc:"keys and tables that were changed since the start and are in force after a restart"`
	Rules    []policy.Rule `json:"-"` // of the door, in order
	Door     []DoorRule    `json:"rules" doc:"of the door, in order, the default set filled in"`
	Doubts   []Mistake     `json:"doubts" doc:"it works, but perhaps not as was meant"`
}

// DoorRule is a rule of the door in short: its conditions stand where it is written.
type DoorRule struct {
	Rule    string        `json:"rule"`
	Place   string        `json:"place" doc:"file and line"`
	At      policy.Stage  `json:"at"`
	Then    policy.Action `json:"then"`
	Filter  string        `json:"filter,omitempty" doc:"it asks this filter, and does what that says"`
	Code    int           `json:"code,omitempty"`
	Status  mail.Status   `json:"status,omitzero"`
	Text    string        `json:"text,omitempty"`
	LogOnly bool          `json:"log_only,omitempty" doc:"dry: it only says what it would have done"`
}

// Setting is one key as it is in force, and where that is written.
type Setting struct {
	Key     string `json:"key" doc:"dotted; of tables that may stand several times with their number: listen[0].address"`
	Value   any    `json:"value" doc:"null: not set, or hidden"`
	File    string `json:"file,omitempty" doc:"empty: a default"`
	Line    int    `json:"line,omitempty"`
	Default bool   `json:"default,omitempty"`
	Hidden  bool   `json:"hidden,omitempty" doc:"it names a secret"`
}

func (s *server) toolRoutes(a huma.API) {
	t := s.o.Tools
	if t == nil {
		return
	}
	tool := func(id, path, summary, description string, most int64) huma.Operation {
		return huma.Operation{
			OperationID: id, Method: "POST", Path: path, Summary: summary, Description: description,
			MaxBodyBytes: most + 1, BodyReadTimeout: toolsRead, Middlewares: huma.Middlewares{t.turn(a)},
			Errors: []int{http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity, http.StatusServiceUnavailable},
		}
	}
	huma.Register(a, tool("explain", "/api/v1/explain", "Read anyone's bounce",
		"The body is a message, a mailbox or a line of one. The answer is that of \"postrider explain --json\": one object; of a mailbox one a line. With svg it is a picture of the first one's hops.", explainMost), t.explain)
	huma.Register(a, tool("simulate", "/api/v1/simulate", "Foretell what a chain of mail systems does",
		"The body is a scenario in TOML. The answer is that of \"postrider simulate --json\"; with svg it is the picture.", textMost), t.simulate)
	huma.Register(a, tool("lint", "/api/v1/lint", "Find the traps in a retry policy",
		"The body is a configuration of postrider, of which the schedules are looked at; with postfix a main.cf; nothing: the schedules in force. With system a known mail system is looked at.", textMost), t.lint)
	a.OpenAPI().Paths["/api/v1/lint"].Post.RequestBody.Required = false
	huma.Register(a, huma.Operation{OperationID: "config", Method: "GET", Path: "/api/v1/config", Summary: "The configuration in force, each key with its file and line, and no secrets"}, t.config)
}

// turn lets a request wait for its turn, before its body is read.
func (t *Tools) turn(a huma.API) func(huma.Context, func(huma.Context)) {
	return func(hc huma.Context, next func(huma.Context)) {
		late := time.NewTimer(toolsWait)
		defer late.Stop()
		select {
		case t.reading <- struct{}{}:
			defer func() { <-t.reading }()
			next(hc)
		case <-late.C:
			_ = huma.WriteErr(a, hc, http.StatusServiceUnavailable, crowded) // or they went away
		case <-hc.Context().Done():
		}
	}
}

const crowded = "others are being answered; ask again"

// work does something that takes the processor, when its turn has come, and does not
// wait for it too long. What it was given must not change while it goes on.
func work[T any](ctx context.Context, t *Tools, do func() (T, error)) (out T, err error) {
	late := time.NewTimer(toolsWait)
	defer late.Stop()
	select {
	case t.working <- struct{}{}:
	case <-late.C:
		return out, huma.Error503ServiceUnavailable(crowded)
	case <-ctx.Done():
		return out, ctx.Err()
	}
	type result struct {
		out T
		err error
	}
	done := make(chan result, 1)
	go func() { // it cannot be stopped, but it ends
		defer func() { <-t.working }()
		var r result
		if fault := panics.Try(func() { r.out, r.err = do() }); fault != nil {
			t.o.Log.Error("a fault of this server; please report it", "fault", fmt.Sprint(fault.Value), "stack", string(fault.Stack))
			r.err = huma.Error500InternalServerError("a fault of this server; its log says more")
		}
		done <- r
	}()
	late.Reset(toolsWork)
	select {
	case r := <-done:
		return r.out, r.err
	case <-late.C:
		return out, huma.Error422UnprocessableEntity(fmt.Sprintf("too much to work out in %s", toolsWork))
	case <-ctx.Done():
		return out, ctx.Err()
	}
}

// answered is an answer of some kind.
type answered struct {
	ContentType string `header:"Content-Type"`
	Policy      string `header:"Content-Security-Policy"`
	Body        []byte
}

const asJSON = "application/json"

// picture is an answer with a picture, whose style stands within it.
func picture(svg []byte) *answered {
	return &answered{"image/svg+xml", strict + "; style-src 'unsafe-inline'; sandbox", svg}
}

type explainInput struct {
	Language string `query:"language" default:"en" doc:"of the sentences, by its tag"`
	asked
	RawBody []byte `contentType:"message/rfc822"`
}

// asked keeps the query of a request.
type asked struct {
	Picture string `query:"svg" doc:"a picture instead of JSON"`
	query   string
}

// Resolve is called by huma.
func (q *asked) Resolve(hc huma.Context) []error {
	u := hc.URL()
	q.query = u.RawQuery
	return nil
}

// has reports whether a word stands in the query: ?svg or ?svg=true.
func (q *asked) has(name string) bool {
	for part := range strings.SplitSeq(q.query, "&") {
		if key, value, _ := strings.Cut(part, "="); key == name {
			return value == "" || value == "1" || value == "true"
		}
	}
	return false
}

// explained is what is told of one message of a mailbox.
type explained struct {
	Line int `json:"line,omitempty"` // where it begins
	explain.Report
}

func (t *Tools) explain(ctx context.Context, in *explainInput) (*answered, error) {
	if !slices.Contains(explain.Languages(), in.Language) {
		return nil, huma.Error422UnprocessableEntity(fmt.Sprintf("no texts in language %q; there are %s", in.Language, strings.Join(explain.Languages(), ", ")))
	}
	body := bytes.Clone(in.RawBody)
	return work(ctx, t, func() (*answered, error) { return explainAll(body, in.Language, in.has("svg")) })
}

// explainAll explains all messages of a mailbox, or draws the first.
func explainAll(body []byte, language string, svg bool) (*answered, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	n := 0
	for m, err := range explain.Messages(bytes.NewReader(body)) {
		if err != nil {
			return nil, fault(err)
		}
		if n++; n > explainFiles {
			return nil, huma.Error422UnprocessableEntity(fmt.Sprintf("more than %d messages; send the mailbox in parts", explainFiles))
		}
		e := explained{}
		if m.Line > 1 {
			e.Line = m.Line
		}
		if e.Report, err = explain.Explain(bytes.NewReader(m.Raw), explain.Options{Line: m.Line, Language: language}); err != nil {
			return nil, fault(err)
		}
		if svg {
			return picture([]byte(explain.SVG(e.Report))), nil
		}
		if err := enc.Encode(e); err != nil {
			return nil, fault(err)
		}
	}
	kind := asJSON
	if n > 1 {
		kind = "application/x-ndjson"
	}
	return &answered{kind, strict, out.Bytes()}, nil
}

type simulateInput struct {
	asked
	RawBody []byte `contentType:"application/toml"`
}

func (t *Tools) simulate(ctx context.Context, in *simulateInput) (*answered, error) {
	c, err := t.o.Scenario(in.RawBody)
	if err != nil {
		return nil, mistaken(err)
	}
	return work(ctx, t, func() (*answered, error) {
		story, err := chain.Run(c)
		if err != nil {
			return nil, mistaken(err)
		}
		var out bytes.Buffer
		if in.has("svg") {
			err = story.Draw(&out)
			return picture(out.Bytes()), err
		}
		err = json.NewEncoder(&out).Encode(story)
		return &answered{asJSON, strict, out.Bytes()}, err
	})
}

// mistaken is the answer where the text is wrong.
func mistaken(err error) error {
	var all Mistakes
	if !errors.As(err, &all) {
		return huma.Error422UnprocessableEntity(err.Error())
	}
	details := make([]error, len(all))
	for i, m := range all {
		at := "body"
		if m.Line > 0 {
			at = fmt.Sprintf("body:%d:%d", m.Line, m.Col)
		}
		details[i] = &huma.ErrorDetail{Message: m.Text, Location: at}
	}
	return huma.Error422UnprocessableEntity(fmt.Sprintf("%d mistakes in the text", len(all)), details...)
}

// Linted is a finding and what it is about.
type Linted struct {
	Subject string `json:"subject"`
	chain.Finding
}

type lintInput struct {
	System  string `query:"system" doc:"a known mail system, as it is shipped"`
	Postfix string `query:"postfix" doc:"the body is a main.cf"`
	asked
	RawBody []byte `contentType:"application/toml"`
}

type lintOutput struct{ Body []Linted }

func (t *Tools) lint(ctx context.Context, in *lintInput) (*lintOutput, error) {
	text, postfix := bytes.Clone(in.RawBody), in.has("postfix")
	return work(ctx, t, func() (*lintOutput, error) {
		subjects, err := t.subjects(in.System, postfix, text)
		if err != nil {
			return nil, mistaken(err)
		}
		out := &lintOutput{Body: []Linted{}}
		for _, sub := range subjects {
			for _, f := range chain.Lint(sub) {
				out.Body = append(out.Body, Linted{sub.Name, f})
			}
		}
		return out, nil
	})
}

// subjects are the policies that are to be looked at.
func (t *Tools) subjects(id string, postfix bool, text []byte) ([]chain.Subject, error) {
	switch {
	case id != "":
		sys, ok := system.Find(id)
		if near := system.Nearest(id); !ok && near != "" {
			return nil, fmt.Errorf("no system is known as %q; did you mean %q?", id, near)
		} else if !ok {
			return nil, fmt.Errorf("no system is known as %q", id)
		}
		return []chain.Subject{chain.OfSystem(sys)}, nil
	case postfix:
		p, err := chain.ReadPostfix("main.cf", text)
		if err != nil {
			return nil, err
		}
		return []chain.Subject{chain.OfPostfix(p)}, nil
	case len(text) == 0:
		text = nil
	}
	schedules, err := t.o.Schedules(text)
	if err != nil {
		return nil, err
	}
	var all []chain.Subject
	for _, s := range schedules {
		all = append(all, chain.OfSchedule(s))
	}
	return all, nil
}

type configOutput struct{ Body Configuration }

func (t *Tools) config(context.Context, *struct{}) (*configOutput, error) {
	c := t.o.Config()
	c.Door = []DoorRule{}
	for _, r := range c.Rules {
		c.Door = append(c.Door, DoorRule{r.Name, r.Place, r.At, r.Then, r.Filter, r.Code, r.Status, r.Text, r.LogOnly})
	}
	return &configOutput{c}, nil
}
