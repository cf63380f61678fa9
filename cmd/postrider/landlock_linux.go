package main

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Rights of landlock(7). Of those that a kernel does not know yet it keeps what it
// always kept.
const (
	toRead  = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR
	toClear = unix.LANDLOCK_ACCESS_FS_REMOVE_FILE
	toWrite = toRead | toClear | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE |
		unix.LANDLOCK_ACCESS_FS_REMOVE_DIR | unix.LANDLOCK_ACCESS_FS_MAKE_DIR | unix.LANDLOCK_ACCESS_FS_MAKE_REG |
		unix.LANDLOCK_ACCESS_FS_MAKE_SOCK | unix.LANDLOCK_ACCESS_FS_REFER |
		unix.LANDLOCK_ACCESS_FS_MAKE_FIFO | unix.LANDLOCK_ACCESS_FS_MAKE_SYM // to put aside what others dropped
	ofFiles = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE // of a rule about a file
)

// handled are the rights that are taken from us where no rule gives them back, by the
// version of landlock.
func handled(version int) uint64 {
	all := uint64(unix.LANDLOCK_ACCESS_FS_MAKE_SYM<<1 - 1)
	for _, later := range []struct {
		version int
		right   uint64
	}{{2, unix.LANDLOCK_ACCESS_FS_REFER}, {3, unix.LANDLOCK_ACCESS_FS_TRUNCATE}, {5, unix.LANDLOCK_ACCESS_FS_IOCTL_DEV}} {
		if version >= later.version {
			all |= later.right
		}
	}
	return all
}

// restrict closes the file system for all threads of this process but for a reach.
func restrict(r reach) error {
	version, _, no := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if no != 0 {
		return fmt.Errorf("the kernel does not offer it: %w", no)
	}
	ruleset := unix.LandlockRulesetAttr{Handled_access_fs: handled(int(version))}
	set, _, no := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&ruleset)), unsafe.Sizeof(ruleset.Handled_access_fs), 0)
	if no != 0 {
		return fmt.Errorf("making the rules: %w", no)
	}
	defer unix.Close(int(set))
	for _, give := range []struct {
		right uint64
		paths []string
	}{{toRead, r.read}, {toWrite, r.write}, {toClear, r.clear}} {
		for _, path := range give.paths {
			if err := grant(int(set), path, give.right&ruleset.Handled_access_fs); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("a rule for %s: %w", path, err)
			}
		}
	}
	if _, _, no := syscall.AllThreadsSyscall(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0); no == syscall.ENOTSUP {
		return errors.New("this program was built with cgo: CGO_ENABLED=0 go build")
	} else if no != 0 {
		return fmt.Errorf("giving up new privileges: %w", no)
	}
	if _, _, no := syscall.AllThreadsSyscall(unix.SYS_LANDLOCK_RESTRICT_SELF, set, 0, 0); no != 0 {
		return fmt.Errorf("putting the rules in force: %w", no)
	}
	return nil
}

// grant gives rights on a file, or on a folder with all below it.
func grant(set int, path string, rights uint64) error {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		rights &= ofFiles
	}
	rule := unix.LandlockPathBeneathAttr{Allowed_access: rights, Parent_fd: int32(fd)}
	if _, _, no := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(set), unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&rule)), 0, 0, 0); no != 0 {
		return no
	}
	return nil
}
