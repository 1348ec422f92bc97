package artifact_test

import (
	"os"
	"testing"

	"verge/internal/artifact"
)

func write(tb testing.TB, path string, data []byte) {
	tb.Helper()
	os.Remove(path)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		tb.Fatal(err)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// brokenFile is a file on a disk that is full.
type brokenFile struct {
	artifact.PartialFile
	writes                         int // that succeed
	failWrite, failSync, failClose error
}

func (f *brokenFile) Write(p []byte) (int, error) {
	if f.failWrite != nil {
		if f.writes == 0 {
			return 0, f.failWrite
		}
		f.writes--
	}
	return f.PartialFile.Write(p)
}

func (f *brokenFile) Sync() error {
	if f.failSync != nil {
		return f.failSync
	}
	return f.PartialFile.Sync()
}

func (f *brokenFile) Close() error {
	if err := f.PartialFile.Close(); f.failClose == nil {
		return err
	}
	return f.failClose
}
