package system

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// held reads a length of time of real reports.
func held(d, h, m, s time.Duration) time.Duration {
	return d*day + h*time.Hour + m*time.Minute + s*time.Second
}

// TestDefaultsAreKnownByTheTimeHeld are real reports, and the founding ones.
func TestDefaultsAreKnownByTheTimeHeld(t *testing.T) {
	for _, c := range []struct {
		name, id string
		held     time.Duration
		want     string // the first fit; "": none
		close    bool
	}{
		{"Exchange after 2 days", "exchange-2007", held(2, 0, 0, 0), "exchange-2007", true},
		{"a filter that keeps for 6 days", "ironport-asyncos", held(6, 0, 3, 0), "", false},
		{"Exchange behind a filter, 13 min late", "exchange-2013", held(2, 0, 13, 3), "exchange-2013", true},
		{"Exchange, whichever form", "exchange-2007", held(2, 0, 13, 3), "exchange-2007", true},
		{"Exchange, an hour late", "exchange-2013", held(2, 1, 0, 0), "", false},
		{"Microsoft 365 in June 2018", "exchange-online", held(2, 0, 0, 28), "exchange-online-2018", true},
		{"Microsoft 365 today", "exchange-online", held(1, 0, 2, 0), "exchange-online", true},
		{"qmail with its own setting", "qmail", 102402 * time.Second, "", false},
		{"qmail as shipped", "qmail", 608402 * time.Second, "qmail", true},
		{"Yandex, within a gap", "yandex", held(3, 0, 5, 17), "yandex", true},
		{"Amazon SES in its AsyncOS days", "amazon-ses", held(0, 12, 9, 44), "amazon-ses-2012", true},
		{"OpenSMTPD that was off", "opensmtpd", held(38, 5, 24, 24), "", false},
		{"Postfix as shipped", "postfix", 433_200 * time.Second, "postfix", true},
		{"Postfix, a gap too late", "postfix", 438_000 * time.Second, "", false},
		{"Postfix, by clocks a second apart", "postfix", 431_999 * time.Second, "postfix", true},
		{"Sendmail of a short setting", "sendmail", held(4, 8, 58, 17), "", false},
		{"KumoMTA, long before its max_age", "kumomta", held(3, 13, 0, 3), "kumomta", true},
		{"KumoMTA never at its max_age", "kumomta", held(7, 0, 0, 0), "", false},
		{"Haraka by count", "haraka", 262_090 * time.Second, "haraka", true},
		{"nobody knows Halon's clock", "halon", held(5, 0, 0, 0), "", false},
		{"no such system", "exchange-2525", held(2, 0, 0, 0), "", false},
		{"no time at all", "postfix", 0, "", false},
	} {
		fits := Fits(c.id, c.held)
		switch {
		case len(fits) == 0 && c.want != "":
			t.Errorf("%s: nothing fits", c.name)
		case len(fits) > 0 && (fits[0].System.ID != c.want || fits[0].Close != c.close):
			t.Errorf("%s: %s, close %t; want %q, %t", c.name, fits[0].System.ID, fits[0].Close, c.want, c.close)
		}
	}
}

func TestTheAttemptAndTheSettingAreReadOffACurve(t *testing.T) {
	qmail, _ := Find("qmail")
	r, ok := qmail.Policy.Infer(102402 * time.Second)
	want := Reading{Least: 90000 * time.Second, Most: 102400 * time.Second, Attempt: 17, Began: 102400 * time.Second}
	if !ok || r != want {
		t.Errorf("got %v, %+v, want %+v", ok, r, want)
	}
	if r, ok := qmail.Policy.Infer(110_000 * time.Second); ok {
		t.Errorf("two hours after attempt 17 of qmail: %+v", r)
	}

	open, _ := Find("opensmtpd")
	r, ok = open.Policy.Infer(held(4, 0, 0, 2))
	if !ok || r.Attempt != 30 || r.Began != 336_400*time.Second || r.Most < 4*day || r.Least > 4*day {
		t.Errorf("OpenSMTPD after 4 days: %v, %+v", ok, r)
	}
}

func TestNoSettingIsReadWhereTheTimeDoesNotTellIt(t *testing.T) {
	for id, why := range map[string]string{
		"exim": "the clock is the destination's", "haraka": "the end comes by count",
		"gmail": "the pace is not known", "domino": "the longest gap is not known",
	} {
		s, _ := Find(id)
		if r, ok := s.Policy.Infer(3 * day); ok {
			t.Errorf("%s: %+v, although %s", id, r, why)
		}
	}
	if r, ok := find(t, "opensmtpd").Infer(50 * 365 * day); ok {
		t.Errorf("50 years: %+v", r)
	}
	often := Policy{Expiry: ByTimer, Retry: Fixed{time.Second}}
	if r, ok := often.Infer(300 * day); ok {
		t.Errorf("a walk that does not get there: %+v", r)
	}
}

// TestTheInferredSettingHoldsTheRealOne sets any lifetime, lets the message run
// into it and reads the setting off the time it was held.
func TestTheInferredSettingHoldsTheRealOne(t *testing.T) {
	var told []string
	for _, s := range All() {
		if _, ok := s.Policy.Infer(s.Policy.Lifetime); ok {
			told = append(told, s.ID)
		}
	}
	if len(told) < 20 {
		t.Errorf("only %d systems tell their setting", len(told))
	}
	rapid.Check(t, func(t *rapid.T) {
		s, _ := Find(rapid.SampledFrom(told).Draw(t, "system"))
		p := s.Policy
		p.Lifetime = time.Duration(rapid.IntRange(1800, 30*86400).Draw(t, "lifetime")) * time.Second
		p.Limit = 0
		c := p.Run(Unreachable, Reckoned)
		late := time.Duration(rapid.IntRange(0, 60).Draw(t, "late")) * time.Second
		r, ok := p.Infer(c.End.At.Pick(Reckoned) + late)
		if !ok {
			t.Fatalf("%s: nothing inferred of %s", s.ID, age(p.Lifetime))
		}
		if p.Lifetime < r.Least || p.Lifetime > r.Most {
			t.Fatalf("%s: %s is not between %s and %s", s.ID, age(p.Lifetime), age(r.Least), age(r.Most))
		}
		if fixed := r.Attempt > 0; fixed && r.Attempt != len(c.Attempts) {
			t.Fatalf("%s: attempt %d, was %d", s.ID, r.Attempt, len(c.Attempts))
		}
	})
}
