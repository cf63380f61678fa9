package main

import (
	"strings"
	"testing"

	"github.com/postrider/postrider/custody"
)

func TestATraceSaysWhetherTheSenderIsToldOfTheEnd(t *testing.T) {
	for told, want := range map[bool]string{true: "given up and the sender told\n", false: "given up; the sender is not told\n"} {
		var b strings.Builder
		writeForecast(&b, []custody.Moment{{What: custody.WillEnd}}, told)
		if !strings.HasSuffix(b.String(), want) {
			t.Errorf("told %t: %q", told, b.String())
		}
	}
}
