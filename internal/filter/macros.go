package filter

import (
	"fmt"
	"maps"
	"strconv"

	"github.com/postrider/postrider/mail"
)

// values are the macros that a message gives rise to, by their names.
type values map[string]string

// newValues returns those that hold for the whole message.
func newValues(m *Message) values {
	client := m.client()
	addr := client.Addr().String()
	v := values{
		"j": m.Host, "v": "postrider", "_": fmt.Sprintf("%s [%s]", nameOf(m), addr), "i": m.ID,
		"{daemon_name}": m.Listener,
		"{client_addr}": addr, "{client_port}": strconv.Itoa(int(client.Port())),
		"{client_name}": nameOf(m), "{client_ptr}": or(m.PTR, "unknown"),
		"{tls_version}": m.TLS.Version, "{cipher}": m.TLS.Cipher,
		"{cert_subject}": m.TLS.Subject, "{cert_issuer}": m.TLS.Issuer,
		"{auth_authen}": m.User, "{auth_type}": m.Method,
		"{mail_addr}": m.From.String(), "{mail_host}": m.From.Domain,
	}
	if m.Local.IsValid() {
		host := m.Local.Addr().Unmap().String()
		v["{daemon_addr}"], v["{if_addr}"] = host, host
		v["{daemon_port}"] = strconv.Itoa(int(m.Local.Port()))
	}
	maps.Copy(v, m.Macros)
	return v
}

// rcpt takes the values that hold for one recipient.
func (v values) rcpt(to mail.Address) { v["{rcpt_addr}"], v["{rcpt_host}"] = to.String(), to.Domain }

// of returns the macros of those names that have a value, as they are sent behind the
// letter of the step; those for which there is no room are not.
func (v values) of(names []string) []byte {
	var b []byte
	for _, name := range names {
		if size := len(name) + len(v[name]) + 2; v[name] != "" && 1+len(b)+size <= maxData {
			b = append(b, cstrings(name, v[name])...)
		}
	}
	return b
}

// nameOf returns the client's name as Postfix tells it to a filter.
func nameOf(m *Message) string {
	if !m.Client.IsValid() {
		return "localhost"
	}
	return or(m.Name, "unknown")
}

func or(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
