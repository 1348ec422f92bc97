package artifact_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"verge/internal/artifact"
	"verge/internal/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(tb testing.TB, dir string, budget int64) *artifact.Store {
	tb.Helper()
	s, err := artifact.Open(dir, budget)
	if err != nil {
		tb.Fatalf("Open: %v", err)
	}
	tb.Cleanup(func() { s.Close() })
	return s
}

func bytesOf(n int, seed byte) []byte {
	data := make([]byte, n)
	for i := range data {
		data[i] = byte(i*7) ^ byte(i>>8) ^ seed
	}
	return data
}

func put(tb testing.TB, s *artifact.Store, data []byte) string {
	tb.Helper()
	digest := artifact.Digest(data)
	if err := s.Put(tb.Context(), digest, bytes.NewReader(data), 0, int64(len(data))); err != nil {
		tb.Fatalf("Put: %v", err)
	}
	return digest
}

// blob is where an artifact lies below the state directory.
func blob(dir, digest string) string {
	digits := strings.TrimPrefix(digest, "sha256:")
	return filepath.Join(dir, "artifacts", "sha256", digits[:2], digits)
}

func partial(dir, digest string) string {
	return filepath.Join(dir, "tmp", "artifacts", strings.TrimPrefix(digest, "sha256:"))
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// check compares an error's kind, text and hint with what is wanted.
func check(tb testing.TB, what string, err error, kind fault.Kind, message, hint string) {
	tb.Helper()
	if err == nil {
		tb.Errorf("%s succeeded, want %q", what, message)
		return
	}
	if fault.KindOf(err) != kind || fault.Message(err) != message || fault.HintOf(err) != hint {
		tb.Errorf("%s =\n%v %q, hint %q, want\n%v %q, hint %q", what,
			fault.KindOf(err), fault.Message(err), fault.HintOf(err), kind, message, hint)
	}
}

func TestWhatWasPutIsLoadedAndStaysOverAReopen(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, 0)
	data := bytesOf(3<<20+17, 1)
	digest := put(t, s, data)
	s.Close()
	s = open(t, dir, 0)
	memory, err := s.Load(digest)
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	defer memory.Close()
	if !bytes.Equal(memory.Bytes(), data) {
		t.Error("other bytes came back")
	}
	size, err := s.Size(digest)
	if size != int64(len(data)) || err != nil || !s.Has(digest) {
		t.Errorf("Size = %d, %v; Has = %v", size, err, s.Has(digest))
	}
	info, err := os.Stat(blob(dir, digest))
	if err != nil || info.Mode().Perm() != 0o444 {
		t.Errorf("the file is %v, %v, want read-only", info, err)
	}
	if exists(partial(dir, digest)) {
		t.Error("the upload's file is still there")
	}
}

func TestAnUploadGoesOnWhereItWasCut(t *testing.T) {
	s := open(t, t.TempDir(), 0)
	data := bytesOf(2<<20+5, 2)
	digest, total := artifact.Digest(data), int64(2<<20+5)
	cut := errors.New("connection reset")
	err := s.Put(t.Context(), digest, io.MultiReader(bytes.NewReader(data[:1<<20]), failing{cut}), 0, total)
	if !errors.Is(err, cut) {
		t.Fatalf("cut Put = %v, want %v", err, cut)
	}
	if got := s.Received(digest); got != 1<<20 || s.Has(digest) {
		t.Fatalf("Received = %d, Has = %v, want %d, false", got, s.Has(digest), 1<<20)
	}
	err = s.Put(t.Context(), digest, bytes.NewReader(data), 0, total)
	var offset *artifact.OffsetError
	if !errors.As(err, &offset) || offset.Received != 1<<20 {
		t.Fatalf("Put from the start = %v, want an OffsetError", err)
	}
	check(t, "Put from the start", err, fault.Conflict,
		"artifact "+digest+": the upload begins at byte 0, the store has 1048576 bytes of it", "")
	if err = s.Put(t.Context(), digest, bytes.NewReader(data[1<<20:]), 1<<20, total); err != nil {
		t.Fatalf("Put of the rest: %v", err)
	}
	memory, err := s.Load(digest)
	if err != nil {
		t.Fatal(err)
	}
	defer memory.Close()
	if !bytes.Equal(memory.Bytes(), data) {
		t.Error("the parts do not make the whole")
	}
}

func TestAnyWayToCutAnUploadGivesTheSameArtifact(t *testing.T) {
	dir := t.TempDir()
	count := byte(0)
	rapid.Check(t, func(rt *rapid.T) {
		count++
		s := open(t, filepath.Join(dir, "state"), 0)
		defer s.Close()
		data := append(bytesOf(rapid.IntRange(1, 5000).Draw(rt, "size"), 3), count)
		digest, total := artifact.Digest(data), int64(len(data))
		for !s.Has(digest) {
			from := s.Received(digest)
			n := rapid.Int64Range(1, total-from).Draw(rt, "part")
			err := s.Put(t.Context(), digest, bytes.NewReader(data[from:from+n]), from, total)
			if (err == nil) != s.Has(digest) || s.Has(digest) != (from+n == total) {
				rt.Fatalf("Put of %d from %d of %d = %v, Has = %v", n, from, total, err, s.Has(digest))
			}
		}
		memory, err := s.Load(digest)
		if err != nil || !bytes.Equal(memory.Bytes(), data) {
			rt.Fatalf("Load = %v", err)
		}
		memory.Close()
	})
}

func TestRefusedUploadsSayWhy(t *testing.T) {
	data := bytesOf(2<<20, 4)
	digest, other := artifact.Digest(data), artifact.Digest([]byte("other"))
	const freeHint = "Free space on the file system of the state directory, or undeploy models."
	tests := map[string]struct {
		budget        int64
		free          int64
		digest        string
		offset, total int64
		kind          fault.Kind
		message, hint string
	}{
		"a digest that is none": {
			digest: "../../etc/passwd", total: 1, kind: fault.Invalid,
			message: `digest "../../etc/passwd": want sha256: and 64 lower-case hexadecimal digits`,
		},
		"an upper-case digest": {
			digest: strings.ToUpper(digest), total: 1, kind: fault.Invalid,
			message: `digest "` + strings.ToUpper(digest) + `": want sha256: and 64 lower-case hexadecimal digits`,
		},
		"no bytes": {
			digest: digest, kind: fault.Invalid,
			message: "artifact " + digest + ": bytes from 0 of 0, want 1 byte or more",
		},
		"an offset behind the end": {
			digest: digest, offset: 5, total: 5, kind: fault.Invalid,
			message: "artifact " + digest + ": bytes from 5 of 5, want 1 byte or more",
		},
		"an offset that the store does not have": {
			digest: digest, offset: 3, total: 5, kind: fault.Conflict,
			message: "artifact " + digest + ": the upload begins at byte 3, the store has 0 bytes of it",
		},
		"over the budget": {
			budget: 1 << 20, digest: digest, total: 2 << 20, kind: fault.Exhausted,
			message: "artifact " + digest + ": it has 2.0 MB, of the budget of 1.0 MB artifacts take 0.0 and uploads 0.0",
			hint:    "Undeploy models that are not needed, or raise the disk budget of artifacts.",
		},
		"over what is free": {
			free: 1 << 20, digest: digest, total: 2 << 20, kind: fault.Exhausted,
			message: "artifact " + digest + ": it needs 2.0 MB, the file system has 1.0 MB left", hint: freeHint,
		},
		"bytes of another digest": {
			digest: other, total: 2 << 20, kind: fault.Corrupt,
			message: "artifact " + other + ": its bytes have " + digest,
		},
		"fewer bytes than were claimed": {
			digest: digest, total: 3 << 20, kind: fault.Invalid,
			message: "artifact " + digest + ": the upload ended after 2097152 of 3145728 bytes",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir, test.budget)
			if test.free > 0 {
				s.SetFree(func() (int64, error) { return test.free, nil })
			}
			err := s.Put(t.Context(), test.digest, bytes.NewReader(data), test.offset, test.total)
			check(t, "Put", err, test.kind, test.message, test.hint)
			if all, _ := s.List(); len(all) != 0 {
				t.Errorf("the store has %v", all)
			}
			if test.kind == fault.Corrupt && (s.Received(test.digest) != 0 || exists(partial(dir, test.digest))) {
				t.Error("wrong bytes were kept")
			}
		})
	}
}

func TestAFullDiskLeavesNothingBehind(t *testing.T) {
	data := bytesOf(3<<20, 5)
	digest := artifact.Digest(data)
	full := &fs.PathError{Op: "write", Path: "/secret/path", Err: syscall.ENOSPC}
	for name, file := range map[string]brokenFile{
		"while it is written": {failWrite: full, writes: 1},
		"while it is synced":  {failSync: full},
		"while it is closed":  {failClose: full},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir, 0)
			s.WrapFiles(func(f artifact.PartialFile) artifact.PartialFile {
				broken := file
				broken.PartialFile = f
				return &broken
			})
			err := s.Put(t.Context(), digest, bytes.NewReader(data), 0, int64(len(data)))
			check(t, "Put", err, fault.Exhausted, "artifact store: write: no space left on device",
				"Free space on the file system of the state directory, or undeploy models.")
			if s.Has(digest) || s.Received(digest) != 0 || exists(blob(dir, digest)) || exists(partial(dir, digest)) {
				t.Error("something was left")
			}
			if u := s.Usage(); u != (artifact.Usage{}) {
				t.Errorf("Usage = %+v, want none", u)
			}
			s.WrapFiles(func(f artifact.PartialFile) artifact.PartialFile { return f })
			put(t, s, data)
		})
	}
}

func TestBytesThatCouldNotBeSyncedAreWrittenAnew(t *testing.T) {
	data := bytesOf(3<<20, 6)
	digest := artifact.Digest(data)
	bad := &fs.PathError{Op: "sync", Path: "/secret/path", Err: syscall.EIO}
	for name, file := range map[string]brokenFile{"synced": {failSync: bad}, "closed": {failClose: bad}} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir, 0)
			s.WrapFiles(func(f artifact.PartialFile) artifact.PartialFile {
				broken := file
				broken.PartialFile = f
				return &broken
			})
			err := s.Put(t.Context(), digest, bytes.NewReader(data), 0, int64(len(data)))
			check(t, "Put", err, fault.Internal, "artifact store: sync: input/output error", "")
			if s.Has(digest) || s.Received(digest) != 0 || exists(partial(dir, digest)) {
				t.Errorf("the store has %v, received %d", s.Has(digest), s.Received(digest))
			}
			s.WrapFiles(func(f artifact.PartialFile) artifact.PartialFile { return f })
			put(t, s, data)
		})
	}
}

func TestCutUploadsOfOthersMakeRoom(t *testing.T) {
	s := open(t, t.TempDir(), 100)
	first, second := bytesOf(80, 6), bytesOf(90, 7)
	s.Put(t.Context(), artifact.Digest(first), bytes.NewReader(first[:50]), 0, 80)
	if got := s.Usage(); got != (artifact.Usage{Reserved: 50, Budget: 100}) {
		t.Errorf("Usage = %+v", got)
	}
	put(t, s, second)
	if got := s.Received(artifact.Digest(first)); got != 0 {
		t.Errorf("the cut upload still has %d bytes", got)
	}
	if got := s.Usage(); got != (artifact.Usage{Artifacts: 1, Used: 90, Budget: 100}) {
		t.Errorf("Usage = %+v", got)
	}
}

func TestOfManyUploadsOfOneArtifactOneIsWritten(t *testing.T) {
	s := open(t, t.TempDir(), 0)
	data := bytesOf(4<<20, 8)
	digest := artifact.Digest(data)
	var mu sync.Mutex
	read := 0
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			source := bytes.NewReader(data)
			r := readerFunc(func(p []byte) (int, error) {
				n, err := source.Read(p)
				mu.Lock()
				defer mu.Unlock()
				read += n
				return n, err
			})
			if err := s.Put(t.Context(), digest, r, 0, int64(len(data))); err != nil {
				t.Errorf("Put: %v", err)
			}
		})
	}
	wg.Wait()
	if read != len(data) {
		t.Errorf("%d bytes were read of uploads of %d", read, len(data))
	}
	if err := s.Recheck(t.Context(), digest); err != nil {
		t.Errorf("Recheck: %v", err)
	}
}

func TestWhoWaitsForAnUploadMayGiveUp(t *testing.T) {
	s := open(t, t.TempDir(), 0)
	data := bytesOf(100, 9)
	digest := artifact.Digest(data)
	begun, finish := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		once := false
		source := bytes.NewReader(data)
		err := s.Put(t.Context(), digest, readerFunc(func(p []byte) (int, error) {
			if !once {
				once = true
				close(begun)
				<-finish
			}
			return source.Read(p)
		}), 0, 100)
		if err != nil {
			t.Errorf("Put: %v", err)
		}
	})
	<-begun
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Put(ctx, digest, bytes.NewReader(data), 0, 100); !errors.Is(err, context.Canceled) {
		t.Errorf("waiting Put = %v, want canceled", err)
	}
	check(t, "Remove", s.Remove(digest), fault.Conflict, "artifact "+digest+": it is being uploaded", "")
	close(finish)
	wg.Wait()
	if !s.Has(digest) {
		t.Error("the upload that went on is not there")
	}
}

func TestChangedBytesAreNoticed(t *testing.T) {
	const hint = "Deploy the model again."
	data := bytesOf(2<<20, 10)
	tests := map[string]struct {
		change  func(t *testing.T, path string)
		kind    fault.Kind
		message string
		hint    string
	}{
		"one flipped bit": {
			func(t *testing.T, path string) {
				t.Helper()
				changed := bytes.Clone(data)
				changed[1<<20] ^= 1
				write(t, path, changed)
			},
			fault.Corrupt, "artifact DIGEST: its bytes have " + func() string {
				changed := bytes.Clone(data)
				changed[1<<20] ^= 1
				return artifact.Digest(changed)
			}(), hint,
		},
		"a file that is cut short": {
			func(t *testing.T, path string) {
				t.Helper()
				write(t, path, data[:1000])
			},
			fault.Corrupt, "artifact DIGEST: its file has 1000 bytes, want 2097152", hint,
		},
		"a file that is gone": {
			func(_ *testing.T, path string) { os.Remove(path) },
			fault.NotFound, "artifact DIGEST: its file is gone", hint,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir, 0)
			digest := put(t, s, data)
			if err := s.Recheck(t.Context(), digest); err != nil {
				t.Fatalf("Recheck before: %v", err)
			}
			test.change(t, blob(dir, digest))
			message := strings.ReplaceAll(test.message, "DIGEST", digest)
			check(t, "Recheck", s.Recheck(t.Context(), digest), test.kind, message, test.hint)
			_, err := s.Load(digest)
			check(t, "Load", err, test.kind, message, test.hint)
			if s.Has(digest) {
				t.Error("the store says that it has the artifact")
			}
			size, err := s.Size(digest)
			check(t, fmt.Sprint("Size = ", size, ": it"), err, fault.NotFound, "artifact "+digest+": its file is damaged", hint)
			put(t, s, data)
			memory, err := s.Load(digest)
			if err != nil || !s.Has(digest) {
				t.Fatalf("Load after it was put again: %v", err)
			}
			memory.Close()
		})
	}
}

func TestRecheckEndsWithItsContext(t *testing.T) {
	s := open(t, t.TempDir(), 0)
	digest := put(t, s, bytesOf(10, 11))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Recheck(ctx, digest); !errors.Is(err, context.Canceled) {
		t.Errorf("Recheck = %v, want canceled", err)
	}
}

func TestAnOpenStoreForgetsUploadsAndLeavesForeignFiles(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, 0)
	data := bytesOf(1000, 12)
	digest := put(t, s, data)
	cut := bytesOf(1000, 13)
	s.Put(t.Context(), artifact.Digest(cut), bytes.NewReader(cut[:500]), 0, 1000)
	s.Close()
	foreign := filepath.Join(dir, "artifacts", "sha256", "README")
	misplaced := filepath.Join(dir, "artifacts", "sha256", "zz", strings.TrimPrefix(digest, "sha256:"))
	write(t, foreign, []byte("mine"))
	os.MkdirAll(filepath.Dir(misplaced), 0o700)
	write(t, misplaced, data)

	s = open(t, dir, 0)
	all, err := s.List()
	if err != nil || !slices.Equal(all, []string{digest}) {
		t.Errorf("List = %v, %v, want %s", all, err, digest)
	}
	if s.Received(artifact.Digest(cut)) != 0 || exists(partial(dir, artifact.Digest(cut))) {
		t.Error("a cut upload outlived the process")
	}
	if !exists(foreign) || !exists(misplaced) {
		t.Error("files of others were touched")
	}
}

func TestRemovedArtifactsAreGoneAndTheirMemoryStays(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, 0)
	data := bytesOf(1000, 14)
	digest := put(t, s, data)
	memory, err := s.Load(digest)
	if err != nil {
		t.Fatal(err)
	}
	defer memory.Close()
	for range 2 {
		if err = s.Remove(digest); err != nil {
			t.Fatalf("Remove: %v", err)
		}
	}
	if s.Has(digest) || exists(blob(dir, digest)) || !bytes.Equal(memory.Bytes(), data) {
		t.Error("the artifact is there, or its memory is not")
	}
	_, err = s.Load(digest)
	check(t, "Load", err, fault.NotFound, "artifact "+digest+": it is not in the store", "")
}

func FuzzCheckDigest(f *testing.F) {
	for _, seed := range []string{artifact.Digest(nil), "", "sha256:", "../x", "sha256:" + strings.Repeat("g", 64), artifact.Digest(nil) + "/.."} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if artifact.CheckDigest(text) == nil && (len(text) != 71 || strings.ContainsAny(text[7:], "/.\\\x00ABCDEF")) {
			t.Errorf("CheckDigest took %q", text)
		}
	})
}

func TestArtifactsLeaveSomeOfTheDiskFree(t *testing.T) {
	dir := t.TempDir()
	s, err := artifact.Open(dir, 0)
	if err != nil {
		t.Fatal(err)
	}
	var st unix.Statfs_t
	if err = unix.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	total := int64(st.Bavail) * st.Bsize
	digest := artifact.Digest([]byte("x"))
	err = s.Put(t.Context(), digest, strings.NewReader("x"), 0, total-1<<20) // it would leave 1 MB
	if fault.KindOf(err) != fault.Exhausted || !strings.Contains(fault.Message(err), "the file system has ") {
		t.Errorf("Put = %v, want it refused before a byte is written", err)
	}
}
