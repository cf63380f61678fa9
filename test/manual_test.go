//go:build linux

package test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// example is a block of a page of the manual: what is to be run, and the JSON that
// follows as its answer, if any.
type example struct {
	line         int
	text, answer string
}

// examples returns the blocks of a language.
func examples(page, language string) (all []example) {
	block, began := "", 0
	last := -1 // block that an answer may follow
	for i, line := range strings.Split(page, "\n") {
		fence, is := strings.CutPrefix(line, "```")
		switch {
		case is && began == 0:
			block, began = fence, i+1
			if fence == language {
				all = append(all, example{line: i + 2})
				last = len(all) - 1
			}
		case is:
			if block == "json" {
				last = -1
			}
			began = 0
		case began > 0 && block == language:
			all[last].text += line + "\n"
		case began > 0 && block == "json" && last >= 0:
			all[last].answer += line + "\n"
		case began == 0 && line != "":
			last = -1
		}
	}
	return all
}

// scriptManual makes the examples of a page of docs hold:
//
//	manual toml PAGE FILE     its TOML is appended to the file
//	manual run PAGE FROM TO   its shell, from one block to another, each as it stands
//	                          with $DESK; where JSON follows at once, the answer must have
//	                          all keys that it has, with values of the same kinds
func scriptManual(ts *testscript.TestScript, neg bool, args []string) {
	page, err := os.ReadFile(filepath.Join("..", "docs", args[1]))
	ts.Check(err)
	text := strings.ReplaceAll(string(page), "127.0.0.1:9000", ts.Getenv("HOOK"))
	switch args[0] {
	case "toml":
		file := ts.MkAbs(args[2])
		all := ts.ReadFile(args[2])
		for _, e := range examples(text, "toml") {
			all += e.text
		}
		ts.Check(os.WriteFile(file, []byte(all), 0o644))
	case "run":
		from, err := strconv.Atoi(args[2])
		ts.Check(err)
		to, err := strconv.Atoi(args[3])
		ts.Check(err)
		all := examples(text, "sh")
		for _, e := range all[from-1 : min(to, len(all))] {
			if err := e.run(ts); err != nil {
				ts.Fatalf("docs/%s:%d: %v\n%s", args[1], e.line, err, e.text)
			}
		}
	}
}

func (e example) run(ts *testscript.TestScript) error {
	cmd := exec.Command("sh", "-euc", e.text)
	cmd.Dir, cmd.Env = ts.MkAbs("."), append(os.Environ(), "DESK=http://"+ts.Getenv("HTTP"), "PATH="+ts.Getenv("PATH"))
	var problems strings.Builder
	cmd.Stderr = &problems
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("%w\n%s%s", err, out, &problems)
	}
	if e.answer == "" {
		if strings.Contains(string(out), `"status":4`) && strings.Contains(string(out), `"title"`) {
			return fmt.Errorf("it is refused: %s", out)
		}
		return nil
	}
	var want, got any
	if err := json.Unmarshal([]byte(e.answer), &want); err != nil {
		return fmt.Errorf("the answer is no JSON: %w", err)
	}
	if err := json.Unmarshal(out, &got); err != nil {
		return fmt.Errorf("what comes is no JSON: %w\n%s", err, out)
	}
	if err := holds("", want, got); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return nil
}

// holds reports where what came lacks something that the manual shows.
func holds(at string, want, got any) error {
	if kindOf(want) != kindOf(got) {
		return fmt.Errorf("%s is %s, and %s in the manual", at, kindOf(got), kindOf(want))
	}
	switch want := want.(type) {
	case map[string]any:
		for k, v := range want {
			g, ok := got.(map[string]any)[k]
			if !ok {
				return fmt.Errorf("%s.%s is not there", at, k)
			}
			if err := holds(at+"."+k, v, g); err != nil {
				return err
			}
		}
	case []any:
		if len(got.([]any)) < len(want) {
			return fmt.Errorf("%s has %d entries", at, len(got.([]any)))
		}
		for i, v := range want {
			if err := holds(fmt.Sprintf("%s[%d]", at, i), v, got.([]any)[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

func kindOf(v any) string {
	switch v.(type) {
	case map[string]any:
		return "an object"
	case []any:
		return "a list"
	case nil:
		return "null"
	}
	return strings.TrimSuffix(fmt.Sprintf("%T", v), "64")
}
