package internal_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// page is a Markdown file of this tree.
type page struct {
	path   string // from this directory
	prose  string // without its code blocks
	blocks []block
}

// block is a code block; an indented one has no language.
type block struct{ language, text string }

// files calls fn with every file that belongs to the tree.
func files(t *testing.T, fn func(path string)) {
	t.Helper()
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		switch name := entry.Name(); {
		case err != nil:
			return err
		case !entry.IsDir():
			fn(path)
		case name == "bin" || name == "testdata" || strings.HasPrefix(name, ".") && name != ".." && name != ".ci":
			return filepath.SkipDir
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func text(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// pages reads every Markdown file.
func pages(t *testing.T) (all []page) {
	t.Helper()
	files(t, func(path string) {
		if strings.HasSuffix(path, ".md") {
			all = append(all, parsePage(path, text(t, path)))
		}
	})
	const least = 10
	if len(all) < least {
		t.Fatalf("%d pages were found, want %d or more", len(all), least)
	}
	return all
}

// parsePage tells prose and code blocks apart.
func parsePage(path, content string) page {
	p := page{path: path}
	var prose strings.Builder
	var open *block
	blank := true // the line before is
	for line := range strings.Lines(content) {
		fence, fenced := strings.CutPrefix(strings.TrimSpace(line), "```")
		fenced = fenced && !strings.Contains(fence, "`")
		indented, isIndented := strings.CutPrefix(line, "    ")
		switch {
		case fenced && open != nil:
			p.blocks = append(p.blocks, *open)
			open = nil
		case fenced:
			open = &block{language: fence}
		case open != nil:
			open.text += line
		case isIndented && blank: // and blank stays: the block goes on
			p.blocks = append(p.blocks, block{text: indented})
			continue
		default:
			prose.WriteString(line)
		}
		blank = strings.TrimSpace(line) == ""
	}
	p.prose = prose.String()
	return p
}

// spans are the pieces of code within prose.
func (p page) spans() (all []string) {
	for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(p.prose, -1) {
		all = append(all, strings.Join(strings.Fields(m[1]), " "))
	}
	return all
}

func TestLinksLead(t *testing.T) {
	links := 0
	for _, p := range pages(t) {
		for _, m := range regexp.MustCompile(`\]\(([^)\s]+)\)`).FindAllStringSubmatch(p.prose, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			links++
			target, anchor, _ := strings.Cut(m[1], "#")
			file := p.path
			if target != "" {
				file = filepath.Join(filepath.Dir(p.path), target)
			}
			if _, err := os.Stat(file); err != nil {
				t.Errorf("%s: link to %s: %v", p.path, m[1], err)
			} else if anchor != "" && !slices.Contains(anchors(text(t, file)), anchor) {
				t.Errorf("%s: link to %s: that page has no such heading", p.path, m[1])
			}
		}
	}
	if links == 0 {
		t.Error("no link was found")
	}
}

// anchors are what a page's headings are linked by.
func anchors(content string) (all []string) {
	for _, m := range regexp.MustCompile(`(?m)^#+ +(.*)$`).FindAllStringSubmatch(content, -1) {
		all = append(all, strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case unicode.IsLetter(r), unicode.IsDigit(r), r == '-', r == '_':
				return unicode.ToLower(r)
			}
			return -1
		}, m[1]))
	}
	return all
}

func TestShellBlocksAreShell(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("needs bash")
	}
	blocks := 0
	for _, p := range pages(t) {
		for _, b := range p.blocks {
			if b.language != "sh" {
				continue
			}
			blocks++
			check := exec.CommandContext(t.Context(), bash, "-n")
			check.Stdin = strings.NewReader(b.text)
			if said, err := check.CombinedOutput(); err != nil {
				t.Errorf("%s: %s\n%s", p.path, said, b.text)
			}
		}
	}
	if blocks == 0 {
		t.Error("no block was found")
	}
}

func TestPagesNameTargetsThatTheMakefileHas(t *testing.T) {
	makefile := text(t, "../Makefile")
	var targets []string
	for _, m := range regexp.MustCompile(`(?m)^([a-z0-9-][a-z0-9 -]*):`).FindAllStringSubmatch(makefile, -1) {
		targets = append(targets, strings.Fields(m[1])...)
	}
	named := 0
	check := func(path, command string) {
		command, _, _ = strings.Cut(command, "#")
		words := strings.Fields(command)
		if len(words) == 0 || words[0] != "make" {
			return
		}
		for _, word := range words[1:] {
			named++
			if !slices.Contains(targets, word) {
				t.Errorf("%s: the Makefile has no target %q", path, word)
			}
		}
	}
	for _, p := range pages(t) {
		for _, span := range p.spans() {
			check(p.path, span)
		}
		for _, b := range p.blocks {
			for line := range strings.Lines(b.text) {
				check(p.path, line)
			}
		}
	}
	if named == 0 {
		t.Error("no target was found")
	}
}

func TestContributingStaysShort(t *testing.T) {
	const most = 80
	if n := strings.Count(text(t, "../CONTRIBUTING.md"), "\n"); n >= most {
		t.Errorf("CONTRIBUTING.md has %d lines, want fewer than %d", n, most)
	}
}

func TestDecisionsAreNumberedAndSayWhatTheyCost(t *testing.T) {
	decisions, err := filepath.Glob("../docs/adr/*.md")
	if err != nil || len(decisions) == 0 {
		t.Fatalf("decisions: %v, %v", decisions, err)
	}
	for i, path := range decisions {
		number := regexp.MustCompile(`^(\d{4})-[a-z0-9-]+\.md$`).FindStringSubmatch(filepath.Base(path))
		content := text(t, path)
		title := regexp.MustCompile(`^# (\d+)\. `).FindStringSubmatch(content)
		if number == nil || title == nil || strings.TrimLeft(number[1], "0") != title[1] {
			t.Errorf("%s: its name and its title do not have the same number", path)
		} else if want := filepath.Base(path)[:4]; want != pad(i+1) {
			t.Errorf("%s: want number %s", path, pad(i+1))
		}
		if got := regexp.MustCompile(`(?m)^## .*$`).FindAllString(content, -1); !slices.Equal(got, []string{"## Context", "## Decision", "## Cost"}) {
			t.Errorf("%s: headings %q, want Context, Decision, Cost", path, got)
		}
	}
}

// pad writes a number below 1000 with four digits.
func pad(n int) string {
	digits := []byte("0000")
	for i := len(digits) - 1; n > 0; i, n = i-1, n/10 {
		digits[i] = byte('0' + n%10)
	}
	return string(digits)
}

// TestNoFileNamesAMachineOrARegistry looks for what would tie the tree to where it
// was made: a directory of that machine, and hosts that packages come from.
func TestNoFileNamesAMachineOrARegistry(t *testing.T) {
	foreign := []string{ // in two pieces, so that this file is not one of those that it finds
		"/wor" + "k/", "py" + "pi.org", "python" + "hosted.org", "npm" + "js.org", "npm" + "js.com", "proxy." + "golang.org", "sum." + "golang.org",
	}
	looked := 0
	files(t, func(path string) {
		switch filepath.Ext(path) {
		case ".md", ".go", ".sh", ".yaml", ".yml", ".json", ".py", ".txt", ".mod", "":
		default:
			return
		}
		looked++
		content := text(t, path)
		for _, word := range foreign {
			if strings.Contains(content, word) {
				t.Errorf("%s names %s", path, word)
			}
		}
	})
	if looked == 0 {
		t.Error("no file was looked at")
	}
}
