package config

import (
	"crypto/tls"
	"errors"
	"io/fs"
	"os"
)

// mention is a file that the configuration names.
type mention struct {
	v      value
	file   string
	secret bool
}

func (r *reader) mention(v value, file string, secret bool) {
	if v.n != nil && file != "" {
		r.disk = append(r.disk, mention{v, file, secret})
	}
}

// lookAtFiles checks the files that the configuration names. The name of a
// secret one is not repeated: people write the password itself there.
func (r *reader) lookAtFiles() {
	usable := map[string]string{}
	for _, m := range r.disk {
		name := m.file + ": "
		if m.secret {
			name = ""
		}
		info, err := os.Stat(m.file)
		switch {
		case errors.Is(err, fs.ErrPermission):
			r.doubt(m.v.n.at, "%s: %sthis user may not look at it; the service must be able to", m.v.key, name)
			continue
		case errors.Is(err, fs.ErrNotExist):
			m.v.bad("%s: %sthere is no such file", m.v.key, name)
			continue
		case err != nil:
			m.v.bad("%s: %scannot be looked at", m.v.key, name)
			continue
		case info.IsDir():
			m.v.bad("%s: %sis a folder, not a file", m.v.key, name)
			continue
		}
		if mode := info.Mode().Perm(); m.secret && mode&0o007 != 0 {
			r.doubt(m.v.n.at, "%s: everybody on this machine can read it (mode %#o); chmod o= makes it secret", m.v.key, mode)
		}
		usable[m.v.path] = m.file
	}
	r.lookAtCertificate(usable["tls.cert"], usable["tls.key"])
}

// lookAtCertificate checks that the key is that of the certificate, if both can be
// looked at.
func (r *reader) lookAtCertificate(cert, key string) {
	for _, m := range r.disk {
		if m.v.path != "tls.cert" || cert == "" || key == "" {
			continue
		}
		_, err := tls.LoadX509KeyPair(cert, key)
		switch {
		case errors.Is(err, fs.ErrPermission):
			r.doubt(m.v.n.at, "cert: this user may not read the certificate or its key; the service must be able to")
		case err != nil:
			m.v.bad("cert: %v", err)
		}
	}
}

// Files returns the paths of the files that the configuration names, secret ones
// included, as it reads them.
func (c *Config) Files() []string {
	if c.reader == nil {
		return nil
	}
	var all []string
	for _, m := range c.reader.disk {
		all = append(all, m.file)
	}
	return all
}
