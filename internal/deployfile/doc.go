// Package deployfile holds the deployment file: what a person writes to say
// which model is to serve, within which limits, and after which tests. It reads
// JSON and YAML, finds every problem at once, fills in the defaults, and
// generates the JSON Schema of what it takes.
//
// It looks at the text only. Whether the machine, the packages and the model
// live up to it is the business of internal/deploy. Nothing here is changed
// after Parse, so a File may be read from several goroutines.
//
//	file, err := deployfile.Parse(text, "deployment.yaml")
package deployfile
