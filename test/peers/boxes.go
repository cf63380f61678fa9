package peers

import (
	"fmt"
	"os"
	"strings"
)

// mailboxes returns a line for each address that exists, made by the format;
// where all addresses of a domain do, that is "@domain" or, for Exim's
// nwildlsearch, "*@domain".
func (s *Server) mailboxes(format string) string {
	names := s.config.Users
	if len(names) == 0 {
		any := "@"
		if s.recipe.name == "exim" {
			any = "*@"
		}
		for _, d := range s.config.Domains {
			names = append(names, any+d)
		}
	}
	var b strings.Builder
	for _, n := range names {
		fmt.Fprintf(&b, format, strings.ToLower(n))
	}
	return b.String()
}

// owned gives folders of the server to one of its users.
func (s *Server) owned(user int, folders ...string) error {
	for _, f := range folders {
		if err := os.MkdirAll(s.path(f), 0o755); err != nil {
			return err
		}
		if err := os.Chown(s.path(f), user, user); err != nil {
			return err
		}
	}
	return nil
}
