package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestEveryCommandHasAPageThatIsSound(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "1772355600")
	dir := filepath.Join(t.TempDir(), "man1")
	var out, problems bytes.Buffer
	if code := run([]string{"postrider", "man", "--dir", dir}, streams{nil, &out, &problems}); code != exitDone || out.Len()+problems.Len() > 0 {
		t.Fatalf("%d %s%s", code, &out, &problems)
	}
	pages, err := filepath.Glob(filepath.Join(dir, "*.1"))
	if err != nil {
		t.Fatal(err)
	}
	whole := read1(t, filepath.Join(dir, "postrider.1"))
	commands := 0
	for _, c := range modelOf(t).Children {
		if c.Hidden {
			continue
		}
		commands++
		page := read1(t, filepath.Join(dir, "postrider-"+c.Name+".1"))
		if !strings.Contains(whole, ".It Xr postrider-"+c.Name+" 1\n") || !strings.Contains(page, ".Dd March 1, 2026\n") {
			t.Errorf("%s is not told of, or has no date", c.Name)
		}
		for _, f := range c.Flags {
			if !strings.Contains(page, ".It Fl -"+f.Name) && f.Name != "help" {
				t.Errorf("%s: nothing is said of --%s", c.Name, f.Name)
			}
		}
	}
	if len(pages) != commands+1 {
		t.Errorf("%d pages of %d commands", len(pages), commands)
	}
	checked := false
	for _, how := range [][]string{{"mandoc", "-T", "lint", "-W", "warning"}, {"groff", "-mandoc", "-ww", "-z", "-Tutf8"}} {
		tool, err := exec.LookPath(how[0])
		if err != nil {
			continue
		}
		checked = true
		if said, err := exec.Command(tool, append(how[1:], pages...)...).CombinedOutput(); err != nil || len(said) > 0 {
			t.Errorf("%s: %v\n%s", how[0], err, said)
		}
	}
	if !checked {
		t.Log("neither mandoc nor groff is here: the macros were not looked at")
	}
	if code := run([]string{"postrider", "man"}, streams{nil, &out, &problems}); code != exitDone || out.String() != whole {
		t.Errorf("%d, and another page than the one that is written", code)
	}
}

func read1(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestForeignTextIsNoMacro(t *testing.T) {
	for in, want := range map[string]string{
		".Sh Hello":               `\&.Sh Hello`,
		"It's. 'tis":              `It\(aqs.` + "\n" + `\(aqtis`,
		`\fBbold`:                 `\efBbold`,
		"one\n.two":               "one .two",
		strings.Repeat("a ", 100): strings.TrimSpace(strings.Repeat("a ", 39)) + "\n" + strings.TrimSpace(strings.Repeat("a ", 39)) + "\n" + strings.TrimSpace(strings.Repeat("a ", 22)),
	} {
		if got := troff(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
