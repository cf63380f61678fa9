package memo

import (
	"errors"
	"maps"
	"strings"
	"testing"
)

type stopped struct{ By, Why string }

// Each change is looked at in the folder that a power cut right after it would leave.
func TestAPauseIsOnDiskWhenItsCallReturns(t *testing.T) {
	d := newDisk()
	p := NewPauses[stopped](open(t, d, Options{}))
	root, ann := stopped{"root", "their server moves"}, stopped{"ann", ""}
	for _, s := range []struct {
		name   string
		change func() error
		want   map[string]stopped
	}{
		{"nothing", func() error { return nil }, map[string]stopped{}},
		{"one", func() error { return p.Put("a.example", root) }, map[string]stopped{"a.example": root}},
		{"another", func() error { return p.Put("smtp:filter:25", ann) }, map[string]stopped{"a.example": root, "smtp:filter:25": ann}},
		{"the first anew", func() error { return p.Put("a.example", ann) }, map[string]stopped{"a.example": ann, "smtp:filter:25": ann}},
		{"one less", func() error { return p.Forget("a.example") }, map[string]stopped{"smtp:filter:25": ann}},
		{"one that is not there", func() error { return p.Forget("b.example") }, map[string]stopped{"smtp:filter:25": ann}},
	} {
		if err := s.change(); err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
		for where, p := range map[string]*Pauses[stopped]{"here": p, "after a power cut": NewPauses[stopped](open(t, d.powerCut(), Options{}))} {
			if got, err := p.All(); err != nil || !maps.Equal(got, s.want) {
				t.Errorf("%s, %s: %v, %v, want %v", s.name, where, got, err, s.want)
			}
		}
	}
}

func TestAPauseOutlivesTheLogWrittenAnew(t *testing.T) {
	d := newDisk()
	m := open(t, d, Options{})
	p := NewPauses[stopped](m)
	if err := p.Put("a.example", stopped{"root", "x"}); err != nil {
		t.Fatal(err)
	}
	m.Proven().Add(someone, day, noon.Add(1000*day)) // years later
	m.file.mu.Lock()
	err := m.rewrite()
	m.file.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := NewPauses[stopped](open(t, d.powerCut(), Options{})).All(); err != nil || len(got) != 1 {
		t.Errorf("found %v, %v", got, err)
	}
}

func TestPausesThatCannotBe(t *testing.T) {
	d := newDisk()
	m := open(t, d, Options{Limits: Limits{Pauses: 2}})
	p := NewPauses[stopped](m)
	if err := p.Put("long", stopped{"root", strings.Repeat("x", maxValue)}); !errors.Is(err, ErrTooLong) {
		t.Errorf("too long: %v", err)
	}
	for _, name := range []string{"a", "b", "b"} {
		if err := p.Put(name, stopped{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Put("c", stopped{}); !errors.Is(err, ErrFull) {
		t.Errorf("one too many: %v", err)
	}
	if err := NewPauses[string](m).Put("a", "of another form"); err != nil {
		t.Fatal(err)
	}
	if all, err := p.All(); err == nil || !strings.Contains(err.Error(), `"a"`) || len(all) != 1 {
		t.Errorf("one of another form: %v, %v", all, err)
	}
	d.room = 1 // octets
	if err := p.Forget("b"); err == nil {
		t.Error("forgotten, but the disk is full")
	}
	if all, _ := p.All(); len(all) != 1 {
		t.Errorf("what could not be written is in memory: %v", all)
	}
	m.Close()
	if err := p.Put("b", stopped{}); !errors.Is(err, ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}
