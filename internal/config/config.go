// Package config reads the one file that configures postrider into a Config: a
// plain struct whose every value is checked, typed and filled with its default.
//
// Every mistake is found at once and reported as file:line:column, what is
// wrong, and what was probably meant. What postrider does on account of a line
// of the file can say so: the rules in a Config read "postrider.toml:41 relay".
//
// The package never opens a socket, never reads a secret (a password file is
// only looked at, its users read it), never changes a file, and decides nothing
// about mail.
//
// Start reading at [Load]; every key stands in [Example] with its meaning.
package config

import (
	_ "embed"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/route"
	"github.com/postrider/postrider/mail"
)

// Config is one file, read. It is not changed after Load: a reload makes
// another. Limits are never zero; a path that is written relative in the file is
// relative to the file's folder.
type Config struct {
	File     string // as named to Load; "": Default
	Hostname string // our name in greetings and trace lines, canonical
	Data     string // the folder of the spool and the socket
	History  time.Duration
	// Postmaster is whom notices name as contact, and where mail to postmaster,
	// abuse and root goes if Aliases was not told otherwise. Null: nobody.
	Postmaster mail.Address

	Log       Log
	TLS       TLS
	Listen    []Listen
	Tokens    []Token // without any, http listeners are on loopback and only show
	Webhooks  []Webhook
	SMTP      SMTP
	Relay     Relay
	Door      Door
	Aliases   map[string]Alias // by local part in lower case, or such a local part @ canonical domain
	Routes    []route.Route    // first match wins; never empty, their schedules are named
	Schedules map[string]custody.Schedule
	DNS       DNS
	Notices   Notices
	Queue     Queue

	// Warnings are doubts: the file works, but perhaps not as was meant.
	Warnings []Problem

	rules  map[string]string
	reader *reader
}

// Log says how the log is written.
type Log struct {
	JSON  bool // else text
	Level slog.Level
}

// TLS names the certificate of the listeners, PEM files that are read again when
// they change. Both empty: STARTTLS is not offered.
type TLS struct{ Cert, Key string }

// Listen is one address that is listened on.
type Listen struct {
	Kind    string // "smtp", "lmtp" or "http"
	Network string // "tcp" or "unix"
	Address string // for net.Listen
	Name    string // by which rules know it; "": Address
	Back    bool   // a filter hands back here what it has seen
	Rule    string
}

// SMTP bounds what comes in by SMTP and LMTP.
type SMTP struct {
	Banner                  string // follows the host name in the greeting; "": the default of smtpd
	MaxSize                 int64  // octets of a message
	MaxRecipients           int    // of a message, 100 to 30,000
	MaxConnections          int
	MaxConnectionsPerClient int
	MaxConnectionsPerNet    int  // from one /24 or /48; 0: a quarter of MaxConnections
	MaxErrors               int  // refused commands that end a connection
	MaxHops                 int  // Received fields of a message that loops
	Normalize               bool // mend bare CR and LF instead of refusing the message
	CommandTimeout          time.Duration
	DataTimeout             time.Duration // for the next piece of a message
}

// Relay says for whom mail is accepted.
type Relay struct {
	Rule    string         // "postrider.toml:41 relay"
	Clients []netip.Prefix // who may send anywhere
	Domains []string       // whom anybody may send to: canonical, or "*.example.com"
}

// Alias is where mail for a local name goes.
type Alias struct {
	To   []mail.Address
	Rule string
}

// DNS says whom names are asked of. Empty: the system's servers.
type DNS struct{ Servers []netip.AddrPort }

// Notices shapes the letters that we write ourselves.
type Notices struct {
	HideHosts      []string       // hosts that outsiders are not told of, canonical or "*.internal"
	HideNets       []netip.Prefix // addresses likewise
	PostmasterCopy mail.Address   // told of failures that nobody else can be told of; null: nobody
	ReturnFull     int64          // octets up to which a whole message is returned
}

// Queue bounds what goes out and what waits.
type Queue struct {
	MaxConnections int   // out, all destinations together
	MinFree        int64 // octets of disk below which no mail is accepted
}

//go:embed default.toml
var safeDefault string

// Example is a file with every key, its default and its meaning.
//
//go:embed example.toml
var Example string

// maxFile bounds a configuration; the largest in the wild are lists of routes.
const maxFile = 4 << 20

// Load reads a file. The error is Errors if the file was read but is wrong.
func Load(file string) (*Config, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("config: read %s: %w", file, err)
	}
	r := newReader(file)
	c := r.config(b)
	r.lookAtFiles()
	return r.result(c)
}

// Parse reads a text as Load reads a file of that name, but looks at no file,
// those that the text mentions included.
func Parse(file string, b []byte) (*Config, error) {
	r := newReader(file)
	return r.result(r.config(b))
}

// Default returns what serve does without any file: loopback only, data in the
// folder postrider-data below dir.
func Default(dir string) *Config {
	r := newReader("")
	r.dir = dir
	c, err := r.result(r.config([]byte(safeDefault)))
	if err != nil {
		panic(fmt.Sprintf("config: default.toml: %v", err))
	}
	return c
}

// DefaultText returns the file that Default reads, comments included.
func DefaultText() string { return safeDefault }

// Find returns the file to load: the one that was asked for, whether it is there
// or not; else /etc/postrider/postrider.toml; else postrider.toml in the current
// folder. False: there is none, and Default applies.
func Find(flag string) (file string, ok bool) {
	if flag != "" {
		return flag, true
	}
	for _, f := range []string{"/etc/postrider/postrider.toml", "postrider.toml"} {
		if _, err := os.Stat(f); err == nil || !os.IsNotExist(err) {
			return f, true
		}
	}
	return "", false
}

// Rule names the place of a key as verdicts and fate lines do:
// "postrider.toml:9 smtp.max_size", or "built-in default smtp.max_size".
func (c *Config) Rule(key string) string {
	if r, ok := c.rules[key]; ok {
		return r
	}
	return builtIn + " " + key
}

// Schedule returns the schedule of that name; an unknown one is "default", which
// a reload can bring about for what is already queued.
func (c *Config) Schedule(name string) custody.Schedule {
	if s, ok := c.Schedules[name]; ok {
		return s
	}
	return c.Schedules["default"]
}

// Socket returns the path of the socket by which the commands reach the service.
func (c *Config) Socket() string { return filepath.Join(c.Data, "postrider.sock") }
