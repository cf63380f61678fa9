package auth

import (
	"bytes"
	"strings"
	"testing"

	"github.com/postrider/postrider/internal/dns"
	"github.com/postrider/postrider/mail"
)

// of5K is a message of 5 KB, as most are.
func of5K() string {
	line := strings.Repeat("a line of text, ", 4) + "\r\n"
	return letter + strings.Repeat(line, (5000-len(letter))/len(line)+1)
}

func BenchmarkSign5KB(b *testing.B) {
	for _, keys := range [][]Key{exampleKeys()[:1], exampleKeys()[1:], exampleKeys()} {
		b.Run(kinds(keys), func(b *testing.B) {
			s := signer(b, keys...)
			h, body := mail.SplitMessage([]byte(of5K()))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Sign(h, bytes.NewReader(body)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkCheck5KB(b *testing.B) {
	for _, keys := range [][]Key{nil, exampleKeys()[:1], exampleKeys()[1:], exampleKeys()} {
		b.Run(kinds(keys), func(b *testing.B) {
			z := new(dns.Zone)
			publish(z, keys...)
			z.Add("_dmarc.example.com", record("v=DMARC1; p=reject"))
			h, body := mail.SplitMessage([]byte(sealed(b, of5K(), keys...)))
			want := Fail
			if len(keys) > 0 {
				want = Pass
			}
			b.ReportAllocs()
			for b.Loop() {
				if r := (Checker{Resolver: z}).Check(b.Context(), SPF{}, h, bytes.NewReader(body)); r.DMARC.Result != want {
					b.Fatalf("%+v", r)
				}
			}
		})
	}
}

func kinds(keys []Key) string {
	name := "unsigned"
	for i, k := range keys {
		if i == 0 {
			name = algorithm(k.Private)
		} else {
			name += "+" + algorithm(k.Private)
		}
	}
	return name
}
