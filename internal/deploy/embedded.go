package deploy

import (
	"log/slog"
	"math"
	"slices"
	"strings"

	"verge/client"
	"verge/internal/dataset"
	"verge/internal/deployfile"
	"verge/internal/inference"
	"verge/internal/modelfile"
	"verge/internal/modelfile/tflite"
	"verge/internal/tensor"
)

// embedded is what a model's file itself says for those who ask the model. Only
// TensorFlow Lite files have it. No library looks at it, so it may be wrong: what
// cannot be used is left out.
type embedded struct {
	file  modelfile.File
	model *tflite.Model // nil for other formats
	log   *slog.Logger
}

// openEmbedded reads the file, which is only read where the deployment file
// leaves something to it.
func openEmbedded(wants *deployfile.File, model modelfile.File, log *slog.Logger) embedded {
	e := embedded{file: model, log: log}
	if wants.Model.Labels != "" && wants.Model.Preprocess != nil {
		return e
	}
	if format, err := modelfile.Sniff(model.Bytes, model.Size); err != nil || format != modelfile.TFLite {
		return e
	}
	m, err := tflite.Read(model.Bytes, model.Size, tflite.DefaultLimits())
	if err != nil {
		log.Warn("the metadata of the model are left out", "err", err)
		return e
	}
	e.model = m
	return e
}

// labels returns the names of classes, or nil. They keep the bounds of a labels
// file.
func (e embedded) labels() []string {
	if e.model == nil {
		return nil
	}
	limits := tflite.DefaultLimits()
	limits.Labels, limits.LineBytes = dataset.MaxLabels, dataset.MaxLabelSize
	labels, err := tflite.Labels(e.file.Bytes, e.file.Size, e.model, limits)
	if err != nil {
		e.log.Warn("the labels in the model's file are left out", "err", err)
		return nil
	}
	if len(labels) == 0 {
		return nil
	}
	for i, label := range labels {
		labels[i] = strings.TrimSpace(label)
	}
	return labels
}

// preprocess says how pictures become the inputs of a session, by the input's
// name, where the file says it. An input that the element type alone explains to
// dataset.Picture is not in it.
func (e embedded) preprocess(inputs []inference.Spec) map[string]client.Preprocess {
	if e.model == nil {
		return nil
	}
	all := map[string]client.Preprocess{}
	for _, spec := range inputs {
		declared := e.model.Signature.Inputs
		i := inference.Index(declared, spec.Name)
		switch {
		case i < 0 && len(inputs) == 1 && len(declared) == 1: // the runtime has another name for it
			i = 0
		case i < 0:
			continue
		}
		var about tflite.TensorMetadata
		if e.model.Metadata != nil && i < len(e.model.Metadata.Inputs) {
			about = e.model.Metadata.Inputs[i]
		}
		if spec.Quantization = nil; spec.DType == declared[i].DType {
			spec.Quantization = declared[i].Quantization
		}
		if p := preprocessOf(spec, about); p != nil {
			all[spec.Name] = *p
		}
	}
	if len(all) == 0 {
		return nil
	}
	return all
}

// preprocessOf says how a picture becomes one input; nil where its element type
// says enough, or nothing does. Real numbers are (pixel - Mean) / Std of the
// metadata, else pixel / 255. Integers stand for real numbers as the quantization
// of the whole tensor says; those of UINT8 without normalization are the pixels.
func preprocessOf(spec inference.Spec, about tflite.TensorMetadata) *client.Preprocess {
	channels := dataset.Channels(spec.Shape)
	if channels == 0 {
		return nil
	}
	mean, std, ok := normalization(about, channels)
	scale, zero := 1.0, 0.0
	switch spec.DType {
	case tensor.FP16, tensor.BF16, tensor.FP32, tensor.FP64:
		if !ok {
			return nil
		}
	case tensor.Int8, tensor.Int16, tensor.Int32, tensor.Int64, tensor.Uint8, tensor.Uint16, tensor.Uint32, tensor.Uint64:
		q := spec.Quantization
		if q == nil || len(q.Scales) != 1 || len(q.ZeroPoints) != 1 || spec.DType == tensor.Uint8 && !ok {
			return nil
		}
		scale, zero = float64(q.Scales[0]), float64(q.ZeroPoints[0])
	case tensor.Invalid, tensor.Bool, tensor.Bytes:
		return nil
	}
	p := &client.Preprocess{}
	for c := range mean {
		// (pixel - mean) / std / scale + zero, as one product
		step := std[c] * scale
		p.Mean, p.Scale = append(p.Mean, mean[c]-zero*step), append(p.Scale, 1/step)
	}
	for _, f := range slices.Concat(p.Mean, p.Scale) {
		if math.IsNaN(f) || math.IsInf(f, 0) {
			return nil
		}
	}
	return p
}

// normalization returns the mean and the standard deviation that the metadata
// give, as many of the one as of the other: one, or one for each channel. Where
// they give none that can be used, ok is false and the range is that of
// floating-point inputs.
func normalization(about tflite.TensorMetadata, channels int) (mean, std []float64, ok bool) {
	const white = 255
	n := max(len(about.Mean), len(about.Std))
	fits := func(list []float32) bool { return len(list) == n || len(list) == 1 }
	if n != 1 && n != channels || !fits(about.Mean) || !fits(about.Std) || slices.Contains(about.Std, 0) {
		return []float64{0}, []float64{white}, false
	}
	for c := range n {
		mean = append(mean, float64(about.Mean[min(c, len(about.Mean)-1)]))
		std = append(std, float64(about.Std[min(c, len(about.Std)-1)]))
	}
	return mean, std, true
}
