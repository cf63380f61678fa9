package carrier

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"github.com/postrider/postrider/custody"
	"github.com/postrider/postrider/internal/route"
	"github.com/postrider/postrider/internal/smtpd"
)

// certificate makes one for a name that ends after so long, and the pool that
// trusts it.
func certificate(t *testing.T, name string, lasts time.Duration) (func() *tls.Config, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(lasts),
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	config := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	return func() *tls.Config { return config }, roots
}

func TestHowWellAHostMustProveItself(t *testing.T) {
	const (
		hour = time.Hour
		ok   = "lone.example[192.0.2.9] dot: 250 2.0.0 Kept +taken"
		no   = "lone.example[192.0.2.9] tls: 4.7.5 TLS handshake failed: x509: "
	)
	for _, tt := range []struct {
		name    string
		tls     route.TLS
		cert    string // its name; "": no STARTTLS
		lasts   time.Duration
		trusted bool
		want    string
		proof   string // "": plain text
	}{
		{"may, none offered", route.May, "", 0, false, ok, ""},
		{"may, any certificate", route.May, "other.example", -hour, false, ok, "unverified"},
		{"require, none offered", route.Require, "", 0, false, "lone.example[192.0.2.9] tls: 4.7.5 host does not offer STARTTLS, and the route demands it +ours +unreachable", ""},
		{"require, any certificate", route.Require, "other.example", -hour, false, ok, "unverified"},
		{"verify, none offered", route.Verify, "", 0, false, "lone.example[192.0.2.9] tls: 4.7.5 host does not offer STARTTLS, and the route demands it +ours +unreachable", ""},
		{"verify", route.Verify, "lone.example", hour, true, ok, "verified"},
		{"verify, self-signed", route.Verify, "lone.example", hour, false, no + "certificate signed by unknown authority", ""},
		{"verify, wrong name", route.Verify, "other.example", hour, true, no + "certificate is valid for other.example, not lone.example", ""},
		{"verify, expired", route.Verify, "lone.example", -hour, true, no + "certificate has expired or is not yet valid", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, Options{}, []route.Route{{Domain: "*", TLS: tt.tls}}, func(w *world) {
				alone(w)
				o := smtpd.Options{}
				w.carrier.o.Roots = x509.NewCertPool()
				if tt.cert != "" {
					config, roots := certificate(t, tt.cert, tt.lasts)
					if o.TLSConfig = config; tt.trusted {
						w.carrier.o.Roots = roots
					}
				}
				h := w.serve(&host{}, "192.0.2.9:25", o)
				m, ds := letter(lone)
				as := w.carrier.Carry(w.Context(), custody.Way{}, m, ds, strings.NewReader(text))
				if got := w.tell(as); !strings.HasPrefix(got, tt.want) {
					t.Errorf("%s\nwant %s", got, tt.want)
				}
				if proof := as[0].TLS; (proof == "") != (tt.proof == "") || !strings.HasSuffix(proof, " "+tt.proof) && proof != "" {
					t.Errorf("TLS %q", proof)
				}
				if len(h.taken) == 1 && h.secure != (tt.proof != "") {
					t.Errorf("the host had TLS: %v", h.secure)
				}
				for _, o := range as[0].Outcomes {
					if o.Refuses() {
						t.Error("a connection without TLS is no refusal of the message")
					}
				}
			})
		})
	}
}

// A host whose TLS is broken is greeted again in plain text where TLS is a courtesy,
// and never where the route demands it.
func TestBrokenTLSIsPassedByOnlyWhereItIsACourtesy(t *testing.T) {
	for _, level := range []route.TLS{route.May, route.Require} {
		inWorld(t, Options{}, []route.Route{{Domain: "*", TLS: level}}, func(w *world) {
			alone(w)
			w.script("192.0.2.9:25", func(_ int, line string) string {
				switch {
				case strings.HasPrefix(line, "EHLO"):
					return "250-host\r\n250 STARTTLS"
				case line == "STARTTLS":
					return "220 go on"
				case line != "" && line[0] == 22: // a ClientHello
					return "500 what?"
				}
				return ""
			})
			got, dials := w.carry(lone), len(w.dialled)
			switch level {
			case route.May:
				w.want(got, "lone.example[192.0.2.9] dot: 250 kept +taken")
			default:
				w.want(got, "lone.example[192.0.2.9] tls: 4.7.5 TLS handshake failed: host does not answer in TLS +ours +unreachable")
			}
			if want := 2 - int(level); dials != want {
				t.Errorf("%v: %d connections, want %d", level, dials, want)
			}
		})
	}
}

// asker is a go-smtp server that wants a password.
type asker struct {
	mu       sync.Mutex
	password string
	taken    int
}

func (a *asker) NewSession(*smtp.Conn) (smtp.Session, error) { return a, nil }
func (a *asker) Reset()                                      {}
func (a *asker) Logout() error                               { return nil }
func (a *asker) Mail(string, *smtp.MailOptions) error        { return nil }
func (a *asker) Rcpt(string, *smtp.RcptOptions) error        { return nil }
func (a *asker) AuthMechanisms() []string                    { return []string{sasl.Plain} }
func (a *asker) Data(r io.Reader) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.taken++
	_, err := io.Copy(io.Discard, r)
	return err
}
func (a *asker) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		a.mu.Lock()
		defer a.mu.Unlock()
		if user != "us" || password != a.password {
			return &smtp.SMTPError{Code: 535, EnhancedCode: smtp.EnhancedCode{5, 7, 8}, Message: "no"}
		}
		return nil
	}), nil
}

func TestThePasswordOfASmarthost(t *testing.T) {
	const first, second = "s3cret one", "s3cret two"
	file := filepath.Join(t.TempDir(), "password")
	r := route.Route{
		Domain: "*", To: []route.Target{{Kind: route.Relay, Host: "smart.example", Port: 587}}, TLS: route.Verify,
		Auth: route.Auth{User: "us", PasswordFile: file}, Rule: "p.toml:9 route",
	}
	inWorld(t, Options{Idle: time.Second}, []route.Route{r}, func(w *world) {
		w.zone.Add("smart.example", "A 192.0.2.30")
		config, roots := certificate(t, "smart.example", time.Hour)
		w.carrier.o.Roots = roots
		a := &asker{password: first}
		srv := smtp.NewServer(a)
		srv.Domain, srv.TLSConfig, srv.ErrorLog = "smart.example", config(), quiet{}
		done := make(chan error, 1)
		l := w.listen("192.0.2.30:587")
		go func() { done <- srv.Serve(l) }()
		w.Cleanup(func() { w.carrier.Close(); srv.Close(); <-done })

		try := func(want string) {
			t.Helper()
			got := w.carry("u@a.example")
			if !strings.HasPrefix(got, want) {
				t.Errorf("%s\nwant %s", got, want)
			}
			if all := got + w.log.String(); strings.Contains(all, "s3cret") {
				t.Errorf("the password is told: %s", all)
			}
			time.Sleep(time.Minute)
		}
		const (
			ours  = "smart.example[] auth: 4.3.5 this server cannot read its own password for the next hop +ours +ours"
			kept  = "smart.example[192.0.2.30] dot: 250 2.0.0 OK: queued +taken"
			wrong = "smart.example[192.0.2.30] auth: 535 5.7.8 no +ours"
		)
		write := func(s string) {
			t.Helper()
			if err := os.WriteFile(file, []byte(s), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		try(ours) // no such file
		if !strings.Contains(w.log.String(), file) || !strings.Contains(w.log.String(), "p.toml:9") {
			t.Errorf("the operator is not told: %q", w.log.String())
		}
		write("\n")
		try(ours)
		write(first + "\n")
		try(kept)
		a.mu.Lock()
		a.password = second
		a.mu.Unlock()
		try(wrong)
		write(second + "\r\n")
		try(kept)
		if a.taken != 2 {
			t.Errorf("%d taken", a.taken)
		}
	})
}

// The refusal of a password speaks of us, never of the message, and waits for us.
func TestARefusedPasswordIsOurTroubleAndNoRefusal(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("s3cret"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := route.Route{Domain: "*", To: []route.Target{{Kind: route.Relay, Host: "192.0.2.9"}}, Auth: route.Auth{User: "us", PasswordFile: file}}
	inWorld(t, Options{}, []route.Route{r}, func(w *world) {
		w.script("192.0.2.9:25", func(_ int, line string) string {
			if strings.HasPrefix(line, "AUTH") {
				t.Error("the password goes out in plain text")
			}
			if strings.HasPrefix(line, "EHLO") {
				return "250-host\r\n250 AUTH PLAIN"
			}
			return ""
		})
		w.want(w.carry("u@a.example"), `192.0.2.9[192.0.2.9] auth: 4.7.0 password not sent: the host has not proven its name (tls = "verify" is needed with auth) +ours +ours`)
	})
}

type quiet struct{}

func (quiet) Printf(string, ...any) {}
func (quiet) Println(...any)        {}
