package api

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/policy"
)

// Door is what the API asks of the half that lets mail in.
type Door interface {
	Allowed(now time.Time) []policy.Allowed
	Allow(o policy.Override, now time.Time) (policy.Allowed, error)
	Disallow(id string, now time.Time) error
	Refusals(client netip.Prefix, rule, ref string, since time.Time, n int) []policy.Record
	RefusedGroups(client netip.Prefix, rule string, since time.Time) []policy.Group
	Explain(ctx context.Context, v policy.Visit) []policy.Judged
}

func (s *server) doorRoutes(a huma.API) {
	huma.Register(a, huma.Operation{OperationID: "allowed", Method: "GET", Path: "/api/v1/allow", Summary: "Overrides: who is let past a rule, and until when"}, s.allowed)
	huma.Register(a, huma.Operation{OperationID: "refusals", Method: "GET", Path: "/api/v1/refusals", Summary: "Who was refused or deferred lately, newest first"}, s.refusals)
	huma.Register(a, huma.Operation{OperationID: "refused", Method: "GET", Path: "/api/v1/refused", Summary: "The same by client and rule, with what speaks for the client"}, s.refused)
	huma.Register(a, huma.Operation{OperationID: "allow", Method: "POST", Path: "/api/v1/allow", Summary: "Let somebody past one rule for a while"}, s.allow)
	huma.Register(a, huma.Operation{OperationID: "disallow", Method: "POST", Path: "/api/v1/allow/{id}/end", Summary: "End an override now"}, s.disallow)
	huma.Register(a, huma.Operation{OperationID: "judge", Method: "POST", Path: "/api/v1/judge", Summary: "What the rules would say to a client, without a visit"}, s.judge)
}

type allowedOutput struct{ Body []policy.Allowed }

func (s *server) allowed(context.Context, *struct{}) (*allowedOutput, error) {
	all := s.o.Door.Allowed(time.Now())
	if all == nil {
		all = []policy.Allowed{}
	}
	return &allowedOutput{all}, nil
}

// Allow is an override that an operator orders. Its id and its end are made here.
type Allow struct {
	policy.Override
	For string `json:"for" doc:"how long it holds, such as 30d"`
}

// TransformSchema says in the document what need not be given.
func (Allow) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	for name, doc := range map[string]string{
		"id": "made here; what is given is not looked at", "until": "worked out from for; what is given is not looked at",
		"by": "who gives the order; with a token its name is added, and is enough",
	} {
		p := *s.Properties[name]
		p.Description, p.ReadOnly = doc, name != "by"
		s.Properties[name] = &p
		s.Required = slices.DeleteFunc(s.Required, func(r string) bool { return r == name })
	}
	return s
}

type allowInput struct{ Body Allow }

type oneAllowed struct{ Body policy.Allowed }

func (s *server) allow(ctx context.Context, in *allowInput) (*oneAllowed, error) {
	now := time.Now()
	age, err := custody.ParseAge(in.Body.For)
	if err != nil {
		return nil, huma.Error422UnprocessableEntity("for: " + err.Error())
	}
	o := in.Body.Override
	o.By = by(ctx, o.By)
	o.Until = now.Add(age)
	made, err := s.o.Door.Allow(o, now)
	if err != nil {
		return nil, huma.Error422UnprocessableEntity(err.Error())
	}
	return &oneAllowed{made}, nil
}

type disallowInput struct {
	ID string `path:"id"`
}

func (s *server) disallow(_ context.Context, in *disallowInput) (*struct{}, error) {
	if err := s.o.Door.Disallow(in.ID, time.Now()); err != nil {
		return nil, huma.Error404NotFound(err.Error())
	}
	return nil, nil
}

// RefusedQuery finds refusals. All that is given must fit.
type RefusedQuery struct {
	Client string `query:"client" doc:"address or network"`
	Rule   string `query:"rule"`
	Ref    string `query:"ref" doc:"what the reply named"`
	Within string `query:"within" doc:"age such as 24h or 7d" default:"7d"`
	Limit  int    `query:"limit" default:"100" minimum:"1" maximum:"10000"`
}

// read returns the network and the time that a query means.
func (q RefusedQuery) read() (client netip.Prefix, since time.Time, err error) {
	if q.Client != "" {
		if client, err = ParseNetwork(q.Client); err != nil {
			return client, since, huma.Error422UnprocessableEntity(err.Error())
		}
	}
	age, err := custody.ParseAge(q.Within)
	if err != nil {
		return client, since, huma.Error422UnprocessableEntity("within: " + err.Error())
	}
	return client, time.Now().Add(-age), nil
}

// ParseNetwork reads an address or a network.
func ParseNetwork(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		a = a.Unmap().WithZone("")
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	return p.Masked(), err
}

type refusalsOutput struct{ Body []policy.Record }

func (s *server) refusals(_ context.Context, in *RefusedQuery) (*refusalsOutput, error) {
	client, since, err := in.read()
	if err != nil {
		return nil, err
	}
	all := s.o.Door.Refusals(client, in.Rule, in.Ref, since, in.Limit)
	if all == nil {
		all = []policy.Record{}
	}
	return &refusalsOutput{all}, nil
}

type refusedOutput struct{ Body []policy.Group }

func (s *server) refused(_ context.Context, in *RefusedQuery) (*refusedOutput, error) {
	client, since, err := in.read()
	if err != nil {
		return nil, err
	}
	all := s.o.Door.RefusedGroups(client, in.Rule, since)
	if all == nil {
		all = []policy.Group{}
	}
	return &refusedOutput{all[:min(len(all), in.Limit)]}, nil
}

type judgeInput struct{ Body policy.Visit }

type judgeOutput struct{ Body []policy.Judged }

func (s *server) judge(ctx context.Context, in *judgeInput) (*judgeOutput, error) {
	return &judgeOutput{s.o.Door.Explain(ctx, in.Body)}, nil
}
