//go:build linux && slow

package crash

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

// A disk is a file system on a loop device, whose power can be cut.
type disk struct {
	dir, kind, device string
	fault             error // of the last cut
}

// usualKills is how often the program is killed in the long run.
const usualKills = 1000

// newDisk makes a file system of a kind, ext4 or xfs, or ends the test as skipped.
func newDisk(t *testing.T, kind string) *disk {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("a loop device wants root")
	}
	if os.Getenv(apart) != mounts {
		t.Skip("this root may not have mounts of its own")
	}
	if _, err := exec.LookPath("mkfs." + kind); err != nil {
		t.Skipf("%v: apt-get install %s", err, map[string]string{"ext4": "e2fsprogs", "xfs": "xfsprogs"}[kind])
	}
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		t.Skipf("mounts of our own: %v", err)
	}
	image := filepath.Join(t.TempDir(), "image")
	if err := errors.Join(os.WriteFile(image, nil, 0o600), os.Truncate(image, 2<<30)); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mkfs."+kind, "-q", image).CombinedOutput(); err != nil {
		t.Skipf("mkfs.%s: %v: %s", kind, err, out)
	}
	out, err := exec.Command("losetup", "--find", "--show", image).CombinedOutput()
	if err != nil {
		t.Skipf("losetup: %v: %s", err, out)
	}
	d := &disk{dir: t.TempDir(), kind: kind, device: strings.TrimSpace(string(out))}
	// What is detached while it is in use goes with its last user: us, at the latest.
	// The image has no name any more either.
	hold, err := os.Open(d.device)
	detached := exec.Command("losetup", "--detach", d.device).Run()
	if err := errors.Join(err, detached, os.Remove(image)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { hold.Close() })
	if err := d.mount(); err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() {
		if err := d.unmount(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func (d *disk) mount() error {
	if err := syscall.Mount(d.device, d.dir, d.kind, syscall.MS_NOATIME, ""); err != nil {
		return fmt.Errorf("mount %s on %s: %w", d.device, d.dir, err)
	}
	return nil
}

func (d *disk) unmount() (err error) {
	for range 100 {
		if err = syscall.Unmount(d.dir, 0); err != syscall.EBUSY {
			break
		}
		time.Sleep(20 * time.Millisecond) // what ends has not ended yet
	}
	if err != nil {
		return fmt.Errorf("unmount %s: %w", d.dir, err)
	}
	return nil
}

// cut shuts the file system down: nothing that is not on the device will come there,
// its own log included (FS_IOC_SHUTDOWN with NOLOGFLUSH).
func (d *disk) cut() {
	const shutdown, noLogFlush = 0x8004587d, 2
	d.fault = nil
	dir, err := os.Open(d.dir)
	if err != nil {
		d.fault = err
		return
	}
	defer dir.Close()
	how := uint32(noLogFlush)
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, dir.Fd(), shutdown, uintptr(unsafe.Pointer(&how))); errno != 0 {
		d.fault = fmt.Errorf("shut down %s: %w", d.dir, errno)
	}
}

// renew brings the power back.
func (d *disk) renew() error {
	if d.fault != nil {
		return d.fault
	}
	if err := d.unmount(); err != nil {
		return err
	}
	return d.mount()
}

// loses shows that a cut loses what was not flushed, and nothing else.
func (d *disk) loses(t *testing.T) {
	t.Helper()
	flushed, loose := filepath.Join(d.dir, "flushed"), filepath.Join(d.dir, "loose")
	text := bytes.Repeat([]byte("x"), 10_000)
	f, err := os.Create(flushed)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Write(text)
	root, err2 := os.Open(d.dir)
	if err := errors.Join(err, err2, f.Sync(), f.Close(), root.Sync(), root.Close(), os.WriteFile(loose, text, 0o600)); err != nil {
		t.Fatal(err)
	}
	d.cut()
	if err := d.renew(); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(flushed); err != nil || !bytes.Equal(b, text) {
		t.Fatalf("a cut on %s loses what was flushed: %v", d.kind, err)
	}
	if b, err := os.ReadFile(loose); err == nil && bytes.Equal(b, text) {
		t.Fatalf("a cut on %s loses nothing", d.kind)
	}
	os.Remove(flushed)
	os.Remove(loose)
}
