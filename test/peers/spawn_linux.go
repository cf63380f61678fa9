package peers

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	_ "embed"
)

//go:embed ns.sh
var nsScript string

// A process is the first one of a process namespace: the others end with it.
type process struct {
	cmd   *exec.Cmd
	ended chan struct{} // closed when it and all others are gone
}

// spawn starts cmd in mount and process namespaces of its own.
func spawn(cmd *exec.Cmd) (*process, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID}
	ended, err := Launch(cmd)
	return &process{cmd: cmd, ended: ended}, err
}

// Launch starts a program that ends with the test, however that ends, and returns what
// is closed when it is gone. Ctrl-C at the terminal is for the test.
func Launch(cmd *exec.Cmd) (ended chan struct{}, err error) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig, cmd.SysProcAttr.Setsid = syscall.SIGKILL, true
	ended = make(chan struct{})
	started := make(chan error)
	go func() {
		// Pdeathsig speaks of the thread that started the process (go.dev/issue/27505).
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			cmd.Wait()
		}
		close(ended)
	}()
	return ended, <-started
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// stop asks the process to end, and kills it when it has not after the grace.
func (p *process) stop(grace time.Duration) {
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(grace):
		p.kill()
	}
}

// kill ends the process and all others of its namespace; it returns when they are gone.
func (p *process) kill() {
	if p == nil || p.cmd.Process == nil {
		return
	}
	p.cmd.Process.Kill()
	<-p.ended
}

// isolation tells why no namespaces can be had, if so: asked once.
var isolation = sync.OnceValue(func() error {
	if os.Getuid() != 0 {
		return errors.New("not root")
	}
	for _, tool := range []string{"mount", "nsenter"} {
		if _, err := exec.LookPath(tool); err != nil {
			return err
		}
	}
	// A container's root may lack the right to mount.
	cmd := exec.Command("/bin/sh", "-c", "mount --make-rprivate / && mount -t proc proc /proc && mount -t overlay -o lowerdir=/usr:/etc peer /usr")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID}
	if out, err := cmd.CombinedOutput(); err != nil {
		first, _, _ := strings.Cut(string(out), "\n")
		return fmt.Errorf("this root may not make them: %v: %s", err, first)
	}
	return nil
})
