//go:build linux

package test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"
)

// scriptListen asks for a stream and writes what comes of it to a file until the end
// of the script. It goes on when the stream has begun.
func scriptListen(ts *testscript.TestScript, neg bool, args []string) {
	file, url := args[0], args[1]
	ctx, cancel := context.WithCancel(context.Background())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	ts.Check(err)
	for _, line := range args[2:] {
		name, value, _ := strings.Cut(line, ": ")
		req.Header.Set(name, strings.TrimSpace(value))
	}
	res, err := http.DefaultClient.Do(req)
	ts.Check(err)
	if (res.StatusCode == http.StatusOK) == neg {
		ts.Fatalf("listen: %s", res.Status)
	}
	out, err := os.Create(ts.MkAbs(file))
	ts.Check(err)
	var done sync.WaitGroup
	done.Go(func() {
		io.Copy(out, res.Body)
		res.Body.Close()
		out.Close()
	})
	ts.Defer(func() {
		cancel()
		done.Wait()
	})
}

// hookReceiver is the other end of a webhook.
type hookReceiver struct {
	dir, secret string
	mu          sync.Mutex
	n           int
	answers     []int
}

// scriptHook receives webhooks at $HOOK: "hook FOLDER SECRETFILE [STATUS…]" answers
// with these, then with 200, and keeps each batch that it takes as FOLDER/1.json. One
// whose signature is wrong is kept as FOLDER/forged.
func scriptHook(ts *testscript.TestScript, neg bool, args []string) {
	h := &hookReceiver{dir: ts.MkAbs(args[0]), secret: strings.TrimSpace(ts.ReadFile(args[1]))}
	for _, a := range args[2:] {
		status, err := strconv.Atoi(a)
		ts.Check(err)
		h.answers = append(h.answers, status)
	}
	ts.Check(os.MkdirAll(h.dir, 0o755))
	l, err := net.Listen("tcp", ts.Getenv("HOOK"))
	ts.Check(err)
	s := &http.Server{Handler: h}
	go s.Serve(l)
	ts.Defer(func() { s.Close() })
}

func (h *hookReceiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	mac := hmac.New(sha256.New, []byte(h.secret))
	fmt.Fprintf(mac, "%s.%s.%s", r.Header.Get("Webhook-Id"), r.Header.Get("Webhook-Timestamp"), body)
	if r.Header.Get("Webhook-Signature") != "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)) {
		os.WriteFile(filepath.Join(h.dir, "forged"), body, 0o644)
	}
	if len(h.answers) > 0 {
		w.WriteHeader(h.answers[0])
		h.answers = h.answers[1:]
		return
	}
	h.n++
	head := fmt.Sprintf("id=%s\ntimestamp=%s\nsignature=%s\n", r.Header.Get("Webhook-Id"), r.Header.Get("Webhook-Timestamp"), r.Header.Get("Webhook-Signature"))
	os.WriteFile(filepath.Join(h.dir, strconv.Itoa(h.n)+".head"), []byte(head), 0o644)
	os.WriteFile(filepath.Join(h.dir, strconv.Itoa(h.n)+".json"), body, 0o644)
}
