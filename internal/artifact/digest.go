package artifact

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"strings"

	"verge/internal/fault"
)

const digestPrefix = "sha256:"

// CheckDigest says why text is not "sha256:" and 64 lower-case hexadecimal
// digits, with fault.Invalid, or nil.
func CheckDigest(text string) error {
	digits, ok := strings.CutPrefix(text, digestPrefix)
	if !ok || len(digits) != 2*sha256.Size || strings.Trim(digits, "0123456789abcdef") != "" {
		return fault.New(fault.Invalid, "artifact.digest", "digest %.80q: want sha256: and 64 lower-case hexadecimal digits", text)
	}
	return nil
}

// Digest returns the digest of data.
func Digest(data []byte) string {
	sum := sha256.Sum256(data)
	return digestPrefix + hex.EncodeToString(sum[:])
}

// corrupt says, with fault.Corrupt, that what went into sum has not the digest
// that it should have, or nil.
func corrupt(op, digest string, sum hash.Hash, hint string) error {
	if got := digestPrefix + hex.EncodeToString(sum.Sum(nil)); got != digest {
		return fault.New(fault.Corrupt, op, "its bytes have %s", got).On("artifact "+digest).WithHint("%s", hint)
	}
	return nil
}
