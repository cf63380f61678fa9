package chain

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/postrider/postrider/mail"
)

// mostRecoveries are told of one hop to people.
const mostRecoveries = 12

// WriteLoad writes what becomes of a load as a table for people: what each hop holds
// at its worst, and how it empties after each outage.
func WriteLoad(w io.Writer, s LoadStory) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s delivered, %s given up, %s refused; all has ended after %s\n\n",
		s.title(), thousands(s.Delivered), thousands(s.GaveUp), thousands(s.Refused), when(s.Ended))
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "hop\twaits at most\tat\tdisk\tmemory\tdrain\tentered\thanded on\twarned\tgiven up\trefused")
	for _, h := range s.Hops {
		name := mail.Clean(h.Name, 40)
		if h.Home {
			fmt.Fprintf(t, "%s\t-\t-\t-\t-\t-\t%s\t%s delivered\t-\t-\t-\n", name, thousands(h.Entered), thousands(h.HandedOn))
			continue
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s/s\t%s\t%s\t%s\t%s\t%s\n", name, thousands(h.Peak), when(h.PeakAt), h.disk(), h.memory(),
			strconv.FormatFloat(h.Drain, 'f', -1, 64), thousands(h.Entered), thousands(h.HandedOn), thousands(h.Warned), thousands(h.GaveUp), thousands(h.Refused))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	b.WriteString("\n")
	for _, h := range s.Hops {
		for i, r := range h.Recoveries {
			if i == mostRecoveries {
				fmt.Fprintf(&b, "%s: and %d more recoveries\n", mail.Clean(h.Name, 40), len(h.Recoveries)-i)
				break
			}
			wrapTo(&b, mail.Clean(h.Name, 40)+": ", "  ", r.words(), 100)
		}
		if n := len(h.Outages); n > 0 && h.Outages[n-1].Until == Unknown {
			wrapTo(&b, mail.Clean(h.Name, 40)+": ", "  ", "from "+when(h.Outages[n-1].From)+" on nobody takes its mail, for ever", 100)
		}
	}
	for _, n := range slices.Compact(slices.Clone(s.Notes)) {
		wrapTo(&b, "Assumed    ", strings.Repeat(" ", 11), mail.Clean(n, 4000), 100)
	}
	_, err := io.WriteString(w, trimLines(b.String()))
	return err
}

// title is the load in words.
func (s LoadStory) title() string {
	come := "all at once"
	if s.Rate > 0 {
		come = fmt.Sprintf("%s a second, for %s", strconv.FormatFloat(s.Rate, 'f', -1, 64), when(s.Arrived))
	}
	return fmt.Sprintf("%s of %s, %s", plural64(s.Messages, "message"), octets(s.Size), come)
}

func plural64(n int64, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return thousands(n) + " " + word + "s"
}

// words is how a hop empties.
func (r Recovery) words() string {
	return fmt.Sprintf("its mail is taken again at %s, when %s: the first leaves %s later, half has left %s later, and %s later nothing is late any more",
		when(r.At), plural64(r.Waiting, "message")+waits(r.Waiting), when(r.First-r.At), when(r.Half-r.At), when(r.Drained-r.At))
}

func waits(n int64) string {
	if n == 1 {
		return " waits"
	}
	return " wait"
}

// disk is what the hop's mail takes at its peak.
func (h LoadHop) disk() string {
	if h.DiskLeast && h.Peak > 0 {
		return octets(h.Disk) + " or more"
	}
	return octets(h.Disk)
}

func (h LoadHop) memory() string {
	if h.Memory < 0 {
		return "not known"
	}
	return octets(h.Memory)
}

// thousands writes a number with its thousands apart.
func thousands(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// octets writes a number of octets in a unit of thousands.
func octets(n int64) string {
	f, unit := float64(n), 0
	units := []string{"octets", "kB", "MB", "GB", "TB", "PB", "EB"}
	for f >= 999.5 && unit < len(units)-1 {
		f, unit = f/1000, unit+1
	}
	return strconv.FormatFloat(f, 'g', max(3, len(strconv.Itoa(int(f)))), 64) + " " + units[unit]
}

// MarshalJSON writes the story, times in seconds under names that end in _s, octets
// under names that end in _octets.
func (s LoadStory) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Messages  int64     `json:"messages"`
		Rate      float64   `json:"rate"`
		Size      int64     `json:"size_octets"`
		Delivered int64     `json:"delivered"`
		GaveUp    int64     `json:"given_up"`
		Refused   int64     `json:"refused"`
		Arrived   seconds   `json:"arrived_s"`
		Ended     seconds   `json:"ended_s"`
		Hops      []LoadHop `json:"hops"`
		Notes     []string  `json:"notes,omitempty"`
	}{s.Messages, s.Rate, s.Size, s.Delivered, s.GaveUp, s.Refused, seconds(s.Arrived), seconds(s.Ended), s.Hops, s.Notes})
}

// MarshalJSON writes the hop; memory_octets is null if nobody knows it.
func (h LoadHop) MarshalJSON() ([]byte, error) {
	var memory *int64
	if h.Memory >= 0 {
		memory = &h.Memory
	}
	return json.Marshal(struct {
		Name       string      `json:"hop"`
		Home       bool        `json:"home,omitempty"`
		Drain      float64     `json:"drain"`
		Entered    int64       `json:"entered"`
		HandedOn   int64       `json:"handed_on"`
		GaveUp     int64       `json:"given_up"`
		Refused    int64       `json:"refused"`
		Warned     int64       `json:"warned"`
		Notices    int64       `json:"notices"`
		Attempts   int64       `json:"attempts"`
		Peak       int64       `json:"peak"`
		PeakAt     seconds     `json:"peak_at_s"`
		Disk       int64       `json:"disk_octets"`
		DiskLeast  bool        `json:"disk_is_least,omitempty"`
		Memory     *int64      `json:"memory_octets"`
		Outages    []Stretch   `json:"outages,omitempty"`
		Recoveries []Recovery  `json:"recoveries,omitempty"`
		Series     []LoadPoint `json:"series"`
	}{h.Name, h.Home, h.Drain, h.Entered, h.HandedOn, h.GaveUp, h.Refused, h.Warned, h.Notices, h.Attempts,
		h.Peak, seconds(h.PeakAt), h.Disk, h.DiskLeast, memory, h.Outages, h.Recoveries, h.Series})
}

// MarshalJSON writes the stretch; until_s is null if it never ends.
func (s Stretch) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		From  seconds  `json:"from_s"`
		Until *seconds `json:"until_s"`
	}{seconds(s.From), some(s.Until)})
}

// MarshalJSON writes the recovery.
func (r Recovery) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		At      seconds `json:"at_s"`
		Waiting int64   `json:"waiting"`
		First   seconds `json:"first_s"`
		Half    seconds `json:"half_s"`
		Drained seconds `json:"drained_s"`
	}{seconds(r.At), r.Waiting, seconds(r.First), seconds(r.Half), seconds(r.Drained)})
}

// MarshalJSON writes the point.
func (p LoadPoint) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		At       seconds `json:"t_s"`
		Waiting  int64   `json:"waiting"`
		Disk     int64   `json:"disk_octets"`
		Entered  int64   `json:"entered"`
		HandedOn int64   `json:"handed_on"`
		GaveUp   int64   `json:"given_up"`
		Refused  int64   `json:"refused"`
		Warned   int64   `json:"warned"`
	}{seconds(p.At), p.Waiting, p.Disk, p.Entered, p.HandedOn, p.GaveUp, p.Refused, p.Warned})
}
