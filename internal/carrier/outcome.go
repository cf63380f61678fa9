package carrier

import (
	"errors"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/smtpc"
	"github.com/postrider/postrider/mail"
)

// outcome is what somebody heard at a place, in custody's words.
func (p place) outcome(o smtpc.Outcome) custody.Outcome {
	out := custody.Outcome{
		At: time.Now(), Host: p.host, IP: p.ip, Stage: o.Stage, Reply: o.Reply, Theirs: o.Theirs,
		Permanent: o.Permanent, Taken: custody.Taken(o.Taken), Trouble: trouble(o),
	}
	if o.Theirs {
		out.Hint = smtpc.Hint(o.Reply)
	}
	return out
}

// failure is why a place could not be used, in custody's words.
func (p place) failure(f *smtpc.Failure) custody.Outcome {
	return p.outcome(smtpc.Outcome{Stage: f.Stage, Reply: f.Reply, Theirs: f.Theirs, Permanent: f.Permanent})
}

// trouble is the kind of a temporary outcome.
func trouble(o smtpc.Outcome) custody.Trouble {
	auth := o.Stage == mail.Auth
	switch {
	case o.Taken != smtpc.Nothing, o.Permanent:
		return custody.NoTrouble
	case o.Ambiguous:
		return custody.Ambiguous
	// A host that does not take our password, or that we do not show it to.
	case o.Ours, auth && o.Theirs && o.Reply.Permanent(), auth && !o.Theirs && o.Reply.Status[1] == 7:
		return custody.Ours
	case o.Theirs && o.Reply.Permanent() && o.Stage != mail.TLS:
		return custody.NoTrouble
	case o.Theirs && smtpc.Greylisted(o.Reply):
		return custody.Greylisted
	case o.Theirs && o.Reply.Temporary():
		return custody.Deferred
	}
	return custody.Unreachable
}

// cut shortens words to so many octets, and shows that it did.
func cut(words string, limit int) string {
	const more = " …"
	if len(words) <= max(limit, len(more)) {
		return words
	}
	end := limit - len(more)
	for !utf8.RuneStart(words[end]) {
		end--
	}
	return words[:end] + more
}

// silent reports whether nobody answered at all, so that the next attempt had
// better ask others first.
func silent(o custody.Outcome) bool {
	return !o.Theirs && o.Trouble == custody.Unreachable && o.Stage <= mail.Greeting
}

// clearer returns which of two hosts of a way is the outcome if neither took the
// message. Words tell more than silence; but while one host may still take it,
// another has not refused it for good. Of equals the later one counts.
func clearer(a, b custody.Outcome) custody.Outcome {
	if clarity(a) > clarity(b) {
		return a
	}
	return b
}

func clarity(o custody.Outcome) int {
	switch {
	case o.IsZero():
		return 0
	case silent(o) && strings.HasSuffix(o.Reply.Text, noNetwork):
		return 1 // we have no IPv6, say: that host was not asked
	case o.Refuses():
		return 2
	case !o.Theirs:
		return 3
	}
	return 4
}

const noNetwork = "network is unreachable"

// dialWords says in words why there is no connection: refused, no route and
// silence are different troubles with different people to mend them.
func dialWords(err error, p place) string {
	where := p.addr
	if p.ip != "" {
		where = p.host + "[" + p.ip + "]:" + p.port
	}
	why := "cannot connect to " + where + ": "
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return why + "connection refused"
	case errors.Is(err, os.ErrDeadlineExceeded):
		return why + "connection timed out, " + strings.TrimSuffix(err.Error(), ": "+os.ErrDeadlineExceeded.Error())
	case errors.Is(err, syscall.ETIMEDOUT):
		return why + "connection timed out"
	case errors.Is(err, syscall.EHOSTUNREACH):
		return why + "no route to host"
	case errors.Is(err, syscall.ENETUNREACH):
		return why + noNetwork
	case errors.Is(err, syscall.ECONNRESET):
		return why + "connection reset"
	case errors.Is(err, syscall.ENOENT):
		return why + "no such socket"
	}
	var sys *os.SyscallError
	var op *net.OpError
	switch {
	case errors.As(err, &sys):
		err = sys.Err
	case errors.As(err, &op):
		err = op.Err
	}
	return why + mail.Clean(err.Error(), 200)
}
