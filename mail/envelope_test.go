package mail

import (
	"encoding/json"
	"testing"
	"time"
)

func TestNotifyReadsBack(t *testing.T) {
	for in, want := range map[string]Notify{
		"NEVER": NotifyNever, "never": NotifyNever, "SUCCESS": NotifySuccess, "Failure,Delay": NotifyFailure | NotifyDelay,
		"DELAY,SUCCESS,FAILURE": NotifySuccess | NotifyFailure | NotifyDelay, "DELAY,DELAY": NotifyDelay,
	} {
		n, err := ParseNotify(in)
		if err != nil || n != want {
			t.Errorf("%q: %v, %v", in, n, err)
		}
		if again, err := ParseNotify(n.String()); err != nil || again != n {
			t.Errorf("%q is written %q: %v, %v", in, n, again, err)
		}
	}
	for _, in := range []string{"", ",", "SUCCESS,", "NEVER,DELAY", "NEVER,NEVER,SUCCESS", "ALWAYS", " DELAY", "DELAY FAILURE", "DELAY\r\n"} {
		if n, err := ParseNotify(in); err == nil {
			t.Errorf("%q: %v", in, n)
		}
	}
}

// RFC 3461 4.1: N-16 and N-17.
func TestNotifySaysWhatMayBeTold(t *testing.T) {
	for n, want := range map[Notify][3]bool{ // failure, delay, success
		0: {true, true, false}, NotifyNever: {}, NotifyFailure: {true, false, false}, NotifyDelay: {false, true, false},
		NotifySuccess: {false, false, true}, NotifySuccess | NotifyFailure: {true, false, true},
	} {
		if got := [3]bool{n.Failure(), n.Delay(), n.Success()}; got != want {
			t.Errorf("%v: %v", n, got)
		}
	}
}

func TestAnEnvelopeReadsBackFromJSON(t *testing.T) {
	in := Envelope{
		From: Address{`"a b"`, "example.org"}, Body: EightBit, UTF8: true, Return: ReturnHeaders, ID: "QQ+2B1",
		By: DeliverBy{Within: -time.Hour, Notify: true, Trace: true},
		To: []Recipient{{Address: Address{"postmaster", ""}, Notify: NotifyNever, Original: "rfc822;a+40b"}, {Address: Address{"ü", "[IPv6:::1]"}}},
	}
	b, err := json.Marshal(in)
	var out Envelope
	if err == nil {
		err = json.Unmarshal(b, &out)
	}
	again, _ := json.Marshal(out)
	if err != nil || string(again) != string(b) || out.To[1] != in.To[1] || out.From != in.From || out.By != in.By {
		t.Errorf("%s\n%s\n%v", b, again, err)
	}
	if b, err := json.Marshal(Envelope{}); err != nil || json.Unmarshal(b, &out) != nil || !out.From.IsNull() {
		t.Errorf("the null path: %s, %v", b, err)
	}
}

// CVE-2020-28026: a line end in ORCPT wrote into Exim's queue. It is kept in
// xtext; whoever decodes it must clean it.
func TestXTextHidesALineEnd(t *testing.T) {
	const evil = "a@b\r\nX-Evil: yes\x00"
	x := EncodeXText(evil)
	if x != "a@b+0D+0AX-Evil:+20yes+00" {
		t.Error(x)
	}
	got, err := DecodeXText(x)
	if err != nil || got != evil || Clean(got, 100) != "a@b??X-Evil: yes?" {
		t.Errorf("%q, %v", got, err)
	}
	for _, in := range []string{"a\r\nb", "a b", "a=b", "+", "+4", "a+4", "+4G", "+G4", "\x7f", "\x00"} {
		if got, err := DecodeXText(in); err == nil {
			t.Errorf("%q: %q", in, got)
		}
	}
	if got, err := DecodeXText("+2b+2B+40"); err != nil || got != "++@" {
		t.Errorf("%q, %v", got, err)
	}
}

func FuzzXText(f *testing.F) {
	f.Add("a@b+2B=\r\n\xff")
	f.Fuzz(func(t *testing.T, in string) {
		x := EncodeXText(in)
		for i := range len(x) {
			if x[i] < '!' || x[i] > '~' || x[i] == '=' {
				t.Fatalf("%q is written %q", in, x)
			}
		}
		if got, err := DecodeXText(x); err != nil || got != in {
			t.Fatalf("%q is written %q and read %q, %v", in, x, got, err)
		}
		if plain, err := DecodeXText(in); err == nil {
			if got, err := DecodeXText(EncodeXText(plain)); err != nil || got != plain {
				t.Fatalf("%q: %q, %v", plain, got, err)
			}
		}
	})
}

func FuzzParseNotify(f *testing.F) {
	f.Add("SUCCESS,DELAY")
	f.Fuzz(func(t *testing.T, in string) {
		n, err := ParseNotify(in)
		if err != nil {
			return
		}
		if n == 0 || n&NotifyNever != 0 && n != NotifyNever {
			t.Fatalf("%q: %d", in, n)
		}
		if again, err := ParseNotify(n.String()); err != nil || again != n {
			t.Fatalf("%q: %v, %v", in, again, err)
		}
	})
}
