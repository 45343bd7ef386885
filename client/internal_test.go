package client

import (
	"crypto/rand"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"
)

// Two signings in one second give the same text, but never the same bytes in
// memory, so that each signing can be counted.
func TestOneSigningForEachRenewal(t *testing.T) {
	const renewals, callers = 20, 64
	now := time.Now()
	signings := make(map[*byte]bool)
	transport := JWT(rand.Text(), rand.Text())
	for range renewals {
		// All have found the token too old before any of them signs.
		var arrived sync.WaitGroup
		var calls atomic.Int64
		arrived.Add(callers)
		transport.Now = func() time.Time {
			if calls.Add(1) <= callers {
				arrived.Done()
				arrived.Wait()
			}
			return now
		}
		var wg sync.WaitGroup
		fields := make([]string, callers)
		for i := range fields {
			wg.Go(func() { fields[i] = transport.credential.field(transport) })
		}
		wg.Wait()
		for _, f := range fields {
			signings[unsafe.StringData(f)] = true
		}
		now = now.Add(renewAfter)
	}
	if len(signings) != renewals {
		t.Errorf("%d signings for %d renewals by %d callers at once", len(signings), renewals, callers)
	}
}

func TestNoLockWhileTheTokenIsFresh(t *testing.T) {
	transport := JWT(rand.Text(), rand.Text())
	want := transport.credential.field(transport)
	transport.credential.mu.Lock()
	defer transport.credential.mu.Unlock()
	done := make(chan string)
	go func() { done <- transport.credential.field(transport) }()
	select {
	case got := <-done:
		if got != want {
			t.Error("another token was signed")
		}
	case <-time.After(10 * time.Second):
		t.Fatal("a fresh token waits for the lock")
	}
}

// The reader of the clock may be overtaken by a second, and a correction of the
// clock by more than that must take effect.
func TestFresh(t *testing.T) {
	iat := time.Unix(1713225600, 0)
	for after, want := range map[time.Duration]bool{
		-noise: false, -ahead - 1: false, -ahead: true, -1: true, 0: true, renewAfter - 1: true, renewAfter: false, time.Hour: false,
	} {
		if got := (&signedToken{iat: iat}).fresh(iat.Add(after)); got != want {
			t.Errorf("%v after its iat: fresh is %v", after, got)
		}
	}
	if (*signedToken)(nil).fresh(iat) {
		t.Error("no token is fresh")
	}
	if ahead >= noise {
		t.Error("a correction of the clock may leave the old token in use")
	}
}

func TestEveryExportedNameHasAnExample(t *testing.T) {
	fset := token.NewFileSet()
	names, examples := make(map[string]bool), make(map[string]bool)
	files := parse(t, fset)
	for name, f := range files {
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if after, ok := strings.CutPrefix(d.Name.Name, "Example"); ok {
					examples[after] = true
				} else if !strings.HasSuffix(name, "_test.go") && d.Name.IsExported() {
					if r := receiver(d); r == "" || ast.IsExported(r) {
						names[strings.TrimPrefix(r+"_"+d.Name.Name, "_")] = true
					}
				}
			case *ast.GenDecl:
				for _, s := range d.Specs {
					if s, ok := s.(*ast.TypeSpec); ok && s.Name.IsExported() && !strings.HasSuffix(name, "_test.go") {
						names[s.Name.Name] = true
					}
				}
			}
		}
	}
	if len(names) < 10 {
		t.Fatalf("only %d exported names were found", len(names))
	}
	for name := range names {
		if !examples[name] {
			t.Errorf("%s has no Example", name)
		}
	}
}

func parse(t *testing.T, fset *token.FileSet) map[string]*ast.File {
	t.Helper()
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[string]*ast.File)
	for _, name := range names {
		f, err := parser.ParseFile(fset, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = f
	}
	return files
}

func receiver(d *ast.FuncDecl) string {
	if d.Recv == nil {
		return ""
	}
	typ := d.Recv.List[0].Type
	if star, ok := typ.(*ast.StarExpr); ok {
		typ = star.X
	}
	return typ.(*ast.Ident).Name
}
