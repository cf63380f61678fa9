package dns

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestZoneAnswersAsTheDNSWould(t *testing.T) {
	var z Zone
	z.Add("example.com", "MX 10 MX1.example.com.", "MX 20 mx2.example.com.", `TXT "v=spf1 " "-all"`)
	z.Add("mx1.example.com", "A 192.0.2.1", "A 192.0.2.2", "AAAA 2001:db8::1")
	z.Add("www.example.org", "CNAME example.com.")
	z.Add("192.0.2.1", "PTR mx1.example.com.")
	z.Add("2001:db8::1", "PTR mx1.example.com.")
	z.Add("ring.example.org", "CNAME ring.example.org.")
	ctx := t.Context()
	if a, err := z.MX(ctx, "WWW.example.org"); err != nil || a.Name != "example.com" || !cmp.Equal(a.Records, []MX{{10, "mx1.example.com"}, {20, "mx2.example.com"}}) {
		t.Errorf("%+v, %v", a, err)
	}
	if a, err := z.IPs(ctx, "mx1.example.com"); err != nil || len(a.Records) != 3 {
		t.Errorf("%+v, %v", a, err)
	}
	if a, err := z.TXT(ctx, "example.com"); err != nil || !cmp.Equal(a.Records, []string{"v=spf1 -all"}) {
		t.Errorf("%+v, %v", a, err)
	}
	for _, ip := range []string{"192.0.2.1", "2001:db8::1"} {
		if a, err := z.PTR(ctx, netip.MustParseAddr(ip)); err != nil || !cmp.Equal(a.Records, []string{"mx1.example.com"}) {
			t.Errorf("%+v, %v", a, err)
		}
	}
	kind := func(name string, want Kind) {
		t.Helper()
		if _, err := z.MX(ctx, name); KindOf(err) != want {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
	kind("mx1.example.com", NoData)
	kind("org", NoData) // an empty name with names below it
	kind("nobody.example.com", NoName)
	kind("ring.example.org", Loop)
	kind("a..b", BadName)
	z.Fail("example.com", "MX", Failed)
	kind("example.com", Failed)
	z.Fail("example.com", "MX", 0)
	z.Fail("example.com", "", Silent)
	kind("example.com", Silent)
	z.Remove("example.com")
	kind("example.com", NoData)
	if got := z.Asked("example.com", "MX"); got != 3 {
		t.Errorf("asked %d times", got)
	}
}

func TestZoneTakesItsTimeInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var z Zone
		z.Add("example.com", "A 192.0.2.1")
		z.Delay(time.Minute)
		start := time.Now()
		if _, err := z.IPs(t.Context(), "example.com"); err != nil || time.Since(start) != time.Minute {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := z.IPs(ctx, "example.com"); !errors.Is(err, context.DeadlineExceeded) || KindOf(err) != Silent {
			t.Error(err)
		}
	})
}
