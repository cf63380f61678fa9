package filter

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/postrider/postrider/mail"
)

// Kind is what a Change does.
type Kind uint8

const (
	// AddHeader puts the field Name: Value at the end of the header.
	AddHeader Kind = iota
	// InsertHeader puts it before the field that has the position Index among all
	// of the header, counted from 0; at the end, if there are fewer. Our own trace
	// counts as one field: 0 is above it, 1 right below.
	InsertHeader
	// ChangeHeader gives the Index'th field of that name, counted from 1 in what
	// the filter was shown, another value; without such a field it is AddHeader.
	ChangeHeader
	// DeleteHeader removes the Index'th field of that name, if there is one.
	DeleteHeader
	// ChangeFrom makes Address the return path, which may be null.
	ChangeFrom
	// AddRecipient adds Address to the recipients.
	AddRecipient
	// DeleteRecipient removes Address from them.
	DeleteRecipient
)

// Change is one thing that a filter wants changed. Later changes count what
// earlier ones made of the header, as Postfix has it: to delete all fields of a
// name, a filter begins with the last.
type Change struct {
	Kind  Kind
	Index int
	Name  string // of the field
	// Value is what stands behind the colon, its first blank included and the end
	// of its last line not; lines end in CRLF or LF.
	Value   string
	Address mail.Address
}

// check reports what is wrong with a change of the header: above all what would
// end the field, or the header, before its time.
func (c Change) check() error {
	if c.Kind > DeleteHeader {
		return nil
	}
	if c.Name == "" || strings.ContainsFunc(c.Name, func(r rune) bool { return r <= ' ' || r > '~' || r == ':' }) {
		return fmt.Errorf("%q is no name of a header field (RFC 5322 2.2)", mail.Clean(c.Name, 100))
	}
	if c.Index < 0 || c.Index == 0 && (c.Kind == ChangeHeader || c.Kind == DeleteHeader) {
		return fmt.Errorf("header field %s: no position %d", c.Name, c.Index)
	}
	lines := strings.Split(strings.ReplaceAll(c.Value, "\r\n", "\n"), "\n")
	for i, l := range lines {
		switch {
		case strings.ContainsAny(l, "\r\x00"):
			return fmt.Errorf("header field %s: a bare CR or NUL in its value", c.Name)
		case i > 0 && (l == "" || l[0] != ' ' && l[0] != '\t'):
			return fmt.Errorf("header field %s: line %d of its value would be a line of its own", c.Name, i+1)
		case i > 0 && strings.TrimLeft(l, " \t") == "":
			return fmt.Errorf("header field %s: line %d of its value is blank", c.Name, i+1)
		}
	}
	return nil
}

// field returns the lines of the field.
func (c Change) field() []byte {
	v := strings.ReplaceAll(strings.ReplaceAll(c.Value, "\r\n", "\n"), "\n", "\r\n")
	return []byte(c.Name + ":" + v + "\r\n")
}

// Apply returns the header, trace and all, after the changes that concern it; the
// others it passes over. own are the trace fields that we put on top, which the
// filter was not shown; header is what it was shown. To let a second filter see
// what a first one made of the header, give it Apply(nil, header, first), and in
// the end Apply(own, header, both).
//
// Positions are those of Sendmail and Postfix: a change counts the fields as
// received, an insertion the fields with our own trace (cleanup_milter.c).
//
// The error is about a Change that would write a line it must not. Nothing is
// changed then.
func Apply(own, header []byte, changes []Change) ([]byte, error) {
	fields := []mail.Field{{Raw: own}} // the trace is one field, also if it is empty
	size := len(own)
	for f := range mail.Header(header).Fields() {
		fields = append(fields, f)
		size += len(f.Raw)
	}
	rest := header[size-len(own):] // no fields, whatever it is
	for _, c := range changes {
		if err := c.check(); err != nil {
			return nil, fmt.Errorf("filter: change: %w", err)
		}
		fields = c.apply(fields)
	}
	var b []byte
	for _, f := range fields {
		b = append(b, f.Raw...)
		if len(f.Raw) > 0 && !bytes.HasSuffix(f.Raw, []byte("\n")) {
			b = append(b, "\r\n"...)
		}
	}
	if len(b) > 0 && len(rest) > 0 && (rest[0] == ' ' || rest[0] == '\t') {
		b = append(b, "\r\n"...) // else it would continue the field above it
	}
	return append(b, rest...), nil
}

// apply makes one change to the fields, of which the first is our own trace.
func (c Change) apply(fields []mail.Field) []mail.Field {
	nth := func() int {
		n := 0
		return slices.IndexFunc(fields, func(f mail.Field) bool {
			if strings.EqualFold(f.Name, c.Name) {
				n++
			}
			return n == c.Index
		})
	}
	made := mail.Field{Name: c.Name, Raw: c.field()}
	switch c.Kind {
	case AddHeader:
		return append(fields, made)
	case InsertHeader:
		return slices.Insert(fields, min(c.Index, len(fields)), made)
	case ChangeHeader:
		if i := nth(); i >= 0 {
			fields[i] = made
			return fields
		}
		return append(fields, made)
	case DeleteHeader:
		if i := nth(); i >= 0 {
			return slices.Delete(fields, i, i+1)
		}
	}
	return fields
}

// address reads the address of a change of the envelope, with or without brackets.
func address(s string) (mail.Address, error) {
	if !strings.HasPrefix(s, "<") {
		s = "<" + s + ">"
	}
	a, rest, err := mail.ParsePath(s)
	if err == nil && rest != "" {
		err = errors.New("more than one address")
	}
	return a, err
}
