package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/postrider/postrider/explain"
)

type explainCmd struct {
	Files    []string `arg:"" optional:"" name:"file" help:"Messages, mailbox files or folders of them; none or -: standard input. A single line of a report or a log will do."`
	JSON     bool     `name:"json" help:"One object a message."`
	SVG      bool     `name:"svg" help:"A picture of the hops, as SVG, of the first report."`
	For      string   `enum:"sender,sending-admin,receiving-admin,all" default:"all" help:"Word it for one reader, ready to forward: ${enum}."`
	Language string   `default:"en" help:"Language of the sentences, by its tag."`
}

// readout is what is told of one message of a file.
type readout struct {
	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"` // where the message begins, in a mailbox
	explain.Report
	err error
}

func (x explainCmd) Run(s streams) error {
	if !slices.Contains(explain.Languages(), x.Language) {
		return fmt.Errorf("explain: no texts in language %q; there are %s", x.Language, strings.Join(explain.Languages(), ", "))
	}
	if len(x.Files) == 0 {
		x.Files = []string{"-"}
	}
	reports, told := 0, 0
	for r := range parallel(x.sources(s.in), x.read) {
		if r.err != nil {
			return r.err
		}
		if len(r.Recipients) > 0 {
			told++
		}
		if err := x.write(s, r, reports); err != nil {
			return fmt.Errorf("explain: %w", err)
		}
		reports++
		if x.SVG {
			break
		}
	}
	if told == 0 {
		return exit(exitNo)
	}
	return nil
}

var readers = map[string]explain.Reader{
	"sender": explain.Sender, "sending-admin": explain.SendingAdmin, "receiving-admin": explain.ReceivingAdmin,
}

// write writes a report that so many came before.
func (x explainCmd) write(s streams, r readout, before int) error {
	var b bytes.Buffer
	var err error
	reader, letter := readers[x.For]
	switch {
	case x.JSON:
		enc := json.NewEncoder(s.out)
		enc.SetEscapeHTML(false)
		return enc.Encode(r)
	case x.SVG:
		b.WriteString(explain.SVG(r.Report))
	default:
		if before > 0 {
			b.WriteString("\n")
		}
		if r.File != "" && (before > 0 || len(x.Files) > 1 || r.Line > 0) {
			fmt.Fprintf(&b, "%s:%d\n\n", r.File, max(r.Line, 1))
		}
		if letter {
			err = explain.WriteFor(&b, r.Report, reader)
		} else {
			err = explain.WriteText(&b, r.Report, explain.Style{Width: width(s.out), Color: colours(s.out)})
		}
	}
	if err == nil {
		_, err = s.out.Write(b.Bytes())
	}
	return err
}

// source is one message of a file, or why there is none.
type source struct {
	file string
	explain.Message
	err error
}

// read explains one message.
func (x explainCmd) read(m source) (r readout) {
	if r.err = m.err; r.err != nil {
		return r
	}
	r.File = m.file
	if m.Line > 1 {
		r.Line = m.Line
	}
	r.Report, r.err = explain.Explain(bytes.NewReader(m.Raw), explain.Options{Line: m.Line, Language: x.Language})
	return r
}

// sources yields every message of the files and folders. What cannot be read ends it.
func (x explainCmd) sources(in io.Reader) iter.Seq[source] {
	return func(yield func(source) bool) {
		each := func(name string, r io.Reader) error {
			for m, err := range explain.Messages(r) {
				if !yield(source{name, m, err}) || err != nil {
					return errEnough
				}
			}
			return nil
		}
		for _, name := range x.Files {
			err := error(nil)
			if name == "-" {
				err = each("", in)
			} else {
				err = filepath.WalkDir(name, func(path string, d fs.DirEntry, err error) error {
					if err != nil || d.IsDir() {
						return err
					}
					file, err := os.Open(path)
					if err != nil {
						return err
					}
					defer file.Close()
					return each(path, file)
				})
			}
			if err != nil {
				if !errors.Is(err, errEnough) {
					yield(source{err: fmt.Errorf("explain: %w", err)})
				}
				return
			}
		}
	}
}

var errEnough = errors.New("enough")
