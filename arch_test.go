package postrider

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/postrider/postrider/"

// mayImport is who may import whom among our own packages, floor by floor: words,
// law, hands, house, door. Change it only with a note in docs/decisions.
var mayImport = map[string]string{
	"mail": "",

	"custody": "mail", "policy": "mail", "dsn": "mail", "cause": "mail", "system": "mail",
	"notice":  "mail custody dsn cause",
	"chain":   "mail custody dsn system",
	"explain": "mail custody dsn cause system",

	"internal/memnet": "", "internal/memo": "",
	"internal/dns": "mail", "internal/smtpd": "mail", "internal/smtpc": "mail", "internal/filter": "mail",
	"internal/auth": "mail internal/dns", "internal/route": "mail internal/dns",
	"internal/spool":           "mail custody",
	"internal/spool/spooltest": "mail custody internal/spool",
	"internal/spool/local":     "mail custody internal/spool",
	"internal/spool/memory":    "mail custody internal/spool",
	"internal/spool/postgres":  "mail custody internal/spool",

	"internal/intake":  "mail custody policy internal/auth internal/spool internal/smtpd internal/dns internal/filter internal/memo",
	"internal/carrier": "mail custody internal/route internal/smtpc",
	"internal/queue":   "mail custody notice internal/spool internal/memo",
	"internal/watch":   "mail custody",
	"internal/api":     "mail custody policy dsn cause system notice chain explain internal/spool internal/queue internal/watch",

	"internal/api/web": "mail custody policy dsn cause system notice chain explain internal/api internal/spool internal/watch",

	"internal/config": "mail custody policy chain system internal/route internal/smtpd internal/smtpc internal/intake internal/queue internal/carrier internal/dns internal/api internal/watch internal/spool/local",
	"cmd/postrider":   "*",
	"test/peers":      "mail",
}

// pure packages decide and never do: no clock, disk, network or chance.
var pure = strings.Fields("mail custody policy dsn cause system notice chain explain")

var impure = []string{"os", "net", "net/http", "io/fs", "math/rand", "math/rand/v2", "crypto/rand", "log", "log/slog", "os/exec", "syscall"}

func TestEachPackageImportsOnlyWhatItsFloorAllows(t *testing.T) {
	for pkg, imports := range sources(t) {
		allowed, known := mayImport[pkg]
		if !known {
			t.Errorf("%s has no place in the import table", pkg)
			continue
		}
		for _, imp := range imports {
			ours, ok := strings.CutPrefix(imp, module)
			if ok && allowed != "*" && !slices.Contains(strings.Fields(allowed), ours) {
				t.Errorf("%s imports %s, which the table does not allow", pkg, ours)
			}
		}
	}
}

func TestTheLawIsPure(t *testing.T) {
	for pkg, imports := range sources(t) {
		for _, imp := range imports {
			if slices.Contains(pure, pkg) && slices.Contains(impure, imp) {
				t.Errorf("%s imports %s: it is law, and may not see the world", pkg, imp)
			}
		}
	}
}

// The law may speak of time, but time comes to it as an argument.
func TestTheLawReadsNoClock(t *testing.T) {
	for _, pkg := range pure {
		files, err := filepath.Glob(filepath.Join(pkg, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			fset := token.NewFileSet()
			f, err := parser.ParseFile(fset, file, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(f, func(n ast.Node) bool {
				sel, ok := n.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				x, ok := sel.X.(*ast.Ident)
				if ok && x.Name == "time" && slices.Contains(clocks, sel.Sel.Name) {
					t.Errorf("%s: time.%s", fset.Position(n.Pos()), sel.Sel.Name)
				}
				return true
			})
		}
	}
}

var clocks = strings.Fields("Now Since Until Sleep After AfterFunc NewTimer NewTicker Tick")

// sources returns the imports of each package of ours, its tests left out.
func sources(t *testing.T) map[string][]string {
	t.Helper()
	found := map[string]map[string]bool{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "tools"):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		pkg := filepath.ToSlash(filepath.Dir(path))
		if found[pkg] == nil {
			found[pkg] = map[string]bool{}
		}
		for _, s := range f.Imports {
			imp, err := strconv.Unquote(s.Path.Value)
			if err != nil {
				return err
			}
			found[pkg][imp] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]string{}
	for pkg, imports := range found {
		out[pkg] = slices.Sorted(maps.Keys(imports))
	}
	return out
}
