package auth

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-msgauth/dkim"
	"github.com/sourcegraph/conc"

	"github.com/postrider/postrider/internal/dns"
	"github.com/postrider/postrider/mail"
)

// maxSignatures is how many signatures of a message are checked, each with one
// look-up. The library would check 2,000 with 2,000 of each.
const maxSignatures = 8

// signatures checks the first maxSignatures DKIM signatures of a message, top down
// (RFC 6376 6), and counts the rest. No key that is late ends the reading of the body,
// which others are waiting for.
func (c Checker) signatures(ctx context.Context, h mail.Header, body io.Reader) (sigs []Signature, skipped int) {
	keys, cancel := context.WithTimeout(ctx, c.time()/2)
	defer cancel()
	var fields []mail.Field
	var at []int // where the signatures stand
	for f := range h.Fields() {
		if strings.EqualFold(f.Name, "DKIM-Signature") {
			if len(at) == maxSignatures {
				skipped++
			} else {
				at = append(at, len(fields))
			}
		}
		fields = append(fields, f)
	}
	sigs = make([]Signature, len(at))
	var wg conc.WaitGroup
	var copies []*io.PipeWriter
	for i, n := range at {
		t := readSignature(fields[n], time.Now())
		if t.Result != "" {
			sigs[i] = t.Signature
			continue
		}
		pr, pw := io.Pipe()
		copies = append(copies, pw)
		wg.Go(func() {
			defer pr.Close()
			t.check(keys, c.Resolver, covered(fields, n, t.signed), pr)
			sigs[i] = t.Signature
		})
	}
	if body == nil {
		body = strings.NewReader("")
	}
	fan(ctx, &octets{r: body}, copies)
	wg.Wait()
	return sigs, skipped
}

// covered returns a header of the signature and the fields it covers, as RFC 6376
// 5.4.2 picks them: of each name the last ones. The library searches the header
// once for every name in h=, so it is shown no more than that.
func covered(fields []mail.Field, sig int, signed map[string]int) []byte {
	left := make(map[string]int, len(signed))
	for name, n := range signed {
		left[name] = n
	}
	var found []mail.Field
	for i, f := range slices.Backward(fields) {
		if name := strings.ToLower(f.Name); i != sig && left[name] > 0 {
			left[name]--
			found = append(found, f)
		}
	}
	found = append(found, fields[sig])
	slices.Reverse(found)
	return write(found)
}

// check lets the library verify one signature.
func (t *taken) check(ctx context.Context, r dns.Resolver, header []byte, body io.Reader) {
	a := newAsker(r, 1)
	var k key
	found, err := dkim.VerifyWithOptions(io.MultiReader(bytes.NewReader(header), body), &dkim.VerifyOptions{
		MaxVerifications: 1,
		LookupTXT: func(string) ([]string, error) {
			texts, err := a.LookupTXT(ctx, t.Selector+"._domainkey."+t.Domain)
			if len(texts) != 1 {
				return texts, err // the library refuses several
			}
			var refused Result
			var reason string
			if k, refused, reason = readKey(texts[0]); refused == "" && k.exact && t.author != t.Domain {
				refused, reason = PermError, "i= is not of d= itself, as the key wants"
			}
			if refused != "" {
				t.refuse(refused, reason)
				return nil, errors.New(reason)
			}
			return texts, nil
		},
	})
	t.Testing = k.testing
	switch {
	case t.Result != "":
	case len(found) == 0 && errors.Is(err, errBlank):
		t.refuse(Policy, errBlank.Error())
	case len(found) == 0:
		t.refuse(TempError, errBody.Error())
	case found[0].Err == nil:
		t.Result = Pass
	case dkim.IsTempFail(found[0].Err):
		t.refuse(TempError, libraryReason(found[0].Err))
	case dkim.IsPermFail(found[0].Err):
		t.refuse(PermError, libraryReason(found[0].Err))
	default:
		t.refuse(Fail, libraryReason(found[0].Err))
	}
}

func libraryReason(err error) string {
	return mail.Clean(strings.ReplaceAll(err.Error(), "dkim: ", ""), 200)
}

// fan copies a body to those who still want it, until none does, and ends them
// all alike.
func fan(ctx context.Context, body *octets, copies []*io.PipeWriter) {
	if len(copies) == 0 {
		return
	}
	buf := make([]byte, 32<<10)
	for len(copies) > 0 {
		n, err := body.Read(buf)
		if ctx.Err() != nil || err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, errBlank) {
			err = errBody
		}
		if n > 0 {
			copies = slices.DeleteFunc(copies, func(w *io.PipeWriter) bool {
				_, closed := w.Write(buf[:n])
				return closed != nil
			})
		}
		if err == nil {
			continue
		}
		for _, w := range copies {
			w.CloseWithError(err) // io.EOF is an end like any other
		}
		return
	}
}
