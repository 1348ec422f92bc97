package onnxruntime

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"unsafe"

	"verge/internal/inference"
	"verge/internal/native"
)

// A prepared model is what the library makes of a model for this processor: the
// optimised graph, and beside it the weights in the order in which kernels read them.
// It loads in less time, and since the library maps the weights, processes that have
// loaded the same one share them.
const (
	preparedModel   = "model.onnx"
	preparedWeights = "weights.bin"
)

// minPrepared is the size in bytes of the smallest model that is worth it.
const minPrepared = 1 << 20

// usePrepared makes the native session of a prepared model, which it prepares first
// where the cache has none. Where that fails, it says so for debugging, and the model
// is to be loaded as it is.
func (s *session) usePrepared(ctx context.Context, m inference.Model, o inference.Options, c candidate) bool {
	if o.Cache == "" || !c.cpu() || o.OptimizationLevel <= 0 || len(m.Data) < minPrepared || ctx.Err() != nil {
		return false
	}
	directory := filepath.Join(o.Cache, preparedKey(m, s.api.version))
	if _, err := os.Stat(filepath.Join(directory, preparedModel)); err != nil {
		if err := s.prepare(ctx, m.Data, o, directory); err != nil {
			s.skip("prepare", err)
			return false
		}
	}
	if err := s.loadPrepared(ctx, o, directory); err != nil {
		s.skip("load", err)
		if ctx.Err() == nil {
			os.RemoveAll(directory) //nolint:errcheck,gosec // then it fails again
		}
		return false
	}
	return true
}

// skip says at what step a prepared model is given up.
func (s *session) skip(step string, err error) {
	s.messages.forget()
	if s.log != nil {
		s.log.Debug("prepared model is not used", "runtime", Name, "step", step, "err", err)
	}
}

// preparedKey names what a prepared model depends on, as a relative path: the model,
// the library, and the processor.
func preparedKey(m inference.Model, version string) string {
	digest := m.Digest
	if digest == "" {
		sum := sha256.Sum256(m.Data)
		digest = hex.EncodeToString(sum[:])
	}
	return filepath.Join(digest, fmt.Sprintf("%s-%s-%s", Name, version, processor()))
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

// prepare writes a prepared model to the directory, which comes to be at once and
// whole, and is on the disk then.
func (s *session) prepare(ctx context.Context, data []byte, o inference.Options, directory string) error {
	parent := filepath.Dir(directory)
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return err
	}
	work, err := os.MkdirTemp(parent, "tmp-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work) //nolint:errcheck // what is left is only garbage
	o.Profile = ""
	quiet := &session{api: s.api, env: s.env, subject: s.subject, messages: &journal{log: o.Log, level: o.LogLevel, run: true}}
	quiet.id = s.env.open("", quiet.messages)
	defer quiet.free() //nolint:errcheck // it never ran
	options, err := s.api.newOptions(o, quiet.id, candidate{})
	if err != nil {
		return err
	}
	defer s.api.release(releaseSessionOptions, options)
	path, err := native.CString(filepath.Join(work, preparedModel))
	if err != nil {
		return err
	}
	if status := s.api.call(setOptimizedModelFilePath, options, uintptr(unsafe.Pointer(&path[0]))); status != nil {
		return status
	}
	for key, value := range map[string]string{ // names as in onnxruntime_session_options_config_keys.h
		"session.optimized_model_external_initializers_file_name":         preparedWeights,
		"session.optimized_model_external_initializers_min_size_in_bytes": "1024",
		"session.save_external_prepacked_constant_initializers":           "1",
	} {
		if err := s.api.setConfig(options, key, value); err != nil {
			return err
		}
	}
	if failure := quiet.compile(ctx, data, options, o, candidate{}); failure != nil {
		return quiet.messages.explain(failure)
	}
	if err := writeSums(work); err != nil {
		return err
	}
	if err := syncAll(work); err != nil {
		return err
	}
	if err := os.Rename(work, directory); err != nil && !os.IsExist(err) { // another process was faster
		return err
	}
	return syncFile(parent)
}

// syncAll brings the files of a directory, and their names, to the disk.
func syncAll(directory string) error {
	entries, err := os.ReadDir(directory)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if err := syncFile(filepath.Join(directory, entry.Name())); err != nil {
			return err
		}
	}
	return syncFile(directory)
}

func syncFile(path string) error {
	file, err := os.Open(path) //nolint:gosec // of the cache
	if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck // nothing is written
	return file.Sync()
}

// loadPrepared makes the native session of a prepared model. Its graph is as the
// optimiser left it.
func (s *session) loadPrepared(ctx context.Context, o inference.Options, directory string) error {
	if err := checkSums(directory); err != nil {
		return err
	}
	o.OptimizationLevel = 0
	options, err := s.api.newOptions(o, s.id, candidate{})
	if err != nil {
		return err
	}
	defer s.api.release(releaseSessionOptions, options)
	path, err := native.CString(filepath.Join(directory, preparedModel))
	if err != nil {
		return err
	}
	defer keepSignalStack()()
	defer s.env.onThread(s.messages)()
	if status := s.create(ctx, options, createSession, uintptr(unsafe.Pointer(&path[0]))); status != nil {
		return status
	}
	return nil
}
