package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/postrider/postrider/internal/api"
	"github.com/postrider/postrider/internal/config"
	"github.com/postrider/postrider/mail"
)

// The drop folder takes what is submitted while no server runs: a file a message,
// its envelope as one line of JSON in front. Everybody may add to it, only its
// owner may list it.
func dropFolder(c *config.Config) string { return filepath.Join(c.Data, "drop") }

const dropEvery = 2 * time.Second

// drop leaves a message in the drop folder. It returns when it is on disk.
func drop(c *config.Config, q url.Values, msg io.Reader) error {
	if _, err := api.Envelope(q); err != nil {
		return badMail{err}
	}
	dir := dropFolder(c)
	if err := makeDrop(dir); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".new-*")
	if err != nil {
		return fmt.Errorf("the server is down, and there is no place to leave the message: %w", err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	w := bufio.NewWriter(f)
	head, err := json.Marshal(q)
	if err != nil {
		return err
	}
	w.Write(append(head, '\n'))
	if _, err := io.Copy(w, msg); err != nil {
		return err
	}
	err = errors.Join(w.Flush(), f.Chmod(0o644), f.Sync(), f.Close())
	if err != nil {
		return fmt.Errorf("the server is down, and the message could not be left: %w", err)
	}
	name := filepath.Join(dir, strings.TrimPrefix(filepath.Base(f.Name()), ".new-")+".drop")
	if err := os.Rename(f.Name(), name); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return nil // not ours to list: its owner syncs it sooner or later
	}
	defer d.Close()
	return d.Sync()
}

func makeDrop(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return os.Chmod(dir, 0o733|os.ModeSticky)
}

// drops takes in what was left in the drop folder, at the start and from then on.
func (n *node) drops(ctx context.Context) error {
	dir := dropFolder(n.conf)
	if err := makeDrop(dir); err != nil {
		return err
	}
	for {
		files, err := filepath.Glob(filepath.Join(dir, "*.drop"))
		if err != nil {
			return err
		}
		for _, f := range files {
			if err := n.takeDrop(ctx, f); err != nil && ctx.Err() == nil {
				n.log.Error("a message in the drop folder cannot be taken", "file", f, "err", err)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(dropEvery):
		}
	}
}

// takeDrop submits one file. What can never be taken is set aside, not lost.
// Anybody may have put it there: it may be a pipe, a link, shut, or of any size.
func (n *node) takeDrop(ctx context.Context, file string) error {
	aside := func(err error) error {
		return errors.Join(fmt.Errorf("set aside as %s.bad: %w", filepath.Base(file), err), os.Rename(file, file+".bad"))
	}
	f, err := os.OpenFile(file, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if errors.Is(err, syscall.ELOOP) || errors.Is(err, syscall.ENXIO) || errors.Is(err, fs.ErrPermission) {
		return aside(err)
	} else if err != nil {
		return err
	}
	defer f.Close()
	if fi, err := f.Stat(); err != nil {
		return err
	} else if !fi.Mode().IsRegular() {
		return aside(errors.New("not a file"))
	}
	q, length, err := dropEnvelope(f)
	if err != nil {
		return aside(err)
	}
	env, err := api.Envelope(q)
	if err != nil {
		return aside(err)
	}
	if _, err := f.Seek(length, io.SeekStart); err != nil {
		return err
	}
	var refused interface{ Refused() mail.Reply }
	fault := n.contain(func() { _, err = n.intake.Submit(ctx, env, mail.Clean(q.Get("user"), 100), f) })
	if fault != nil || errors.As(err, &refused) {
		return aside(cmp.Or(fault, err))
	} else if err != nil {
		return err
	}
	return os.Remove(file)
}

// dropEnvelope reads the line in front of a message, and says how many octets it has.
func dropEnvelope(r io.Reader) (q url.Values, length int64, err error) {
	line, err := bufio.NewReader(io.LimitReader(r, api.MaxEnvelope)).ReadBytes('\n')
	if err == io.EOF {
		return nil, 0, errors.New("no line with an envelope in front of a message")
	}
	if err == nil {
		err = json.Unmarshal(line, &q)
	}
	return q, int64(len(line)), err
}

// once is a transport for one request over a connection that stands.
func once(nc net.Conn) http.RoundTripper {
	return &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return nc, nil }}
}
