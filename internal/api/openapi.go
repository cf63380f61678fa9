package api

import (
	"net/http"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// specification begins the OpenAPI document.
func specification(version string) huma.Config {
	c := huma.DefaultConfig("postrider", version)
	c.OpenAPIPath, c.DocsPath, c.SchemasPath = "/api/v1/openapi", "", ""
	c.CreateHooks = nil // no $schema in answers
	c.Info.Description = "What is asked for is seen by whoever has the role view; orders are given by whoever has the role operate. " +
		"A token of the configuration, sent as bearer token, has one of them; so has a session opened with it at /login, whose orders bear the field csrf of the page besides. " +
		"Until there is a token, a listener on loopback only shows. The socket in the data folder takes everything."
	c.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"token":   {Type: "http", Scheme: "bearer", Description: "a [[token]] of the configuration (RFC 6750)"},
		"session": {Type: "apiKey", In: "cookie", Name: "__Host-postrider", Description: "from /login"},
	}
	c.Security = []map[string][]string{{"token": {}}, {"session": {}}, {}}
	return c
}

// plain serves an operation that huma does not serve, and describes it.
func plain(a huma.API, mux *http.ServeMux, op huma.Operation, serve http.HandlerFunc) {
	mux.HandleFunc(op.Method+" "+op.Path, serve)
	a.OpenAPI().AddOperation(&op)
}

// words is the description of an answer that is text.
func words(status, description, kind string) map[string]*huma.Response {
	return map[string]*huma.Response{status: {Description: description, Content: map[string]*huma.MediaType{kind: {Schema: &huma.Schema{Type: huma.TypeString}}}}}
}

// submitOperation describes the submission of a message.
func submitOperation() huma.Operation {
	param := func(name, doc string, required bool) *huma.Param {
		return &huma.Param{Name: name, In: "query", Description: doc, Required: required, Schema: &huma.Schema{Type: huma.TypeString}}
	}
	return huma.Operation{
		OperationID: "submit", Method: "POST", Path: "/api/v1/messages", Summary: "Hand a message over",
		Description: "The envelope stands in the query, the message is the body. What is wrong with it is said as text.",
		Parameters: []*huma.Param{
			param("to", "recipient; once for each, at most 8,000, of which a listener on the network takes what fits into 64 kB", true), param("from", "return path; empty: null", false), param("user", "on whose behalf, for the trace", false),
			param("notify", "NOTIFY of RFC 3461: never, or some of success, failure and delay", false), param("ret", "RET of RFC 3461: full or hdrs", false),
			param("envid", "ENVID of RFC 3461", false),
		},
		RequestBody: &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"message/rfc822": {Schema: &huma.Schema{Type: huma.TypeString}}}},
		Responses: map[string]*huma.Response{
			"200": {Description: "Accepted: it is ours now", Content: map[string]*huma.MediaType{asJSON: {Schema: &huma.Schema{
				Type: huma.TypeObject, Required: []string{"message"}, Properties: map[string]*huma.Schema{"message": {Type: huma.TypeString, Description: "its id"}},
			}}}},
			"422": {Description: "The envelope is wrong, or the message is refused"},
		},
	}
}

// rolesTold adds to each operation which role it wants.
func rolesTold(a huma.API) {
	for path, item := range a.OpenAPI().Paths {
		for method, op := range map[string]*huma.Operation{"GET": item.Get, "POST": item.Post, "PUT": item.Put, "DELETE": item.Delete, "PATCH": item.Patch} {
			if op == nil {
				continue
			}
			role := "Role: operate."
			switch pattern := method + " " + path; {
			case open[pattern]:
				role, op.Security = "Open to all.", []map[string][]string{{}}
			case method == "GET" || questions[pattern] || pattern == leaving:
				role = "Role: view."
			}
			op.Description = strings.TrimSpace(op.Description + " " + role)
		}
	}
}

func typeOf[T any]() reflect.Type { return reflect.TypeFor[T]() }
