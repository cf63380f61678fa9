//go:build linux

package crash

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
	"testing"
)

const apart = "CRASH_TEST_APART" // set in the process that TestMain starts: what it may

// TestMain runs the tests in a process of its own, and clears away after it however it
// ends: the folder with all its files is removed. Root's has mounts of its own, which
// the kernel takes back, and the loop devices with them.
func TestMain(m *testing.M) {
	if os.Getenv(apart) != "" {
		os.Exit(m.Run())
	}
	code, err := alone()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

func alone() (code int, err error) {
	dir, err := os.MkdirTemp("", "crash-")
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	self, err := os.Executable()
	if err != nil {
		return 1, err
	}
	runtime.LockOSThread() // Pdeathsig speaks of this thread (go.dev/issue/27505)
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT)
	start := func(may string, flags uintptr) (*exec.Cmd, error) {
		cmd := exec.Command(self, os.Args[1:]...)
		cmd.Env = append(os.Environ(), apart+"="+may, "TMPDIR="+dir)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags, Pdeathsig: syscall.SIGKILL}
		return cmd, cmd.Start()
	}
	cmd, err := start(mounts, syscall.CLONE_NEWNS)
	if err != nil { // nobody but root may, and not every container's root
		if cmd, err = start("nothing", 0); err != nil {
			return 1, err
		}
	}
	go func() {
		for s := range signals {
			cmd.Process.Signal(s)
		}
	}()
	err = cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() > 0 {
		return exit.ExitCode(), nil
	}
	if err != nil {
		return 1, err
	}
	return 0, nil
}

const mounts = "mounts"
