// Package mail holds the words that every other package speaks: address, path,
// envelope, reply, enhanced status, stage, header field, trace line.
//
// It reads bytes into these words and writes them back as they were said. It
// decides nothing: what a reply means for a message is the business of package
// custody, what it means for a person that of package cause. It never touches a
// clock, a disk or a network.
//
// Start reading at [Envelope], then [Reply].
package mail

import "fmt"

// Stage is the part of an attempt in which something was said or went wrong, in
// the order in which they come.
type Stage uint8

const (
	NoStage  Stage = iota // nothing was tried yet
	Route                 // finding the next hop: configuration and DNS
	Connect               // the TCP connection
	Greeting              // the banner (RFC 5321 4.2)
	Hello                 // EHLO, HELO or LHLO
	TLS                   // STARTTLS and the handshake
	Auth                  // AUTH (RFC 4954)
	Mail                  // MAIL FROM
	Rcpt                  // RCPT TO
	Data                  // DATA or BDAT up to and including the message's bytes
	Dot                   // the reply to the final dot: the moment custody moves
)

var stageNames = [...]string{"", "route", "connect", "greeting", "hello", "tls", "auth", "mail", "rcpt", "data", "dot"}

// String returns the stage as written in JSON, logs and reports: "rcpt".
func (s Stage) String() string {
	if int(s) < len(stageNames) {
		return stageNames[s]
	}
	return fmt.Sprintf("stage(%d)", uint8(s))
}

// MarshalText writes the stage as String does.
func (s Stage) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (s *Stage) UnmarshalText(b []byte) error {
	for i, n := range stageNames {
		if n == string(b) {
			*s = Stage(i)
			return nil
		}
	}
	return fmt.Errorf("mail: unknown stage %q", b)
}
