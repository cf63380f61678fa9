package memo

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

type letIn struct{ Rule, Client, Because string }

const day = 24 * time.Hour

func override(id string, days int) Override[letIn] {
	return Override[letIn]{ID: id, Made: noon, Until: noon.Add(time.Duration(days) * day), Value: letIn{"no-reverse-name", "192.0.2.7", "their manager is told"}}
}

func overridesOf(t *testing.T, m *Memo) *Overrides[letIn] {
	t.Helper()
	o, err := NewOverrides[letIn](m)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func ids(list []Override[letIn]) string {
	var s []string
	for _, o := range list {
		s = append(s, o.ID)
	}
	return strings.Join(s, " ")
}

// Each order is looked at in the folder that a power cut right after it would leave.
func TestAnOrderIsOnDiskWhenItsCallReturns(t *testing.T) {
	d := newDisk()
	o := overridesOf(t, open(t, d, Options{}))
	for _, s := range []struct {
		name   string
		order  func() error
		listed string // at noon of the second day
		active string
	}{
		{"add", func() error { return o.Add(override("b", 30)) }, "b", "b"},
		{"add one that ends sooner", func() error { return o.Add(override("a", 3)) }, "a b", "a b"},
		{"add one that ends later", func() error { return o.Add(override("c", 60)) }, "a b c", "a b c"},
		{"announce the end", func() error { return o.Warn("a", noon.Add(day)) }, "a b c", "a b c"},
		{"end before its time", func() error { return o.End("b", noon.Add(day)) }, "b a c", "a c"},
		{"end after its time changes nothing", func() error { return o.End("a", noon.Add(10*day)) }, "b a c", "a c"},
		{"remove", func() error { return o.Remove("c") }, "b a", "a"},
	} {
		if err := s.order(); err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
		later := noon.Add(2 * day)
		for where, o := range map[string]*Overrides[letIn]{"here": o, "after a power cut": overridesOf(t, open(t, d.powerCut(), Options{}))} {
			if got := ids(o.List(later)); got != s.listed {
				t.Errorf("%s, %s: listed %q, want %q", s.name, where, got, s.listed)
			}
			if got := ids(o.Active(later)); got != s.active {
				t.Errorf("%s, %s: active %q, want %q", s.name, where, got, s.active)
			}
		}
	}
	kept := overridesOf(t, open(t, d.powerCut(), Options{})).List(noon.Add(2 * day))[1]
	want := override("a", 3)
	want.Warned = noon.Add(day)
	if kept != want {
		t.Errorf("kept %+v, want %+v", kept, want)
	}
}

func TestAnOverrideEndsByItselfAndIsListedForAWhile(t *testing.T) {
	o := overridesOf(t, open(t, newDisk(), Options{}))
	if err := o.Add(override("a", 30)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		at             time.Duration
		active, listed int
	}{
		{30*day - time.Second, 1, 1}, {30 * day, 0, 1}, {60*day - time.Second, 0, 1}, {60 * day, 0, 0},
	} {
		now := noon.Add(c.at)
		if a, l := len(o.Active(now)), len(o.List(now)); a != c.active || l != c.listed {
			t.Errorf("after %v: %d active, %d listed", c.at, a, l)
		}
	}
	if allocs := testing.AllocsPerRun(100, func() { o.Active(noon) }); allocs != 0 {
		t.Errorf("Active allocates %v times", allocs)
	}
}

func TestOrdersThatCannotBe(t *testing.T) {
	o := overridesOf(t, open(t, newDisk(), Options{Limits: Limits{Overrides: 2}}))
	long := override("long", 30)
	long.Value.Because = strings.Repeat("x", maxValue)
	for _, c := range []struct {
		name string
		err  error
		want error
	}{
		{"no ID", o.Add(override("", 30)), nil},
		{"no end", o.Add(Override[letIn]{ID: "x", Made: noon}), nil},
		{"ends before it begins", o.Add(override("x", -1)), nil},
		{"too long", o.Add(long), ErrTooLong},
		{"unknown", o.End("x", noon), ErrUnknown},
		{"unknown", o.Warn("x", noon), ErrUnknown},
		{"unknown", o.Remove("x"), ErrUnknown},
	} {
		if c.err == nil || c.want != nil && !errors.Is(c.err, c.want) {
			t.Errorf("%s: %v", c.name, c.err)
		}
	}
	for i := range 2 {
		if err := o.Add(override(fmt.Sprint(i), 1)); err != nil {
			t.Fatal(err)
		}
	}
	if err := o.Add(override("0", 1)); !errors.Is(err, ErrExists) {
		t.Errorf("the same again: %v", err)
	}
	if err := o.Add(override("2", 1)); !errors.Is(err, ErrFull) {
		t.Errorf("one too many: %v", err)
	}
	late := override("3", 33)
	late.Made = noon.Add(32 * day) // the others are forgotten by then
	if err := o.Add(late); err != nil {
		t.Errorf("when there is room again: %v", err)
	}
	if got := ids(o.List(late.Made)); got != "3" {
		t.Errorf("listed %q", got)
	}
}

func TestAnOverrideThatCannotBeReadIsToldAndKept(t *testing.T) {
	d := newDisk()
	m := open(t, d, Options{})
	strange, err := NewOverrides[string](m)
	if err != nil {
		t.Fatal(err)
	}
	if err := strange.Add(Override[string]{ID: "strange", Made: noon, Until: noon.Add(day), Value: "of another form"}); err != nil {
		t.Fatal(err)
	}
	o, err := NewOverrides[letIn](m)
	if err == nil || !strings.Contains(err.Error(), `"strange"`) {
		t.Errorf("error %v", err)
	}
	if err := o.Add(override("a", 30)); err != nil {
		t.Fatal(err)
	}
	m = open(t, d.powerCut(), Options{})
	again, _ := NewOverrides[string](m)
	if list := again.List(noon); len(list) == 0 || list[0].Value != "of another form" {
		t.Errorf("found %+v", list)
	}
}
