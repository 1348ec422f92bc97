package internal_test

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"verge/internal/api"
	"verge/internal/api/httpapi"
	"verge/internal/api/manage"
	"verge/internal/cli"
	"verge/internal/config"
	"verge/internal/fault"
	"verge/internal/serve"
)

// packages are the directories with Go files that are no tests, as import paths
// without the module and "internal".
func packages(t *testing.T) map[string][]*ast.File {
	t.Helper()
	all := map[string][]*ast.File{}
	files(t, func(path string) {
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments|parser.PackageClauseOnly)
		if err != nil {
			t.Fatal(err)
		}
		dir := strings.TrimPrefix(filepath.ToSlash(filepath.Dir(path)), "../")
		name := strings.TrimPrefix(dir, "internal/")
		all[name] = append(all[name], file)
	})
	return all
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	for name, files := range packages(t) {
		docs := 0
		for _, file := range files {
			if file.Doc == nil {
				continue
			}
			docs++
			want := "Package " + file.Name.Name + " "
			if file.Name.Name == "main" {
				want = "Command " + filepath.Base(name) + " "
			}
			if !strings.HasPrefix(file.Doc.Text(), want) {
				t.Errorf("%s: the package comment does not begin with %q", name, want)
			}
		}
		if docs != 1 {
			t.Errorf("%s has %d package comments, want 1", name, docs)
		}
	}
}

func TestTheArchitectureHasEveryPackageWithItsLayer(t *testing.T) {
	rooms, listed := map[string]int{}, map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^\| (\d+) \| ([^|]+) \|`).FindAllStringSubmatch(text(t, "../ARCHITECTURE.md"), -1) {
		layer, err := strconv.Atoi(m[1])
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(m[2], -1) {
			rooms[room(name[1])] = layer
			listed[name[1]] = true
		}
	}
	if diff := cmp.Diff(layers, rooms); diff != "" {
		t.Errorf("layers (-layers_test.go +ARCHITECTURE.md):\n%s", diff)
	}
	want := slices.Sorted(maps.Keys(packages(t)))
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(listed))); diff != "" {
		t.Errorf("packages (-tree +ARCHITECTURE.md):\n%s", diff)
	}
}

// command is a call of verge in a page.
type command struct {
	words []string // before the first flag
	flags []string
}

// commandOf reads a line of shell or a piece of code; ok is false where verge is
// not called.
func commandOf(line string) (c command, ok bool) {
	line = strings.TrimPrefix(strings.TrimSpace(line), "$ ")
	words := strings.Fields(line)
	for len(words) > 0 && regexp.MustCompile(`^[A-Z_]+=`).MatchString(words[0]) {
		words = words[1:]
	}
	if len(words) == 0 || words[0] != "verge" && words[0] != "bin/verge" {
		return c, false
	}
	for _, word := range words[1:] {
		if strings.ContainsAny(word, "#&|;>") {
			break
		}
		word = strings.Trim(word, "[],…")
		switch {
		case strings.HasPrefix(word, "-") && word != "-":
			name, _, _ := strings.Cut(word, "=")
			c.flags = append(c.flags, name)
		case len(c.flags) == 0 && word != "":
			c.words = append(c.words, word)
		}
	}
	return c, true
}

// help returns the help text of a command; ok is false where there is none.
func help(t *testing.T, words []string) (shown string, ok bool) {
	t.Helper()
	var out strings.Builder
	std := cli.IO{In: strings.NewReader(""), Out: &out, Err: io.Discard}
	status := cli.Run(t.Context(), append(slices.Clone(words), "--help"), std)
	return out.String(), status == 0
}

// wrong says what of c the command line does not know, or "".
func (c command) wrong(t *testing.T) string {
	t.Helper()
	words := []string{}
	shown, _ := help(t, words)
	for _, next := range c.words {
		usage, _, _ := strings.Cut(shown, "\n")
		if !strings.Contains(usage, "<command>") || !regexp.MustCompile(`^[a-z]+$`).MatchString(next) {
			break // next is an argument, or stands for any command
		}
		words = append(words, next)
		var ok bool
		if shown, ok = help(t, words); !ok {
			return fmt.Sprintf("there is no command %q", strings.Join(words, " "))
		}
	}
	for _, flag := range c.flags {
		if !regexp.MustCompile(`(?m)^\s+(-[a-z], )?\s*` + regexp.QuoteMeta(flag) + `[=,\s]`).MatchString(shown) {
			return fmt.Sprintf("%q has no flag %s", strings.Join(words, " "), flag)
		}
	}
	return ""
}

// TestCommandsInPagesExist holds each command and flag against the help texts.
func TestCommandsInPagesExist(t *testing.T) {
	seen := 0
	check := func(path, line string) {
		c, ok := commandOf(line)
		if !ok {
			return
		}
		seen++
		if wrong := c.wrong(t); wrong != "" {
			t.Errorf("%s: %s: %s", path, strings.TrimSpace(line), wrong)
		}
	}
	for _, p := range pages(t) {
		for _, span := range p.spans() {
			check(p.path, span)
		}
		for _, b := range p.blocks {
			if b.language != "sh" && b.language != "console" {
				continue
			}
			for line := range strings.Lines(b.text) {
				if b.language == "sh" || strings.HasPrefix(line, "$ ") {
					check(p.path, line)
				}
			}
		}
	}
	const least = 30
	if seen < least {
		t.Errorf("%d commands were found, want %d or more", seen, least)
	}
}

const protocol = "../docs/protocol.md"

func TestTheProtocolPageHasTheStatusOfEveryKind(t *testing.T) {
	var want, got []string
	for _, kind := range fault.Kinds() {
		err := fault.New(kind, "x", "y")
		v2, v1 := httptest.NewRecorder(), httptest.NewRecorder()
		api.WriteError(v2, err)
		api.WriteManagementError(v1, err)
		want = append(want, fmt.Sprintf("%v %d %d", kind, v2.Code, v1.Code))
	}
	for _, m := range regexp.MustCompile(`(?m)^\| ([a-z_]+) \| (\d{3}) \| (\d{3}) \|`).FindAllStringSubmatch(text(t, protocol), -1) {
		got = append(got, strings.Join(m[1:], " "))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("kinds (-api +page):\n%s", diff)
	}
}

// operations are the methods and paths of a page's tables.
func operations(t *testing.T, prefix string) (all []string) {
	t.Helper()
	for _, m := range regexp.MustCompile("(?m)^\\| ([A-Z]+) \\| `([^`]+)` \\|").FindAllStringSubmatch(text(t, protocol), -1) {
		if strings.HasPrefix(m[2], prefix) {
			all = append(all, m[1]+" "+m[2])
		}
	}
	slices.Sort(all)
	return all
}

func TestTheProtocolPageHasEveryOperationOfManagement(t *testing.T) {
	handler := manage.New(manage.Default(), manage.Node{}, slog.New(slog.DiscardHandler))
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/openapi.json", http.NoBody))
	var want []string
	for path, methods := range decode[struct {
		Paths map[string]map[string]any `json:"paths"`
	}](t, w.Body.Bytes()).Paths {
		for method := range methods {
			if method != "parameters" {
				want = append(want, strings.ToUpper(method)+" "+path)
			}
		}
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, operations(t, "/v1")); diff != "" {
		t.Errorf("operations (-OpenAPI +page):\n%s", diff)
	}
}

func TestTheOperationsOfInferenceInTheProtocolPageExist(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	handler := httpapi.New(httpapi.Default(), serve.New(serve.Default(), log), log)
	all := operations(t, "/v2")
	if len(all) == 0 {
		t.Fatal("the page has no operation")
	}
	for _, operation := range all {
		method, path, _ := strings.Cut(operation, " ")
		path = strings.ReplaceAll(path, "{model}", "m")
		for _, path := range []string{path, strings.Replace(path, "/m", "/m/versions/1", 1)} {
			if strings.Contains(path, "/versions/") && !strings.HasPrefix(path, "/v2/models/m/") {
				continue
			}
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, path, http.NoBody))
			if body := w.Body.String(); w.Code == http.StatusMethodNotAllowed || strings.Contains(body, "no such path") {
				t.Errorf("%s: %s answers %d %s", operation, path, w.Code, body)
			}
		}
	}
}

func TestTheLimitsInTheProtocolPageAreTheDefaults(t *testing.T) {
	shown := string(config.Default().Show())
	rows := regexp.MustCompile("(?m)^\\| `([a-z]+)\\.([a-z_]+)` \\| ([^|]+) \\|").FindAllStringSubmatch(text(t, protocol), -1)
	if len(rows) == 0 {
		t.Fatal("the page has no limit")
	}
	for _, m := range rows {
		section := regexp.MustCompile(`(?ms)^` + m[1] + `:\n(.*?)(^[a-z]|\z)`).FindString(shown)
		if want := "\n  " + m[2] + ": " + m[3] + "\n"; !strings.Contains(section, want) {
			t.Errorf("%s.%s is not %s by default", m[1], m[2], m[3])
		}
	}
}

func decode[T any](t *testing.T, text []byte) (value T) {
	t.Helper()
	if err := json.Unmarshal(text, &value); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return value
}
