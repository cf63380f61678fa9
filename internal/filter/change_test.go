package filter

import (
	"bytes"
	"strings"
	"testing"

	"github.com/postrider/postrider/mail"
)

func TestApplyCountsAsPostfixDoes(t *testing.T) {
	const own = "Received: by us\r\n"
	const header = "Received: before\r\nSubject: s\r\nTo: a,\r\n b\r\nsubject: t\r\n"
	add := Change{Kind: AddHeader, Name: "X-A", Value: " a"}
	for _, c := range []struct {
		name    string
		changes []Change
		want    string // 0 stands for our own field, 1 to 4 for those of header
	}{
		{"nothing", nil, "01234"},
		{"add", []Change{add}, "01234X-A: a\r\n"},
		{"the envelope is passed over", []Change{{Kind: ChangeFrom}, {Kind: AddRecipient}, {Kind: DeleteRecipient}}, "01234"},
		{"insert above our own", []Change{{Kind: InsertHeader, Index: 0, Name: "X-A", Value: " a"}}, "X-A: a\r\n01234"},
		{"insert below our own", []Change{{Kind: InsertHeader, Index: 1, Name: "X-A", Value: " a"}}, "0X-A: a\r\n1234"},
		{"insert before the second", []Change{{Kind: InsertHeader, Index: 2, Name: "X-A", Value: " a"}}, "01X-A: a\r\n234"},
		{"insert far away", []Change{{Kind: InsertHeader, Index: 99, Name: "X-A", Value: " a"}}, "01234X-A: a\r\n"},
		{"insert twice at the top", []Change{{Kind: InsertHeader, Name: "X-A", Value: " a"}, {Kind: InsertHeader, Name: "X-B", Value: " b"}}, "X-B: b\r\nX-A: a\r\n01234"},
		{"insert twice below", []Change{{Kind: InsertHeader, Index: 1, Name: "X-A", Value: " a"}, {Kind: InsertHeader, Index: 1, Name: "X-B", Value: " b"}}, "0X-B: b\r\nX-A: a\r\n1234"},
		{"change the first", []Change{{Kind: ChangeHeader, Index: 1, Name: "SUBJECT", Value: "x\n\ty"}}, "01SUBJECT:x\r\n\ty\r\n34"},
		{"change the second", []Change{{Kind: ChangeHeader, Index: 2, Name: "Subject", Value: " x\r\n y"}}, "0123Subject: x\r\n y\r\n"},
		{"our own is not theirs", []Change{{Kind: ChangeHeader, Index: 1, Name: "Received", Value: " x"}}, "0Received: x\r\n234"},
		{"change what is not there", []Change{{Kind: ChangeHeader, Index: 3, Name: "Subject", Value: " x"}}, "01234Subject: x\r\n"},
		{"delete a folded one", []Change{{Kind: DeleteHeader, Index: 1, Name: "to"}}, "0124"},
		{"delete all, the last first", []Change{{Kind: DeleteHeader, Index: 2, Name: "Subject"}, {Kind: DeleteHeader, Index: 1, Name: "Subject"}}, "013"},
		{"a deleted one counts no more", []Change{{Kind: DeleteHeader, Index: 1, Name: "Subject"}, {Kind: DeleteHeader, Index: 1, Name: "Subject"}}, "013"},
		{"delete what is not there", []Change{{Kind: DeleteHeader, Index: 2, Name: "To"}, {Kind: DeleteHeader, Index: 2, Name: "Received"}}, "01234"},
		{"change what was added", []Change{add, {Kind: ChangeHeader, Index: 1, Name: "X-A", Value: " b"}}, "01234X-A: b\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			want := strings.NewReplacer("0", own, "1", "Received: before\r\n", "2", "Subject: s\r\n", "3", "To: a,\r\n b\r\n", "4", "subject: t\r\n").Replace(c.want)
			got, err := Apply([]byte(own), []byte(header), c.changes)
			if err != nil || string(got) != want {
				t.Errorf("%v:\n%s\nwant\n%s", err, got, want)
			}
			// A second filter is shown what the first one made, and its positions hold for the whole.
			shown, err := Apply(nil, []byte(header), c.changes)
			if err != nil || string(shown) != strings.Replace(want, own, "", 1) {
				t.Errorf("%v: without our own:\n%s", err, shown)
			}
		})
	}
}

func TestApplyLeavesTheRest(t *testing.T) {
	add := []Change{{Kind: AddHeader, Name: "X-A", Value: " a"}}
	for header, want := range map[string]string{
		"":                             "X-A: a\r\n",
		"Subject: s":                   "Subject: s\r\nX-A: a\r\n",
		"Subject: s\nTo: b\n":          "Subject: s\nTo: b\nX-A: a\r\n",
		"Subject: s\r\nno field\r\nx:": "Subject: s\r\nX-A: a\r\nno field\r\nx:",
		"Subject : odd \t\r\n":         "Subject : odd \t\r\nX-A: a\r\n",
	} {
		if got, err := Apply(nil, []byte(header), add); err != nil || string(got) != want {
			t.Errorf("%q: %q, %v, want %q", header, got, err, want)
		}
	}
}

func TestNoChangeInjectsALine(t *testing.T) {
	for _, c := range []Change{
		{Name: "X-A", Value: "a\r\nBcc: b"}, {Name: "X-A", Value: "a\nBcc: b"}, {Name: "X-A", Value: "a\rBcc: b"},
		{Name: "X-A", Value: "a\r\n"}, {Name: "X-A", Value: "a\n"}, {Name: "X-A", Value: "\r\n\r\nbody"}, {Name: "X-A", Value: "a\n \n b"},
		{Name: "X-A", Value: "a\r\r\n b"}, {Name: "X-A", Value: "a\x00b"},
		{Name: "X-A: b\r\nBcc", Value: "a"}, {Name: "X-A:", Value: "a"}, {Name: "X A", Value: "a"}, {Name: "", Value: "a"}, {Name: "Ä", Value: "a"}, {Name: "X\t", Value: "a"},
		{Kind: InsertHeader, Index: -1, Name: "X-A", Value: "a"}, {Kind: ChangeHeader, Name: "X-A", Value: "a"}, {Kind: DeleteHeader, Index: 1, Name: "X\n"},
	} {
		if got, err := Apply(nil, []byte("To: b\r\n"), []Change{c}); err == nil {
			t.Errorf("%+v gave %q", c, got)
		} else if s := err.Error(); strings.ContainsAny(s, "\r\n\x00") {
			t.Errorf("%+v: error %q", c, s)
		}
	}
}

func FuzzApply(f *testing.F) {
	f.Add([]byte("To: b\r\nSubject: s\r\n t\r\n"), uint8(1), 1, "X-A", " a\r\n b")
	f.Add([]byte("To: b\r\nno field\r\n"), uint8(2), 1, "to", "a\nb")
	f.Fuzz(func(t *testing.T, header []byte, kind uint8, index int, name, value string) {
		c := Change{Kind: Kind(kind % 4), Index: index, Name: name, Value: value}
		before := bytes.Clone(header)
		got, err := Apply(nil, header, []Change{c})
		if !bytes.Equal(before, header) {
			t.Fatal("the header given was written to")
		}
		if err != nil {
			return
		}
		count := func(h []byte) (n int) {
			for range mail.Header(h).Fields() {
				n++
			}
			return n
		}
		if was, is := count(header), count(got); is > was+1 || is < was-1 {
			t.Fatalf("%+v: %d fields of %q became %d: %q", c, was, header, is, got)
		}
	})
}
