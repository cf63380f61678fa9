package carrier

import (
	"strings"
	"testing"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/route"
	"github.com/postrider/postrider/internal/smtpd"
)

func mailbox(target string) []route.Route {
	t, err := route.ParseTarget(target)
	if err != nil {
		panic(err)
	}
	return []route.Route{{Domain: "*", To: []route.Target{t}}}
}

func TestLMTPDeliversIntoMailboxes(t *testing.T) {
	for _, tt := range []struct{ target, listen, way, host string }{
		{"lmtp:unix:/run/dovecot/lmtp", "unix:/run/dovecot/lmtp", "lmtp unix:/run/dovecot/lmtp", "/run/dovecot/lmtp[]"},
		{"lmtp:192.0.2.9:24", "192.0.2.9:24", "lmtp 192.0.2.9:24", "192.0.2.9[192.0.2.9]"},
	} {
		inWorld(t, Options{}, mailbox(tt.target), func(w *world) {
			h := w.serve(&host{}, tt.listen, smtpd.Options{LMTP: true})
			m, ds := letter("a@a.example", "b@a.example")
			as := w.carrier.Carry(w.Context(), custody.Way{}, m, ds, strings.NewReader(text))
			w.want(w.tell(as), tt.host+" dot: 250 2.0.0 Kept +taken")
			if o := as[0].Outcomes[0]; o.Taken != custody.Mailbox || as[0].Way != tt.way {
				t.Errorf("%+v", as)
			}
			w.carry("c@a.example")
			if h.visits.Load() != 1 {
				t.Errorf("%d visits", h.visits.Load())
			}
		})
	}
}

func TestEachLMTPRecipientHasItsOwnAnswer(t *testing.T) {
	inWorld(t, Options{}, mailbox("lmtp:unix:/run/lmtp"), func(w *world) {
		w.script("unix:/run/lmtp", func(_ int, line string) string {
			switch {
			case strings.Contains(line, "gone@"):
				return "550 5.1.1 no such mailbox"
			case line == ".":
				return "250 2.0.0 saved\r\n452 4.2.2 over quota\r\n552 5.2.2 too large for it"
			}
			return ""
		})
		const h = "/run/lmtp[] "
		w.want(w.carry("gone@x.example", "a@x.example", "full@y.example", "b@y.example"),
			"0 [0] "+h+"rcpt: 550 5.1.1 no such mailbox +refused",
			"0 [1] "+h+"dot: 250 2.0.0 saved +taken",
			"1 [0] "+h+"dot: 452 4.2.2 over quota +deferred",
			"1 [1] "+h+"dot: 552 5.2.2 too large for it +refused")
	})
}

func TestASocketOfThisMachineNeedsNoTLS(t *testing.T) {
	inWorld(t, Options{}, mailbox("lmtp:unix:/run/lmtp"), func(w *world) {
		config, _ := certificate(t, "localhost", time.Hour)
		h := w.serve(&host{}, "unix:/run/lmtp", smtpd.Options{LMTP: true, TLSConfig: config})
		w.want(w.carry("u@a.example"), "/run/lmtp[] dot: 250 2.0.0 Kept +taken")
		if h.secure {
			t.Error("encrypted")
		}
	})
}

func TestAMissingSocketIsUnreachable(t *testing.T) {
	inWorld(t, Options{}, mailbox("lmtp:unix:/run/none"), func(w *world) {
		w.want(w.carry("u@a.example"), "/run/none[] connect: 4.4.1 cannot connect to /run/none: connection refused +ours +unreachable")
	})
}
