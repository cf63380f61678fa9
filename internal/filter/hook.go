package filter

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

const (
	// maxHookAnswer bounds a hook's answer, and the header that it is sent.
	maxHookAnswer = 64 << 10
	// maxToken bounds the file of a token.
	maxToken = 4 << 10
)

// HookOptions says how a policy service is asked. The zero values of the bounds
// stand for those given.
type HookOptions struct {
	Name string // in the configuration; for faults and logs
	URL  string // http or https, without a user in it
	// TokenFile holds the bearer token (RFC 6750) on one line; "" sends none. It
	// is read anew for each question, so that it can be changed.
	TokenFile   string
	Timeout     time.Duration // for the whole question, waiting for a connection included; 10 s
	Connections int           // at most so many at a time; 20
	TLS         *tls.Config   // nil: the system's authorities
	// Dial replaces net.Dialer.DialContext.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// A Hook is a policy service: it is sent the facts as JSON by POST and answers
//
//	{"action": "pass", "code": 0, "status": "", "text": "", "headers": [{"name": "X-Class", "value": "news"}]}
//
// with status 200. The action is "pass", "accept", "defer" or "refuse"; all else
// may be left out. code, status and text are for the last two: a code of the
// action's class, by default 451 and 550, with the status of the same class, by
// default 4.7.1 and 5.7.1. headers are put on top of the message's own, in this
// order. Any other answer, and any other key in it, is a Fault.
//
// It is told: stage, id, host, listener, client {address port name ptr}, helo, tls
// {version cipher subject issuer}, user, from, to, and of a whole message size,
// header [{name value}] and header_cut, true if the header was longer than 64 kB
// and is not all there; and proof, an object of words. What is not known is
// left out. The body is not sent. Use NewHook.
type Hook struct {
	o      HookOptions
	of     string // the URL as faults may show it
	client *http.Client
}

// NewHook returns a filter that asks a policy service. It asks nothing yet. The
// error is about the options.
func NewHook(o HookOptions) (*Hook, error) {
	u, err := url.Parse(o.URL)
	switch {
	case err != nil:
		return nil, fmt.Errorf("filter: %s: not a URL", o.Name) // err would show all of it
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return nil, fmt.Errorf("filter: %s: the URL begins neither with http:// nor with https://", o.Name)
	case u.User != nil:
		return nil, fmt.Errorf("filter: %s: a URL with a user in it; use a token file", o.Name)
	}
	if o.Timeout <= 0 {
		o.Timeout = 10 * time.Second
	}
	if o.Connections <= 0 {
		o.Connections = 20
	}
	if o.Dial == nil {
		o.Dial = new(net.Dialer).DialContext
	}
	shown := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}
	return &Hook{o: o, of: shown.String(), client: &http.Client{
		// No redirects: the facts and the token are for this address alone.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		// No Proxy: neither should they pass by one of the environment's.
		Transport: &http.Transport{
			DialContext: o.Dial, TLSClientConfig: o.TLS, ForceAttemptHTTP2: true, TLSHandshakeTimeout: o.Timeout,
			MaxConnsPerHost: o.Connections, MaxIdleConnsPerHost: o.Connections, IdleConnTimeout: time.Minute,
			MaxResponseHeaderBytes: maxHookAnswer, DisableCompression: true,
		},
	}}, nil
}

// Close ends the connections that wait for the next question.
func (h *Hook) Close() error {
	h.client.CloseIdleConnections()
	return nil
}

// Ask sends the facts and returns the service's opinion.
func (h *Hook) Ask(ctx context.Context, msg *Message) (Opinion, error) {
	began := time.Now()
	ctx, cancel := context.WithTimeoutCause(ctx, h.o.Timeout, fmt.Errorf("no answer within %v", h.o.Timeout))
	defer cancel()
	answer, err := h.post(ctx, msg)
	var op Opinion
	if err == nil {
		op, err = hookOpinion(answer)
	}
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) { // it would show the URL's query
			err = u.Err
		}
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return Opinion{}, &Fault{h.o.Name, h.of, "POST", time.Since(began), err}
	}
	return op, nil
}

// post sends the facts and returns the answer's octets.
func (h *Hook) post(ctx context.Context, msg *Message) ([]byte, error) {
	body, err := json.Marshal(newFacts(msg))
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.o.URL, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "postrider")
	if h.o.TokenFile != "" {
		token, err := readToken(h.o.TokenFile)
		if err != nil {
			return nil, err
		}
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := h.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("it answered %d %s", resp.StatusCode, http.StatusText(resp.StatusCode))
	}
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxHookAnswer+1))
	if err == nil && len(answer) > maxHookAnswer {
		err = fmt.Errorf("an answer of more than %d octets", maxHookAnswer)
	}
	return answer, err
}

// readToken reads a file of one line. No error shows what stands in it.
func readToken(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxToken+1))
	if err != nil {
		return "", err
	}
	token := strings.TrimSpace(string(b))
	if token == "" || len(b) > maxToken || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", fmt.Errorf("token file %s: not one word on one line", file)
	}
	return token, nil
}
