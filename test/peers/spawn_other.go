//go:build !linux

package peers

import (
	"errors"
	"os/exec"
	"time"
)

const nsScript = ""

type process struct{ ended chan struct{} }

func spawn(*exec.Cmd) (*process, error) { return nil, isolation() }
func (p *process) pid() int             { return 0 }
func (p *process) stop(time.Duration)   {}
func (p *process) kill()                {}
func isolation() error                  { return errors.New("they exist only on Linux") }
