package system

import "time"

// mailers returns the services that send for others, other than SparkPost.
func mailers() []System {
	return []System{amazonSES(), amazonSES2012(), sendGrid(), mailgun(), postmark()}
}

func amazonSES() System {
	return System{
		ID: "amazon-ses", Family: "amazon-ses", Name: "Amazon SES", Version: "samples of 2016 and 2017", Kind: Mailer,
		Policy: Policy{
			Lifetime: 14 * time.Hour,
			Apart:    "one clock; the words carry the last error in <…>",
			Alike:    true,
		},
		Reports: "Status 4.4.7; smtp; 554 4.4.7 Message expired: unable to deliver in 840 minutes.<last error>",
		Sources: []string{
			"sisimai/set-of-emails@18e585c maildir/bsd/lhost-amazonses-17.eml, lhost-amazonworkmail-05.eml (\"unable to deliver in 840 minutes\")",
		},
		Confidence: High,
	}
}

func amazonSES2012() System {
	return System{
		ID: "amazon-ses-2012", Family: "amazon-ses", Name: "Amazon SES, on AsyncOS", Version: "2011 and 2012", Kind: Mailer,
		Policy: Policy{
			Lifetime: 12 * time.Hour,
			Apart:    "as AsyncOS, whose form its reports have",
		},
		Notes: "The words of AsyncOS, from hosts named *-bacon.*.amazon.com.",
		Sources: []string{
			"gist.github.com/aaronsw/2653930 (held 11 h 18 m 53 s by its last host, 12 h 9 m 44 s after Date, measured)",
		},
		Confidence: Medium,
	}
}

func sendGrid() System {
	return System{
		ID: "sendgrid", Family: "sendgrid", Name: "Twilio SendGrid", Kind: Mailer,
		Policy: Policy{
			Lifetime: 3 * day,
			Retry:    Growing{Known: []time.Duration{time.Minute, 10 * time.Minute, time.Hour, 4 * time.Hour}},
		},
		Reports: "Action: expired, which is no value of RFC 3464; Status empty; X-SendGrid-QueueID",
		Notes:   "How the gaps grow is of low confidence.",
		Sources: []string{
			"twilio.com/docs/glossary/expired.md (72 h)",
			"github.com/sendgrid/docs/issues/702",
			"sisimai/set-of-emails@18e585c maildir/bsd/lhost-sendgrid-03.eml (Action: expired)",
		},
		Confidence: High,
	}
}

func mailgun() System {
	return System{
		ID: "mailgun", Family: "mailgun", Name: "Mailgun", Kind: Mailer,
		Policy: Policy{
			Lifetime: 8 * time.Hour,
			Rule:     "the end of the list of gaps, 7 h 55 m; the page says 8 h",
			Retry: List{Gaps: []time.Duration{
				10 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 4 * time.Hour,
			}},
		},
		Reports:    "an event of permanent failure, description \"Too old\"",
		Sources:    []string{"help.mailgun.com/hc/en-us/articles/28956111811355"},
		Confidence: High,
	}
}

func postmark() System {
	return System{
		ID: "postmark", Family: "postmark", Name: "Postmark", Kind: Mailer,
		Notes: "Nothing trustworthy found: one host's page describes Exim's rule under its name.",
	}
}
