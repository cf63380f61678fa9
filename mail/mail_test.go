package mail

import "testing"

func TestAStageReadsBack(t *testing.T) {
	for s := NoStage; s <= Dot; s++ {
		var again Stage
		if b, _ := s.MarshalText(); again.UnmarshalText(b) != nil || again != s {
			t.Errorf("%v: %v", s, again)
		}
	}
	var s Stage
	if s.UnmarshalText([]byte("nowhere")) == nil || Stage(99).String() != "stage(99)" {
		t.Error("an unknown stage was read")
	}
}
