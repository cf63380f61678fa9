package filter

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// command is one step of the dialogue.
type command struct {
	letter byte
	name   string // as a Fault tells it
	unless uint32 // the filter does not want to be told (SMFIP_NO…)
	silent uint32 // it will not answer (SMFIP_NR_…)
	stage  int    // SMFIM_…, under which it asks for macros; -1: none are sent
	macros string // which are sent unless it does
}

// The steps in their order, with the macros that Postfix sends (MILTER_README,
// milter_*_macros); the client's own go with the connection. A macro that has no
// value is not sent.
var (
	atConnect = command{'C', "connect", 1 << 0, 1 << 12, 0, "j {daemon_name} {daemon_addr} {daemon_port} v _ " +
		"{client_addr} {client_port} {client_name} {client_ptr} {client_connections} {if_addr} {if_name}"}
	atHello     = command{'H', "HELO", 1 << 1, 1 << 13, 1, "{tls_version} {cipher} {cipher_bits} {cert_subject} {cert_issuer}"}
	atMail      = command{'M', "MAIL", 1 << 2, 1 << 14, 2, "i {auth_type} {auth_authen} {auth_author} {auth_ssf} {mail_addr} {mail_host} {mail_mailer}"}
	atRcpt      = command{'R', "RCPT", 1 << 3, 1 << 15, 3, "i {rcpt_addr} {rcpt_host} {rcpt_mailer}"}
	atData      = command{'T', "DATA", 1 << 9, 1 << 16, 4, "i"}
	atHeader    = command{'L', "header", 1 << 5, 1 << 7, -1, ""}
	atEndHeader = command{'N', "end of header", 1 << 6, 1 << 18, 6, "i"}
	atBody      = command{'B', "body", 1 << 4, 1 << 19, -1, ""}
	atEnd       = command{'E', "end of message", 0, 0, 5, "i"}
)

const (
	allActions  = 0x1ff // SMFIF_ADDHDRS to SMFIF_SETSYMLIST
	actionsOf2  = 0x3f  // what the versions before 6 knew of it, SMFIF_QUARANTINE the last
	allSteps    = 0x1fffff
	stepsOf2    = 0x7f    // SMFIP_NOCONNECT to SMFIP_NOEOH
	stepsOf4    = 0x37f   // and SMFIP_NOUNKNOWN, SMFIP_NODATA
	maySkip     = 1 << 10 // SMFIP_SKIP: it may say that it wants no more of a kind
	exactValues = 1 << 20 // SMFIP_HDR_LEADSPC: with the blank behind the colon
)

// agreed is what was agreed with a filter.
type agreed struct {
	version uint32
	steps   uint32         // SMFIP_…
	macros  map[int]string // by stage, where it has wishes
}

// wants reports whether the filter wants to be told of a step.
func (a *agreed) wants(c command) bool {
	return a.steps&c.unless == 0 && (c.letter != atData.letter || a.version > 3)
}

// macrosOf returns the names of the macros to send with a step.
func (a *agreed) macrosOf(c command) []string {
	if c.stage < 0 {
		return nil
	}
	if names, ok := a.macros[c.stage]; ok {
		return strings.FieldsFunc(names, func(r rune) bool { return r == ' ' || r == ',' || r == '\t' })
	}
	return strings.Fields(c.macros)
}

// negotiate offers a version with all that it knows, and hears what the filter
// wants of that. Many filters ask for the right to replace the body and never do it;
// one that does meets errBody.
func negotiate(w *wire, version uint32) (agreed, error) {
	actions, steps := uint32(allActions), uint32(allSteps)
	switch {
	case version < 4:
		actions, steps = actionsOf2, stepsOf2
	case version < 6:
		actions, steps = actionsOf2, stepsOf4
	}
	offer := make([]byte, 12)
	binary.BigEndian.PutUint32(offer, version)
	binary.BigEndian.PutUint32(offer[4:], actions)
	binary.BigEndian.PutUint32(offer[8:], steps)
	if err := w.put('O', offer); err != nil {
		return agreed{}, err
	}
	cmd, answer, err := w.next()
	if err != nil {
		return agreed{}, err
	}
	if cmd != 'O' || len(answer) < len(offer) {
		return agreed{}, fmt.Errorf("it does not negotiate: %q", string(cmd))
	}
	a := agreed{version: binary.BigEndian.Uint32(answer), steps: binary.BigEndian.Uint32(answer[8:]) & steps, macros: map[int]string{}}
	if a.version < 2 || a.version > version {
		return agreed{}, fmt.Errorf("it speaks version %d, and was offered %d", a.version, version)
	}
	if more := binary.BigEndian.Uint32(answer[4:]) &^ actions; more != 0 {
		return agreed{}, fmt.Errorf("it wants to do what it was not offered: %#x", more)
	}
	for rest := answer[len(offer):]; len(rest) >= 4; {
		stage := binary.BigEndian.Uint32(rest)
		var names string
		if names, rest, err = cut(rest[4:]); err != nil {
			return agreed{}, fmt.Errorf("its list of macros: %w", err)
		}
		if stage <= uint32(atEndHeader.stage) {
			a.macros[int(stage)] = names
		}
	}
	return a, nil
}
