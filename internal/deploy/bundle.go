package deploy

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"verge/client"
	"verge/internal/bundle"
	"verge/internal/deployfile"
	"verge/internal/fault"
	"verge/internal/modelname"
)

// Export writes a version that is kept to w as one file (see package bundle), with the report
// of its deployment; version 0 is the one that serves. Its files stay until that is done. It
// fails with fault.NotFound for a model that is not deployed and for a version that is not
// kept, with fault.Corrupt where a file is damaged, and as w does.
func (m *Manager) Export(ctx context.Context, model string, version int, w io.Writer) error {
	rel, name, err := m.exported(model, version)
	if err != nil {
		return err
	}
	defer func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.exporting, rel)
	}()
	file, err := rel.file()
	if err != nil {
		return err
	}
	var report []byte
	if found, err := m.Report(rel.Deployment); err == nil { // it may be forgotten
		if report, err = json.MarshalIndent(found, "", "  "); err != nil {
			return fault.New(fault.Internal, "deploy.export", "encode: %w", err)
		}
	}
	plain, stage, _ := modelname.Split(name)
	manifest := bundle.Manifest{
		Model: plain, Version: rel.Version, Stage: stage, Deployment: rel.Deployment, Created: rel.Activated,
		Spec: bundle.SpecName(rel.SpecName),
	}
	taken := map[string]bool{manifest.Spec: true}
	for _, f := range filesOf(file) {
		digest := rel.Artifacts[f.Role]
		if digest == "" {
			continue
		}
		size, err := m.host.Artifacts.Size(digest)
		if err != nil {
			return err
		}
		manifest.Files = append(manifest.Files, bundle.File{Role: f.Role, Path: bundle.Place(f.Role, f.Path, taken), Digest: digest, Size: size})
	}
	return bundle.Write(w, manifest, []byte(client.GivenFile(rel.Spec)), report, func(w io.Writer, f bundle.File) error {
		return m.host.Artifacts.Copy(ctx, w, f.Digest)
	})
}

// exported finds a version, under the name that it is served under, and keeps its files.
func (m *Manager) exported(model string, version int) (*release, string, error) {
	const op = "deploy.export"
	m.mu.Lock()
	defer m.mu.Unlock()
	var choices []string
	for _, name := range modelname.Order(model) {
		record, err := m.store.model(name)
		if err != nil {
			return nil, "", err
		}
		if record == nil {
			continue
		}
		rel := record.find(version)
		if version == 0 {
			rel = record.Serving
		}
		if rel != nil {
			m.exporting[rel] = true
			return rel, name, nil
		}
		for _, one := range record.kept() {
			if text := fmt.Sprintf("%s@%d", name, one.Version); !slices.Contains(choices, text) {
				choices = append(choices, text)
			}
		}
	}
	if len(choices) == 0 {
		return nil, "", NotDeployed(op, model)
	}
	return nil, "", fault.New(fault.NotFound, op, "version %d of %s is not kept", version, model).WithHint("These are: %s.", strings.Join(choices, ", "))
}

// filesOf are all files that a deployment file may name, the model first, each with its path.
func filesOf(file *deployfile.File) []DataFile {
	var all []DataFile
	model := func(variant int, path string) {
		files, weights := rolesOf(variant)
		all = append(all, DataFile{Role: files, Path: path},
			DataFile{Role: weights, Path: strings.TrimSuffix(path, filepath.Ext(path)) + ".bin"})
	}
	model(0, file.Model.Path)
	for i, v := range file.Model.Variants {
		model(i+1, v.Path)
	}
	return append(all, DataFiles(file)...)
}
