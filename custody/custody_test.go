package custody

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/quick"
	"time"
)

func TestAnIDReadsBackAndOrdersByTime(t *testing.T) {
	err := quick.Check(func(ms uint32, node uint16, random uint64, n uint16) bool {
		id := DeliveryID{NewID(accepted.Add(time.Duration(ms)*time.Millisecond), node, random), n}
		next := NewID(accepted.Add(time.Duration(ms+1)*time.Millisecond), 0, 0)
		again, err := ParseDeliveryID(strings.ToUpper(id.String()))
		return err == nil && again == id && (id.Message.String() < next.String() || ms+1 == 0)
	}, nil)
	if err != nil {
		t.Error(err)
	}
}

func TestABadIDIsRefused(t *testing.T) {
	id := NewID(accepted, 1, 42).String()
	for _, s := range []string{"", id[1:], id + "0", id[:25] + "\n", "\r\n" + id[2:], "\n" + id, id[:25] + "l", id[:25] + "1", strings.Repeat("u", 26)} {
		if got, err := ParseID(s); err == nil {
			t.Errorf("%q: %v", s, got)
		}
	}
	for _, s := range []string{id, id + "-", id + "-65536", id + "--1", id + "-x", id + "-1-1", "-1"} {
		if got, err := ParseDeliveryID(s); err == nil {
			t.Errorf("%q: %v", s, got)
		}
	}
}

func TestWordsReadBackFromJSON(t *testing.T) {
	for o := NoOrder; o <= OrderWarn; o++ {
		for k := NoKind; k <= Cleared; k++ {
			in := struct {
				O Order
				K Kind
			}{o, k}
			out := in
			b, err := json.Marshal(in)
			if err == nil {
				err = json.Unmarshal(b, &out)
			}
			if err != nil || out != in {
				t.Errorf("%s: %v, %v", b, out, err)
			}
		}
	}
	for want, s := range map[string]interface{ String() string }{
		"?77": State(77), "expired": Expired, "ours": Ours, "": NoTrouble, "given up": WillEnd, "try": WillTry,
	} {
		if got := s.String(); got != want {
			t.Errorf("%q, not %q", got, want)
		}
	}
}
