package onnxruntime

import (
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
)

// preparedSums is the file with the check sums of a prepared model's files, CRC-32C.
// They are looked at before each load: a bit that a disk has lost would make wrong
// answers. Who can write there can write what serves anyway, and a digest that
// withstands him would take longer than a prepared model saves.
const preparedSums = "sums.json"

// writeSums writes the check sums of a prepared model's files beside them.
func writeSums(directory string) error {
	sums := map[string]uint32{}
	for _, name := range []string{preparedModel, preparedWeights} {
		sum, err := sumFile(filepath.Join(directory, name))
		if err != nil {
			return err
		}
		sums[name] = sum
	}
	text, err := json.Marshal(sums)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(directory, preparedSums), text, 0o600)
}

// checkSums says which file of a prepared model is not as it was written.
func checkSums(directory string) error {
	text, err := os.ReadFile(filepath.Join(directory, preparedSums)) //nolint:gosec // of the cache
	if err != nil {
		return err
	}
	var sums map[string]uint32
	if err := json.Unmarshal(text, &sums); err != nil {
		return fmt.Errorf("%s: %w", preparedSums, err)
	}
	for _, name := range []string{preparedModel, preparedWeights} {
		sum, err := sumFile(filepath.Join(directory, name))
		if err != nil {
			return err
		}
		if sum != sums[name] {
			return fmt.Errorf("%s has check sum %08x, it was written with %08x", name, sum, sums[name])
		}
	}
	return nil
}

// sumFile returns the check sum of a file's bytes.
func sumFile(path string) (uint32, error) {
	file, err := os.Open(path) //nolint:gosec // of the cache
	if err != nil {
		return 0, err
	}
	defer file.Close() //nolint:errcheck // only read
	hash := crc32.New(crc32.MakeTable(crc32.Castagnoli))
	if _, err := io.CopyBuffer(struct{ io.Writer }{hash}, struct{ io.Reader }{file}, make([]byte, 1<<20)); err != nil {
		return 0, err
	}
	return hash.Sum32(), nil
}
