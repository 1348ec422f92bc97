package sysroot_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"verge/internal/sysroot"
)

// tree makes a root of files, by name, with their texts; "-> target" is a link.
func tree(t *testing.T, files map[string]string) sysroot.Root {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "root")
	for name, text := range files {
		at := filepath.Join(dir, name)
		err := os.MkdirAll(filepath.Dir(at), 0o700)
		if target, isLink := strings.CutPrefix(text, "-> "); isLink {
			err = errors.Join(err, os.Symlink(target, at))
		} else {
			err = errors.Join(err, os.WriteFile(at, []byte(text), 0o600))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return sysroot.Root(dir)
}

func TestLinksStayBelowTheRoot(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(outside, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := tree(t, map[string]string{
		"etc/real":         "inside",
		"etc/absolute":     "-> /etc/real",
		"etc/up":           "-> ../../../../../etc/real",
		"etc/relative":     "-> ./real",
		"etc/outside":      "-> " + outside,
		"alternatives/dir": "-> /etc",
		"usr/lib/x":        "-> /alternatives/dir/absolute",
		"loop/a":           "-> /loop/b",
		"loop/b":           "-> a",
	})
	for name, want := range map[string]string{
		"/etc/real": "inside", "/etc/absolute": "inside", "/etc/up": "inside", "/etc/relative": "inside", "/usr/lib/x": "inside",
		"/alternatives/dir/../etc/real": "inside", "/../../etc/real": "inside", "/etc/outside": "", "/loop/a": "", "/none": "", "/etc": "",
	} {
		got, err := r.Read(name, 100)
		if string(got) != want || (err == nil) != (want != "") || r.Exists(name) != (want != "" || name == "/etc") {
			t.Errorf("Read(%s) = %q, %v, exists %v; want %q", name, got, err, r.Exists(name), want)
		}
	}
	if at, err := r.Follow("/usr/lib/x"); err != nil || at != "/etc/real" {
		t.Errorf("Follow = %s, %v", at, err)
	}
	if _, err := r.Path("/loop/a/x"); !errors.Is(err, unix.ELOOP) {
		t.Errorf("Path through a loop = %v, want ELOOP", err)
	}
	if target, err := r.Readlink("/alternatives/dir/absolute"); err != nil || target != "/etc/real" {
		t.Errorf("Readlink = %q, %v", target, err)
	}
}

// A chain of 41 links ended at the last one, which the kernel then followed to this
// machine's own file.
func TestALongChainOfLinksLeadsNowhere(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(outside, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	files := map[string]string{"l40": "-> " + outside, "m39": "-> /end", "end": "found"}
	for i := range 40 {
		files[fmt.Sprint("l", i)] = fmt.Sprintf("-> /l%d", i+1)
	}
	for i := range 39 {
		files[fmt.Sprint("m", i)] = fmt.Sprintf("-> /m%d", i+1)
	}
	r := tree(t, files)
	if got, err := r.Read("/l0", 100); !errors.Is(err, unix.ELOOP) {
		t.Errorf("Read over 41 links = %q, %v; want ELOOP", got, err)
	}
	if got, err := r.Read("/m0", 100); string(got) != "found" {
		t.Errorf("Read over 40 links = %q, %v", got, err)
	}
}

func TestOnlyRegularFilesAreRead(t *testing.T) {
	r := tree(t, map[string]string{"file": "0123456789"})
	if err := unix.Mkfifo(filepath.Join(string(r), "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := r.Read("/pipe", 10); err == nil || err.Error() != "/pipe is not a regular file: p---------" {
		t.Errorf("Read of a pipe = %q, %v", got, err)
	}
	if got, err := r.Read("/file", 4); string(got) != "0123" || err != nil {
		t.Errorf("Read = %q, %v; want the first four", got, err)
	}
	if got, err := sysroot.Root("/").Read(filepath.Join(string(r), "file"), 10); string(got) != "0123456789" || err != nil {
		t.Errorf("Read below / = %q, %v", got, err)
	}
}

func TestGlobEndsAmongLinksThatGoUp(t *testing.T) {
	files := map[string]string{"file": ""}
	for i := range 50 {
		files[fmt.Sprint("up", i)] = "-> /"
	}
	if got := tree(t, files).Glob("/*/*/*/*/*"); len(got) != 10_000 {
		t.Errorf("%d names, want 10000", len(got))
	}
}

func TestNamesDoNotLeaveTheRootBelowTheCurrentDirectory(t *testing.T) {
	t.Chdir(string(tree(t, map[string]string{"etc/hostname": "inside", "link": "-> /etc/hostname", "../outside": "-> inside"})))
	for _, r := range []sysroot.Root{"", "."} {
		if got, err := r.Read("/link", 100); string(got) != "inside" {
			t.Errorf("Root(%q).Read = %q, %v", r, got, err)
		}
		if target, err := r.Readlink("/../outside"); err == nil {
			t.Errorf("Root(%q).Readlink of what is outside = %q", r, target)
		}
	}
}

func TestGlobFollowsLinksOnTheWay(t *testing.T) {
	r := tree(t, map[string]string{
		"opt/lib/zone10": "", "opt/lib/zone2": "", "opt/lib/other": "", "opt/lib/zone3": "-> /nowhere", "usr/lib": "-> /opt/lib", "opt/file": "",
	})
	for pattern, want := range map[string][]string{
		"/usr/lib/zone*":   {"/usr/lib/zone2", "/usr/lib/zone3", "/usr/lib/zone10"},
		"/*/lib/other":     {"/opt/lib/other", "/usr/lib/other"},
		"/opt/file/*":      {},
		"/usr/lib/zone[":   {},
		"/usr/lib/missing": {},
	} {
		if got := r.Glob(pattern); !slices.Equal(got, want) {
			t.Errorf("Glob(%s) = %q, want %q", pattern, got, want)
		}
	}
	if _, err := r.ReadDir("/none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("ReadDir of nothing = %v", err)
	}
}
