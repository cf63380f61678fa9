package filter

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
)

const (
	// maxData bounds what is told in one packet: libmilter takes no more and closes
	// the connection (MILTER_MAX_DATA_SIZE; MILTER_CHUNK_SIZE of a body is as much).
	maxData = 65535
	// maxPacket bounds one packet of a filter. Sendmail's libmilter never writes
	// more than 64 kB with the command's octet.
	maxPacket = 1 << 20
	// maxAnswer bounds all that a filter says about one message.
	maxAnswer = 4 << 20
	// flushAt is when what is told without waiting for an answer is sent.
	flushAt = 64 << 10
)

// wire carries the packets of the milter protocol: four octets with the length of
// what follows, a command, its data (sendmail's libmilter/comm.c). Each packet has
// step to arrive, and each write step to leave.
//
// It is our own because no library that was tried stood up to its peer: at an empty
// packet github.com/d--j/go-milter 0.10.1 panics, for an empty body it has no
// message that libmilter takes, and it reserves up to 512 MB because a packet says
// so; github.com/emersion/go-milter 0.5.0 knows neither DATA nor "skip".
type wire struct {
	conn  net.Conn
	step  time.Duration
	heard int    // octets so far
	out   []byte // not yet written
}

// put adds a packet to what will be written with the next read.
func (w *wire) put(cmd byte, data ...[]byte) error {
	n := 1
	for _, d := range data {
		n += len(d)
	}
	w.out = binary.BigEndian.AppendUint32(w.out, uint32(n))
	w.out = append(w.out, cmd)
	for _, d := range data {
		w.out = append(w.out, d...)
	}
	if len(w.out) < flushAt {
		return nil
	}
	return w.flush()
}

// flush writes what was put.
func (w *wire) flush() error {
	if len(w.out) == 0 {
		return nil
	}
	if err := w.conn.SetWriteDeadline(time.Now().Add(w.step)); err != nil {
		return w.blame(err)
	}
	_, err := w.conn.Write(w.out)
	w.out = w.out[:0]
	return w.blame(err)
}

// next waits for a packet.
func (w *wire) next() (cmd byte, data []byte, err error) {
	if err := w.flush(); err != nil {
		return 0, nil, err
	}
	if err := w.conn.SetReadDeadline(time.Now().Add(w.step)); err != nil {
		return 0, nil, w.blame(err)
	}
	acknowledge(w.conn)
	var head [4]byte
	if _, err := io.ReadFull(w.conn, head[:]); err != nil {
		return 0, nil, w.blame(err)
	}
	n := binary.BigEndian.Uint32(head[:])
	switch {
	case n == 0:
		return 0, nil, errors.New("an empty packet")
	case n > maxPacket:
		return 0, nil, fmt.Errorf("a packet of %d octets, more than %d", n, maxPacket)
	}
	if w.heard += int(n); w.heard > maxAnswer {
		return 0, nil, fmt.Errorf("an answer of more than %d octets", maxAnswer)
	}
	packet := make([]byte, n)
	if _, err := io.ReadFull(w.conn, packet); err != nil {
		return 0, nil, w.blame(err)
	}
	return packet[0], packet[1:], nil
}

// blame names what happened to the connection.
func (w *wire) blame(err error) error {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("no answer within %v: %w", w.step, err)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.EPIPE), errors.Is(err, syscall.ECONNRESET):
		return fmt.Errorf("it closed the connection: %w", io.ErrUnexpectedEOF)
	}
	return err
}

// cut returns the string at the start of data, which ends at a NUL, and the rest.
func cut(data []byte) (s string, rest []byte, err error) {
	for i, c := range data {
		if c == 0 {
			return string(data[:i]), data[i+1:], nil
		}
	}
	return "", nil, errors.New("a string without its NUL")
}

// cutAll returns the strings that make up data.
func cutAll(data []byte) (all []string, err error) {
	for len(data) > 0 {
		var s string
		if s, data, err = cut(data); err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

// cstrings returns strings as the protocol writes them, in maxData octets: one for
// which there is no room is cut, and those behind it are empty.
func cstrings(all ...string) []byte {
	var b []byte
	for i, s := range all {
		if room := max(maxData-len(b)-len(all[i:]), 0); len(s) > room {
			// A filter may want the value of a field changed, and no field ends with
			// a blank line.
			s = strings.TrimRight(s[:room], " \t\n")
		}
		b = append(append(b, cstring(s)...), 0)
	}
	return b
}
