package chain

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/mail"
	"github.com/postrider/postrider/system"
)

// WriteReceivers writes the rows of ReceiverDown as a table for people.
func WriteReceivers(w io.Writer, outage time.Duration, rows []Row) error {
	var b strings.Builder
	fmt.Fprintf(&b, "A receiver is down for %s. What becomes of the mail for it:\n\n", custody.FormatAge(outage))
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "system\tkept\tsent as the outage began\tlatest of the rest\tsender is warned\tfacts")
	for _, r := range rows {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", mail.Clean(r.ID, 40), r.kept(outage), r.first(), r.rest(), r.warned(), r.sure())
	}
	if err := t.Flush(); err != nil {
		return err
	}
	b.WriteString("\nkept: the share of mail sent evenly over the outage. The times of delivery count from the\n" +
		"receiver's return, those of giving up and of warnings from the beginning of the outage.\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func (r Row) kept(outage time.Duration) string {
	switch r.Fate {
	case NotKnown:
		return "?"
	case Delivers, Holds:
		return "all"
	case Returns:
		return "none"
	}
	switch k := 100 * r.Kept(outage); {
	case k < 1:
		return "<1%"
	case k > 99:
		return ">99%"
	default:
		return fmt.Sprintf("%.0f%%", k)
	}
}

// first is the fate of a message sent as the outage began.
func (r Row) first() string {
	switch {
	case r.Delivered != nil:
		return "delivered after " + r.span(*r.Delivered)
	case r.GaveUp != nil && r.Silent:
		return "lost without a word after " + r.span(*r.GaveUp)
	case r.GaveUp != nil:
		return "returned after " + r.span(*r.GaveUp)
	case r.Fate == Holds:
		return "held; next try not known"
	}
	return "not known"
}

func (r Row) span(s system.Span) string {
	least, most := custody.FormatAge(s.Least), custody.FormatAge(s.Most)
	switch {
	case s.Most >= system.Open:
		return "about " + custody.FormatAge(s.Pick(system.Reckoned))
	case least == most:
		return least
	}
	return least + " to " + most
}

// rest is when the last of the mail that was not given up comes.
func (r Row) rest() string {
	switch {
	case r.Fate == Returns:
		return "-"
	case r.Latest < 0:
		return "not known"
	}
	return custody.FormatAge(r.Latest)
}

func (r Row) warned() string {
	switch {
	case !r.WarnKnown:
		return "not known"
	case len(r.Warned) > 0:
		return "after " + ages(r.Warned)
	case r.Sometime:
		return "yes, when is not known"
	}
	return "no"
}

// sure says how far the facts may be believed.
func (r Row) sure() string {
	said := r.Confidence.String()
	switch r.Confidence {
	case system.High:
		said = "read"
		if strings.Contains(r.Source, "seen on real mail") {
			said = "seen"
		}
	case system.Memory:
		said = "remembered"
	}
	if r.Guessed {
		said += ", gaps reckoned"
	}
	return said
}
