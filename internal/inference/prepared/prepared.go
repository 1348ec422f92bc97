// Package prepared keeps what a runtime makes of a model so that it loads faster the
// next time, such as weights in the order in which kernels read them:
//
//	entry := prepared.Entry(options.Cache, model, "onnxruntime", "1.30.0")
//	used := entry.Use(ctx, options.Log,
//		func(folder string) error { … },                          // write files there
//		func() error { return load(entry.Path("weights.bin")) }) // where it is whole
//	if !used {
//		load(model.Data)
//	}
//
// An entry belongs to one model, one library, and processors with the same
// instructions. It comes to be at once and whole, and is on the disk then. Its files
// have check sums: a bit that a disk has lost would make wrong answers. Who can write
// there can write what serves anyway, so they are quick ones, CRC-32C. It is of those
// files and no others.
//
// The folders right below the cache are named after models' digests, so that who owns
// the cache can tell what is of no use any more. Processes may make the same entry at
// the same time; one of them wins. Trim keeps it small.
package prepared

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"verge/internal/inference"
)

// sums is the file with the check sums of an entry's other files.
const sums = "sums.json"

// temporary is how the names of folders start that are not an entry yet, or no more.
const temporary = "tmp-"

// Folder is an entry of a cache, be it there or not.
type Folder struct{ path string }

// Entry returns the entry of a model in a cache. The model's digest is computed where
// the caller does not know it.
func Entry(cache string, m inference.Model, runtimeName, version string) Folder {
	digest := m.Digest
	if digest == "" {
		sum := sha256.Sum256(m.Data)
		digest = hex.EncodeToString(sum[:])
	}
	return Folder{filepath.Join(cache, digest, fmt.Sprintf("%s-%s-%s", runtimeName, version, processor()))}
}

// Path returns the path of a file of the entry.
func (f Folder) Path(name string) string { return filepath.Join(f.path, name) }

// Remove takes the entry away, at once: nobody finds half of it.
func (f Folder) Remove() error {
	aside, err := os.MkdirTemp(filepath.Dir(f.path), temporary)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer os.RemoveAll(aside) //nolint:errcheck // what is left is only garbage
	if err := os.Rename(f.path, filepath.Join(aside, "entry")); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Use makes the entry where it is not there or not whole, and uses it. An entry that
// cannot be used although it is whole is taken away. It reports whether it was used,
// and tells log, which may be nil, for debugging why it was not.
func (f Folder) Use(ctx context.Context, log *slog.Logger, fill func(folder string) error, use func() error) bool {
	skip := func(step string, err error) {
		if log != nil {
			log.DebugContext(ctx, "prepared model is not used", "entry", filepath.Base(f.path), "step", step, "err", err)
		}
	}
	if err := f.Check(); err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			skip("check", err)
		}
		if err := f.Make(fill); err != nil {
			skip("make", err)
			return false
		}
	}
	if err := use(); err != nil {
		skip("use", err)
		if ctx.Err() == nil {
			f.Remove() //nolint:errcheck,gosec // then it fails again
		}
		return false
	}
	now := time.Now()
	os.Chtimes(f.path, now, now) //nolint:errcheck,gosec // where it cannot be, Trim takes it for older than it is
	return true
}

// Check says why the entry cannot be used: it is not there (fs.ErrNotExist), or not as
// it was written.
func (f Folder) Check() error {
	if info, err := os.Lstat(f.Path(sums)); err != nil {
		return err
	} else if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is no regular file", sums)
	}
	text, err := os.ReadFile(f.Path(sums))
	if err != nil {
		return err
	}
	var want map[string]uint32
	if err = json.Unmarshal(text, &want); err != nil {
		return fmt.Errorf("%s: %w", sums, err)
	}
	if len(want) == 0 {
		return fmt.Errorf("%s lists nothing", sums)
	}
	there, err := os.ReadDir(f.path)
	if err != nil {
		return err
	}
	for _, file := range there {
		if !file.Type().IsRegular() { // a pipe would keep who reads it waiting
			return fmt.Errorf("%s is no regular file", file.Name())
		}
		if _, listed := want[file.Name()]; !listed && file.Name() != sums {
			return fmt.Errorf("%s is not in %s", file.Name(), sums)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		got, err := sumFile(f.Path(filepath.Base(name)))
		if err != nil {
			return err
		}
		if got != want[name] {
			return fmt.Errorf("%s has check sum %08x, it was written with %08x", name, got, want[name])
		}
	}
	return nil
}

// Make makes the entry of what fill writes to the folder that it is given. Where
// another process was faster, its entry stays; one that is not whole is replaced.
func (f Folder) Make(fill func(folder string) error) error {
	parent := filepath.Dir(f.path)
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return err
	}
	work, err := os.MkdirTemp(parent, temporary)
	if err != nil {
		return err
	}
	defer os.RemoveAll(work) //nolint:errcheck // what is left is only garbage
	if err := fill(work); err != nil {
		return err
	}
	if err := writeSums(work); err != nil {
		return err
	}
	if err := syncAll(work); err != nil {
		return err
	}
	for {
		err := os.Rename(work, f.path)
		if err == nil {
			return errors.Join(syncFile(parent), syncFile(filepath.Dir(parent)))
		}
		if !errors.Is(err, fs.ErrExist) && !errors.Is(err, unix.ENOTDIR) { // ENOTDIR: there is a file of that name
			return err
		}
		if f.Check() == nil {
			return nil
		}
		if err := f.Remove(); err != nil {
			return err
		}
	}
}

// writeSums writes the check sums of a folder's files beside them.
func writeSums(folder string) error {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	all := map[string]uint32{}
	for _, entry := range entries {
		if all[entry.Name()], err = sumFile(filepath.Join(folder, entry.Name())); err != nil {
			return err
		}
	}
	text, err := json.Marshal(all)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, sums), text, 0o600)
}

// sumFile returns the check sum of a file's bytes.
func sumFile(path string) (uint32, error) {
	const chunk = 1 << 20
	file, err := os.Open(path) //nolint:gosec // of the cache
	if err != nil {
		return 0, err
	}
	defer file.Close() //nolint:errcheck // only read
	hash := crc32.New(crc32.MakeTable(crc32.Castagnoli))
	if _, err := io.CopyBuffer(struct{ io.Writer }{hash}, struct{ io.Reader }{file}, make([]byte, chunk)); err != nil {
		return 0, err
	}
	return hash.Sum32(), nil
}

// syncAll brings the files of a folder, and their names, to the disk.
func syncAll(folder string) error {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if err := syncFile(filepath.Join(folder, entry.Name())); err != nil {
			return err
		}
	}
	return syncFile(folder)
}

func syncFile(path string) error {
	file, err := os.Open(path) //nolint:gosec // of the cache
	if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck // nothing is written
	return file.Sync()
}

// processor returns a short text that is different for processors with different
// instructions, from proc_cpuinfo(5).
func processor() string {
	hash := sha256.New()
	fmt.Fprintln(hash, runtime.GOARCH)
	file, err := os.Open("/proc/cpuinfo")
	if err == nil {
		defer file.Close() //nolint:errcheck // only read
		lines := bufio.NewScanner(file)
		for lines.Scan() && lines.Text() != "" { // of the first one
			key, value, _ := strings.Cut(lines.Text(), ":")
			switch key = strings.TrimSpace(key); key {
			case "vendor_id", "cpu family", "model", "stepping", "flags",
				"CPU implementer", "CPU architecture", "CPU variant", "CPU part", "CPU revision", "Features":
				fmt.Fprintln(hash, key, strings.TrimSpace(value))
			}
		}
	}
	return hex.EncodeToString(hash.Sum(nil)[:8])
}
