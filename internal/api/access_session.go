package api

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"html/template"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

const (
	sessionIdle = 12 * time.Hour     // without a request, then it is over
	sessionLife = 7 * 24 * time.Hour // then it is over in any case
	sessionMost = 1000               // the one idle for longest makes room
	formMost    = 1 << 20            // octets of a form, what is pasted aside
	loginMost   = 16 << 10           // octets of the form that anybody may send
)

// sessions are those who logged in with a token in a browser. They are kept in
// memory: a restart ends them. The zero value is ready to use.
type sessions struct {
	mu  sync.Mutex
	all map[[sha256.Size]byte]*session // by the sum of what the cookie bears
}

type session struct {
	token  token
	csrf   string
	opened time.Time
	used   time.Time
}

func (s *session) over(now time.Time) bool {
	return now.Sub(s.used) > sessionIdle || now.Sub(s.opened) > sessionLife
}

// open begins a session and returns what its cookie bears.
func (s *sessions) open(t token, now time.Time) string {
	secret := secretWord()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == nil {
		s.all = map[[sha256.Size]byte]*session{}
	}
	var oldest [sha256.Size]byte
	for k, one := range s.all {
		if one.over(now) {
			delete(s.all, k)
		} else if o := s.all[oldest]; o == nil || one.used.Before(o.used) {
			oldest = k
		}
	}
	if len(s.all) >= sessionMost {
		delete(s.all, oldest)
	}
	s.all[sha256.Sum256([]byte(secret))] = &session{token: t, csrf: secretWord(), opened: now, used: now}
	return secret
}

// find returns the session of a cookie; false if there is none, or it is over.
func (s *sessions) find(secret string, now time.Time) (session, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.all[sha256.Sum256([]byte(secret))]
	if one == nil || one.over(now) {
		return session{}, false
	}
	one.used = now
	return *one, true
}

func (s *sessions) end(secret string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.all, sha256.Sum256([]byte(secret)))
}

// secretWord is a word of 256 random bits.
func secretWord() string {
	var b [32]byte
	rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// cookieName is the name of the session's cookie. Browsers take the prefix __Host-
// only by TLS (RFC 6265bis 4.1.3.2); without it only loopback is served.
func cookieName(r *http.Request) string {
	if r.TLS != nil {
		return "__Host-postrider"
	}
	return "postrider"
}

func setCookie(w http.ResponseWriter, r *http.Request, value string, life time.Duration) {
	http.SetCookie(w, &http.Cookie{
		Name: cookieName(r), Value: value, Path: "/", MaxAge: int(life / time.Second),
		Secure: r.TLS != nil, HttpOnly: true, SameSite: http.SameSiteStrictMode,
	})
}

// fromCookie returns who sends a request with a session's cookie.
func (a *Access) fromCookie(r *http.Request) (Caller, bool) {
	k, err := r.Cookie(cookieName(r))
	if err != nil {
		return Caller{}, false
	}
	s, ok := a.sessions.find(k.Value, time.Now())
	if !ok || !a.holds(s.token) {
		return Caller{}, false
	}
	still := func() bool {
		s, ok := a.sessions.find(k.Value, time.Now())
		return ok && a.holds(s.token)
	}
	return Caller{Role: s.token.role, Name: s.token.name, CSRF: s.csrf, still: still}, true
}

// bears reports whether a request bears what its caller's orders must. A form is
// read for it.
func (c Caller) bears(r *http.Request) bool {
	got := r.Header.Get("X-CSRF-Token")
	if kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); got == "" && kind == "application/x-www-form-urlencoded" {
		got = r.PostFormValue("csrf")
	}
	return subtle.ConstantTimeCompare([]byte(got), []byte(c.CSRF)) == 1
}

// login serves the form where a token is exchanged for a session, and what it sends.
func (a *Access) login(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, loginMost)
	v := loginView{Next: localPath(r.FormValue("next"))}
	switch {
	case len(*a.tokens.Load()) == 0:
		http.Redirect(w, r, v.Next, http.StatusSeeOther)
		return
	case r.Method == http.MethodGet || r.Method == http.MethodHead:
		v.write(w, http.StatusOK)
		return
	}
	t, wait := a.present(r, strings.TrimSpace(r.PostFormValue("token")))
	switch {
	case wait > 0:
		retryAfter(w, wait)
		v.Problem = "Too many wrong tokens came from there. Wait a minute."
		v.write(w, http.StatusTooManyRequests)
	case t.role == Nobody:
		v.Problem = "That is no token of this server."
		v.write(w, http.StatusUnauthorized)
	default:
		setCookie(w, r, a.sessions.open(t, time.Now()), sessionLife)
		http.Redirect(w, r, v.Next, http.StatusSeeOther)
	}
}

// logout ends a session.
func (a *Access) logout(w http.ResponseWriter, r *http.Request) {
	if k, err := r.Cookie(cookieName(r)); err == nil {
		a.sessions.end(k.Value)
	}
	setCookie(w, r, "", -time.Second)
	http.Redirect(w, r, "/login", http.StatusSeeOther)
}

// localPath is a place of ours to go to; what would lead elsewhere is the beginning.
func localPath(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || !strings.HasPrefix(u.Path, "/") || strings.HasPrefix(u.Path, "//") || strings.ContainsAny(s, "\\\r\n\t") {
		return "/"
	}
	return u.RequestURI()
}

type loginView struct{ Next, Problem string }

func (v loginView) write(w http.ResponseWriter, status int) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", strict+"; style-src 'sha256-"+loginStyleSum+"'")
	w.WriteHeader(status)
	_ = loginPage.Execute(w, v) // or the browser went away
}

const loginStyle = `:root{color-scheme:light dark;--ink:#1c2430;--soft:#5b6574;--line:#b9c1cc;--card:#fff;--back:#f4f6f9;--act:#2a65a6;--warn:#b23a0e}
@media(prefers-color-scheme:dark){:root{--ink:#e7eaf0;--soft:#a3adbc;--line:#4a5362;--card:#191d25;--back:#14171d;--act:#79b1ee;--warn:#fb8f66}}
body{font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--back);margin:0;display:grid;place-items:center;min-height:100vh}
form{background:var(--card);border:1px solid var(--line);border-radius:.6rem;padding:1.5rem;width:min(22rem,90vw);box-sizing:border-box}
h1{font-size:1.25rem;margin:0 0 1rem}label{display:block;color:var(--soft)}p{margin:.8rem 0 0;color:var(--soft);font-size:.9rem}
input{font:inherit;width:100%;box-sizing:border-box;padding:.5rem;margin:.3rem 0 1rem;color:inherit;background:var(--back);border:1px solid var(--line);border-radius:.4rem}
button{font:inherit;padding:.5rem 1.2rem;color:var(--card);background:var(--act);border:0;border-radius:.4rem;cursor:pointer}
:focus-visible{outline:3px solid var(--act);outline-offset:2px}.wrong{color:var(--warn);margin:0 0 1rem}`

var loginStyleSum = func() string {
	sum := sha256.Sum256([]byte(loginStyle))
	return base64.StdEncoding.EncodeToString(sum[:])
}()

var loginPage = template.Must(template.New("login").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Log in to postrider</title><style>` + loginStyle + `</style></head>
<body><main><form method="post" action="/login"><h1>postrider</h1>
{{with .Problem}}<p class="wrong" role="alert">{{.}}</p>{{end}}
<label for="token">Token</label>
<input id="token" name="token" type="password" autocomplete="current-password" required autofocus>
<input type="hidden" name="next" value="{{.Next}}">
<button>Log in</button>
<p>Tokens stand in the configuration, as [[token]].</p>
</form></main></body></html>
`))
