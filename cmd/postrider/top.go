package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"golang.org/x/term"

	"github.com/postrider/postrider/internal/api"
)

type topCmd struct {
	Once bool `help:"Print one picture and end, as where there is no terminal."`
	JSON bool `name:"json" help:"Print the numbers of one picture as an object."`
}

// What puts a terminal into a state to draw on, and back: another screen, no cursor,
// no wrapping of what is too wide.
const (
	drawing  = "\x1b[?1049h\x1b[?25l\x1b[?7l"
	restored = "\x1b[?7h\x1b[?25h\x1b[?1049l"
	home     = "\x1b[H"
	lineEnd  = "\x1b[K\r\n"
	cleared  = "\x1b[J"
)

const (
	redraw    = time.Second
	newestAsk = "50" // events: more than any terminal shows of them
)

func (t topCmd) Run(c *cli, s streams) error {
	cl, err := connect(c.Config)
	if err != nil {
		return err
	}
	n, err := now(cl)
	if err != nil {
		return err
	}
	screen, ok := s.out.(*os.File)
	switch {
	case t.JSON:
		return writeJSON(s.out, n)
	case t.Once || !ok || !term.IsTerminal(int(screen.Fd())):
		_, err := io.WriteString(s.out, strings.Join(frame(n, sizeOf(s.out), palette(colours(s.out))), "\n")+"\n")
		return err
	}
	return watchNow(cl, n, s.in, screen)
}

// now asks for what comes, leaves and waits.
func now(cl *client) (n api.Now, err error) {
	return n, cl.get("/api/v1/now", map[string][]string{"newest": {newestAsk}}, &n)
}

// watchNow draws what is now, once a second, until somebody presses q or Ctrl-C. The
// terminal is left as it was, whatever happens.
func watchNow(cl *client, n api.Now, in io.Reader, screen *os.File) error {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(stop)
	sized := make(chan os.Signal, 1)
	signal.Notify(sized, syscall.SIGWINCH)
	defer signal.Stop(sized)
	keys := make(chan byte)
	if f, ok := in.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		was, err := term.MakeRaw(int(f.Fd()))
		if err != nil {
			return err
		}
		defer term.Restore(int(f.Fd()), was)
		go read(f, keys) // ends with the program: nothing else ends a read of a terminal
	}
	fmt.Fprint(screen, drawing)
	defer fmt.Fprint(screen, restored)
	ink := palette(colours(screen))
	tick := time.NewTicker(redraw)
	defer tick.Stop()
	var gone error
	for {
		if err := draw(screen, n, gone, ink); err != nil {
			return err
		}
		select {
		case <-stop:
			return nil
		case k := <-keys:
			if k == 'q' || k == 'Q' || k == 3 || k == 4 { // Ctrl-C, Ctrl-D
				return nil
			}
		case <-sized:
		case <-tick.C:
			next, err := now(cl)
			if gone = err; err == nil {
				n = next
			}
		}
	}
}

func read(f *os.File, keys chan<- byte) {
	b := make([]byte, 64)
	for {
		n, err := f.Read(b)
		if err != nil {
			return
		}
		for _, k := range b[:n] {
			keys <- k
		}
	}
}

// draw shows a picture, and over it why there is no newer one.
func draw(screen *os.File, n api.Now, gone error, ink ink) error {
	s := sizeOf(screen)
	lines := frame(n, s, ink)
	if gone != nil && len(lines) > 1 {
		words := gone.Error()
		if errors.Is(gone, errDown) {
			words = "postrider does not answer any more; what it told last:"
		}
		lines[1] = ink.bad(cut(plain(words), s.w))
	}
	_, err := io.WriteString(screen, home+strings.Join(lines, lineEnd)+cleared)
	return err
}

// sizeOf is the size of a terminal, or what an old one has.
func sizeOf(w io.Writer) size {
	if f, ok := w.(*os.File); ok {
		if w, h, err := term.GetSize(int(f.Fd())); err == nil && w > 0 && h > 0 {
			return size{w, h}
		}
	}
	return size{80, 24}
}
