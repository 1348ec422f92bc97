package cli

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"verge/client"
	"verge/internal/deploy"
	"verge/internal/deployfile"
	"verge/internal/document"
	"verge/internal/fault"
	"verge/internal/modelfile"
)

// orderFlags are the flags of every command that takes a deployment file.
type orderFlags struct {
	File          string   `arg:"" help:"Deployment file, or what verge export has written."`
	Name          string   `placeholder:"NAME" help:"Name of the served model, whatever the file says."`
	Stage         string   `placeholder:"STAGE" help:"Stage to deploy to, whatever the file says: development, testing, staging or production."`
	IgnorePackage []string `placeholder:"NAME" help:"A required package that is not to be looked for."`
}

// order is a deployment file with the files that it names, ready to be sent.
type order struct {
	path  string // of the deployment file, as it was given
	text  []byte
	file  *deployfile.File
	name  string // that the model will have
	files []orderFile
	stage string         // that was asked for; "" for the one of the file
	skip  []string       // packages that are not looked for
	from  *os.File       // the bundle that all of it is in; nil for files of their own
	proof *client.Report // that came with it; nil for none
}

// orderFile is a file that goes to the node.
type orderFile struct {
	role   string // "model", "weights", "variants.0", "variants.0.weights", "labels", "golden"
	name   string // for messages
	handle io.ReaderAt
	size   int64
	sum    string // its digest, where that is known already; else ""
}

// read reads the deployment file, finds what is wrong with it, and opens the
// files that it names.
func (f *orderFlags) read() (*order, error) {
	if err := notAModel(f.File); err != nil {
		return nil, err
	}
	if o, err := f.readBundle(); o != nil || err != nil {
		return o, err
	}
	text, err := readFile(f.File, document.MaxBytes)
	if err != nil {
		return nil, err
	}
	o := &order{path: f.File, text: text, stage: f.Stage, skip: f.IgnorePackage}
	spec, err := o.spec()
	if err != nil {
		return nil, err
	}
	if o.file, err = deployfile.ParseSpec(spec, f.File, deployfile.Options{Stage: f.Stage, Ignore: f.IgnorePackage}); err != nil {
		return nil, err
	}
	absolute, err := filepath.Abs(f.File)
	if err != nil {
		return nil, pathError("cli.order", f.File, err)
	}
	o.name = cmp.Or(f.Name, o.file.ModelName(absolute))
	if err := deployfile.CheckName(o.name); err != nil {
		return nil, err
	}
	if err := o.open(); err != nil {
		o.close()
		return nil, err
	}
	return o, nil
}

// notAModel refuses a model where the file that describes its deployment is wanted. What
// keeps the file from being opened is told by who reads it.
func notAModel(path string) error {
	file, size, err := openFile(path)
	if err != nil {
		return nil
	}
	defer file.Close() //nolint:errcheck // only read
	format, err := modelfile.Sniff(file, size)
	switch {
	case err != nil && slices.Contains(modelEndings(), strings.ToLower(filepath.Ext(path))):
		return about(path, err)
	case err != nil:
		return nil
	}
	return fault.New(fault.Invalid, "cli.order", "it is a model (%s), want the file that describes its deployment", format).On(path).
		WithHint(`Write one beside it, such as deployment.json with {"model": {"path": %q}}, and name that.`, filepath.Base(path))
}

// modelEndings are those of files that nobody gives to a deployment file.
func modelEndings() []string { return []string{".onnx", ".tflite", ".xml", ".plan", ".engine"} }

// open opens the files that the deployment file names, and tells of all that
// cannot be.
func (o *order) open() error {
	failed := fault.Error{Op: "cli.order", Subject: o.path}
	var problems fault.Problems
	type named struct{ role, key, path string }
	names := []named{{"model", "model.path", o.file.Model.Path}}
	for _, data := range deploy.DataFiles(o.file) {
		names = append(names, named{data.Role, data.Key, data.Path})
	}
	for i, v := range o.file.Model.Variants {
		names = append(names, named{fmt.Sprintf("variants.%d", i), fmt.Sprintf("model.variants[%d].path", i), v.Path})
	}
	for _, f := range names {
		if f.path == "" {
			continue
		}
		if !filepath.IsAbs(f.path) {
			f.path = filepath.Join(filepath.Dir(o.path), f.path)
		}
		handle, bytes, err := openFile(f.path)
		if err != nil {
			if len(problems) == 0 {
				failed.Kind, failed.Hint = fault.KindOf(err), fault.HintOf(err)
			}
			problems = append(problems, fault.Problem{Path: f.key, Message: fault.Message(err), Hint: fault.HintOf(err)})
			continue
		}
		o.files = append(o.files, orderFile{role: f.role, name: f.path, handle: handle, size: bytes})
		if f.role != "model" && !strings.HasPrefix(f.role, "variants.") {
			continue
		}
		weights, bytes, err := openWeights(handle, f.path, bytes)
		if err != nil {
			return about(o.path, err)
		}
		if weights != nil {
			role := roleWeights
			if f.role != "model" {
				role = f.role + "." + roleWeights
			}
			o.files = append(o.files, orderFile{role: role, name: weights.Name(), handle: weights, size: bytes})
		}
	}
	if len(problems) == 0 {
		return nil
	}
	failed.Err = problems
	return &failed
}

// close closes the files.
func (o *order) close() {
	for _, f := range o.files {
		if file, ok := f.handle.(*os.File); ok {
			file.Close() //nolint:errcheck,gosec // only read
		}
	}
	if o.from != nil {
		o.from.Close() //nolint:errcheck,gosec // only read
	}
}

// size is that of all files together, in bytes.
func (o *order) size() (total int64) {
	for _, f := range o.files {
		total += f.size
	}
	return total
}

// modelFile is the model for a look at it.
func (o *order) modelFile() modelfile.File { return o.look("model", roleWeights) }

// variants are the other files of the model, for a look at them.
func (o *order) variants() []modelfile.File {
	all := make([]modelfile.File, len(o.file.Model.Variants))
	for i := range all {
		role := fmt.Sprintf("variants.%d", i)
		all[i] = o.look(role, role+"."+roleWeights)
	}
	return all
}

// read reads one of the files, or nothing where the deployment file names none.
func (o *order) read(role string) ([]byte, error) {
	i := slices.IndexFunc(o.files, func(f orderFile) bool { return f.role == role })
	if i < 0 {
		return nil, nil
	}
	f := o.files[i]
	if limit := deploy.DataLimit(role); f.size > limit {
		return nil, fault.New(fault.TooLarge, "cli.read", "the %s file has %d bytes, the limit is %d", role, f.size, limit).On(f.name)
	}
	data, err := io.ReadAll(io.NewSectionReader(f.handle, 0, f.size))
	if err != nil {
		return nil, pathError("cli.read", f.name, err)
	}
	return data, nil
}

// wantsDigest says whether the deployment file names the digest of a file.
func (o *order) wantsDigest(role string) bool {
	if role == "model" {
		return o.file.Model.SHA256 != ""
	}
	for i, v := range o.file.Model.Variants {
		if role == fmt.Sprintf("variants.%d", i) {
			return v.SHA256 != ""
		}
	}
	return false
}

// look is a file of the model, and the size of the one with its weights.
func (o *order) look(role, weights string) (file modelfile.File) {
	for _, f := range o.files {
		switch f.role {
		case role:
			file.Bytes, file.Size = f.handle, f.size
		case weights:
			file.Weights = f.size
		}
	}
	return file
}

// roleWeights is the part of the .bin of an OpenVINO model.
const roleWeights = "weights"

// spec is the text of the deployment file as a JSON string.
func (o *order) spec() (json.RawMessage, error) {
	spec, err := json.Marshal(string(o.text))
	if err != nil {
		return nil, fault.New(fault.Internal, "cli.order", "encode: %w", err).On(o.path)
	}
	return spec, nil
}

// request asks for the deployment, with the digests of its files by role.
func (o *order) request(reason string, digests map[string]string) (client.DeploymentRequest, error) {
	spec, err := o.spec()
	return client.DeploymentRequest{
		Spec: spec, SpecName: filepath.Base(o.path), Artifacts: digests, Name: o.name, Stage: o.stage, Reason: reason, IgnorePackages: o.skip,
		Evidence: o.proof,
	}, err
}

// digest reads the whole file, unless that was done.
func (f orderFile) digest() (string, error) {
	if f.sum != "" {
		return f.sum, nil
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, io.NewSectionReader(f.handle, 0, f.size)); err != nil {
		return "", pathError("cli.digest", f.name, err)
	}
	return "sha256:" + hex.EncodeToString(sum.Sum(nil)), nil
}
