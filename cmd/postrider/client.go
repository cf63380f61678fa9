package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os/user"
	"strconv"
	"strings"
	"syscall"

	"github.com/postrider/postrider/internal/api"
)

// client speaks to the running postrider by the socket in its data folder.
type client struct {
	socket string
	http   http.Client
}

// errDown says that there is nobody at the socket.
var errDown = errors.New("postrider is not running")

func connect(flag string) (*client, error) {
	conf, err := load(flag)
	if err != nil {
		return nil, err
	}
	c := &client{socket: conf.Socket()}
	c.http.Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", c.socket)
	}}
	return c, nil
}

// get asks for something and reads the answer into out.
func (c *client) get(path string, q url.Values, out any) error {
	return c.do(http.MethodGet, path, q, "", nil, out)
}

// post sends in as JSON and reads the answer into out.
func (c *client) post(path string, in, out any) error {
	b, err := json.Marshal(in)
	if err != nil {
		return err
	}
	return c.do(http.MethodPost, path, nil, "application/json", bytes.NewReader(b), out)
}

// order gives an order. Of very many deliveries done are some; all and faults say for how
// many it was, and for how many of them it was not carried out.
func (c *client) order(o api.Order) (done []api.Done, all, faults int, err error) {
	b, err := json.Marshal(o)
	if err != nil {
		return nil, 0, 0, err
	}
	res, err := c.ask(http.MethodPost, "/api/v1/orders", nil, "application/json", bytes.NewReader(b))
	if err != nil {
		return nil, 0, 0, err
	}
	defer res.Body.Close()
	all, badAll := strconv.Atoi(res.Header.Get("Postrider-Total"))
	faults, badFaults := strconv.Atoi(res.Header.Get("Postrider-Faults"))
	return done, all, faults, errors.Join(badAll, badFaults, json.NewDecoder(res.Body).Decode(&done))
}

// submit hands a message over as somebody on this machine.
func (c *client) submit(from, to, text string) error {
	q := url.Values{"from": {from}, "to": {to}, "user": {me()}}
	var done map[string]string
	return c.do(http.MethodPost, "/api/v1/messages", q, "message/rfc822", strings.NewReader(text), &done)
}

func (c *client) do(method, path string, q url.Values, kind string, body io.Reader, out any) error {
	res, err := c.ask(method, path, q, kind, body)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if out == nil {
		return nil
	}
	return json.NewDecoder(res.Body).Decode(out)
}

// ask opens the answer to what is asked.
func (c *client) ask(method, path string, q url.Values, kind string, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequest(method, "http://postrider"+path+"?"+q.Encode(), body)
	if err != nil {
		return nil, err
	}
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	res, err := c.http.Do(req)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
			return nil, fmt.Errorf("%w: nobody answers at %s", errDown, c.socket)
		}
		var op *net.OpError
		if errors.As(err, &op) {
			err = op
		}
		return nil, err
	}
	if res.StatusCode >= 300 {
		defer res.Body.Close()
		return nil, said(res)
	}
	return res, nil
}

// no is the answer of a server that does not do what it was asked.
type no struct {
	status int
	words  string
}

func (e no) Error() string { return e.words }

// said is the error that an answer carries, as a problem document or as text.
func said(res *http.Response) error {
	b, _ := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	var p struct {
		Detail string
		Errors []struct{ Message, Location string }
	}
	if json.Unmarshal(b, &p) == nil && p.Detail != "" {
		for _, e := range p.Errors {
			p.Detail += "; " + strings.TrimPrefix(e.Location, "query.") + ": " + e.Message
		}
		return no{res.StatusCode, p.Detail}
	}
	return no{res.StatusCode, strings.TrimSpace(string(b))}
}

// me is who runs this command.
func me() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return "somebody"
}
