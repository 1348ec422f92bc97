// Package internal_test holds the tests that look at the shape of the whole tree.
package internal_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// layers is the import direction: a package imports only lower layers and its
// own sub-packages. ARCHITECTURE.md explains each; a new package goes in both.
var layers = map[string]int{
	"fault": 0, "version": 0, "packaging": 0, "strictjson": 0, "document": 1, "modelname": 1,
	"tensor": 1, "stats": 1, "native": 1, "sysroot": 1, "notify": 1,
	"inference": 2, "deployfile": 2, "bundle": 2,
	"device": 3, "modelfile": 3, "artifact": 3, "runtimeinstall": 3, "sandbox": 3, "service": 3, "runtimes": 3, "oip": 3, "dataset": 3,
	"client": 4, "worker": 4, "monitor": 4, "report": 5,
	"serve":  5,
	"health": 6, "gate": 6, "choice": 6,
	"deploy": 7,
	"api":    8,
	"config": 9, "app": 10, "cli": 11, "cmd": 12, "test": 12,
}

// room is the part of an import path that layers speaks of.
func room(path string) string {
	path = strings.TrimPrefix(path, "internal/")
	name, _, _ := strings.Cut(path, "/")
	return name
}

func TestImportsPointDown(t *testing.T) {
	const prefix = "verge/"
	files := 0
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		rel, _ := filepath.Rel("..", path)
		rel = filepath.ToSlash(rel)
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if rel != "." && (strings.HasPrefix(rel, ".") || rel == "tools" || rel == "examples" || rel == "bin") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(rel, ".go") || filepath.Dir(rel) == "internal" {
			return nil
		}
		files++
		from := room(rel)
		if _, ok := layers[from]; !ok {
			t.Errorf("%s: package %s has no layer; add it to layers and to ARCHITECTURE.md", rel, from)
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		isTest := strings.HasSuffix(rel, "_test.go") || strings.HasSuffix(filepath.Dir(rel), "test")
		for _, spec := range file.Imports {
			name, _ := strconv.Unquote(spec.Path.Value)
			rest, ours := strings.CutPrefix(name, prefix)
			if to := room(rest); ours && to != from && layers[to] >= layers[from] && !isTest {
				t.Errorf("%s: %s (layer %d) imports %s (layer %d)", rel, from, layers[from], to, layers[to])
			}
			if adapter, isAdapter := strings.CutPrefix(rest, "internal/runtimes/"); ours && isAdapter && from != "app" && !isTest &&
				!strings.HasPrefix(rel, "internal/runtimes/"+adapter) {
				t.Errorf("%s imports %s; adapters are chosen in app only, and know nothing of each other", rel, name)
			}
			if (name == "unsafe" || strings.Contains(name, "purego")) && from != "native" && from != "runtimes" {
				t.Errorf("%s imports %s; only native and runtimes may", rel, name)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files == 0 {
		t.Fatal("no Go file was looked at")
	}
}
