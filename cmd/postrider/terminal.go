package main

import (
	"io"
	"os"

	"golang.org/x/term"
)

// width is how many columns a text may have: the terminal's, at most 100 so that
// lines stay readable, or 80 where there is none.
func width(w io.Writer) int {
	if f, ok := w.(*os.File); ok {
		if n, _, err := term.GetSize(int(f.Fd())); err == nil && n > 0 {
			return min(max(n, 40), 100)
		}
	}
	return 80
}

// colours reports whether w is a terminal whose user has not asked for none
// (https://no-color.org).
func colours(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && term.IsTerminal(int(f.Fd()))
}
