// Postrider is a store-and-forward mail transfer agent that always tells what
// becomes of a message, and why. Run `postrider --help`, or read docs/message.md.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/alecthomas/kong"

	"github.com/postrider/postrider/internal/config"
)

// version is set by the build: -ldflags "-X main.version=…".
var version = "development"

// Exit codes of every command.
const (
	exitDone  = 0
	exitNo    = 1 // a bad configuration, nothing matched, not understood
	exitUsage = 2
)

// exit ends a command that has said all there is to say.
type exit int

func (e exit) Error() string { return fmt.Sprint("exit ", int(e)) }

// errNothing ends a command that found nothing: its words are all there is to say.
var errNothing = errors.New("nothing matches")

// streams are what a command reads and writes.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

type cli struct {
	Config string `short:"c" placeholder:"FILE" help:"Configuration; default /etc/postrider/postrider.toml, then ./postrider.toml."`

	Serve    serveCmd    `cmd:"" help:"Run the mail server."`
	Check    checkCmd    `cmd:"" help:"Name every mistake in the configuration; with --data all damage in the spool."`
	Queue    queueCmd    `cmd:"" help:"List what waits, with its fate: next try, next warning, when it is given up and by which rule."`
	Trace    traceCmd    `cmd:"" help:"Show the timeline of a message, also after it left."`
	Top      topCmd      `cmd:"" help:"Watch what comes, leaves and waits, live: q ends it."`
	Retry    retryCmd    `cmd:"" help:"Try now; the schedule goes on as if nothing had been."`
	Hold     holdCmd     `cmd:"" help:"Keep, do not try. The clock goes on."`
	Release  releaseCmd  `cmd:"" help:"End a hold, then try at once."`
	Giveup   giveupCmd   `cmd:"" help:"Return to the sender now."`
	Remove   removeCmd   `cmd:"" help:"Drop, tell nobody."`
	Reroute  rerouteCmd  `cmd:"" help:"Send by another next hop."`
	Life     lifeCmd     `cmd:"" help:"Keep for longer or shorter than the schedule says."`
	Warn     warnCmd     `cmd:"" help:"Tell the sender of the delay now."`
	Sites    sitesCmd    `cmd:"" name:"destinations" help:"List destinations: how they are, what they said last, what waits for them; those in trouble first."`
	Pause    pauseCmd    `cmd:"" help:"Do not try a destination until it is resumed. The clock goes on."`
	Resume   resumeCmd   `cmd:"" help:"Try a paused destination again."`
	Allow    allowCmd    `cmd:"" help:"Let a host, network, sender or domain past one rule for a while; list, end, and the letter to its manager."`
	Refused  refusedCmd  `cmd:"" help:"List who was refused or deferred at the door lately, by which rule, and who looks honest."`
	Export   exportCmd   `cmd:"" help:"Write every message that waits as a file, with all that is known of it, from the spool of a service that does not run."`
	Send     sendCmd     `cmd:"" help:"Submit a message from standard input, as sendmail does."`
	Simulate simulateCmd `cmd:"" help:"Foretell what a chain of mail systems does: who owns a message when, and who tells the sender what."`
	Explain  explainCmd  `cmd:"" help:"Read anyone's bounce and say what happened: who gave up, who refused, whose clock, what to do."`
	Lint     lintCmd     `cmd:"" help:"Find the traps in a retry policy: ours, a known system's or a main.cf of Postfix."`
	Demo     demoCmd     `cmd:"" help:"Tell the founding story live: three servers, two bounces, in under a minute."`
	Version  versionCmd  `cmd:"" help:"Print the version."`

	Completion completionCmd `cmd:"" help:"Print the script that has a shell complete commands, flags, ids and domains."`
	Man        manCmd        `cmd:"" help:"Print the manual page of postrider, or write all pages into a folder."`
	Complete   completeCmd   `cmd:"" hidden:""`
}

type versionCmd struct{}

func (versionCmd) Run(s streams) error {
	_, err := fmt.Fprintln(s.out, "postrider", version)
	return err
}

func main() {
	os.Exit(run(os.Args, streams{os.Stdin, os.Stdout, os.Stderr}))
}

// run is the program, as a function of its arguments.
func run(args []string, s streams) int {
	switch filepath.Base(args[0]) {
	case "sendmail":
		return sendmail(args[1:], s)
	case "newaliases": // aliases stand in the configuration
		return exitDone
	case "mailq":
		args = append([]string{args[0], "queue"}, args[1:]...)
	}
	if len(args) > 1 && args[1] == "send" && !slices.Contains(args, "--help") {
		return sendmail(args[2:], s)
	}
	var c cli
	code := -1
	parser, err := kong.New(&c,
		kong.Name("postrider"),
		kong.Description("A mail transfer agent that always tells what becomes of a message, and why."),
		kong.Writers(s.out, s.err),
		kong.Exit(func(n int) { code = n }),
		kong.Bind(s),
		kong.UsageOnError(),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
	)
	if err != nil {
		panic(err) // a broken declaration of ours
	}
	ctx, err := parser.Parse(args[1:])
	if code >= 0 { // --help has been answered
		return code
	}
	if err != nil {
		fmt.Fprintln(s.err, "postrider:", err)
		fmt.Fprintln(s.err, "Run \"postrider --help\" for the commands.")
		return exitUsage
	}
	err = ctx.Run(&c)
	var said exit
	var mistakes config.Errors
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &said):
		return int(said)
	case errors.As(err, &mistakes): // each begins with its place, for editors to jump to
		fmt.Fprintln(s.err, err)
		return exitNo
	}
	fmt.Fprintln(s.err, "postrider:", err)
	return exitNo
}
