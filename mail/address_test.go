package mail

import (
	"errors"
	"strings"
	"testing"
)

// The shapes by which relays were opened and commands smuggled (SECURITY.md 2).
// A local part is kept as it was written: only its owner may read a '%' in it.
func TestAPathIsKeptAsItWasWritten(t *testing.T) {
	for _, c := range []struct {
		in   string
		want Address
		rest string
	}{
		{"<>", Address{}, ""},
		{"<> SIZE=100", Address{}, " SIZE=100"},
		{"<a@example.com>", Address{"a", "example.com"}, ""},
		{"<A.b@Example.COM> BODY=8BITMIME", Address{"A.b", "Example.COM"}, " BODY=8BITMIME"},
		{"<postmaster>", Address{"postmaster", ""}, ""},
		{"<PostMaster>", Address{"PostMaster", ""}, ""},
		{"<user%victim.example@relay.example>", Address{"user%victim.example", "relay.example"}, ""},
		{"<victim.example!user@relay.example>", Address{"victim.example!user", "relay.example"}, ""},
		{`<"user@victim.example"@relay.example>`, Address{`"user@victim.example"`, "relay.example"}, ""},
		{`<"a b"@example.com>`, Address{`"a b"`, "example.com"}, ""},
		{`<"a\"b>c"@example.com>`, Address{`"a\"b>c"`, "example.com"}, ""},
		{`<"\\"@example.com>`, Address{`"\\"`, "example.com"}, ""},
		{`<""@example.com>`, Address{`""`, "example.com"}, ""},
		{"<;cmd;@example.com>", Address{}, "syntax"}, // OpenSMTPD CVE-2020-7247
		{"<${run{x}}@example.com>", Address{"${run{x}}", "example.com"}, ""},
		{"<@a.example,@b.example:user@c.example>", Address{"user", "c.example"}, ""},
		{"<@a.example:user@c.example> X=1", Address{"user", "c.example"}, " X=1"},
		{"<a@[192.0.2.1]>", Address{"a", "[192.0.2.1]"}, ""},
		{"<a@[IPv6:2001:DB8::1]>", Address{"a", "[IPv6:2001:DB8::1]"}, ""},
		{"<docomo..user.@example.ne.jp>", Address{"docomo..user.", "example.ne.jp"}, ""},
		{"<.a@example.com>", Address{".a", "example.com"}, ""},
		{"<prvs=1234=bounce+a=b.example@example.com>", Address{"prvs=1234=bounce+a=b.example", "example.com"}, ""},
		{"<用户@例子.example>", Address{"用户", "例子.example"}, ""},

		{"", Address{}, "syntax"},
		{"a@example.com", Address{}, "syntax"},
		{"<a@example.com", Address{}, "syntax"},
		{"<a@example.com>x", Address{}, "syntax"},
		{"<a@example.com>\tX=1", Address{}, "syntax"},
		{"< a@example.com>", Address{}, "syntax"},
		{"<a@example.com >", Address{}, "syntax"},
		{"<a b@example.com>", Address{}, "syntax"},
		{"<a@b@example.com>", Address{}, "syntax"},
		{"<a@example.com.>", Address{}, "syntax"},
		{"<a@.example.com>", Address{}, "syntax"},
		{"<a@example..com>", Address{}, "syntax"},
		{"<a@-example.com>", Address{}, "syntax"},
		{"<a@example.com-evil->", Address{}, "syntax"},
		{"<a@exa mple.com>", Address{}, "syntax"},
		{"<a@example.com(comment)>", Address{}, "syntax"},
		{"<a@example.com\r\nRCPT TO:<b@example.com>>", Address{}, "syntax"},
		{"<a\r\n@example.com>", Address{}, "syntax"},
		{"<\"a\r\nb\"@example.com>", Address{}, "syntax"},
		{"<\"a\\\r\"@example.com>", Address{}, "syntax"},
		{"<\"a\x00\"@example.com>", Address{}, "syntax"},
		{`<"a@example.com>`, Address{}, "syntax"},
		{`<"a"b@example.com>`, Address{}, "syntax"},
		{`<a"b"@example.com>`, Address{}, "syntax"},
		{"<a\\@example.com>", Address{}, "syntax"},
		{"<\xff@example.com>", Address{}, "syntax"},
		{"<a@\xff.example>", Address{}, "syntax"},
		{"<@a.example>", Address{}, "syntax"},
		{"<@a.example:>", Address{}, "syntax"},
		{"<@a.example,b.example:u@c.example>", Address{}, "syntax"},
		{"<@a example:u@c.example>", Address{}, "syntax"},
		{"<@:u@c.example>", Address{}, "domain"},
		{"<a@[192.0.2.256]>", Address{}, "syntax"},
		{"<a@[IPv6:192.0.2.1]>", Address{}, "syntax"},
		{"<a@[2001:db8::1]>", Address{}, "syntax"},
		{"<a@[IPv6:fe80::1%eth0]>", Address{}, "syntax"},
		{"<a@[192.0.2.1>", Address{}, "syntax"},
		{"<a@[]>", Address{}, "syntax"},
		{"<a>", Address{}, "domain"},
		{"<po\u017ftmaster>", Address{}, "domain"},
		{"<a@>", Address{}, "domain"},
		{"<" + strings.Repeat("a", 256) + "@example.com>", Address{}, "long"},
		{"<a@" + strings.Repeat("a.", 127) + "example>", Address{}, "long"},
		{"<a@" + strings.Repeat("a", 64) + ".example>", Address{}, "syntax"},
		{"<" + strings.Repeat("a", 600) + ">", Address{}, "long"},
	} {
		got, rest, err := ParsePath(c.in)
		faults := map[string]error{"syntax": ErrSyntax, "domain": ErrNoDomain, "long": ErrTooLong}
		if fault := faults[c.rest]; fault != nil {
			if !errors.Is(err, fault) {
				t.Errorf("%.80q: %v, not %v", c.in, err, fault)
			}
		} else if err != nil || got != c.want || rest != c.rest {
			t.Errorf("%q: %+v, %q, %v", c.in, got, rest, err)
		}
	}
	long := Address{strings.Repeat("a", MaxLocal), "example.com"}
	if got, _, err := ParsePath(long.Path()); err != nil || got != long {
		t.Errorf("a local part of %d octets: %v", MaxLocal, err)
	}
}

func TestADomainHasOneSpelling(t *testing.T) {
	for in, want := range map[string]string{
		"example.com": "example.com", "EXAMPLE.Com": "example.com", "_dmarc.Example.com": "_dmarc.example.com",
		"müller.example": "xn--mller-kva.example", "MÜLLER.example": "xn--mller-kva.example", "XN--MLLER-KVA.example": "xn--mller-kva.example",
		"straße.example": "xn--strae-oqa.example", "例子。example": "xn--fsqu00a.example", "I♥.ws": "xn--i-n3p.ws",
		"R3---SN-4g5e.googlevideo.com": "r3---sn-4g5e.googlevideo.com", "r3---a.xn--p1ai": "r3---a.xn--p1ai",
		"1.example": "1.example", "localhost": "localhost",
		"[192.0.2.1]": "[192.0.2.1]", "[ipv6:2001:DB8:0:0::1]": "[IPv6:2001:db8::1]", "[IPv6:::FFFF:192.0.2.1]": "[IPv6:::ffff:192.0.2.1]",
		strings.Repeat("a", 63) + ".example": strings.Repeat("a", 63) + ".example",
	} {
		got, err := CanonicalDomain(in)
		if err != nil || got != want {
			t.Errorf("%q: %q, %v", in, got, err)
		}
		if got := (Address{"U", in}).Key(); got != (Address{"U", want}) {
			t.Errorf("key %+v", got)
		}
	}
	for in, want := range map[string]error{
		"": ErrNoDomain, ".": ErrSyntax, "a.": ErrSyntax, "xn--": ErrSyntax, "xn--a": ErrSyntax, "a b": ErrSyntax, "a\u200db.example": ErrSyntax,
		"a\u2028b": ErrSyntax, "a,b": ErrSyntax, "a/b": ErrSyntax, "a\nb": ErrSyntax, "[192.0.2.01]": ErrSyntax, "[IPv6:::1%25lo]": ErrSyntax,
		strings.Repeat("é.", 80) + "example": ErrTooLong, // 247 octets, but 647 in A-labels
	} {
		if got, err := CanonicalDomain(in); !errors.Is(err, want) {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
}

func FuzzParsePath(f *testing.F) {
	for _, s := range []string{"<>", "<a@example.com> SIZE=1", `<"a\"b>c"@example.com>`, "<@a,@b:u@[IPv6:::1]>", "<é@ü.example>", "<postmaster>"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		a, rest, err := ParsePath(in)
		if err != nil {
			return
		}
		if !strings.HasSuffix(in, rest) || rest != "" && rest[0] != ' ' {
			t.Fatalf("%q leaves %q", in, rest)
		}
		if strings.ContainsAny(a.Path(), "\r\n\x00\x7f") || len(a.Path()) > MaxPath+2 {
			t.Fatalf("%q gives %q", in, a.Path())
		}
		again, rest, err := ParsePath(a.Path())
		if err != nil || again != a || rest != "" {
			t.Fatalf("%q is written %q and read %+v, %q, %v", in, a.Path(), again, rest, err)
		}
		var text Address
		if b, _ := a.MarshalText(); text.UnmarshalText(b) != nil || text != a {
			t.Fatalf("%q is marshalled %q and read %+v", in, b, text)
		}
		if key := a.Key(); key.Key() != key {
			t.Fatalf("the key of %q is not its own key: %+v", in, key)
		}
	})
}

func FuzzCanonicalDomain(f *testing.F) {
	for _, s := range []string{"Example.com", "müller.example", "xn--mller-kva.example", "[IPv6:::1]", "a。b", "r3---a.xn--p1ai", "ﬀ.ⓔxample"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		d, err := CanonicalDomain(in)
		if err != nil {
			return
		}
		if again, err := CanonicalDomain(d); err != nil || again != d {
			t.Fatalf("%q is %q is %q, %v", in, d, again, err)
		}
		if len(d) > MaxDomain || !isASCII(d) || strings.ContainsAny(d, " \r\n\t\x00<>@,\"()ABCDEFGHIJKLMNOPQRSTUVWXYZ") && d[0] != '[' {
			t.Fatalf("%q gives %q", in, d)
		}
	})
}
