package explain

import (
	"strings"

	"github.com/postrider/postrider/cause"
)

// kind says what the message is.
func (v *view) kind(fs []facts) Kind {
	switch {
	case v.feedback != nil || strings.EqualFold(v.letter.params["report-type"], "feedback-report") || v.complaint():
		return Feedback
	case v.receipt != nil || v.status == nil && strings.EqualFold(v.letter.params["report-type"], "disposition-notification"):
		return AutoReply
	case v.listed:
		return Delay
	case len(fs) > 0 && (len(v.groups) > 0 || v.status != nil && fs[0].action != ""):
		return ofActions(fs)
	case v.status != nil && header(v.about).has("Reporting-MTA"):
		return Bounce // a report whose recipients were lost
	}
	n := v.signs(fs)
	if n < 4 {
		if v.automatic() {
			return AutoReply
		}
		return NotABounce
	}
	if v.delayed() {
		return Delay
	}
	return Bounce
}

// ofActions returns the worst that happened to any recipient.
func ofActions(fs []facts) Kind {
	best, kinds := 0, []Kind{Delivered, Delivered, Relayed, Delay, Bounce}
	for _, f := range fs {
		n := 4
		switch f.action {
		case "delivered":
			n = 1
		case "relayed", "expanded":
			n = 2
		case "delayed":
			n = 3
		}
		best = max(best, n)
	}
	return kinds[best]
}

// complaint reports complaints that have no part for programs.
func (v *view) complaint() bool {
	if v.letter.head.has("X-Apple-Unsubscribe") {
		return true // a mail program asks to be left alone
	}
	return v.returned.has("X-HmXmrOriginalRecipient") && strings.Contains(v.lowered("subject"), "complaint")
}

// daemons are the names under which servers write.
var daemons = []string{"mailer-daemon", "mailer_daemon", "postmaster", "mail delivery", "maildelivery", "mail-daemon", "mail daemon", "system administrator", "delivery subsystem", "mail system", "microsoft outlook <", "postfix", "bounce", "mdaemon", "ndr administrator", "undeliver"}

// subjects are words in the subjects of reports; in the languages of the
// systems that translate them.
var subjects = []string{
	"undeliver", "not delivered", "delivery fail", "delivery status", "delivery report", "delivery problem", "delivery error", "delivery notification", "failed delivery", "failure delivery", "mail delivery", "message delivery", "email delivery", "delivery has failed", "delivery failure",
	"failure notice", "failed mail", "mail failed", "returned mail", "returned to sender", "returning message", "mail failure", "mail error", "could not be delivered", "couldn't be delivered", "not be delivered", "nondeliverable", "non-deliver", "non deliver", "delayed", "could not send message", "mail status report", "mail system error", "bounce", "rejected:", "message status", "delivery suspended", "delivery_failure", "unable to deliver", "unknown user", "loop alert", "transcript of session", "errors from", "postmaster notify", "warning: message",
	"unzustellbar", "nicht zugestellt", "zustellung", "fehlgeschlagen", "non remis", "non distribu", "échec", "echec", "non recapit", "mancata consegna", "no se puede entregar", "no entregado", "não entregue", "onbestelbaar", "olevererbart", "kunne ikke leveres", "niedostarcz", "недостав", "не доставлен", "未能投递", "退信", "配信不能", "エラーメール", "メッセージ配信",
}

// phrases are words of reports about what became of the message.
var phrases = []string{
	"could not be delivered", "couldn't be delivered", "cannot be delivered", "can't be delivered", "not be delivered", "wasn't delivered", "was not delivered", "not been delivered", "undeliverable", "unable to deliver", "delivery fail", "delivery to the following", "delivery has failed", "failed to deliver", "delivery failed", "did not reach", "did not like", "could not be sent", "couldn't be sent", "not able to deliver", "wasn't able to deliver", "was undeliverable", "error delivering", "has been delayed", "have failed", "had permanent fatal errors", "had delivery problems", "had transient non-fatal errors", "delivery error", "returned to sender", "was automatically rejected", "was rejected", "been failed", "were unable to deliver", "rejected by a remote mail server", "was not accepted", "could not deliver", "session follows", "non-delivered information", "failed permanently", "trying to deliver", "problem delivering", "queue too long", "is being returned", "account is disabled",
	"nicht zugestellt", "nicht ausgeliefert", "konnte nicht", "n'a pas pu être", "n'a pas été", "impossible de remettre", "no se ha podido entregar", "no ha podido", "non è stato possibile", "não pôde ser", "не удалось", "не может быть доставлено", "невозможно доставить", "配信できません", "配送できません", "送信できません", "届けられません", "投稿できなかった", "无法", "失敗",
}

// signs counts what speaks for a report, where no part for programs proves it.
// Four are enough: no single one is.
func (v *view) signs(fs []facts) int {
	n := v.origin()
	if n <= 0 && len(fs) == 0 && !v.bare() {
		return 0 // shops write of deliveries too, and of delays
	}
	if contains(v.lowered("subject"), subjects) && !v.passedOn() {
		n += 2
	}
	if n <= 0 && !v.bare() {
		return 0 // a person may write of such things
	}
	spoken := strings.ToLower(texts(first(v.words, 80)))
	if contains(spoken, phrases) {
		n += 2
	}
	for _, f := range fs {
		if f.said.code >= 400 || f.frame.expired || f.said.cause().Confidence >= cause.Likely && f.sure >= cause.Likely {
			n += 2
			break
		}
	}
	if v.bare() && n > 0 {
		n += 2 // lines of a report, without the letter around them
	}
	return n
}

// origin counts what speaks for a report in where it comes from and what it brings
// back.
func (v *view) origin() int {
	n := 0
	if contains(v.lowered("from"), daemons) {
		n += 2
	}
	h := v.letter.head
	r, ok := h.get("Return-Path")
	null := ok && (strings.Trim(r.value(), "<> ") == "" || strings.Contains(strings.ToLower(r.value()), "mailer-daemon"))
	if null {
		n += 2
	}
	if h.has("X-MLServer") {
		n++
	}
	if h.has("X-Failed-Recipients") || h.has("X-Bounced-Address") || h.has("X-MS-Exchange-Message-Is-Ndr") {
		n += 3
	}
	if v.letter.kind == "multipart/report" {
		n++
	}
	if len(v.returned) > 3 && !v.passedOn() {
		n++
	}
	if !null && h.has("In-Reply-To") && answers(v.lowered("subject")) {
		n -= 4 // a person's
	}
	return n
}

// answers reports the subject of an answer.
func answers(subject string) bool {
	for _, p := range []string{"re:", "aw:", "sv:", "antw:", "odp:"} {
		if strings.HasPrefix(subject, p) {
			return true
		}
	}
	return false
}

// bare reports lines without a message around them.
func (v *view) bare() bool { return !v.letter.head.ofMessage() }

func first(ls []line, n int) []line { return ls[:min(n, len(ls))] }

func contains(s string, words []string) bool {
	for _, w := range words {
		if strings.Contains(s, w) {
			return true
		}
	}
	return false
}

// automatic reports an answer that a program wrote in a person's place (RFC
// 3834), or that says so by its subject.
func (v *view) automatic() bool {
	h := v.letter.head
	if a := v.lowered("auto-submitted"); a != "" && !strings.HasPrefix(a, "no") {
		return true
	}
	for _, n := range []string{"X-Auto-Response-Suppress", "X-Autoreply", "X-Autorespond", "X-Autoresponder", "X-Auto-Reply-From", "Auto-Submitted-Reply", "X-Vacation"} {
		if f, ok := h.get(n); ok && !strings.EqualFold(f.value(), "none") {
			return true
		}
	}
	if p := v.lowered("precedence"); p == "auto_reply" || p == "auto-reply" {
		return true
	}
	return contains(v.lowered("subject"), []string{"automatic reply", "autoreply", "auto-reply", "auto reply", "out of office", "out of the office", "autorespon", "vacation", "abwesenheit", "automatische antwort", "réponse automatique", "risposta automatica", "respuesta automática", "away from", "on holiday", "自動応答", "不在"})
}

// delayed reports a message that says that it is still tried.
func (v *view) delayed() bool {
	text := v.lowered("subject") + "\n" + strings.ToLower(texts(first(v.words, 80)))
	if contains(text, []string{"has been delayed", "delivery delayed", "still being retried", "not yet been delivered", "warning message only", "warning only", "will be retried", "will retry", "will keep trying", "attempts will continue", "could not send message for past", "still undelivered", "delivery status notification (delay)", "delayed mail", "no action is required on your part", "will continue to try", "continue trying to deliver", "temporarily delayed", "zustellung verzögert", "verzögert", "remise différée", "retardé", "配信遅延", "entrega retrasada"}) {
		return !contains(text, []string{"message will be deleted from queue", "i've given up", "no further attempts", "giving up", "failed permanently"})
	}
	return false
}
