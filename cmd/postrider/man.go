package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"
)

type manCmd struct {
	Dir string `placeholder:"DIR" help:"Write postrider(1) and a page for each command there."`
}

// Run writes the pages from the declaration of the commands, as --help does.
func (x manCmd) Run(ctx *kong.Context, s streams) error {
	m := manual{ctx.Model, time.Now()}
	if at, ok := built(); ok {
		m.at = at
	}
	if x.Dir == "" {
		_, err := s.out.Write([]byte(m.whole()))
		return err
	}
	if err := os.MkdirAll(x.Dir, 0o755); err != nil {
		return err
	}
	errs := []error{os.WriteFile(filepath.Join(x.Dir, "postrider.1"), []byte(m.whole()), 0o644)}
	for _, c := range m.commands() {
		errs = append(errs, os.WriteFile(filepath.Join(x.Dir, "postrider-"+c.Name+".1"), []byte(m.page(c)), 0o644))
	}
	return errors.Join(errs...)
}

// built is when what is built here was written: SOURCE_DATE_EPOCH
// (https://reproducible-builds.org), else the time of the commit.
func built() (time.Time, bool) {
	if n, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64); err == nil {
		return time.Unix(n, 0).UTC(), true
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return time.Time{}, false
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.time" {
			at, err := time.Parse(time.RFC3339, s.Value)
			return at, err == nil
		}
	}
	return time.Time{}, false
}

// manual is the pages, in the macros of mdoc(7).
type manual struct {
	model *kong.Application
	at    time.Time
}

func (m manual) commands() (out []*kong.Node) {
	for _, c := range m.model.Children {
		if !c.Hidden {
			out = append(out, c)
		}
	}
	return out
}

// page1 begins a page of section 1.
func (m manual) page1(name, does string) *strings.Builder {
	b := new(strings.Builder)
	fmt.Fprintf(b, ".Dd %s\n.Dt %s 1\n.Os \"postrider %s\"\n", m.at.Format("January 2, 2006"), strings.ToUpper(name), raw.Replace(version))
	fmt.Fprintf(b, ".Sh NAME\n.Nm %s\n.Nd %s\n", name, raw.Replace(strings.TrimSuffix(does, ".")))
	return b
}

// whole is postrider(1).
func (m manual) whole() string {
	b := m.page1("postrider", m.model.Help)
	b.WriteString(".Sh SYNOPSIS\n.Nm\n.Op Fl c Ar FILE\n.Ar command\n.Op Ar argument ...\n")
	b.WriteString(`.Sh DESCRIPTION
.Nm
takes mail, keeps it safe, and delivers it or says why not.
It always tells what became of a message, what will become of it, on whose
clock, by which rule, and who can mend it.
`)
	m.flags(b, m.model.Node)
	b.WriteString(".Pp\nThe commands are:\n.Bl -tag -width Ds\n")
	for _, c := range m.commands() {
		fmt.Fprintf(b, ".It Xr postrider-%s 1\n%s\n", c.Name, troff(c.Help))
	}
	b.WriteString(`.El
.Pp
Called as
.Nm sendmail
it submits a message from standard input, as
.Nm mailq
it lists the queue, and as
.Nm newaliases
it does nothing: aliases stand in the configuration.
Ages and times are written as 90s, 15m, 2h or 5d.
.Sh ENVIRONMENT
.Bl -tag -width Ds
.It Ev NO_COLOR
If it is set, nothing is coloured on a terminal.
.El
.Sh FILES
.Bl -tag -width Ds
.It Pa /etc/postrider/postrider.toml , ./postrider.toml
The configuration: the first that there is.
Without one the built-in default serves this machine alone.
.It Pa postrider.sock
In the data folder: by it the commands speak to the running service.
Whoever may use this file may do everything.
.El
`)
	m.end(b)
	fmt.Fprint(b, ".Xr sendmail 8\n")
	return b.String()
}

// page is that of a command.
func (m manual) page(c *kong.Node) string {
	b := m.page1("postrider-"+c.Name, c.Help)
	b.WriteString(".Sh SYNOPSIS\n")
	forms := []*kong.Node{c}
	if len(c.Children) > 0 {
		forms = c.Children
	}
	for _, f := range forms {
		m.synopsis(b, f)
	}
	fmt.Fprintf(b, ".Sh DESCRIPTION\n%s\n", troff(c.Help))
	for _, f := range forms {
		if f != c {
			fmt.Fprintf(b, ".Ss %s\n%s\n", f.Name, troff(f.Help))
		}
		m.arguments(b, f)
		m.flags(b, f)
	}
	m.end(b)
	fmt.Fprint(b, ".Xr postrider 1\n")
	return b.String()
}

// end is what all pages end with, but for the last reference.
func (m manual) end(b *strings.Builder) {
	fmt.Fprintf(b, `.Sh EXIT STATUS
.Bl -tag -width Ds
.It %d
It is done.
.It %d
It is not: the configuration is wrong, nothing matches, the service does not
run.
.It %d
The command is not understood.
.El
.Sh SEE ALSO
`, exitDone, exitNo, exitUsage)
}

// synopsis is a line of how a command is called.
func (m manual) synopsis(b *strings.Builder, n *kong.Node) {
	fmt.Fprintf(b, ".Nm postrider %s\n", n.Path())
	optional, either := false, map[string][]string{}
	for _, f := range n.Flags {
		switch {
		case f.Hidden || f.Name == "help":
		case f.Required && len(f.Xor) > 0:
			either[f.Xor[0]] = append(either[f.Xor[0]], flagged(f))
		case f.Required:
			fmt.Fprintf(b, ".%s\n", flagged(f))
		default:
			optional = true
		}
	}
	for _, group := range slices.Sorted(maps.Keys(either)) {
		fmt.Fprintf(b, ".Brq %s\n", strings.Join(either[group], " | "))
	}
	if optional {
		b.WriteString(".Op Ar flags\n")
	}
	for _, p := range n.Positional {
		name := raw.Replace(p.Name)
		if p.IsCumulative() {
			name += " ..."
		}
		if p.Required {
			fmt.Fprintf(b, ".Ar %s\n", name)
		} else {
			fmt.Fprintf(b, ".Op Ar %s\n", name)
		}
	}
}

func (m manual) arguments(b *strings.Builder, n *kong.Node) {
	if len(n.Positional) == 0 {
		return
	}
	b.WriteString(".Bl -tag -width Ds\n")
	for _, p := range n.Positional {
		fmt.Fprintf(b, ".It Ar %s\n%s\n", raw.Replace(p.Name), troff(p.Help))
	}
	b.WriteString(".El\n")
}

func (m manual) flags(b *strings.Builder, n *kong.Node) {
	var out strings.Builder
	for _, f := range n.Flags {
		if f.Hidden || f.Name == "help" {
			continue
		}
		fmt.Fprintf(&out, ".It %s\n%s\n", flagged(f), troff(f.Help))
		if f.HasDefault && f.Default != "" && !f.IsBool() {
			fmt.Fprintf(&out, "Default: %s.\n", troff(f.Default))
		}
	}
	if out.Len() > 0 {
		fmt.Fprintf(b, ".Bl -tag -width Ds\n%s.El\n", out.String())
	}
}

// flagged is a flag as it is written, in macros.
func flagged(f *kong.Flag) string {
	name := "Fl -" + f.Name
	if f.Tag.Negatable != "" {
		name += " , Fl -no-" + f.Name
	}
	if f.Short != 0 {
		name = "Fl " + string(f.Short) + " , " + name
	}
	value := strings.ToUpper(f.Name)
	switch {
	case f.IsBool():
		return name
	case f.Enum != "":
		value = strings.Trim(strings.Join(f.EnumSlice(), "|"), "|")
	case f.PlaceHolder != "":
		value = f.PlaceHolder
	}
	return name + " Ns = Ns Ar " + raw.Replace(value)
}

var (
	raw       = strings.NewReplacer(`\`, `\e`, "'", `\(aq`, "`", `\(ga`, "…", "...", "\n", " ")
	sentences = strings.NewReplacer(". ", ".\n", ": ", ":\n", "; ", ";\n")
)

// troff makes a text harmless for groff(7), with no escape and no macro in it, and
// breaks its lines where the macros want it: after a sentence, and before they are long.
func troff(text string) string {
	const most = 78
	var out []string
	for s := range strings.SplitSeq(sentences.Replace(raw.Replace(text)), "\n") {
		line := ""
		for word := range strings.FieldsSeq(s) {
			if line != "" && len(line)+1+len(word) > most {
				out, line = append(out, line), ""
			}
			if line != "" {
				line += " "
			} else if word[0] == '.' {
				line = `\&`
			}
			line += word
		}
		out = append(out, line)
	}
	return strings.Join(out, "\n")
}
