package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/spool"
)

// SurveyOptions of Verify and Export. The zero SurveyOptions are good.
type SurveyOptions struct {
	FS vfs.FS // nil: the file system of the operating system
	// Progress is told, often, how much of what is done; nil: nobody is told. The
	// total is 0 if it is not known.
	Progress func(what string, done, total int64)
}

// Report is what Verify found.
type Report struct {
	Faults  []Fault // damage
	Remarks []Fault // what is odd and harmless
	More    int     // faults beyond those
	Messages, Deliveries, Departed,
	Segments, Records, Large int64 // that were looked at
	Octets int64 // of them on disk
}

// Fault is a place that is not as it was written.
type Fault struct {
	File   string // below the store; "": the store as a whole
	Offset int64  // octet in the file; less than 0: the file as a whole
	Size   int64  // octets; 0: not known
	What   string
	// Concerned are messages that it does harm to, More how many there are beyond.
	Concerned []Concerned
	More      int
}

// Concerned is a message that damage does harm to. What is not known of it is empty.
type Concerned struct {
	ID      custody.ID
	From    string
	To      []string
	Subject string
	Waits   bool // else it is history
	What    string
}

// Bounds of a Report.
const (
	maxFaults    = 10_000
	maxConcerned = 1000
)

// Verify reads a store that nobody has open as a whole and compares: every checksum
// of the log, of large bodies and of the index; that each delivery has its message
// and its body; that what wakes and what is found agrees with what is there; that
// nothing is left over. It changes nothing. It answers spool.ErrInUse if a process has
// the store open, and an error if it could not do its work; damage is no error.
//
// Memory grows with the damage, and hardly with what waits.
func Verify(ctx context.Context, dir string, o SurveyOptions) (Report, error) {
	v, err := openSurvey(ctx, dir, o.FS, o.Progress)
	if err != nil {
		return Report{}, err
	}
	defer v.close()
	f := &verifier{
		survey: v, wanted: map[uint64]bool{}, tallies: newTallies(), byGap: map[int]*Fault{}, byHole: map[int]*Fault{},
	}
	if err := f.run(); err != nil {
		return Report{}, fmt.Errorf("local: verify %s: %w", dir, err)
	}
	return f.report, nil
}

// verifier is a Verify under way.
type verifier struct {
	*survey
	report  Report
	wanted  map[uint64]bool // large bodies of what waits
	tallies *tallies        // of the keys that follow from others
	byGap   map[int]*Fault  // messages that a gap of the index harms
	byHole  map[int]*Fault  // and a hole of the log
	unsound bool            // the index does not have all of some message
}

func (f *verifier) run() error {
	if err := f.each(0, f.message); err != nil {
		return err
	}
	f.report.Segments, f.report.Records = int64(len(f.segs)), f.records
	for _, s := range f.segs {
		f.report.Octets += s.size
	}
	f.tell("the index", 0, 0)
	if err := f.tallies.read(f); err != nil {
		return err
	}
	f.idx.others()
	f.damage()
	if err := f.leftover(); err != nil {
		return err
	}
	if f.lossy() || f.unsound {
		return nil // what the index says of itself cannot agree
	}
	return f.tallies.compare(f)
}

func (f *verifier) fault(x Fault) {
	if len(f.report.Faults) < maxFaults {
		f.report.Faults = append(f.report.Faults, x)
	} else {
		f.report.More++
	}
}

// concern adds a message to a fault.
func (x *Fault) concern(c Concerned) {
	if len(x.Concerned) < maxConcerned {
		x.Concerned = append(x.Concerned, c)
	} else {
		x.More++
	}
}

// concerned is a message in the words of a report.
func (h *holding) concerned(what string) Concerned {
	c := Concerned{ID: h.id, From: h.m.Envelope.From.String(), Subject: h.m.Subject, Waits: len(h.waits) > 0, What: what}
	for _, d := range h.all() {
		for _, r := range d.Own() {
			c.To = append(c.To, r.Address.String())
		}
	}
	return c
}

// message looks at one message.
func (f *verifier) message(h *holding, p *parts) error {
	r := &f.report
	if r.Messages++; r.Messages%1000 == 0 {
		f.tell("messages", r.Messages, 0)
	}
	r.Deliveries += int64(len(h.waits))
	r.Departed += int64(len(h.left))
	if p != nil {
		f.tallies.take(p)
	}
	for _, e := range h.entries {
		if _, err := spool.DecodeEntry(e.value); err != nil {
			h.flaw("an entry of its timeline makes no sense")
		}
	}
	if len(h.waits)+len(h.left) == 0 {
		h.flaw("it has no deliveries")
	}
	if len(h.waits) > 0 && h.hasBody {
		if err := f.body(h); err != nil {
			return err
		}
	}
	if h.unsound && len(h.flaws) == 0 {
		h.flaw("the index does not have all of it; the log has, and nothing is lost")
	}
	if len(h.flaws) > 0 {
		f.unsound = f.unsound || h.unsound
		f.flawed(h)
	}
	return nil
}

// body reads the body of a message that waits.
func (f *verifier) body(h *holding) error {
	p := h.body
	if p.big != 0 {
		f.wanted[p.big] = true
		f.report.Large++
		f.report.Octets += p.size
	}
	err := f.bodies.read(p, func([]byte) error { return f.ctx.Err() })
	if !errors.Is(err, spool.ErrCorrupt) {
		return err
	}
	c := h.concerned("its body is damaged: it cannot be delivered")
	for i, hole := range f.holes {
		if p.big == 0 && hole.seg == p.seg && hole.from < int64(p.off)+p.size && int64(p.off) < hole.to {
			harmed(f.byHole, i).concern(c)
			return nil
		}
	}
	x := Fault{File: fileOf(p), Offset: int64(p.off), Size: p.size, What: strings.TrimPrefix(err.Error(), spool.ErrCorrupt.Error()+": ")}
	x.concern(c)
	f.fault(x)
	return nil
}

func harmed(by map[int]*Fault, i int) *Fault {
	if by[i] == nil {
		by[i] = &Fault{}
	}
	return by[i]
}

// flawed files a message of which something is lost, under the damage that did it.
func (f *verifier) flawed(h *holding) {
	c := h.concerned(strings.Join(h.flaws, "; "))
	for i := range f.idx.gaps {
		g := &f.idx.gaps[i]
		for _, kind := range partKinds {
			if from := appendID(nil, kind, h.id); g.meets(from, upper(from)) {
				harmed(f.byGap, i).concern(c)
				return
			}
		}
	}
	if i := slices.IndexFunc(f.idx.gaps, func(g gap) bool { return g.what == olderIndex }); i >= 0 {
		harmed(f.byGap, i).concern(c)
		return
	}
	x := Fault{File: "index", Offset: -1, What: "what it says of a message does not agree"}
	x.concern(c)
	f.fault(x)
}

// damage reports what could not be read of the log and of the index.
func (f *verifier) damage() {
	if f.idx.empty && f.records > 0 {
		f.fault(Fault{File: "index", Offset: -1, What: "it is missing: what is known is what the log tells"})
	}
	for i, h := range f.holes {
		x := Fault{File: "seg/" + segName(h.seg), Offset: h.from, Size: h.to - h.from, What: h.what}
		if !h.kept {
			x.What += "; mail that was accepted or settled there may be lost"
		}
		if m := f.byHole[i]; m != nil {
			x.Concerned, x.More = m.Concerned, m.More
		}
		f.fault(x)
	}
	for i, g := range f.idx.gaps {
		x := Fault{File: g.file, Offset: g.off, Size: g.size, What: g.what}
		if m := f.byGap[i]; m != nil {
			x.Concerned, x.More = m.Concerned, m.More
		}
		f.fault(x)
	}
}

func (f *verifier) remark(file, what string) {
	if len(f.report.Remarks) < maxFaults {
		f.report.Remarks = append(f.report.Remarks, Fault{File: file, Offset: -1, What: what})
	}
}

// leftover looks for what nobody wants, and for what else is worth a word.
func (f *verifier) leftover() error {
	names, err := f.fs.List(f.path("big"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	slices.Sort(names)
	for _, name := range names {
		n, ok := bigNumber(name)
		switch {
		case strings.HasSuffix(name, keptSuffix):
			f.remark("big/"+name, "it was kept for you when mail may have been lost: no message named it; remove it when you have looked at it")
		case !ok:
			f.remark("big/"+name, "it is not a file of ours")
		case !f.wanted[n] && f.lossy():
			f.remark("big/"+name, "no message that waits names it; the next start keeps it for you, as "+name+keptSuffix)
		case !f.wanted[n]:
			f.remark("big/"+name, "no message that waits names it; the next start removes it")
		}
	}
	if names, err = f.fs.List(f.path("seg")); err != nil {
		return err
	}
	slices.Sort(names)
	for _, name := range names {
		if strings.HasSuffix(name, keptSuffix) {
			f.remark("seg/"+name, "it was kept for you when damage was found in it; remove it when you have looked at it")
		}
	}
	if names, err = f.fs.List(f.dir); err != nil {
		return err
	}
	slices.Sort(names)
	for _, name := range names {
		switch {
		case strings.HasPrefix(name, "index.damaged"):
			f.remark(name, "an index that was damaged was kept for you; remove it when you have looked at it")
		case name == markName:
			f.remark(name, "the next start makes the index anew")
		}
	}
	if _, err := readOwner(f.fs, f.dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		f.remark("owner", "it does not name a process; the next start writes it anew")
	}
	for _, n := range f.idx.notes {
		f.remark(n.file, n.what)
	}
	if f.strays > 0 {
		f.remark("index", fmt.Sprintf("it has old entries of %d messages that are not there", f.strays))
	}
	return nil
}
