package explain

import (
	"cmp"
	"encoding/json"
	"strings"

	"github.com/postrider/postrider/cause"
)

// Sending services tell bounces as JSON too: Amazon SES by the letters of its
// notification service. They are read into the fields of RFC 3464.

type sesNotice struct {
	NotificationType string `json:"notificationType"`
	EventType        string `json:"eventType"`
	Bounce           struct {
		BounceType        string `json:"bounceType"`
		BounceSubType     string `json:"bounceSubType"`
		ReportingMTA      string `json:"reportingMTA"`
		Timestamp         string `json:"timestamp"`
		BouncedRecipients []struct {
			EmailAddress   string `json:"emailAddress"`
			Action         string `json:"action"`
			Status         string `json:"status"`
			DiagnosticCode string `json:"diagnosticCode"`
		} `json:"bouncedRecipients"`
	} `json:"bounce"`
	Complaint struct {
		ComplainedRecipients []struct {
			EmailAddress string `json:"emailAddress"`
		} `json:"complainedRecipients"`
		UserAgent string `json:"userAgent"`
	} `json:"complaint"`
	Delivery struct {
		Recipients   []string `json:"recipients"`
		SMTPResponse string   `json:"smtpResponse"`
		ReportingMTA string   `json:"reportingMTA"`
	} `json:"delivery"`
	Mail struct {
		Timestamp   string   `json:"timestamp"`
		Destination []string `json:"destination"`
	} `json:"mail"`
}

// maxJSON bounds the octets of a notice.
const maxJSON = 256 << 10

// service reads a notice in JSON into the view.
func (v *view) service() {
	start := -1
	for i, l := range first(v.words, 40) {
		if strings.HasPrefix(strings.TrimSpace(l.text), "{") {
			start = i
			break
		}
	}
	if start < 0 {
		return
	}
	text, n := jsonText(v.words[start:]), v.words[start].n
	if !strings.Contains(text, "otificationType") && !strings.Contains(text, "eventType") {
		return
	}
	var outer struct{ Message string }
	if json.NewDecoder(strings.NewReader(text)).Decode(&outer) == nil && strings.HasPrefix(outer.Message, "{") {
		text = outer.Message
	}
	var s sesNotice
	if json.NewDecoder(strings.NewReader(text)).Decode(&s) != nil {
		return
	}
	about, rcpts, complaint := s.fields(n)
	switch {
	case len(rcpts) > 0:
		v.status = append(append(about, line{n: n}), rcpts...)
		v.words = v.words[:start]
		v.software = Host{Software: "amazon-ses", Confidence: cause.Likely}
	case len(complaint) > 0:
		v.feedback = complaint
	}
}

// fields writes the notice, which stands in line n, as fields.
func (s sesNotice) fields(n int) (about, rcpts, complaint []line) {
	add := func(ls *[]line, name, value string) {
		if value != "" {
			*ls = append(*ls, line{n, name + ": " + strings.Join(strings.Fields(value), " ")})
		}
	}
	add(&about, "Reporting-MTA", cmp.Or(s.Bounce.ReportingMTA, s.Delivery.ReportingMTA))
	for _, r := range s.Bounce.BouncedRecipients {
		add(&rcpts, "Final-Recipient", "rfc822; "+r.EmailAddress)
		add(&rcpts, "Action", cmp.Or(r.Action, "failed"))
		add(&rcpts, "Status", r.Status)
		add(&rcpts, "Diagnostic-Code", r.DiagnosticCode)
		if strings.Contains(s.Bounce.BounceSubType, "Suppress") && r.DiagnosticCode == "" {
			add(&rcpts, "Diagnostic-Code", "x-ses; the address is on the suppression list")
		}
		rcpts = append(rcpts, line{n: n})
	}
	for _, a := range s.Delivery.Recipients {
		add(&rcpts, "Final-Recipient", "rfc822; "+a)
		add(&rcpts, "Action", "delivered")
		add(&rcpts, "Diagnostic-Code", "smtp; "+s.Delivery.SMTPResponse)
		rcpts = append(rcpts, line{n: n})
	}
	for _, r := range s.Complaint.ComplainedRecipients {
		add(&complaint, "Original-Rcpt-To", r.EmailAddress)
	}
	return about, rcpts, complaint
}

// jsonText joins the lines of a notice. Letters with long lines are folded
// between any two letters, with a blank in front of the rest.
func jsonText(ls []line) string {
	var b strings.Builder
	for i, l := range ls {
		if b.Len()+len(l.text) > maxJSON {
			break
		}
		t := l.text
		if i > 0 && len(ls[i-1].text) > 900 {
			t = strings.TrimPrefix(t, " ")
		} else if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(t)
	}
	return b.String()
}
