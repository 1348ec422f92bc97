package nodetest

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"verge/client"
	"verge/internal/artifact"
	"verge/internal/deploy"
	"verge/internal/deployfile"
)

// Request uploads files and returns the request that deploys them.
func (n *Node) Request(ctx context.Context, spec string, files map[string]string) (client.DeploymentRequest, error) {
	req := client.DeploymentRequest{SpecName: "deployment.json", Artifacts: map[string]string{}, Again: true}
	var err error
	if req.Spec, err = json.Marshal(spec); err != nil {
		return req, err
	}
	for role, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			return req, err
		}
		digest := artifact.Digest(data)
		if err := n.PutArtifact(ctx, digest, bytes.NewReader(data), int64(len(data)), nil); err != nil {
			return req, err
		}
		req.Artifacts[role] = digest
	}
	return req, nil
}

// Example returns the text of a deployment file, and the files that it names. A
// limit of 50 ms becomes one that an emulated or overloaded machine keeps too.
func Example(tb testing.TB, path string) (spec string, files map[string]string) {
	tb.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	file, err := deployfile.Parse(text, path)
	if err != nil {
		tb.Fatal(err)
	}
	files = map[string]string{"model": filepath.Join(filepath.Dir(path), file.Model.Path)}
	for _, data := range deploy.DataFiles(file) {
		if data.Path != "" {
			files[data.Role] = filepath.Join(filepath.Dir(path), data.Path)
		}
	}
	if stem, ok := strings.CutSuffix(files["model"], ".xml"); ok {
		files["weights"] = stem + ".bin"
	}
	patient := strings.Replace(string(text), `"max_latency_ms": 50.0`, `"max_latency_ms": 30000`, 1)
	patient = strings.Replace(patient, `"optimization_level": 2`, `"optimization_level": 1`, 1) // nothing is measured to choose by
	return strings.Replace(patient, "max_latency_ms: 50.0", "max_latency_ms: 30000", 1), files
}
