package modelfile

// Operators returns how often each operator is in the file, by its name as people write it;
// nil where the file does not tell.
func (i *Info) Operators() map[string]int {
	all := map[string]int{}
	switch {
	case i.ONNX != nil:
		for _, o := range i.ONNX.Operators {
			all[o.String()] += o.Count
		}
	case i.TFLite != nil:
		for _, o := range i.TFLite.Operators {
			all[o.Name] += o.Count
		}
	case i.OpenVINO != nil:
		for _, o := range i.OpenVINO.Operators {
			all[o.String()] += o.Count
		}
	default:
		return nil
	}
	return all
}

// Parameters returns how many there are; 0 where the file does not tell.
func (i *Info) Parameters() int64 {
	switch {
	case i.ONNX != nil:
		return i.ONNX.Parameters
	case i.TFLite != nil:
		return i.TFLite.Parameters
	case i.OpenVINO != nil:
		return i.OpenVINO.Parameters
	}
	return 0
}
