package smtpd

import (
	"strconv"
	"strings"

	"github.com/postrider/postrider/mail"
)

// What the engine says of its own accord.
var (
	ok            = mail.Reply{Code: 250, Status: mail.Status{2, 0, 0}, Text: "Ok"}
	senderOK      = mail.Reply{Code: 250, Status: mail.Status{2, 1, 0}, Text: "Sender ok"}
	recipientOK   = mail.Reply{Code: 250, Status: mail.Status{2, 1, 5}, Text: "Recipient ok"}
	messageOK     = mail.Reply{Code: 250, Status: mail.Status{2, 0, 0}, Text: "Message accepted"}
	chunkOK       = mail.Reply{Code: 250, Status: mail.Status{2, 0, 0}, Text: "Chunk received"}
	goAhead       = mail.Reply{Code: 354, Text: "End with <CR><LF>.<CR><LF>"}
	bye           = mail.Reply{Code: 221, Status: mail.Status{2, 0, 0}, Text: "Bye"}
	readyForTLS   = mail.Reply{Code: 220, Status: mail.Status{2, 0, 0}, Text: "Ready to start TLS"}
	vrfyMaybe     = mail.Reply{Code: 252, Status: mail.Status{2, 5, 0}, Text: "Cannot verify, but send mail and it will be tried"}
	help          = mail.Reply{Code: 214, Status: mail.Status{2, 0, 0}, Text: "RFC 5321 says how to send mail"}
	notMade       = mail.Reply{Code: 502, Status: mail.Status{5, 5, 1}, Text: "Command not implemented"}
	helloFirst    = order("Say hello first")
	mailFirst     = order("Need MAIL first")
	rcptFirst     = order("Need RCPT first")
	noRecipients  = mail.Reply{Code: 554, Status: mail.Status{5, 5, 1}, Text: "No valid recipients"}
	nested        = order("A message is under way; RSET drops it")
	inTransaction = order("A message is under way")
	notYours      = mail.Reply{Code: 550, Status: mail.Status{5, 7, 1}, Text: "You may not speak for others here"}
	queued        = mail.Reply{Code: 250, Status: mail.Status{2, 0, 0}, Text: "Queuing started"}
	inChunks      = order("The message comes in chunks; only BDAT continues it")
	tlsAlready    = order("TLS is on")
	noParameters  = badParameter("This command takes no parameters")
	badChunk      = badParameter("BDAT takes a size in octets, and LAST")
	needUTF8      = mail.Reply{Code: 553, Status: mail.Status{5, 6, 7}, Text: "An address that is not ASCII needs SMTPUTF8"}
	tooManyRcpts  = mail.Reply{Code: 452, Status: mail.Status{4, 5, 3}, Text: "Too many recipients; send the rest in another message"}
	rcptFlood     = mail.Reply{Code: 421, Status: mail.Status{4, 5, 3}, Text: "Far too many recipients, closing"}
	tooManyMails  = mail.Reply{Code: 421, Status: mail.Status{4, 7, 0}, Text: "Enough messages for one connection, come again"}
	tooManyErrors = mail.Reply{Code: 421, Status: mail.Status{4, 7, 0}, Text: "Too many errors, closing"}
	tooMuchJunk   = mail.Reply{Code: 421, Status: mail.Status{4, 7, 0}, Text: "Too many commands without a message, closing"}
	tooManyConns  = mail.Reply{Code: 421, Status: mail.Status{4, 7, 0}, Text: "Too many connections, come again later"}
	tooManyNear   = mail.Reply{Code: 421, Status: mail.Status{4, 7, 0}, Text: "Too many connections from your network, come again later"}
	tooManyYours  = mail.Reply{Code: 421, Status: mail.Status{4, 7, 0}, Text: "Too many connections from your address, come again later"}
	talksHTTP     = mail.Reply{Code: 421, Status: mail.Status{4, 7, 0}, Text: "This is a mail server, closing"}
	plainAfterTLS = mail.Reply{Code: 421, Status: mail.Status{4, 7, 0}, Text: "Commands behind STARTTLS in plain text (RFC 3207 4.2), closing"}
	flooded       = mail.Reply{Code: 421, Status: mail.Status{4, 7, 0}, Text: "A line without end, closing"}
	timedOut      = mail.Reply{Code: 421, Status: mail.Status{4, 4, 2}, Text: "You were silent too long, closing"}
	stopping      = mail.Reply{Code: 421, Status: mail.Status{4, 3, 2}, Text: "The server is stopping, come again soon"}
	broken        = mail.Reply{Code: 421, Status: mail.Status{4, 3, 0}, Text: "A fault of this server, come again later"}
	ourFault      = mail.Reply{Code: 451, Status: mail.Status{4, 3, 0}, Text: "Local fault, try again later"}
)

func syntax(text string) mail.Reply {
	return mail.Reply{Code: 500, Status: mail.Status{5, 5, 2}, Text: text}
}

func order(text string) mail.Reply {
	return mail.Reply{Code: 503, Status: mail.Status{5, 5, 1}, Text: text}
}

func badParameter(text string) mail.Reply {
	return mail.Reply{Code: 501, Status: mail.Status{5, 5, 4}, Text: text}
}

func unknownParameter(text string) mail.Reply {
	return mail.Reply{Code: 555, Status: mail.Status{5, 5, 4}, Text: text}
}

// appendReply appends r as it goes on the wire. Most replies are one plain
// line, and need no help of mail.
func appendReply(b []byte, r mail.Reply) []byte {
	for i := range len(r.Text) {
		if c := r.Text[i]; c < ' ' || c == 0x7f || i == 0 && '0' <= c && c <= '9' {
			return appendLines(b, r)
		}
	}
	b = append(strconv.AppendInt(b, int64(r.Code), 10), ' ')
	if !r.Status.IsZero() {
		b = append(strconv.AppendUint(b, uint64(r.Status[0]), 10), '.')
		b = append(strconv.AppendUint(b, uint64(r.Status[1]), 10), '.')
		b = append(strconv.AppendUint(b, uint64(r.Status[2]), 10), ' ')
	}
	return append(append(b, r.Text...), '\r', '\n')
}

// appendLines appends a reply of several lines. Foreign words in it must not
// make replies of their own.
func appendLines(b []byte, r mail.Reply) []byte {
	lines := strings.Split(r.Text, "\n")
	for i, l := range lines {
		lines[i] = mail.Clean(l, mail.MaxReplyLine)
	}
	r.Text = strings.Join(lines, "\n")
	return r.AppendWire(b)
}

// settle makes a Host's reply fit to be said: usual if it is zero, with a
// status where none is given.
func (v *visit) settle(r, usual mail.Reply) mail.Reply {
	switch {
	case r.IsZero():
		return usual
	case r.Code < 200 || r.Code > 599 || r.Code/100 == 3:
		v.terms().opt.Log.Error("smtpd: the host gave no proper reply", "reply", r.Line())
		return ourFault
	case r.Status.IsZero():
		r.Status[0] = uint16(r.Code / 100)
	}
	return r
}
