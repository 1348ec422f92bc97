package deployfile

import "verge/internal/document"

// Accuracy says how right the answers of a version must be.
type Accuracy struct {
	Dataset   string   `json:"dataset" jsonschema:"required,minLength=1,maxLength=4096" jsonschema_description:"File with samples and their right answers, relative to the deployment file: npz, npy with accuracy.labels, or a zip file of pictures in folders that are named by their class."`
	Labels    string   `json:"labels,omitempty" jsonschema:"maxLength=4096" jsonschema_description:"File with the class of each row of an npy file: npy, or text with a class a line."`
	Metric    string   `json:"metric" jsonschema:"enum=top1,enum=top5,enum=exact,enum=mse,enum=cosine" jsonschema_description:"top1 and top5: share of the samples whose class has the highest score, or one of the five highest, in the first output; exact: share whose outputs are the known ones; mse, cosine: mean squared difference and mean cosine similarity with those. top1 where it is not given."`
	Min       *float64 `json:"min,omitempty" jsonschema:"minimum=-1,maximum=1" jsonschema_description:"Least value of the metric, such as 0.95."`
	Max       *float64 `json:"max,omitempty" jsonschema:"minimum=0,maximum=1000000000" jsonschema_description:"Highest value of the metric mse."`
	MaxDrop   *float64 `json:"max_drop,omitempty" jsonschema:"exclusiveMinimum=0,maximum=100" jsonschema_description:"Most that may be lost against the version that serves, in points of a hundredth: of top1, top5 and exact."`
	Tolerance float64  `json:"tolerance,omitempty" jsonschema:"minimum=0,maximum=1" jsonschema_description:"How far floats may be off for exact, absolute and relative."`
}

// accuracy fills in the metric, and finds limits that do not go with it.
func (c *checker) accuracy() {
	n := c.root.Get("accuracy")
	if n == nil || n.Kind != document.Map || c.file.Accuracy == nil {
		return
	}
	a := c.file.Accuracy
	setDefault(&a.Metric, "top1")
	wrong := func(key, format string, args ...any) {
		if given := n.Get(key); given != nil {
			c.Problems.Add("accuracy."+key, given.Line, format, args...)
		}
	}
	switch a.Metric {
	case "mse":
		wrong("min", "does not go with mse, of which less is better: give max")
		wrong("max_drop", "does not go with mse, which counts no right samples: give max")
	case "cosine":
		wrong("max", "does not go with cosine: give min")
		wrong("max_drop", "does not go with cosine, which counts no right samples: give min")
	default:
		wrong("max", "does not go with %s: give min or max_drop", a.Metric)
	}
	if a.Metric != "exact" {
		wrong("tolerance", "goes with exact only")
	}
	if a.Min == nil && a.Max == nil && a.MaxDrop == nil {
		want := "min or max_drop"
		switch a.Metric {
		case "mse":
			want = "max"
		case "cosine":
			want = "min"
		}
		c.Problems.Add("accuracy", n.Line, "has no limit, want %s", want)
	}
}
