//go:build linux

// Package load holds the program, as it is built, under loads that other mail servers
// bend under: one host that keeps 50,000 messages until their end, 10,000 connections
// that hardly move, a host that comes back to 20,000. What must hold is counted; a time
// is only measured, unless it was promised.
//
// Start reading at [TestWhatASilentHostKeepsEndsWhenPromised].
package load

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
)

// TestMain keeps all files in one folder, and clears it away, also when it is interrupted.
func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	folder, err := os.MkdirTemp("", "load-")
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	if err := os.Setenv("TMPDIR", folder); err != nil {
		return 1, err
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	done := make(chan int, 1)
	go func() { done <- m.Run() }()
	select {
	case code = <-done:
	case s := <-signals:
		return 1, fmt.Errorf("ended by signal: %v", s) // what we started ends with us
	}
	return code, nil
}

var program = sync.OnceValues(func() (string, error) {
	path := filepath.Join(os.TempDir(), "postrider")
	cmd := exec.Command("go", "build", "-trimpath", "-o", path, "../../cmd/postrider")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

// size is the size of a load: LOAD, or all of it in the slow tests, or so much that it
// takes a second.
func size(small, all int) int {
	if n, err := strconv.Atoi(os.Getenv("LOAD")); err == nil && n > 0 {
		return n
	}
	if long {
		return all
	}
	return small
}
