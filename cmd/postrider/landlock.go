package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"slices"

	"github.com/postrider/postrider/internal/config"
)

// reach is what the service may touch of the file system once it has started. All
// that is open by then stays open.
type reach struct {
	read  []string // folders whose files may be read, with all below them
	write []string // folders in which all may be done but to run what lies there
	clear []string // folders from which a socket file of ours is removed at the end
}

// machine is what every program reads: settings of the machine, time zones and
// certification authorities; of /proc only what tells of this process.
var machine = []string{"/etc", "/usr/share/zoneinfo", "/usr/share/ca-certificates", "/usr/local/share/ca-certificates", "/var/lib/ca-certificates", "/proc/self"}

// reachOf returns the reach that a configuration needs. Of a file it is the folder:
// a certificate is renewed by a new file of the same name.
func reachOf(c *config.Config) (r reach) {
	r.read = slices.Clone(machine)
	for _, dir := range []string{os.Getenv("CREDENTIALS_DIRECTORY"), os.Getenv("SSL_CERT_DIR")} {
		if dir != "" {
			r.read = append(r.read, filepath.SplitList(dir)...)
		}
	}
	for _, f := range append(c.Files(), c.File, "/etc/resolv.conf", os.Getenv("SSL_CERT_FILE")) {
		if f != "" {
			r.read = append(r.read, foldersOf(f)...)
		}
	}
	r.write = []string{c.Data}
	for _, glob := range []string{"*", "spool/*"} { // a part of it may be elsewhere
		all, _ := filepath.Glob(filepath.Join(c.Data, glob)) // fails for a bad pattern only
		for _, f := range all {
			if to, err := filepath.EvalSymlinks(f); err == nil && isLink(f) {
				r.write = append(r.write, to)
			}
		}
	}
	for _, l := range c.Listen {
		if l.Network == "unix" {
			r.clear = append(r.clear, filepath.Dir(l.Address))
		}
	}
	return reach{outermost(r.read), outermost(r.write), outermost(r.clear)}
}

// outermost leaves out what lies in another of them.
func outermost(all []string) (out []string) {
	slices.Sort(all)
	for _, f := range all {
		if !slices.ContainsFunc(out, func(dir string) bool { return within(dir, f) }) {
			out = append(out, f)
		}
	}
	return out
}

// within reports whether a file is a folder or lies in it.
func within(dir, file string) bool {
	rel, err := filepath.Rel(dir, file)
	return err == nil && filepath.IsLocal(rel)
}

// foldersOf returns where a file is, and where it is if that is a link. Of a file in
// the root folder it is the file: else all could be read.
func foldersOf(file string) (all []string) {
	file, err := filepath.Abs(file)
	if err != nil {
		return nil
	}
	for _, f := range []string{file, resolved(file)} {
		if dir := filepath.Dir(f); dir != "/" {
			f = dir
		}
		all = append(all, f)
	}
	return all
}

// resolved is a path without links; the path itself where nothing is there.
func resolved(file string) string {
	if to, err := filepath.EvalSymlinks(file); err == nil {
		return to
	}
	return file
}

func isLink(file string) bool {
	fi, err := os.Lstat(file)
	return err == nil && fi.Mode()&os.ModeSymlink != 0
}

// beyond returns the files that a new configuration names and that lie out of reach.
func (r reach) beyond(c *config.Config) (all []string) {
	for _, f := range c.Files() {
		for _, dir := range foldersOf(f) {
			if !r.covers(dir) {
				all = append(all, dir)
			}
		}
	}
	return slices.Compact(all)
}

// covers reports whether what lies in a folder can be read.
func (r reach) covers(dir string) bool {
	return slices.ContainsFunc(slices.Concat(r.read, r.write), func(open string) bool {
		return within(resolved(open), resolved(dir))
	})
}

// confine closes the file system for this process but for a reach, for good. It
// returns nil where the system cannot do so, and the log says which it is.
func confine(r reach, log *slog.Logger) *reach {
	if err := restrict(r); err != nil {
		log.Info("the file system is not closed to us (landlock)", "why", err)
		return nil
	}
	log.Info("the file system is closed to us but for these (landlock)", "read", r.read, "write", r.write)
	return &r
}
