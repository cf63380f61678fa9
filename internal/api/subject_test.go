package api

import (
	"strings"
	"testing"
)

func TestASubjectIsShownAsAPersonReadsIt(t *testing.T) {
	for raw, want := range map[string]string{
		"":                                   "",
		"plain words":                        "plain words",
		"=?utf-8?q?Gr=C3=BC=C3=9Fe?= aus":    "Grüße aus",
		"=?UTF-8?B?R3LDvMOfZQ==?=":           "Grüße",
		"=?iso-8859-2?Q?=A3=F3d=BC?=":        "Łódź",
		"=?iso-2022-jp?B?GyRCRnxLXBsoQg==?=": "日本",
		"=?utf-8?q?one?= =?utf-8?q?_two?=":   "one two",
		"=?x-unknown?q?one?=":                "=?x-unknown?q?one?=",
		"=?utf-8?q?whole?= =?utf-8?b?R3LDv":  "whole…",
		"=?utf-8?b?R3LDv":                    "…",
		"is 1 =? 2, =?":                      "is 1 =? 2, =?",
		"=?utf-8?q?=1B]0;title=07_=0A_?=":    "?]0;title? ? ",
		"=?utf-8?q?=FF=FE?=":                 "??",
		"\x1b[31mred":                        "?[31mred",
	} {
		if got := SubjectOf(raw); got != want {
			t.Errorf("%q: %q, want %q", raw, got, want)
		}
	}
	if got := SubjectOf("=?utf-8?q?" + strings.Repeat("=C3=BC", 1000) + "?="); len(got) > subjectMost {
		t.Errorf("%d octets", len(got))
	}
}

func TestListsShowTheSubjectDecoded(t *testing.T) {
	w := newWorld(t, "=?utf-8?q?Gr=C3=BC=C3=9Fe?=", "bob@there.test")
	for _, target := range []string{"/api/v1/queue", "/api/v1/trace?find=bob@there.test"} {
		if got := w.ask(false, "GET", target, "").Body.String(); !strings.Contains(got, `"subject":"Grüße"`) {
			t.Errorf("%s: %s", target, got)
		}
	}
}
