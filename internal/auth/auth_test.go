package auth

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postrider/postrider/internal/dns"
	"github.com/postrider/postrider/mail"
)

// proven publishes what a message needs that proves itself in every way, and
// returns it.
func proven(t *testing.T, z *dns.Zone) (mail.Header, []byte) {
	t.Helper()
	publish(z, exampleKeys()...)
	z.Add("example.com", record("v=spf1 ip4:192.0.2.1 -all"))
	z.Add("_dmarc.example.com", record("v=DMARC1; p=reject"))
	return mail.SplitMessage([]byte(sealed(t, letter, exampleKeys()...)))
}

// check runs every method.
func check(t *testing.T, z *dns.Zone, h mail.Header, body []byte) Results {
	c := Checker{Resolver: z}
	return c.Check(t.Context(), c.SPF(t.Context(), client, "mx.example.com", address("alice", "example.com")), h, bytes.NewReader(body))
}

func TestCheckPutsTheMethodsTogether(t *testing.T) {
	z := new(dns.Zone)
	h, body := proven(t, z)
	r := check(t, z, h, body)
	if r.SPF.Result != Pass || len(r.DKIM) != 2 || r.DKIM[0].Result != Pass || r.DKIM[1].Result != Pass || r.Skipped != 0 {
		t.Errorf("%+v", r)
	}
	want := DMARC{Result: Pass, Domain: "example.com", Record: "example.com", Asks: Reject, SPF: true, DKIM: true}
	if r.DMARC != want {
		t.Errorf("got %+v, want %+v", r.DMARC, want)
	}
	field := r.Field("mx1.example.org")
	for _, s := range []string{"spf=pass smtp.mailfrom=example.com;", "header.s=rsa", "header.s=ed", "dmarc=pass header.from=example.com"} {
		if !strings.Contains(field, s) {
			t.Errorf("%q is not in %q", s, field)
		}
	}
	r = Checker{Resolver: z}.Check(t.Context(), SPF{Result: None}, from("a@nothing.test"), nil)
	if r.SPF.Result != None || len(r.DKIM) != 0 || r.DMARC.Result != None {
		t.Errorf("a message that proves nothing: %+v", r)
	}
}

func TestLookUpsRunSideBySide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := new(dns.Zone)
		h, body := proven(t, z)
		z.Delay(3 * time.Second)
		began := time.Now()
		r := Checker{Resolver: z}.Check(t.Context(), SPF{Result: Pass, Domain: "example.com"}, h, bytes.NewReader(body))
		if took := time.Since(began); r.DMARC.Result != Pass || took != 3*time.Second {
			t.Errorf("%+v after %v", r, took)
		}
	})
}

// What has no answer in time is no refusal.
func TestChecksEndInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := new(dns.Zone)
		h, body := proven(t, z)
		z.Delay(time.Hour)
		for _, want := range []time.Duration{longest, 7 * time.Second} {
			ctx := t.Context()
			if want != longest {
				var cancel func()
				ctx, cancel = context.WithTimeout(ctx, want)
				defer cancel()
			}
			began := time.Now()
			var spf SPF
			var wg sync.WaitGroup
			wg.Go(func() { spf = Checker{Resolver: z}.SPF(ctx, client, "mx.example.com", address("alice", "example.com")) })
			r := Checker{Resolver: z}.Check(ctx, SPF{Result: TempError, Domain: "example.com"}, h, bytes.NewReader(body))
			wg.Wait()
			if took := time.Since(began); took != want {
				t.Errorf("took %v, want %v", took, want)
			}
			if spf.Result != TempError || len(r.DKIM) != 2 || r.DKIM[0].Result != TempError || r.DKIM[1].Result != TempError || r.DMARC.Result != TempError {
				t.Errorf("%+v %+v", spf, r)
			}
		}
	})
}

// silent is a resolver that has no answer about silent.test and what is below it.
type silent struct{ dns.Resolver }

func (s silent) TXT(ctx context.Context, name string) (dns.Answer[string], error) {
	if within(name, "silent.test") {
		<-ctx.Done()
	}
	if ctx.Err() != nil {
		return dns.Answer[string]{}, &dns.Error{Name: name, Type: "TXT", Kind: dns.Silent, Err: ctx.Err()}
	}
	return s.Resolver.TXT(ctx, name)
}

// TestWhoIsSlowTakesNoTimeFromTheRest: a forger's own domain, which he can make as slow
// as he likes, does not make of a failure one that may pass later.
func TestWhoIsSlowTakesNoTimeFromTheRest(t *testing.T) {
	ed := exampleKeys()[1]
	signed := func(domain string) string {
		return "DKIM-Signature: v=1; a=ed25519-sha256; d=" + domain + "; s=" + ed.Selector + "; h=from; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=AAAAAAAA\r\n"
	}
	for name, c := range map[string]struct {
		header string
		spf    SPF
	}{
		"before a false signature":       {header: signed("silent.test") + signed("example.com") + "From: ceo@example.com\r\n"},
		"while another has to be judged": {header: signed("silent.test") + "From: ceo@example.com\r\n", spf: SPF{Result: Pass, Domain: "forger.test"}},
		"before another author":          {header: "From: ceo@a.silent.test, ceo@example.com\r\n"},
		"among three authors":            {header: "From: ceo@b.example, ceo@example.com, ceo@silent.test\r\n", spf: SPF{Result: Pass, Domain: "forger.test"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				z := new(dns.Zone)
				publish(z, ed)
				z.Add("_dmarc.example.com", record("v=DMARC1; p=reject"))
				z.Add("_dmarc.b.example", record("v=DMARC1; p=none"))
				began := time.Now()
				r := Checker{Resolver: silent{z}}.Check(t.Context(), c.spf, mail.Header(c.header), strings.NewReader(strings.Repeat("text\r\n", 20000)))
				if took := time.Since(began); r.DMARC.Result != Fail || r.DMARC.Asks != Reject || took > longest {
					t.Errorf("%+v after %v", r, took)
				}
			})
		})
	}
}
