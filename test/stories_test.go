package test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pelletier/go-toml/v2"

	"github.com/postrider/postrider/cause"
	"github.com/postrider/postrider/explain"
)

// story is a letter that a mail server wrote, and the truth, known from how it was
// made to write it. See stories/README.md.
type story struct {
	Letter string
	Kind   string
	OrKind []string `toml:"or_kind"`
	GaveUp struct {
		Host, Software, Side string
		OrSoftware           []string `toml:"or_software"`
	} `toml:"gave_up"`
	Clock struct {
		Value int64 `toml:"value_s"`
		Held  int64 `toml:"held_s"`
		Least int64 `toml:"least_s"`
		Most  int64 `toml:"most_s"`
	}
	Hops      []string
	Warns     bool
	Recipient []struct {
		Address   string
		Kind      string
		OrKind    []string `toml:"or_kind"`
		Status    string
		OrStatus  []string `toml:"or_status"`
		Code      string
		OrCode    []string `toml:"or_code"`
		Reason    string
		OrReason  []string `toml:"or_reason"`
		Contact   string
		OrContact []string `toml:"or_contact"`
		Attempts  *int
		Derived   int `toml:"derived_attempts"`
		Refused   struct{ Host, IP, How string }
		// Untold are the things that the letter does not tell: to leave them open is
		// right, to claim something else is not.
		Untold []string
	}
}

// floors are the shares of each statement that must be right, in thousandths: as
// they were measured, or less where a letter more or less must not matter.
var floors = []struct {
	field string
	least int
}{
	{"kind", 990}, {"recipient", 995}, {"status", 990}, {"code", 985}, {"reason", 985}, {"fate", 985}, {"contact", 985},
	{"gave up", 990}, {"software", 990}, {"side", 990}, {"refused", 985}, {"how", 980}, {"held", 980}, {"limit", 970}, {"hops", 990}, {"attempts", 990}, {"warns", 990},
}

// untold among what is true of a thing says that the letter does not tell it.
const untold = "untold"

// tally counts what explain says against the truth. Unsure counts what it does not
// claim: an empty value, or a guess.
type tally struct{ right, wrong, unsure int }

// scorer holds statements against the truth.
type scorer struct {
	*testing.T
	file  string
	sums  map[string]*tally
	truth []string // untold of the recipient at hand
}

// TestStoriesAreExplained holds what is read out of real letters against what was
// done to the servers that wrote them. Nothing may be surely wrong.
func TestStoriesAreExplained(t *testing.T) {
	indexes, err := filepath.Glob("stories/*/stories.toml")
	if err != nil || len(indexes) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	sc := scorer{T: t, sums: map[string]*tally{}}
	letters := 0
	for _, index := range indexes {
		b, err := os.ReadFile(index)
		if err != nil {
			t.Fatal(err)
		}
		var all struct{ Story []story }
		if err := toml.Unmarshal(b, &all); err != nil {
			t.Fatalf("%s: %v", index, err)
		}
		for _, s := range all.Story {
			letters++
			sc.file = filepath.Join(filepath.Dir(index), s.Letter)
			raw, err := os.ReadFile(sc.file)
			if err != nil {
				t.Fatal(err)
			}
			r, err := explain.Explain(bytes.NewReader(raw), explain.Options{})
			if err != nil {
				t.Fatal(err)
			}
			sc.score(s, r)
		}
	}
	t.Logf("%d letters", letters)
	for _, f := range floors {
		s := sc.sums[f.field]
		if s == nil {
			t.Errorf("%s: no letter tells it", f.field)
			continue
		}
		n := s.right + s.wrong + s.unsure
		t.Logf("%-10s %4d right %3d wrong %3d unsure, %.1f %%", f.field, s.right, s.wrong, s.unsure, 100*float64(s.right)/float64(n))
		if s.right*1000 < n*f.least {
			t.Errorf("%s: right on %d of %d, less than %.1f %%", f.field, s.right, n, float64(f.least)/10)
		}
	}
}

// say holds one statement against what is true.
func (sc *scorer) say(field, got string, sure explain.Confidence, want ...string) {
	sum := sc.sums[field]
	if sum == nil {
		sum = &tally{}
		sc.sums[field] = sum
	}
	open := got == "" || got == "not told" || sure <= cause.Guess
	switch {
	case slices.Contains(want, got), slices.Contains(want, untold) && open:
		sum.right++
		return
	case open:
		sum.unsure++
	default:
		sum.wrong++
	}
	if !open && sure == cause.Sure {
		sc.Errorf("%s: %s: surely %q, truth %q", sc.file, field, got, want)
		return
	}
	sc.Logf("%s: %s: %q (%s), truth %q", sc.file, field, got, sure, want)
}

// known is a truth with its other forms, and that it is not told if the recipient's
// truth says so.
func (sc *scorer) known(what, one string, others ...string) []string {
	all := append([]string{one}, others...)
	if slices.Contains(sc.truth, what) {
		all = append(all, untold)
	}
	return all
}

// score holds all statements about a letter against its truth.
func (sc *scorer) score(s story, r explain.Report) {
	sc.say("kind", string(r.Kind), cause.Likely, append(s.OrKind, s.Kind)...)
	for _, want := range s.Recipient {
		i := slices.IndexFunc(r.Recipients, func(f explain.Finding) bool { return strings.EqualFold(f.Recipient, want.Address) })
		if i < 0 {
			sc.say("recipient", fmt.Sprint(len(r.Recipients)), cause.Likely, want.Address)
			continue
		}
		f := r.Recipients[i]
		sc.truth = want.Untold
		sc.say("recipient", want.Address, cause.Likely, want.Address)
		sc.say("status", f.Status, f.Confidence, sc.known("status", want.Status, want.OrStatus...)...)
		sc.say("code", f.Code, f.Refused.Confidence, sc.known("code", want.Code, want.OrCode...)...)
		sc.say("reason", f.Reason, f.Confidence, sc.known("reason", want.Reason, want.OrReason...)...)
		sc.say("fate", f.Kind, f.Confidence, sc.known("kind", want.Kind, want.OrKind...)...)
		if want.Contact != "" {
			sc.say("contact", f.Contact, f.Refused.Confidence, sc.known("contact", want.Contact, want.OrContact...)...)
		}
		sc.refused(f.Refused, want.Refused.Host, want.Refused.IP, want.Refused.How)
		if want.Attempts != nil && f.Attempts.Told != nil {
			sc.say("attempts", strconv.Itoa(*f.Attempts.Told), cause.Likely, strconv.Itoa(*want.Attempts))
		}
		if want.Derived > 0 {
			sc.say("attempts", f.Attempts.Meaning[strings.LastIndexByte(f.Attempts.Meaning, ' ')+1:], cause.Likely, strconv.Itoa(want.Derived))
		}
		sc.owner(s, f)
	}
}

// refused holds against its truth who said no, and how.
func (sc *scorer) refused(r explain.Refusal, host, ip, how string) {
	if host != "" {
		got := r.Host
		if r.IP == ip && ip != "" || got == ip {
			got = host // the letter names its address
		}
		sc.say("refused", got, r.Confidence, sc.known("refused", host)...)
	}
	got := r.How
	if how == "accepted" && got == "smtp" {
		got = how
	}
	others := map[string]string{"timed out": "nobody answered", "connection broken": "nobody answered"}
	sc.say("how", got, r.Confidence, append(sc.known("refused", how, others[how]), sc.known("contact", how)[1:]...)...)
}

// owner holds against its truth who gave up, on whose side, and whose clock it was.
func (sc *scorer) owner(s story, f explain.Finding) {
	if s.GaveUp.Host != "" {
		sc.say("gave up", f.GaveUp.Host, f.GaveUp.Confidence, strings.ToLower(s.GaveUp.Host))
	}
	if s.GaveUp.Software != "" {
		sc.say("software", f.GaveUp.Software, f.GaveUp.Confidence, append(s.GaveUp.OrSoftware, s.GaveUp.Software)...)
	}
	if s.GaveUp.Side != "" || s.GaveUp.Host == "" && s.Kind == "bounce" {
		sc.say("side", f.GaveUp.Side, cause.Sure, s.GaveUp.Side)
	}
	if len(s.Hops) > 0 {
		var hosts []string
		for _, h := range f.Hops {
			hosts = append(hosts, h.Host)
		}
		sc.say("hops", strings.Join(hosts, " "), cause.Likely, strings.ToLower(strings.Join(s.Hops, " ")))
	}
	if s.Warns {
		sc.say("warns", strconv.FormatBool(len(f.Warnings) > 0), cause.Likely, "true")
	}
	c := f.Clock
	if s.Clock.Held > 0 {
		sc.say("held", near(seconds(c.Held), s.Clock.Held, 2), c.Confidence, fmt.Sprint(s.Clock.Held))
	}
	switch v := s.Clock.Value; {
	case s.Clock.Most > 0:
		sc.say("limit", near(seconds(c.Least), s.Clock.Least, 5)+" "+near(seconds(c.Most), s.Clock.Most, 5), c.Confidence, fmt.Sprint(s.Clock.Least, " ", s.Clock.Most))
	case v > 0 && c.Value > 0:
		sc.say("limit", near(seconds(c.Value), v, 60), c.Confidence, fmt.Sprint(v))
	case v > 0 && c.Most > 0 && (v < seconds(c.Least)-2 || v > seconds(c.Most)+2):
		sc.say("limit", fmt.Sprint(seconds(c.Least), " ", seconds(c.Most)), c.Confidence, fmt.Sprint(v))
	case v > 0 && c.Most > 0:
		sc.say("limit", fmt.Sprint(v), c.Confidence, fmt.Sprint(v))
	}
}

func seconds(s explain.Seconds) int64 { return int64(time.Duration(s) / time.Second) }

// near is the truth if got lies no further from it than some seconds.
func near(got, truth, within int64) string {
	if got >= truth-within && got <= truth+within {
		got = truth
	}
	return fmt.Sprint(got)
}
