package document

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"verge/internal/fault"
)

// Decoder fills structs from nodes and collects what is wrong.
//
// Of a struct it reads the tags that encoding/json and the JSON Schema generator
// read, so that file, schema and check cannot disagree: json (the key), and in
// jsonschema: required, minimum, maximum, exclusiveMinimum, maxLength, maxItems
// and enum. The tag anycase:"true" takes an enum's values in any case, and
// stores them as the enum spells them.
type Decoder struct {
	Problems fault.Problems
}

// Custom is a type that reads its node itself.
type Custom interface {
	DecodeNode(d *Decoder, path string, n *Node)
}

// Decode fills the struct that into points to from a map. Keys that are not in
// the document leave their fields as they are.
func (d *Decoder) Decode(path string, n *Node, into any) {
	d.value(path, n, reflect.ValueOf(into).Elem(), rules{})
}

// Wrong notes that a node is not what it should be.
func (d *Decoder) Wrong(path string, n *Node, want string) {
	d.Problems.Add(path, n.Line, "is %s, want %s", n.Show(), want)
}

// rules are what a field's tags ask for.
type rules struct {
	minimum, maximum, above string // as written, "" for none
	maxLength, maxItems     int    // 0 for none
	enum                    []string
	required, anyCase       bool
}

func rulesOf(f reflect.StructField) rules {
	r := rules{anyCase: f.Tag.Get("anycase") == "true"}
	for part := range strings.SplitSeq(f.Tag.Get("jsonschema"), ",") {
		key, value, _ := strings.Cut(part, "=")
		switch key {
		case "minimum":
			r.minimum = value
		case "maximum":
			r.maximum = value
		case "exclusiveMinimum":
			r.above = value
		case "maxLength":
			r.maxLength, _ = strconv.Atoi(value) // tags are ours; 0 means none
		case "maxItems":
			r.maxItems, _ = strconv.Atoi(value)
		case "enum":
			r.enum = append(r.enum, value)
		case "required":
			r.required = true
		}
	}
	return r
}

func (d *Decoder) value(path string, n *Node, v reflect.Value, r rules) {
	if custom, ok := reflect.TypeAssert[Custom](v.Addr()); ok {
		custom.DecodeNode(d, path, n)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.fields(path, n, v)
	case reflect.Pointer:
		into := reflect.New(v.Type().Elem())
		d.value(path, n, into.Elem(), r)
		v.Set(into)
	case reflect.String:
		d.text(path, n, v, r)
	case reflect.Bool:
		if n.Kind != Bool {
			d.Wrong(path, n, "true or false")
			return
		}
		v.SetBool(n.Text == "true")
	case reflect.Int, reflect.Int64, reflect.Float64:
		d.number(path, n, v, r)
	case reflect.Slice:
		d.list(path, n, v, r)
	case reflect.Array:
		if n.Kind != List {
			d.Wrong(path, n, fmt.Sprintf("a list of %d", v.Len()))
			return
		}
		if len(n.Items) != v.Len() {
			d.Problems.Add(path, n.Line, "has %d entries, want %d", len(n.Items), v.Len())
			return
		}
		for i, item := range n.Items {
			d.value(fmt.Sprintf("%s[%d]", path, i), item, v.Index(i), r)
		}
	case reflect.Map:
		d.mapped(path, n, v, r)
	default:
		panic("document: no rule to decode a " + v.Type().String())
	}
}

// fields fills a struct.
func (d *Decoder) fields(path string, n *Node, v reflect.Value) {
	if n.Kind != Map {
		d.Wrong(path, n, "an object")
		return
	}
	byKey, keys, required := map[string]int{}, []string(nil), []string(nil)
	for i := range v.NumField() {
		field := v.Type().Field(i)
		key, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if key == "" || key == "-" {
			continue
		}
		byKey[key] = i
		keys = append(keys, key)
		if rulesOf(field).required {
			required = append(required, key)
		}
	}
	for _, m := range n.Members {
		at := join(path, m.Key)
		i, known := byKey[m.Key]
		switch {
		case known:
			d.value(at, m.Value, v.Field(i), rulesOf(v.Type().Field(i)))
		default:
			d.Problems.Add(path, m.Line, "unknown key %s%s", fault.Quote(m.Key), Suggest(m.Key, keys))
		}
	}
	for _, key := range required {
		if n.Get(key) == nil {
			d.Problems.Add(join(path, key), n.Line, "is missing")
		}
	}
}

func (d *Decoder) text(path string, n *Node, v reflect.Value, r rules) {
	if n.Kind != String {
		want := "a string"
		if len(r.enum) > 0 {
			want = oneOf(r.enum)
		}
		d.Wrong(path, n, want)
		return
	}
	text := n.Text
	if len(r.enum) > 0 {
		i := slices.IndexFunc(r.enum, func(e string) bool { return e == text || r.anyCase && strings.EqualFold(e, text) })
		if i < 0 {
			d.Problems.Add(path, n.Line, "is %s, want %s%s", n.Show(), oneOf(r.enum), Suggest(text, r.enum))
			return
		}
		text = r.enum[i]
	}
	switch {
	case r.required && text == "":
		d.Problems.Add(path, n.Line, "is empty")
	case r.maxLength > 0 && len(text) > r.maxLength:
		d.Problems.Add(path, n.Line, "has %d bytes, at most %d are allowed", len(text), r.maxLength)
	case strings.ContainsRune(text, 0):
		d.Problems.Add(path, n.Line, "has a NUL byte in it")
	default:
		v.SetString(text)
	}
}

func oneOf(all []string) string {
	if len(all) == 1 {
		return all[0]
	}
	return strings.Join(all[:len(all)-1], ", ") + " or " + all[len(all)-1]
}

func (d *Decoder) number(path string, n *Node, v reflect.Value, r rules) {
	whole := v.Kind() != reflect.Float64
	want := "a number" + r.span()
	if whole {
		want = "a whole number" + r.span()
	}
	x, ok := n.Float()
	if !ok || whole && (x != math.Trunc(x) || math.Abs(x) > 1<<53) || !r.holds(x) {
		d.Wrong(path, n, want)
		return
	}
	if whole {
		v.SetInt(int64(x))
	} else {
		v.SetFloat(x)
	}
}

// Float returns the value of a number in plain decimal notation, with or without
// an exponent, and finite.
func (n *Node) Float() (float64, bool) {
	if n.Kind != Number {
		return 0, false
	}
	digits := strings.TrimLeft(n.Text, "+-")
	if strings.Trim(digits, "0123456789.eE+-") != "" || // hexadecimal, octal, .inf, 1_000
		len(digits) > 1 && digits[0] == '0' && digits[1] >= '0' && digits[1] <= '9' { // 0755 means 493 to some
		return 0, false
	}
	x, err := strconv.ParseFloat(n.Text, 64)
	return x, err == nil
}

// span is the allowed range in words, with a space before it, or "".
func (r rules) span() string {
	switch {
	case r.above != "" && r.maximum != "":
		return fmt.Sprintf(" above %s and up to %s", r.above, r.maximum)
	case r.minimum != "" && r.maximum != "":
		return fmt.Sprintf(" from %s to %s", r.minimum, r.maximum)
	case r.minimum != "":
		return " of " + r.minimum + " or more"
	}
	return ""
}

func (r rules) holds(x float64) bool {
	bound := func(text string, ok func(limit float64) bool) bool {
		limit, err := strconv.ParseFloat(text, 64)
		return err != nil || ok(limit)
	}
	return bound(r.minimum, func(l float64) bool { return x >= l }) &&
		bound(r.maximum, func(l float64) bool { return x <= l }) &&
		bound(r.above, func(l float64) bool { return x > l })
}

func (d *Decoder) list(path string, n *Node, v reflect.Value, r rules) {
	if n.Kind != List {
		d.Wrong(path, n, "a list")
		return
	}
	if r.maxItems > 0 && len(n.Items) > r.maxItems {
		d.Problems.Add(path, n.Line, "has %d entries, at most %d are allowed", len(n.Items), r.maxItems)
		return
	}
	all := reflect.MakeSlice(v.Type(), len(n.Items), len(n.Items))
	for i, item := range n.Items {
		d.value(fmt.Sprintf("%s[%d]", path, i), item, all.Index(i), r)
	}
	v.Set(all)
}

func (d *Decoder) mapped(path string, n *Node, v reflect.Value, r rules) {
	if n.Kind != Map {
		d.Wrong(path, n, "an object")
		return
	}
	all := reflect.MakeMapWithSize(v.Type(), len(n.Members))
	for _, m := range n.Members {
		value := reflect.New(v.Type().Elem()).Elem()
		d.value(join(path, m.Key), m.Value, value, r)
		all.SetMapIndex(reflect.ValueOf(m.Key), value)
	}
	v.Set(all)
}
