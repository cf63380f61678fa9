package watch

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/mail"
)

const (
	hookTimeout  = 20 * time.Second // for one request
	hookFirst    = time.Second      // before the second request; then twice as long each time
	hookLongest  = 5 * time.Minute
	hookAsked    = time.Hour      // a receiver may ask for so long a pause at most (Retry-After)
	hookPatience = 24 * time.Hour // then a batch is lost
	secretLeast  = 16             // octets
)

// ParseSecret reads the secret of a webhook: "whsec_" and base64, as the
// specification Standard Webhooks writes it, or any text of at least 16 octets. No
// error shows it.
func ParseSecret(s string) (key []byte, err error) {
	s = strings.TrimSpace(s)
	key = []byte(s)
	if coded, ok := strings.CutPrefix(s, "whsec_"); ok {
		if key, err = base64.StdEncoding.DecodeString(coded); err != nil {
			return nil, errors.New("watch: no base64 follows whsec_")
		}
	}
	if len(key) < secretLeast {
		return nil, fmt.Errorf("watch: the secret is shorter than %d octets", secretLeast)
	}
	return key, nil
}

// Signature signs a batch as Standard Webhooks does: HMAC-SHA256 over the id, the
// seconds since 1970 and the body, with dots between them.
func Signature(key []byte, id string, at time.Time, body []byte) string {
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%d.", id, at.Unix())
	mac.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// Batch is the body of a webhook's request.
type Batch struct {
	ID     string            `json:"id" doc:"the same each time that it is sent"`
	Lost   uint64            `json:"lost" doc:"events that were lost since the last batch that was taken"`
	Events []json.RawMessage `json:"events"`
}

// tell sends events until they are taken or lost. If the hook ends before, they are
// put back.
func (k *hook) tell(events [][]byte) {
	began := time.Now()
	b := Batch{ID: custody.NewID(began, 0, rand.Uint64()).String()}
	for _, e := range events {
		b.Events = append(b.Events, e)
	}
	k.mu.Lock()
	b.Lost = k.lost - k.said
	k.mu.Unlock()
	body, err := json.Marshal(b)
	if err != nil {
		k.gone(events, err)
		return
	}
	for wait := hookFirst; ; wait = min(2*wait, hookLongest) {
		pause, err := k.post(b.ID, body)
		var no refused
		switch {
		case err == nil:
			k.took(b)
			return
		case k.ctx.Err() != nil:
			k.putBack(events)
			return
		case errors.As(err, &no), time.Since(began) > hookPatience:
			k.gone(events, err)
			return
		}
		k.fails(err)
		select {
		case <-time.After(max(pause, wait-time.Duration(rand.Int64N(int64(wait/4))))):
		case <-k.again:
			wait = hookFirst / 2
		case <-k.ctx.Done():
		}
	}
}

// took notes that a batch was taken.
func (k *hook) took(b Batch) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.since.IsZero() {
		k.log.Info("a webhook works again", "webhook", k.o.Load().Rule, "after", custody.FormatAge(time.Since(k.since)))
	}
	if b.Lost > 0 {
		k.log.Warn("a webhook is told how many events were lost", "webhook", k.o.Load().Rule, "events", b.Lost)
	}
	k.flying = 0
	k.told += uint64(len(b.Events))
	k.said += b.Lost
	k.since, k.fault = time.Time{}, ""
}

// gone notes that a batch is lost.
func (k *hook) gone(events [][]byte, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.flying = 0
	k.fault = mail.Clean(err.Error(), 300)
	k.lose(len(events), k.fault)
}

func (k *hook) putBack(events [][]byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.flying = 0
	k.queue = append(events, k.queue...)
}

// fails notes why nothing is taken, and logs the first time.
func (k *hook) fails(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.fault = mail.Clean(err.Error(), 300); k.since.IsZero() {
		k.since = time.Now()
		k.log.Warn("a webhook takes nothing; it is tried again", "webhook", k.o.Load().Rule, "err", k.fault)
	}
}

// refused is the answer of a receiver that will not take this batch at all.
type refused struct{ status int }

func (e refused) Error() string {
	return fmt.Sprintf("the receiver answers %d %s: it will not take this batch", e.status, http.StatusText(e.status))
}

// post sends a batch once. The pause is what the receiver asks for. No error shows
// the URL.
func (k *hook) post(id string, body []byte) (pause time.Duration, err error) {
	o, now := k.o.Load(), time.Now()
	req, err := http.NewRequestWithContext(k.ctx, http.MethodPost, o.URL, bytes.NewReader(body))
	if err != nil {
		return 0, errors.New("the URL is none")
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "postrider")
	req.Header.Set("Webhook-Id", id)
	req.Header.Set("Webhook-Timestamp", strconv.FormatInt(now.Unix(), 10))
	req.Header.Set("Webhook-Signature", Signature(o.Key, id, now, body))
	res, err := k.client.Do(req)
	if err != nil {
		if u := new(url.Error); errors.As(err, &u) {
			err = u.Err
		}
		return 0, err
	}
	defer res.Body.Close()
	io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10)) // so that the connection serves again
	switch {
	case res.StatusCode/100 == 2:
		return 0, nil
	case res.StatusCode == http.StatusBadRequest, res.StatusCode == http.StatusRequestEntityTooLarge, res.StatusCode == http.StatusUnprocessableEntity:
		return 0, refused{res.StatusCode}
	}
	if s, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil && s > 0 {
		pause = min(time.Duration(min(s, 1<<20))*time.Second, hookAsked)
	}
	return pause, fmt.Errorf("the receiver answers %d %s", res.StatusCode, http.StatusText(res.StatusCode))
}

// hostOf is what of a URL may be shown: its path may hold a secret.
func hostOf(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		return ""
	}
	return u.Host
}
