package peers

import (
	"context"
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Swaks runs swaks, the SMTP and LMTP client that shows every line it says and
// hears, and returns what it printed and its exit code: 0 is a message accepted.
// It needs perl, which every Debian has, but not root.
func Swaks(t testing.TB, args ...string) (output string, code int) {
	t.Helper()
	tree := Tree(t, "swaks")
	perl, err := exec.LookPath("perl")
	if err != nil {
		t.Skipf("swaks needs perl: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	// HOME: no ~/.swaksrc. The HELO name, unless args have another, is given as
	// swaks would ask the name servers for its own. The library folders bring Net::SSLeay and perl's own
	// modules, where a small machine has only perl-base.
	home := t.TempDir()
	cmd := exec.CommandContext(ctx, perl, append([]string{filepath.Join(tree, "usr/bin/swaks")}, args...)...)
	cmd.Dir = home
	libs, _ := filepath.Glob(filepath.Join(tree, "usr/lib/*-linux-gnu"))
	modules, _ := filepath.Glob(filepath.Join(tree, "usr/lib/*-linux-gnu/perl*/5.*"))
	shared, _ := filepath.Glob(filepath.Join(tree, "usr/share/perl*/5.*"))
	plain, _ := filepath.Glob(filepath.Join(tree, "usr/share/perl5"))
	modules = append(append(modules, shared...), plain...)
	cmd.Env = append(environment[:len(environment):len(environment)], "HOME="+home, "SWAKS_OPT_helo=swaks.test",
		"PERL5LIB="+strings.Join(modules, ":"), "LD_LIBRARY_PATH="+strings.Join(libs, ":"))
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("peers: swaks: %v", err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}
