package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// service is a running postrider that knows a little.
type service map[string]string

func (s service) get(path string, _ url.Values, out any) error {
	if s[path] == "" {
		return errors.New("not known")
	}
	return json.Unmarshal([]byte(s[path]), out)
}

const someID = "06h2bcdefghjkmnpqrstvwxyz0-1"

var someService = service{
	"/api/v1/queue": `{"deliveries":[{"id":"` + someID + `","state":"waiting","age_s":60,"from":"ann\u001b]0;x@author.test","recipients":["bob\u202e@there.test"]},
		{"id":"x;reboot"},{"id":"$(reboot)"}]}`,
	"/api/v1/destinations": `{"destinations":[{"name":"smtp:mx.there.test:25","domains":["there.test","two.test"],"health":"silent","waiting":3}]}`,
	"/api/v1/allow":        `[{"id":"AB12CD","rule":"greylist","domain":"friend.test"},{"id":"ZZ11YY","ended":true}]`,
	"/api/v1/config":       `{"rules":[{"rule":"no-reverse-name","then":"refuse"}]}`,
	"/api/v1/refused":      `[{"client":"192.0.2.7","rule":"greylist"}]`,
}

func modelOf(t *testing.T) *kong.Application {
	t.Helper()
	p, err := kong.New(&cli{}, kong.Name("postrider"), kong.Description("A mail transfer agent."))
	if err != nil {
		t.Fatal(err)
	}
	return p.Model
}

func TestWhatMayStandThereIsOffered(t *testing.T) {
	model := modelOf(t)
	for line, want := range map[string]string{
		"qu":                                 "words queue",
		"re":                                 "words retry release remove reroute resume refused",
		"complet":                            "words completion",
		"nosuch ":                            "words",
		"allow e":                            "words end",
		"allow end ":                         "words AB12CD",
		"allow 192":                          "words 192.0.2.7",
		"allow add @x --skip ":               "words no-reverse-name",
		"queue --st":                         "words --state",
		"queue --state w":                    "words waiting",
		"queue --state=h":                    "words --state=held",
		"queue --state held --st":            "words",
		"queue --domain t":                   "words there.test two.test",
		"queue --domain=t":                   "words --domain=there.test --domain=two.test",
		"hold 0":                             "words " + someID,
		"hold " + someID + " 0":              "words " + someID,
		"hold -- 06":                         "words " + someID,
		"hold -- --":                         "words",
		"trace 06":                           "words " + someID,
		"trace " + someID + " ":              "words",
		"pause smtp":                         "words smtp:mx.there.test:25",
		"-c x.toml q":                        "words queue",
		"-c x":                               "files",
		"--config=x":                         "files",
		"queue -c ":                          "files",
		"explain x":                          "files",
		"export ":                            "folders",
		"check --data ":                      "folders",
		"serve --no-c":                       "words --no-confine",
		"lint --system postf":                "words postfix",
		"explain --for send":                 "words sender sending-admin",
		"completion ":                        "words bash zsh fish",
		"queue --older-than 2":               "words",
		"version ":                           "words",
		"send --":                            "words --help --config",
		"simulate --drain x --system sendma": "words sendmail sendmail-debian",
	} {
		var asked string
		c := complete(model.Node, strings.Split(line, " "), func(config string) getter { asked = config; return someService })
		var b strings.Builder
		if err := c.write(&b); err != nil {
			t.Fatal(err)
		}
		var got []string
		for l := range strings.SplitSeq(strings.TrimSpace(b.String()), "\n") {
			word, _, _ := strings.Cut(l, "\t")
			got = append(got, word)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
		if strings.ContainsAny(b.String(), "\x1b\u202e") {
			t.Errorf("%q: %q", line, b.String())
		}
		if asked != "" {
			t.Errorf("%q: the configuration %q", line, asked)
		}
	}
	complete(model.Node, []string{"--config", "other.toml", "hold", ""}, func(config string) getter {
		if config != "other.toml" {
			t.Errorf("the service of %q is asked", config)
		}
		return nobody{errDown}
	})
}

// A flag that is renamed must not lose its values.
func TestEveryValueThatIsKnownIsOfSomething(t *testing.T) {
	there := map[string]bool{}
	var walk func(n *kong.Node)
	walk = func(n *kong.Node) {
		for _, v := range n.Values() {
			there[v.Name], there[n.Path()+" "+v.Name] = true, true
		}
		for _, c := range n.Children {
			walk(c)
		}
	}
	walk(modelOf(t).Node)
	for name := range completed {
		if !there[name] {
			t.Errorf("nothing is called %q", name)
		}
	}
}

// Bash parts words at = : and @: what it is given back must fit the last part.
func TestBashIsGivenWhatItReplaces(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("no bash here")
	}
	home := t.TempDir()
	for _, name := range []string{"passed here.toml", "folder/x"} {
		file := filepath.Join(home, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, nil, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ line, words, answer, want string }{
		{"postrider qu", "postrider qu", "words\nqueue\thelp: of it", "queue"},
		{"postrider queue --state=", "postrider queue --state =", "words\n--state=held\t\n--state=trying\t", "held trying"},
		{"postrider queue --state=h", "postrider queue --state = h", "words\n--state=held\t", "held"},
		{"postrider pause smtp:mx.there.test:2", "postrider pause smtp : mx.there.test : 2", "words\nsmtp:mx.there.test:25\tsilent", "25"},
		{"postrider queue --from bob@th", "postrider queue --from bob @ th", "words\nbob@there.test\t", "there.test"},
		{"postrider  queue ", "postrider queue ''", "words\n--state\t", "--state"},
		{"postrider -c pas", "postrider -c pas", "files", "passed here.toml"},
		{"postrider -c=pas", "postrider -c = pas", "files", "passed here.toml"},
		{"postrider export ", "postrider export ''", "folders", "folder"},
	} {
		n := len(strings.Fields(c.words))
		script := fmt.Sprintf(`%s
postrider() { printf %%b %q; }
compopt() { :; }
COMP_WORDS=(%s) COMP_CWORD=%d COMP_LINE=%q COMP_POINT=%d
_postrider
echo "${COMPREPLY[*]}"`, bashScript, c.answer+"\n", c.words, n-1, c.line, len(c.line))
		cmd := exec.Command(bash, "--norc", "-c", script)
		cmd.Dir = home
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%q: %v", c.line, err)
		}
		if got := strings.TrimSpace(string(out)); got != c.want {
			t.Errorf("%q: %q, want %q", c.line, got, c.want)
		}
	}
}

func TestTheScriptsAreSound(t *testing.T) {
	for shell, script := range map[string]string{"bash": bashScript, "zsh": zshScript, "fish": fishScript} {
		path, err := exec.LookPath(shell)
		if err != nil {
			t.Logf("no %s here", shell)
			continue
		}
		cmd := exec.Command(path, "-n")
		cmd.Stdin = strings.NewReader(script)
		if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%s: %v %s", shell, err, out)
		}
	}
	if fish, err := exec.LookPath("fish"); err == nil {
		script := "function postrider; printf 'words\\nqueue\\tList\\nqueued\\tMore\\n'; end\n" + fishScript + "complete -C 'postrider qu'"
		out, err := exec.Command(fish, "--no-config", "-c", script).Output()
		if got := strings.Fields(string(out)); err != nil || !slices.Equal(got, []string{"queued", "More", "queue", "List"}) && !slices.Equal(got, []string{"queue", "List", "queued", "More"}) {
			t.Errorf("fish: %q %v", got, err)
		}
	}
	if zsh, err := exec.LookPath("zsh"); err == nil {
		script := "postrider() { printf '%s\\n' words $'a:b\\tof: it'; }\ncompdef() { :; }\n_describe() { print -r -- $found; }\n" + zshScript +
			"words=(postrider '') CURRENT=2; _postrider"
		if out, err := exec.Command(zsh, "-f", "-c", script).CombinedOutput(); err != nil || strings.TrimSpace(string(out)) != `a\:b:of: it` {
			t.Errorf("zsh: %q %v", out, err)
		}
	}
}
