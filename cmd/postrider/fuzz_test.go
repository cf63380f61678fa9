package main

import (
	"bufio"
	"net/url"
	"strings"
	"testing"

	"github.com/postrider/postrider/internal/api"
	"github.com/postrider/postrider/mail"
)

// FuzzSendmail reads anything at all as words of sendmail, and as a message of -t:
// nobody of Bcc is shown.
func FuzzSendmail(f *testing.F) {
	f.Add("-t\x00-fann@a.test\x00--\x00-bob", "To: bob@b.test\nBcc: carl@c.test\n folded@d.test\n\ntext\n")
	f.Add("-bs", "From x\n\n")
	f.Add("-N", "to:a,b\r\nbcc : c\r\n\r\n.\r\n")
	f.Fuzz(func(t *testing.T, words, text string) {
		if _, err := parseSendmail(strings.Split(words, "\x00")); err != nil && err.Error() == "" {
			t.Errorf("%q: an error without words", words)
		}
		in := bufio.NewReader(strings.NewReader(text))
		head, err := readHeader(in)
		if err != nil {
			return
		}
		if left := withoutBcc(head); mail.Header(left).Has("Bcc") || len(left) > len(head) {
			t.Errorf("%q: left %q", text, left)
		}
		if _, err := recipients(head, nil); err != nil && err.Error() == "" {
			t.Errorf("%q: an error without words", text)
		}
	})
}

// FuzzEnvelope reads anything at all as what stands in front of a message in the drop
// folder, where everybody may leave one.
func FuzzEnvelope(f *testing.F) {
	f.Add("from=ann@a.test&to=bob@b.test&to=carl@c.test&notify=failure,delay&ret=hdrs&envid=x")
	f.Add("from=%0d%0a&to=a@b.test%0d%0aRCPT+TO:%3Cx@y.z%3E")
	f.Fuzz(func(t *testing.T, query string) {
		q, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		env, err := api.Envelope(q)
		if err != nil {
			return
		}
		for _, to := range env.To {
			if s := to.Address.String(); to.Address.IsNull() || strings.ContainsAny(s, "\r\n\x00") {
				t.Errorf("%q: %q", query, s)
			}
		}
		if strings.ContainsAny(env.From.String(), "\r\n\x00") {
			t.Errorf("%q: %q", query, env.From)
		}
	})
}
