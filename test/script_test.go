//go:build linux

package test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestScripts runs the real program on loopback; each script is named for the
// promise it keeps. $SMTP, $HTTP, $LMTP, $SINK, $HOMEBOX, $DEAD, $DNS, $FILTER,
// $BACK and $HOOK are free addresses, in the *.toml and *.dialog files as well.
// Besides the commands of testscript there are:
//
//	serve [FILE]                     start postrider and wait until it is ready; its log is serve.log
//	halt [SIGNAL]                    end it (TERM) and wait; it must exit 0, unless it is killed
//	signal SIGNAL                    send it a signal
//	mail FROM TO[,TO…] [FILE]        hand a message to $SMTP
//	smtp [-from IP] ADDRESS FILE     hold the dialog of a file
//	sink NAME [[N*]STAGE[:WORD]=REPLY…]   a next hop at $NAME that keeps mail as NAME/1.eml and NAME/1.env, and what it hears as NAME/said
//	sink NAME off                    and its end
//	await PATTERN COMMAND…           run a command until its output matches
//	json PATH PATTERN                look into the JSON lines of the last output
//	jsonenv VAR PATH                 keep the first such value
//	dns FILE                         a name server at $DNS, see zone
//	scanner [off]                    a content filter at $FILTER that hands back at $BACK, see scanner
//	listen FILE URL [HEADER…]        write a stream to a file
//	hook FOLDER SECRETFILE [STATUS…] a receiver of webhooks at $HOOK that keeps batches as FOLDER/1.json
//	manual toml|run PAGE …           the examples of a page of docs, see scriptManual
//	tmpfs FOLDER SIZE                mount a small file system, where [mount] holds
func TestScripts(t *testing.T) {
	noScriptEndsEarly(t)
	bin := scriptBinary(t)
	testscript.Run(t, testscript.Params{
		Dir:           ".",
		UpdateScripts: os.Getenv("UPDATE") != "",       // what cmp compares with becomes what it is: read it well
		Deadline:      time.Now().Add(4 * time.Minute), // what hangs is stopped, and shows where
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", bin+string(filepath.ListSeparator)+env.Getenv("PATH"))
			env.Setenv("TZ", "UTC")
			names := map[string]string{"WORK": env.WorkDir}
			for _, n := range []string{"SMTP", "HTTP", "LMTP", "SINK", "HOMEBOX", "DEAD", "DNS", "FILTER", "BACK", "HOOK"} {
				names[n] = scriptPort()
				env.Setenv(n, names[n])
			}
			env.Values[serverKey{}] = &served{fail: t.Errorf}
			env.Values[hopsKey{}] = map[string]*nextHop{}
			env.Values[zoneKey{}], env.Values[scannerKey{}] = map[string]*zone{}, map[string]*scanner{}
			names["HEAD"] = strings.NewReplacer("$SMTP", names["SMTP"], "$HTTP", names["HTTP"], "$HOMEBOX", names["HOMEBOX"]).Replace(scriptHead)
			return scriptExpand(env.WorkDir, names)
		},
		Condition: scriptCan,
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"serve": scriptServe, "halt": scriptHalt, "signal": scriptSignal, "mail": scriptMail, "smtp": scriptSMTP,
			"sink": scriptSink, "await": scriptAwait, "json": scriptJSON, "jsonenv": scriptJSONEnv, "tmpfs": scriptTmpfs,
			"dns": scriptDNS, "scanner": scriptScanner, "listen": scriptListen, "hook": scriptHook, "manual": scriptManual,
		},
	})
}

// noScriptEndsEarly reports scripts that say stop and mean halt: testscript's own stop
// ends a script, and what stands below is never tried.
func noScriptEndsEarly(t *testing.T) {
	t.Helper()
	files, _ := filepath.Glob("*.txtar")
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		commands, _, _ := bytes.Cut(b, []byte("\n-- "))
		if regexp.MustCompile(`(?m)^stop( |$)`).Match(commands) {
			t.Errorf("%s: stop ends the script; to end the server write halt", f)
		}
	}
}

// scriptHead is what most configurations begin with; $HEAD in them.
const scriptHead = `hostname = "mx.author.test"
data = "data"
[[listen]]
kind = "smtp"
address = "$SMTP"
[[listen]]
kind = "http"
address = "$HTTP"
[relay]
clients = ["127.0.0.1/32"]
domains = ["author.test"]
[schedule.notice]
retry = ["1s"]
warn = []
[[route]]
domain = "author.test"
to = ["smtp:$HOMEBOX"]`

// scriptBinary builds the program once, with the names it is called by.
func scriptBinary(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	build := exec.Command("go", "build", "-o", filepath.Join(dir, "postrider"), "../cmd/postrider")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // as make build does
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	for _, name := range []string{"sendmail", "mailq", "newaliases"} {
		if err := os.Symlink("postrider", filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

var scriptPorts atomic.Int32

// scriptPort returns an address nobody listens on. The ports lie below those that
// the system gives to outgoing connections and those of package peers, either of
// which would take one now and then between this moment and its use.
func scriptPort() string {
	for range 10000 {
		n := 10000 + (os.Getpid()*97+int(scriptPorts.Add(1)))%10000
		if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", n)); err == nil {
			l.Close()
			return l.Addr().String()
		}
	}
	panic("no free port")
}

// scriptExpand puts the names into the configurations and dialogs of a script.
func scriptExpand(dir string, names map[string]string) error {
	for _, glob := range []string{"*.toml", "*.dialog"} {
		files, err := filepath.Glob(filepath.Join(dir, glob))
		if err != nil {
			return err
		}
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				return err
			}
			for n, v := range names {
				b = bytes.ReplaceAll(b, []byte("$"+n), []byte(v))
			}
			if err := os.WriteFile(f, b, 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}

type serverKey struct{}

// served is the postrider of a script.
type served struct {
	cmd  *exec.Cmd
	done chan error
	stop bool // its end is taken care of
	fail func(string, ...any)
}

func scriptServe(ts *testscript.TestScript, neg bool, args []string) {
	conf := "postrider.toml"
	if len(args) > 0 {
		conf = args[0]
	}
	s := ts.Value(serverKey{}).(*served)
	log, err := os.Create(ts.MkAbs("serve.log"))
	ts.Check(err)
	program, err := scriptLook(ts, "postrider")
	ts.Check(err)
	cmd := exec.Command(program, "serve", "-c", conf)
	cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.Env = ts.MkAbs("."), log, log, append(os.Environ(), "TZ=UTC")
	ts.Check(cmd.Start())
	log.Close()
	s.cmd, s.done = cmd, make(chan error, 1)
	go func() { s.done <- cmd.Wait() }()
	if !s.stop {
		s.stop = true
		ts.Defer(func() {
			if s.cmd == nil {
				return
			}
			s.cmd.Process.Signal(syscall.SIGTERM)
			select {
			case err := <-s.done:
				if err != nil {
					s.fail("%s: serve ended: %v\n%s", ts.Name(), err, ts.ReadFile("serve.log"))
				}
			case <-time.After(15 * time.Second):
				s.cmd.Process.Kill()
				<-s.done
				s.fail("%s: serve did not end when it was asked to", ts.Name())
			}
		})
	}
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		select {
		case err := <-s.done:
			s.cmd = nil
			ts.Fatalf("serve ended: %v\n%s", err, ts.ReadFile("serve.log"))
		default:
		}
		if strings.Contains(ts.ReadFile("serve.log"), "ready") {
			return
		}
	}
	ts.Fatalf("serve is not ready:\n%s", ts.ReadFile("serve.log"))
}

var scriptSignals = map[string]syscall.Signal{"TERM": syscall.SIGTERM, "INT": syscall.SIGINT, "HUP": syscall.SIGHUP, "KILL": syscall.SIGKILL}

func scriptSignal(ts *testscript.TestScript, neg bool, args []string) {
	s := ts.Value(serverKey{}).(*served)
	ts.Check(s.cmd.Process.Signal(scriptSignals[args[0]]))
}

func scriptHalt(ts *testscript.TestScript, neg bool, args []string) {
	sig := "TERM"
	if len(args) > 0 {
		sig = args[0]
	}
	s := ts.Value(serverKey{}).(*served)
	ts.Check(s.cmd.Process.Signal(scriptSignals[sig]))
	select {
	case err := <-s.done:
		s.cmd = nil
		if err != nil && sig != "KILL" {
			ts.Fatalf("serve ended: %v\n%s", err, ts.ReadFile("serve.log"))
		}
	case <-time.After(20 * time.Second):
		ts.Fatalf("serve does not end:\n%s", ts.ReadFile("serve.log"))
	}
}

const scriptLetter = "From: Ann <ann@author.test>\nTo: Bob <bob@there.test>\nSubject: hello\nMessage-ID: <m1@author.test>\n\nHello Bob.\n"

func scriptMail(ts *testscript.TestScript, neg bool, args []string) {
	text := scriptLetter
	if len(args) > 2 {
		text = ts.ReadFile(args[2])
	}
	var b strings.Builder
	fmt.Fprintf(&b, "< 220\n> EHLO client.test\n< 250\n> MAIL FROM:<%s>\n< 250\n", args[0])
	for to := range strings.SplitSeq(args[1], ",") {
		fmt.Fprintf(&b, "> RCPT TO:<%s>\n< 250\n", to)
	}
	b.WriteString("> DATA\n< 354\n")
	for line := range strings.SplitSeq(strings.TrimSuffix(text, "\n"), "\n") {
		if strings.HasPrefix(line, ".") {
			line = "." + line
		}
		b.WriteString("> " + line + "\n")
	}
	b.WriteString("> .\n< 250\n> QUIT\n< 221\n")
	d := dialog{ts: ts, file: "mail"}
	d.hold("", ts.Getenv("SMTP"), b.String())
}

func scriptSMTP(ts *testscript.TestScript, neg bool, args []string) {
	from := ""
	if args[0] == "-from" {
		from, args = args[1], args[2:]
	}
	d := dialog{ts: ts, file: args[1]}
	d.hold(from, args[0], ts.ReadFile(args[1]))
}

// dialog is one visit to a server. A line "> text" is sent with CRLF, ">> "…"" as
// the octets of a Go string, ">>* N "…"" N times; "< pattern" expects a reply that
// begins so, "<= text" exactly that one, with ______ for a reference; "half" ends the
// sending, "eof" expects the end, "close" makes it.
type dialog struct {
	ts   *testscript.TestScript
	file string
	c    *net.TCPConn
	r    *bufio.Reader
}

func (d *dialog) hold(from, address, text string) {
	dialer := net.Dialer{Timeout: 5 * time.Second}
	if from != "" {
		dialer.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
	}
	c, err := dialer.Dial("tcp", address)
	d.ts.Check(err)
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	d.c, d.r = c.(*net.TCPConn), bufio.NewReader(c)
	for i, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		if err := d.line(line); err != nil {
			d.ts.Fatalf("%s:%d: %s: %v", d.file, i+1, line, err)
		}
	}
}

func (d *dialog) line(line string) error {
	verb, rest, _ := strings.Cut(line, " ")
	switch verb {
	case "", "#":
		return nil
	case ">":
		_, err := d.c.Write([]byte(rest + "\r\n"))
		return err
	case ">>", ">>*":
		n := 1
		if verb == ">>*" {
			var times string
			times, rest, _ = strings.Cut(rest, " ")
			n, _ = strconv.Atoi(times)
		}
		s, err := strconv.Unquote(rest)
		if err != nil {
			return err
		}
		if _, err = d.c.Write([]byte(strings.Repeat(s, n))); verb == ">>*" {
			return nil // the server may have had enough before the end
		}
		return err
	case "<":
		reply, err := d.reply()
		if err != nil {
			return err
		}
		ok, err := regexp.MatchString("(?s)^(?:"+rest+")", reply)
		if err == nil && !ok {
			err = fmt.Errorf("came %q", reply)
		}
		return err
	case "<=":
		reply, err := d.reply()
		if err != nil {
			return err
		}
		if reply = reference.ReplaceAllString(reply, "(ref ______,"); reply != rest {
			return fmt.Errorf("came %q", reply)
		}
		return nil
	case "half":
		return d.c.CloseWrite()
	case "close":
		return d.c.Close()
	case "eof":
		_, err := d.r.ReadByte()
		if err == nil {
			return errors.New("the server goes on")
		}
		var late net.Error
		if errors.As(err, &late) && late.Timeout() {
			return err
		}
		return nil
	}
	return errors.New("not understood")
}

// reference is what a refusal is found by, another one each time.
var reference = regexp.MustCompile(`\(ref [0-9A-HJKMNP-TV-Z]{8},`)

// reply reads a reply of any number of lines.
func (d *dialog) reply() (string, error) {
	var all []string
	for {
		line, err := d.r.ReadString('\n')
		if err != nil {
			return strings.Join(all, "\n"), fmt.Errorf("after %q: %w", all, err)
		}
		all = append(all, strings.TrimRight(line, "\r\n"))
		if len(line) < 4 || line[3] != '-' {
			return strings.Join(all, "\n"), nil
		}
	}
}

func scriptAwait(ts *testscript.TestScript, neg bool, args []string) {
	pattern, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	program, err := scriptLook(ts, args[1])
	ts.Check(err)
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		cmd := exec.Command(program, args[2:]...)
		cmd.Dir, cmd.Env = ts.MkAbs("."), append(os.Environ(), "TZ=UTC")
		out, _ := cmd.Output() // what it says counts, not how it ends
		late := time.Now().After(end)
		if late || pattern.Match(out) != neg {
			ts.Exec(args[1], args[2:]...)
		}
		if late {
			ts.Fatalf("no match for %q within 10 s", args[0])
		}
		if pattern.Match(out) != neg {
			return
		}
	}
}

// scriptLook finds a command as the script does.
func scriptLook(ts *testscript.TestScript, name string) (string, error) {
	for dir := range strings.SplitSeq(ts.Getenv("PATH"), string(filepath.ListSeparator)) {
		f := filepath.Join(dir, name)
		if _, err := os.Stat(f); err == nil {
			return f, nil
		}
	}
	return "", exec.ErrNotFound
}

// scriptValues returns the values at a path like events.*.kind in the JSON lines
// of the last output.
func scriptValues(ts *testscript.TestScript, path string) []string {
	var all []string
	var walk func(v any, path []string)
	walk = func(v any, path []string) {
		if len(path) == 0 {
			if s, ok := v.(string); ok {
				all = append(all, s)
				return
			}
			b, _ := json.Marshal(v)
			all = append(all, string(b))
			return
		}
		switch v := v.(type) {
		case map[string]any:
			if next, ok := v[path[0]]; ok {
				walk(next, path[1:])
			}
		case []any:
			for i, next := range v {
				if path[0] == "*" || path[0] == strconv.Itoa(i) {
					walk(next, path[1:])
				}
			}
		}
	}
	dec := json.NewDecoder(strings.NewReader(ts.ReadFile("stdout")))
	for dec.More() {
		var v any
		ts.Check(dec.Decode(&v))
		walk(v, strings.Split(path, "."))
	}
	return all
}

func scriptJSON(ts *testscript.TestScript, neg bool, args []string) {
	values := scriptValues(ts, args[0])
	if ok, err := regexp.MatchString("(?s)"+args[1], strings.Join(values, " ")); err != nil || len(values) == 0 || !ok {
		if neg && err == nil {
			return
		}
		ts.Fatalf("%s is %q, not %q (%v)", args[0], values, args[1], err)
	}
	if neg {
		ts.Fatalf("%s is %q", args[0], values)
	}
}

func scriptJSONEnv(ts *testscript.TestScript, neg bool, args []string) {
	values := scriptValues(ts, args[1])
	if len(values) == 0 {
		ts.Fatalf("no value at %s", args[1])
	}
	ts.Setenv(args[0], values[0])
}

func scriptTmpfs(ts *testscript.TestScript, neg bool, args []string) {
	dir := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(dir, 0o755))
	ts.Check(scriptMount(dir, args[1]))
	ts.Defer(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			ts.Logf("umount: %s", out)
		}
	})
}

func scriptMount(dir, size string) error {
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size="+size, "tmpfs", dir).CombinedOutput(); err != nil {
		return fmt.Errorf("mount: %w: %s", err, out)
	}
	return nil
}

// scriptCan is the condition [mount]: we may mount a file system.
func scriptCan(cond string) (bool, error) {
	if cond != "mount" {
		return false, fmt.Errorf("unknown condition %q", cond)
	}
	dir, err := os.MkdirTemp("", "mount-")
	if err != nil {
		return false, err
	}
	defer os.Remove(dir)
	if scriptMount(dir, "64k") != nil {
		return false, nil
	}
	return true, exec.Command("umount", dir).Run()
}

type hopsKey struct{}

// nextHop is a next hop that does as a script says.
type nextHop struct {
	l     net.Listener
	dir   string
	rules []*hopRule
	wait  sync.WaitGroup

	mu    sync.Mutex
	n     int
	conns map[net.Conn]bool
	said  *os.File // all commands
}

type hopRule struct {
	left        int // times it still applies; below 0: always
	stage, word string
	reply       string
}

func scriptSink(ts *testscript.TestScript, neg bool, args []string) {
	sinks := ts.Value(hopsKey{}).(map[string]*nextHop)
	name := args[0]
	old := sinks[name]
	if len(args) > 1 && args[1] == "off" {
		old.close()
		return
	}
	s := &nextHop{dir: ts.MkAbs(name), conns: map[net.Conn]bool{}}
	if old != nil {
		old.close()
		s.n = old.n
	}
	for _, a := range args[1:] {
		when, reply, ok := strings.Cut(a, "=")
		if !ok {
			ts.Fatalf("sink: %q is not [N*]STAGE[:WORD]=REPLY", a)
		}
		r := &hopRule{left: -1, reply: reply}
		if n, rest, ok := strings.Cut(when, "*"); ok {
			r.left, _ = strconv.Atoi(n)
			when = rest
		}
		r.stage, r.word, _ = strings.Cut(when, ":")
		s.rules = append(s.rules, r)
	}
	ts.Check(os.MkdirAll(s.dir, 0o755))
	said, err := os.OpenFile(filepath.Join(s.dir, "said"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	ts.Check(err)
	s.said = said
	l, err := net.Listen("tcp", ts.Getenv(name))
	for end := time.Now().Add(5 * time.Second); err != nil && time.Now().Before(end); {
		time.Sleep(50 * time.Millisecond) // somebody tries whether the port is free
		l, err = net.Listen("tcp", ts.Getenv(name))
	}
	ts.Check(err)
	s.l, sinks[name] = l, s
	ts.Defer(s.close)
	s.wait.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns[c] = true
			s.mu.Unlock()
			s.wait.Go(func() { s.visit(c) })
		}
	})
}

func (s *nextHop) close() {
	s.l.Close()
	s.mu.Lock()
	for c := range s.conns {
		c.Close()
	}
	s.mu.Unlock()
	s.wait.Wait()
	s.said.Close()
}

// says returns what the rules make of a stage.
func (s *nextHop) says(stage, arg, usual string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.rules {
		if r.stage == stage && r.left != 0 && strings.Contains(arg, r.word) {
			r.left--
			return strings.ReplaceAll(r.reply, `\n`, "\r\n")
		}
	}
	return usual
}

func (s *nextHop) visit(c net.Conn) {
	defer func() {
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
		c.Close()
	}()
	c.SetDeadline(time.Now().Add(time.Minute))
	r := bufio.NewReader(c)
	say := func(reply string) { c.Write([]byte(reply + "\r\n")) }
	say(s.says("connect", "", "220 sink.test ESMTP"))
	var env []string
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		fmt.Fprintln(s.said, line)
		verb, _, _ := strings.Cut(strings.ToUpper(line), " ")
		switch verb {
		case "EHLO", "LHLO":
			say(s.says("hello", line, "250-sink.test\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-ENHANCEDSTATUSCODES\r\n250-PIPELINING\r\n250 SIZE 99999999"))
		case "MAIL":
			env = []string{line}
			say(s.says("mail", line, "250 2.1.0 ok"))
		case "RCPT":
			reply := s.says("rcpt", line, "250 2.1.5 ok")
			if reply[0] == '2' {
				env = append(env, line)
			}
			say(reply)
		case "DATA":
			reply := s.says("data", line, "354 go on")
			if len(env) < 2 {
				reply = "554 5.5.1 no valid recipients"
			}
			say(reply)
			if reply[0] == '3' && !s.take(r, env, say) {
				return
			}
		case "RSET", "NOOP":
			say("250 2.0.0 ok")
		case "QUIT":
			say("221 2.0.0 bye")
			return
		default:
			say("502 5.5.2 what")
		}
	}
}

// take reads a message; it believes any line end, so that nothing is smuggled
// past it.
func (s *nextHop) take(r *bufio.Reader, env []string, say func(string)) bool {
	var b bytes.Buffer
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return false
		}
		if line == ".\r\n" {
			break
		}
		line = strings.TrimPrefix(line, ".")
		if !strings.HasSuffix(line, "\r\n") || strings.ContainsAny(line[:len(line)-2], "\r\x00") {
			line = "BARE " + strconv.Quote(line) + "\n"
		}
		b.WriteString(strings.TrimSuffix(line, "\r\n") + "\n")
	}
	reply := s.says("dot", env[1], "250 2.0.0 taken as 4711")
	if reply[0] == '2' {
		s.mu.Lock()
		s.n++
		name := filepath.Join(s.dir, strconv.Itoa(s.n))
		s.mu.Unlock()
		os.WriteFile(name+".env", []byte(strings.Join(env, "\n")+"\n"), 0o644)
		os.WriteFile(name+".eml", b.Bytes(), 0o644)
	}
	say(reply)
	return true
}
