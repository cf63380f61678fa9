package intake

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postrider/postrider/internal/memnet"
	"github.com/postrider/postrider/internal/smtpd"
	"github.com/postrider/postrider/internal/spool/memory"
	"github.com/postrider/postrider/mail"
	"github.com/postrider/postrider/policy"
)

// onTheWire runs an Intake behind its engine and a client that says the pieces between
// "|", each when it has its answers, an empty one after an hour. It returns what the
// client heard last, and what was recorded by whom.
func onTheWire(t *testing.T, says string) (heard string, records []string) {
	record := func(by string, stage any, rule string, r mail.Reply) {
		records = append(records, strings.TrimSpace(fmt.Sprintf("%s %v %s", by, stage, rule))+": "+r.Line())
	}
	synctest.Test(t, func(t *testing.T) {
		store := memory.New(1)
		defer store.Close()
		in := New(Options{Store: store, Log: slog.New(slog.DiscardHandler), Watch: Watch{Refused: func(r policy.Record) {
			record("intake", r.Stage, r.Rule, r.Reply)
			if !strings.Contains(r.Reply.Text, "ref "+r.Ref) || r.Ref == "" {
				t.Errorf("no reference: %+v", r)
			}
		}}}, rules())
		engine := smtpd.New(smtpd.Options{MaxSize: 1000, MaxBodyLine: 100, Refused: func(_ smtpd.Client, s mail.Stage, r mail.Reply) {
			record("engine", s, "", r)
		}}, in)
		network := memnet.New()
		l, err := network.Listen("192.0.2.1:25")
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- engine.Serve(ctx, l) }()
		c, err := network.DialContext(t.Context(), "tcp", "192.0.2.1:25")
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			for r := bufio.NewReader(c); ; {
				line, err := r.ReadString('\n')
				if err != nil {
					return
				}
				heard = strings.TrimSpace(line)
			}
		}()
		fmt.Fprint(c, "EHLO client.test\r\nMAIL FROM:<ann@author.test>\r\nRCPT TO:<bob@example.com>\r\n")
		for says := range strings.SplitSeq(says, "|") {
			synctest.Wait()
			if says == "" {
				time.Sleep(time.Hour)
			}
			fmt.Fprint(c, says)
		}
		synctest.Wait()
		c.Close()
		synctest.Wait()
		stop()
		<-done
	})
	return heard, records
}

// What is no answer is not recorded as one, and what is one is recorded once.
func TestTheRecordIsWhatTheClientHeard(t *testing.T) {
	const silent = "354"
	for _, c := range []struct{ name, says, record, heard string }{
		{"a bare LF", "DATA\r\n|a\nb\r\n.\r\n", "intake content grammar", "550 5.6.11"},
		{"a NUL", "DATA\r\n|a\x00b\r\n.\r\n", "intake content grammar", "550 5.6.0"},
		{"too long a line", "DATA\r\n|" + strings.Repeat("x", 101) + "\r\n.\r\n", "intake content grammar", "550 5.6.0"},
		{"too much", "DATA\r\n|" + strings.Repeat("x\r\n", 500) + ".\r\n", "intake content size", "552 5.3.4"},
		{"a bare LF in a chunk", "BDAT 3 LAST\r\na\nb", "intake content grammar", "550 5.6.11"},
		{"hung up in mid-message", "DATA\r\n|half a mess", "engine data", silent},
		{"silent in mid-message", "DATA\r\n|half a mess||", "engine", "421 4.4.2"},
		{"taken back between chunks", "BDAT 1\r\na|RSET\r\n", "", "250 2.0.0"},
		{"taken", "DATA\r\n|a\r\n.\r\n", "", "250 2.0.0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			heard, records := onTheWire(t, c.says)
			var want []string
			switch {
			case c.record != "" && c.heard == silent:
				want = []string{c.record + ": smtpd: message cut off: unexpected EOF"}
			case c.record != "":
				want = []string{c.record + ": " + heard}
			}
			if d := cmp.Diff(want, records); d != "" || !strings.HasPrefix(heard, c.heard) {
				t.Errorf("heard %q, want %s\n%s", heard, c.heard, d)
			}
		})
	}
}
