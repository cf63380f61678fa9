package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/term"

	"github.com/postrider/postrider/internal/spool"
	"github.com/postrider/postrider/internal/spool/local"
	"github.com/postrider/postrider/mail"
)

// data reads the spool of a service that does not run and says what is damaged.
func (x checkCmd) data(c *cli, s streams) error {
	dir, err := spoolIn(x.Dir, c.Config)
	if err != nil {
		return err
	}
	began := time.Now()
	p := newProgress(s.err, "checking")
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	r, err := local.Verify(ctx, dir, local.SurveyOptions{Progress: p.tell})
	p.end()
	if err != nil {
		return inUse(err)
	}
	if x.JSON {
		err = writeJSON(s.out, dataReport(dir, r))
	} else {
		err = writeReport(s.out, dir, r, time.Since(began))
	}
	if err == nil && len(r.Faults) > 0 {
		return exit(exitNo)
	}
	return err
}

// spoolIn returns the spool in a data folder, or the one that the configuration names.
// A copy of the spool alone is taken, too.
func spoolIn(dir, conf string) (string, error) {
	if dir == "" {
		c, err := load(conf)
		if err != nil {
			return "", err
		}
		dir = c.Data
	}
	if _, err := os.Stat(filepath.Join(dir, "seg")); err == nil {
		return dir, nil
	}
	inner := filepath.Join(dir, "spool")
	if _, err := os.Stat(filepath.Join(inner, "seg")); err != nil {
		return "", fmt.Errorf("there is no spool in %s: %w", dir, err)
	}
	return inner, nil
}

// inUse says what to do where the service has the spool.
func inUse(err error) error {
	if errors.Is(err, spool.ErrInUse) {
		// What is being written cannot be compared with itself, and the index changes
		// under whoever reads it from outside.
		return fmt.Errorf("%w\nStop the service first, or give this command a snapshot of the data folder", err)
	}
	return err
}

// progress tells of long work: on a terminal in one line that changes, elsewhere in a
// line now and then.
type progress struct {
	w           io.Writer
	verb        string
	live        bool
	began, last time.Time
	told        bool
}

func newProgress(w io.Writer, verb string) *progress {
	f, ok := w.(*os.File)
	now := time.Now()
	return &progress{w: w, verb: verb, live: ok && term.IsTerminal(int(f.Fd())), began: now, last: now}
}

func (p *progress) tell(what string, done, total int64) {
	gap := 10 * time.Second
	if p.live {
		gap = time.Second / 5
	}
	now := time.Now()
	if now.Sub(p.last) < gap || now.Sub(p.began) < time.Second {
		return
	}
	p.last, p.told = now, true
	line := p.verb + " " + what
	switch {
	case total > 0:
		line += fmt.Sprintf(": %d %%", done*100/total)
	case done > 0:
		line += fmt.Sprintf(": %d", done)
	}
	if p.live {
		fmt.Fprintf(p.w, "\r\x1b[K%s", line)
	} else {
		fmt.Fprintln(p.w, line)
	}
}

// end takes the line off a terminal.
func (p *progress) end() {
	if p.live && p.told {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}

const shownOf = 20 // messages shown of each fault

func writeReport(w io.Writer, dir string, r local.Report, took time.Duration) error {
	b := bufio.NewWriter(w)
	for _, f := range r.Faults {
		fmt.Fprintf(b, "%s: %s\n", where(f), mail.Clean(f.What, 300))
		n := len(f.Concerned) + f.More
		if n > 0 {
			fmt.Fprintf(b, "  %d %s harmed by it:\n", n, plural(n, "message is", "messages are"))
		}
		for _, m := range f.Concerned[:min(len(f.Concerned), shownOf)] {
			writeConcerned(b, m)
		}
		if n > shownOf {
			fmt.Fprintf(b, "  … and %d more; --json names them\n", n-shownOf)
		}
	}
	for _, f := range r.Remarks {
		fmt.Fprintf(b, "remark: %s: %s\n", where(f), f.What)
	}
	state := "is sound"
	if n := len(r.Faults) + r.More; n > 0 {
		state = fmt.Sprintf("has %d %s", n, plural(n, "fault", "faults"))
	}
	fmt.Fprintf(b, "%s %s: %s\n", dir, state, amounts(r, took))
	if slices.ContainsFunc(r.Faults, func(f local.Fault) bool { return strings.HasPrefix(f.File, "index") }) {
		fmt.Fprintf(b, "The index can be made anew from what is left of it and from the log: create the file %s, then start the service.\n",
			filepath.Join(dir, "mend"))
	}
	return b.Flush()
}

func amounts(r local.Report, took time.Duration) string {
	count := func(n int64, one, many string) string { return fmt.Sprintf("%d %s", n, plural(int(n), one, many)) }
	return strings.Join([]string{
		count(r.Messages, "message", "messages"),
		count(r.Deliveries, "delivery waits", "deliveries wait"),
		count(r.Departed, "has left", "have left"),
		count(r.Segments, "segment", "segments") + " of the log with " + count(r.Records, "record", "records"),
		count(r.Large, "large body", "large bodies"),
		"in " + took.Round(10*time.Millisecond).String(),
	}, ", ")
}

func where(f local.Fault) string {
	at := f.File
	if f.Offset >= 0 {
		at += fmt.Sprintf(" at %d", f.Offset)
	}
	if f.Size > 0 {
		at += fmt.Sprintf(", %d octets", f.Size)
	}
	return at
}

func writeConcerned(w io.Writer, m local.Concerned) {
	state := "has left"
	if m.Waits {
		state = "waits"
	}
	fmt.Fprintf(w, "  %s %s, from <%s> to %s\n", m.ID, state, mail.Clean(m.From, 320), mail.Clean(strings.Join(m.To, ", "), 1000))
	if m.Subject != "" {
		fmt.Fprintf(w, "    Subject: %s\n", mail.Clean(m.Subject, 200))
	}
	fmt.Fprintf(w, "    %s\n", mail.Clean(m.What, 500))
}

// faultJSON is a fault as --json shows it.
type faultJSON struct {
	File     string        `json:"file"`
	Offset   *int64        `json:"offset"`
	Octets   int64         `json:"octets,omitempty"`
	What     string        `json:"what"`
	Messages []messageJSON `json:"messages,omitempty"`
	More     int           `json:"more,omitempty"`
}

type messageJSON struct {
	ID      string   `json:"id"`
	From    string   `json:"from"`
	To      []string `json:"to"`
	Subject string   `json:"subject"`
	Waits   bool     `json:"waits"`
	What    string   `json:"what"`
}

func dataReport(dir string, r local.Report) any {
	show := func(fs []local.Fault) []faultJSON {
		out := []faultJSON{}
		for _, f := range fs {
			v := faultJSON{File: f.File, Octets: f.Size, What: f.What, More: f.More}
			if f.Offset >= 0 {
				v.Offset = &f.Offset
			}
			for _, m := range f.Concerned {
				v.Messages = append(v.Messages, messageJSON{m.ID.String(), m.From, m.To, m.Subject, m.Waits, m.What})
			}
			out = append(out, v)
		}
		return out
	}
	return map[string]any{
		"spool": dir, "sound": len(r.Faults) == 0, "faults": show(r.Faults), "more_faults": r.More, "remarks": show(r.Remarks),
		"messages": r.Messages, "waiting": r.Deliveries, "departed": r.Departed,
		"segments": r.Segments, "records": r.Records, "large_bodies": r.Large, "octets": r.Octets,
	}
}
