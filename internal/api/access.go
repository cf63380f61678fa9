package api

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/postrider/postrider/mail"
)

// Role says what somebody may do.
type Role uint8

// The roles. Each may do what those before it may.
const (
	Nobody  Role = iota
	View         // see all
	Operate      // give orders too
)

var roleNames = [...]string{"nobody", "view", "operate"}

// String returns the role as written in the configuration.
func (r Role) String() string {
	if int(r) < len(roleNames) {
		return roleNames[r]
	}
	return fmt.Sprintf("?%d", uint8(r))
}

// ParseRole reads what String wrote; "nobody" is no role to give.
func ParseRole(s string) (Role, error) {
	for i, n := range roleNames {
		if n == s && Role(i) != Nobody {
			return Role(i), nil
		}
	}
	return Nobody, fmt.Errorf("api: %q is no role: view or operate", s)
}

// Bounds of a token's secret, in octets: what is shorter can be guessed.
const (
	tokenLeast = 16
	tokenMost  = 200
)

// Token is a secret and what whoever presents it may do (RFC 6750).
type Token struct {
	Name   string // in logs and in what is ordered with it
	Role   Role
	Secret string
}

// CheckSecret says what is wrong with the secret of a token. No error shows it.
func CheckSecret(s string) error {
	switch {
	case len(s) < tokenLeast || len(s) > tokenMost:
		return fmt.Errorf("a token has %d to %d letters, this one has %d", tokenLeast, tokenMost, len(s))
	case strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }):
		return fmt.Errorf("a token is one word of ASCII, without blanks")
	}
	return nil
}

// Access says who may do what on listeners that others than the operator reach. One
// serves all of them. Until it is told of a token, a listener on loopback shows and
// takes no orders, and any other shows nothing. Make it with NewAccess.
type Access struct {
	log      *slog.Logger
	tokens   atomic.Pointer[[]token]
	sessions sessions
	wrong    limiter
}

// token is a Token as it is kept: its secret is not.
type token struct {
	name string
	role Role
	sum  [sha256.Size]byte
}

// NewAccess makes an Access without tokens. Log hears of those who try wrong ones;
// nil: slog.Default.
func NewAccess(log *slog.Logger) *Access {
	if log == nil {
		log = slog.Default()
	}
	a := &Access{log: log}
	a.tokens.Store(&[]token{})
	return a
}

// Use puts these tokens in place of those that there are. Sessions that were opened
// with one that is gone, or has another secret, are over. If there is something
// wrong with one, nothing changes.
func (a *Access) Use(all []Token) error {
	now, err := sums(all)
	if err == nil {
		a.tokens.Store(&now)
	}
	return err
}

// CheckTokens says what Use would.
func CheckTokens(all []Token) error {
	_, err := sums(all)
	return err
}

func sums(all []Token) ([]token, error) {
	var out []token
	for _, t := range all {
		if err := CheckSecret(t.Secret); err != nil {
			return nil, fmt.Errorf("token %s: %w", t.Name, err)
		}
		k := token{t.Name, t.Role, sha256.Sum256([]byte(t.Secret))}
		for _, other := range out {
			if other.sum == k.sum {
				return nil, fmt.Errorf("token %s: its secret is that of token %s", t.Name, other.name)
			}
		}
		out = append(out, k)
	}
	return out, nil
}

// accessRoutes serves the form for tokens, where tokens are of use.
func (s *server) accessRoutes(a huma.API, mux *http.ServeMux) {
	if s.o.Access == nil {
		return
	}
	form := func(schema map[string]*huma.Schema) *huma.RequestBody {
		return &huma.RequestBody{Content: map[string]*huma.MediaType{"application/x-www-form-urlencoded": {Schema: &huma.Schema{Type: huma.TypeObject, Properties: schema}}}}
	}
	field := func(doc string) *huma.Schema { return &huma.Schema{Type: huma.TypeString, Description: doc} }
	plain(a, mux, huma.Operation{OperationID: "loginForm", Method: "GET", Path: "/login", Summary: "The form where a token opens a session, for browsers", Responses: words("200", "A page", "text/html")}, s.o.Access.login)
	plain(a, mux, huma.Operation{
		OperationID: "login", Method: "POST", Path: "/login", Summary: "Open a session with a token; the answer sets its cookie",
		RequestBody: form(map[string]*huma.Schema{"token": field("the secret"), "next": field("the page to go to")}), Responses: words("303", "To that page", "text/html"),
	}, s.o.Access.login)
	plain(a, mux, huma.Operation{
		OperationID: "logout", Method: "POST", Path: "/logout", Summary: "End a session",
		RequestBody: form(map[string]*huma.Schema{"csrf": field("as the page has it")}), Responses: words("303", "To the form", "text/html"),
	}, s.o.Access.logout)
}

// find returns the token of a secret, zero if there is none. How long it takes tells
// nothing of the tokens but their number.
func (a *Access) find(secret string) (found token) {
	sum := sha256.Sum256([]byte(secret))
	for _, t := range *a.tokens.Load() {
		if subtle.ConstantTimeCompare(t.sum[:], sum[:]) == 1 {
			found = t
		}
	}
	return found
}

// holds reports whether a token is still one.
func (a *Access) holds(t token) bool {
	for _, now := range *a.tokens.Load() {
		if now == t {
			return true
		}
	}
	return false
}

// present looks at a secret that somebody presents. Whoever presented too many wrong
// ones is told how long to wait, and what they present is not looked at.
func (a *Access) present(r *http.Request, secret string) (t token, wait time.Duration) {
	now, from := time.Now(), networkOf(r.RemoteAddr)
	if wait := a.wrong.wait(from, now); wait > 0 {
		return token{}, wait
	}
	if t = a.find(secret); t.role == Nobody && a.wrong.count(from, now) {
		a.log.Warn("too many wrong tokens; none is looked at for a while", "from", from.String(), "listener", localAddr(r))
	}
	return t, 0
}

// Caller is who sends a request.
type Caller struct {
	Role Role
	Name string // of the token; "": none was wanted
	// CSRF is what an order from a page must bear, as form field "csrf" or header
	// X-CSRF-Token; "": nothing is wanted.
	CSRF string

	still func() bool // nil: for as long as the connection lasts
}

type callerKey struct{}

// CallerOf returns who sent the request of a context; Nobody if that is not known.
func CallerOf(ctx context.Context) Caller {
	c, _ := ctx.Value(callerKey{}).(Caller)
	return c
}

// stays reports whether the caller may still do what they may: their token may be
// gone, their session over.
func (c Caller) stays() bool { return c.still == nil || c.still() }

// by is who gives an order: by the socket whoever they say they are; with a token
// that one too.
func by(ctx context.Context, said string) string {
	c := CallerOf(ctx)
	switch said = mail.Clean(said, 100); {
	case c.Name == "" || said == c.Name:
		return said
	case said == "":
		return c.Name
	}
	return said + " by token " + c.Name
}

// localAddr is the address of the listener that a request came by.
func localAddr(r *http.Request) string {
	if a, ok := r.Context().Value(http.LocalAddrContextKey).(fmt.Stringer); ok {
		return a.String()
	}
	return ""
}
