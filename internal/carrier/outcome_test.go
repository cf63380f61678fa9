package carrier

import (
	"testing"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/smtpc"
	"github.com/postrider/postrider/mail"
)

func smtpcOwn(s mail.Stage, words string) smtpc.Outcome {
	return smtpc.Outcome{Stage: s, Reply: mail.Reply{Status: mail.Status{4, 4, 1}, Text: words}}
}

func smtpcTheirs(s mail.Stage, code int) smtpc.Outcome {
	return smtpc.Outcome{Stage: s, Theirs: true, Reply: mail.Reply{Code: code, Text: "words"}}
}

func TestTheTroubleIsThatOfWhoCanMendIt(t *testing.T) {
	auth := smtpcOwn(mail.Auth, "password not sent")
	auth.Reply.Status = mail.Status{4, 7, 0}
	for _, tt := range []struct {
		o    smtpc.Outcome
		want custody.Trouble
	}{
		{smtpcOwn(mail.Connect, "x"), custody.Unreachable},
		{smtpcTheirs(mail.Greeting, 554), custody.NoTrouble},
		{smtpcTheirs(mail.TLS, 502), custody.Unreachable},
		{smtpcTheirs(mail.TLS, 454), custody.Deferred},
		{smtpcTheirs(mail.Auth, 535), custody.Ours},
		{smtpcTheirs(mail.Auth, 454), custody.Deferred},
		{auth, custody.Ours},
		{smtpcOwn(mail.Auth, "connection closed by the host"), custody.Unreachable},
		{smtpc.Outcome{Stage: mail.Dot, Ambiguous: true}, custody.Ambiguous},
		{smtpc.Outcome{Stage: mail.Data, Ours: true}, custody.Ours},
	} {
		if got := trouble(tt.o); got != tt.want {
			t.Errorf("%+v: %v, want %v", tt.o, got, tt.want)
		}
	}
}
