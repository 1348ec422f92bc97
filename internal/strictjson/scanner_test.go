package strictjson_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"verge/internal/strictjson"
)

// whole reads all of text, and returns the error.
func whole(text []byte) error {
	s := strictjson.New(text)
	if _, err := s.Skip(); err != nil {
		return err
	}
	return s.End()
}

func TestRefusesWhatIsNotJSONAndSaysWhere(t *testing.T) {
	tests := map[string]string{
		"":                            "byte 0: the end of the text, want a value",
		"  ":                          "byte 2: the end of the text, want a value",
		"\xef\xbb\xbf{}":              "byte 0: a byte order mark, want JSON in UTF-8 without one",
		"{\x00}":                      "byte 1: the byte 0x00, want a string",
		`{} {}`:                       `byte 3: '{' behind the end of the document`,
		`[1,]`:                        `byte 3: ']', want a value`,
		`[1 2]`:                       `byte 3: '2', want ',' or ']'`,
		`[1}`:                         `byte 2: '}', want ',' or ']'`,
		`[`:                           `byte 1: the end of the text, want a value or ']'`,
		`{`:                           `byte 1: the end of the text, want a value or '}'`,
		`{"a"}`:                       `byte 4: '}', want ':'`,
		`{"a":1,}`:                    `byte 7: '}', want a string`,
		`{1:2}`:                       `byte 1: a number, want a string`,
		`{"a":1,"a":2}`:               `byte 7: the key "a" comes twice`,
		`{"a":1,"\u0061":2}`:          `byte 7: the key "a" comes twice`,
		`[{"b":{"a":1,"a":1}}]`:       `byte 13: the key "a" comes twice`,
		`tru`:                         "byte 0: no valid literal, want true",
		`nul`:                         "byte 0: no valid literal, want null",
		`NaN`:                         "byte 0: 'N', want a value",
		`Infinity`:                    "byte 0: 'I', want a value",
		`-Infinity`:                   "byte 1: no digit, want one in a number",
		`01`:                          "byte 0: a number that begins with 0",
		`-01`:                         "byte 1: a number that begins with 0",
		`[01,2]`:                      "byte 1: a number that begins with 0",
		`[1, -01, 2]`:                 "byte 5: a number that begins with 0",
		`[1.,2]`:                      "byte 3: no digit, want one after the point of a number",
		`[1,-,2]`:                     "byte 4: no digit, want one in a number",
		`[1,,2]`:                      "byte 3: ',', want a value",
		`1.`:                          "byte 2: no digit, want one after the point of a number",
		`1e`:                          "byte 1: no digit, want one in the exponent of a number",
		`1e+`:                         "byte 1: no digit, want one in the exponent of a number",
		`+1`:                          "byte 0: '+', want a value",
		`.5`:                          "byte 0: '.', want a value",
		`0x10`:                        "byte 1: 'x' behind the end of the document",
		`"a`:                          "byte 2: the end of the text in a string",
		"\"a\nb\"":                    "byte 2: the control character 0x0a in a string, want it escaped",
		`"\x"`:                        "byte 1: no valid escape in a string",
		`"\u12"`:                      "byte 1: no valid escape in a string",
		`"\ud800"`:                    "byte 1: no valid escape in a string",
		`"\ud800\u0041"`:              "byte 1: no valid escape in a string",
		`"\udc00"`:                    "byte 1: no valid escape in a string",
		"\"\xff\"":                    "byte 1: invalid UTF-8 in a string",
		"\"\xed\xa0\x80\"":            "byte 1: invalid UTF-8 in a string",
		strings.Repeat("[", 101):      "byte 100: more than 100 objects and arrays within each other",
		"{\x00\"\x00a\x00\"\x00:\x00": "byte 1: the byte 0x00, want a string",
	}
	for text, want := range tests {
		if got := fmt.Sprint(whole([]byte(text))); got != want {
			t.Errorf("%q:\n got %s\nwant %s", text, got, want)
		}
	}
}

func TestTakesWhatIsJSON(t *testing.T) {
	for _, text := range []string{
		"0", "-0", "1e3", "1E+03", "-1.5e-7", `""`, `"\u0000"`, `"😀\ud83d\ude00"`, "[]", "{}", " [ 1 , 2 ] ", `{"a":{},"b":[null,true,false]}`,
		strings.Repeat("[", 100) + strings.Repeat("]", 100), "\r\n\t1\r\n\t",
	} {
		if err := whole([]byte(text)); err != nil {
			t.Errorf("%q: %v, want nil", text, err)
		}
	}
}

func TestSkipReturnsTheBytesOfTheValue(t *testing.T) {
	s := strictjson.New([]byte(`{"a": [1, {"b":"]"}] , "c":2}`))
	if err := s.Enter(strictjson.Object); err != nil {
		t.Fatal(err)
	}
	var got []string
	for s.More() {
		key := string(s.Key())
		span, _ := s.Skip()
		got = append(got, key, string(span))
	}
	if err := s.End(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a", `[1, {"b":"]"}]`, "c", "2"}, got); diff != "" {
		t.Errorf("members (-want +got):\n%s", diff)
	}
}

func TestAFailedScannerStaysFailed(t *testing.T) {
	s := strictjson.New([]byte(`[x]`))
	_ = s.Enter(strictjson.Array)
	_, err := s.Int(8)
	if _, again := s.String(); !errors.Is(again, err) || s.More() || s.Peek() != strictjson.None || s.Key() != nil || !errors.Is(s.End(), err) || !errors.Is(s.Err(), err) {
		t.Errorf("after %v the scanner goes on", err)
	}
	s.Reset([]byte("1"))
	if n, err := s.Int(8); n != 1 || err != nil || s.End() != nil {
		t.Errorf("after Reset: %d, %v; want 1", n, err)
	}
}

func TestAnObjectThatIsSkippedHasALimitedNumberOfMembers(t *testing.T) {
	object := func(n int) []byte {
		var b bytes.Buffer
		for i := range n {
			fmt.Fprintf(&b, `,"k%d":0`, i)
		}
		return []byte("{" + b.String()[1:] + "}")
	}
	if err := whole(object(strictjson.MaxKeys)); err != nil {
		t.Error(err)
	}
	if got := fmt.Sprint(whole(object(strictjson.MaxKeys + 1))); !strings.HasSuffix(got, "an object of more than 1024 members") {
		t.Error(got)
	}
	text := bytes.Replace(object(100), []byte(`"k99"`), []byte(`"k77"`), 1)
	if got := fmt.Sprint(whole(text)); !strings.HasSuffix(got, `the key "k77" comes twice`) {
		t.Error(got)
	}
}

func TestIntegersAreExactHoweverTheyAreWritten(t *testing.T) {
	signed := map[string]string{
		"0": "0", "-0": "0", "5": "5", "5.0": "5", "5.000e0": "5", "1e3": "1000", "1E+3": "1000", "50e-1": "5", "0e999999999999": "0", "0.0e-99": "0",
		"9223372036854775807": "9223372036854775807", "-9223372036854775808": "-9223372036854775808",
		"9007199254740993": "9007199254740993", "9007199254740993.0": "9007199254740993", "9.223372036854775807e18": "9223372036854775807",
		"9223372036854775807.00000000000000000000": "9223372036854775807", "922337203685477580700000000000000e-14": "9223372036854775807",
		"0.00000000000000000000000000001e29": "1", "12345678901234567890000000000e-15": "12345678901234.56789 is not",
		"1.5": "1.5 is not", "1e-1": "1e-1 is not", "0.1": "0.1 is not", "1e-999999999999": "1e-999999999999 is not", "5.0000000000000000000000000001": "5.0000000000000000000000000001 is not",
		"9223372036854775808": "outside", "-9223372036854775809": "outside", "1e19": "outside", "1e999999999999": "outside", "99999999999999999999999": "outside",
	}
	for text, want := range signed {
		n, err := strictjson.New([]byte(text)).Int(64)
		switch {
		case strings.HasSuffix(want, "is not"):
			want = "byte 0: " + text + " is not a whole number"
		case want == "outside":
			want = "byte 0: " + text + " is outside -9223372036854775808 to 9223372036854775807"
		default:
			if err != nil || strconv.FormatInt(n, 10) != want {
				t.Errorf("Int(%s) = %d, %v; want %s", text, n, err, want)
			}
			continue
		}
		if fmt.Sprint(err) != want {
			t.Errorf("Int(%s): %v, want %s", text, err, want)
		}
	}
	for text, want := range map[string]string{
		"18446744073709551615": "18446744073709551615", "1.8446744073709551615e19": "18446744073709551615", "-0": "0",
		"18446744073709551616": "byte 0: 18446744073709551616 is outside 0 to 18446744073709551615",
		"-1":                   "byte 0: -1 is outside 0 to 18446744073709551615",
	} {
		n, err := strictjson.New([]byte(text)).Uint(64)
		if got := fmt.Sprint(err); err != nil && got != want || err == nil && strconv.FormatUint(n, 10) != want {
			t.Errorf("Uint(%s) = %d, %v; want %s", text, n, err, want)
		}
	}
	for size, want := range map[int]string{8: "-128 to 127", 16: "-32768 to 32767", 32: "-2147483648 to 2147483647"} {
		if _, err := strictjson.New([]byte("3e9")).Int(size); fmt.Sprint(err) != "byte 0: 3e9 is outside "+want {
			t.Errorf("Int(3e9, %d): %v", size, err)
		}
	}
}

// Any decimal text is the integer that arithmetic without limits says it is.
func TestIntegersAreThoseOfBigArithmetic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`-?(0|[1-9][0-9]{0,24})(\.[0-9]{1,24})?(e[+-]?[0-9]{1,2})?`).Draw(t, "text")
		exact, ok := new(big.Rat).SetString(text)
		if !ok {
			t.Fatalf("big.Rat refuses %s", text)
		}
		got, err := strictjson.New([]byte(text)).Int(64)
		if want := exact.IsInt() && exact.Num().IsInt64(); want != (err == nil) || want && got != exact.Num().Int64() {
			t.Fatalf("Int(%s) = %d, %v; it is %s", text, got, err, exact.RatString())
		}
	})
}

// Any number rounds as strconv rounds it, which is correct.
func TestFloatsAreRoundedOnce(t *testing.T) {
	check := func(t interface{ Fatalf(string, ...any) }, text string) {
		want64, err64 := strconv.ParseFloat(text, 64)
		got64, err := strictjson.New([]byte(text)).Float64()
		if (err == nil) != (err64 == nil) || err == nil && math.Float64bits(got64) != math.Float64bits(want64) {
			t.Fatalf("Float64(%s) = %g, %v; want %g, %v", text, got64, err, want64, err64)
		}
		want32, err32 := strconv.ParseFloat(text, 32)
		got32, err := strictjson.New([]byte(text)).Float32()
		if (err == nil) != (err32 == nil) || err == nil && math.Float32bits(got32) != math.Float32bits(float32(want32)) {
			t.Fatalf("Float32(%s) = %g, %v; want %g, %v", text, got32, err, want32, err32)
		}
	}
	for _, text := range []string{
		"0", "-0", "-0.0", "1e-400", "3.4028235677973366e38", "3.4028234e38", "1.17549435e-38", "1e-45", "7.0064923216240853546e-46",
		"1.00000005960464477539062", "1.00000005960464477539063", "1.000000059604644775390625", "16777217", "16777217.0000000001", "9007199254740993", "1e22", "1e23",
		"7.2057594037927933e16", "1.5e300", "123456789012345678901234567890",
	} {
		check(t, text)
	}
	rapid.Check(t, func(t *rapid.T) {
		check(t, rapid.StringMatching(`-?(0|[1-9][0-9]{0,22})(\.[0-9]{1,22})?(e[+-]?[0-9]{1,2})?`).Draw(t, "text"))
	})
	rapid.Check(t, func(t *rapid.T) { // shortest forms, and numbers halfway between two float32
		f := math.Float32frombits(rapid.Uint32Max(0x7f7ffffe).Draw(t, "bits"))
		next := math.Nextafter32(f, math.MaxFloat32)
		check(t, strconv.FormatFloat(float64(f), 'g', -1, 32))
		check(t, strconv.FormatFloat((float64(f)+float64(next))/2, 'g', -1, 64))
	})
}

func TestFloatsTooLargeAreRefused(t *testing.T) {
	for text, want := range map[string]string{
		"1e40": "byte 0: 1e40 is too large for 32 bits of floating point", "-3.4028236e38": "byte 0: -3.4028236e38 is too large for 32 bits of floating point",
		"null": "byte 0: null, want a number", `"1"`: "byte 0: a string, want a number",
	} {
		if _, err := strictjson.New([]byte(text)).Float32(); fmt.Sprint(err) != want {
			t.Errorf("Float32(%s): %v, want %s", text, err, want)
		}
	}
	if _, err := strictjson.New([]byte("1e309")).Float64(); fmt.Sprint(err) != "byte 0: 1e309 is too large for 64 bits of floating point" {
		t.Error(err)
	}
}

func TestNumbersAllocateNothing(t *testing.T) {
	text := []byte("[0.12345679,3.4028235e38,-1e-30,12345678,1e22]")
	var s strictjson.Scanner
	allocs := testing.AllocsPerRun(100, func() {
		s.Reset(text)
		_ = s.Enter(strictjson.Array)
		for s.More() {
			_, _ = s.Float32()
		}
	})
	if allocs != 0 || s.End() == nil && s.Err() != nil {
		t.Errorf("%g allocations, want none", allocs)
	}
}

// seeds are good and bad documents.
func seeds() []string {
	return []string{
		`{"inputs":[{"name":"x","shape":[2],"datatype":"FP32","data":[1.5,-2e3]}],"id":"\u00e9😀"}`,
		`[[],{},"",0,-0.0,1e5,true,false,null]`, `{"a":1,"a":2}`, "\"\xff\"", `"\ud83d\ude00"`, `"\ud83d"`, `[1,]`, `01`, "\xef\xbb\xbf1", `{"a":1}x`,
	}
}

// FuzzAgreesWithEncodingJSON: what this package takes, encoding/json takes, with the
// same meaning. What it refuses beyond encoding/json is refused on purpose.
func FuzzAgreesWithEncodingJSON(f *testing.F) {
	for _, s := range seeds() {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		err := whole(text)
		valid := json.Valid(text)
		if err == nil && (!valid || !utf8.Valid(text)) {
			t.Fatalf("takes %q, which is not JSON", text)
		}
		if err != nil && valid && !onPurpose(err) {
			t.Fatalf("refuses %q: %v", text, err)
		}
		if err != nil {
			return
		}
		s := strictjson.New(text)
		switch s.Peek() {
		case strictjson.String:
			var want string
			got, _ := s.String()
			if json.Unmarshal(text, &want) != nil || string(got) != want {
				t.Fatalf("String(%q) = %q, want %q", text, got, want)
			}
		case strictjson.Number:
			var want float64
			got, err := s.Float64()
			if werr := json.Unmarshal(text, &want); (werr == nil) != (err == nil) || err == nil && got != want {
				t.Fatalf("Float64(%q) = %g, %v; want %g, %v", text, got, err, want, werr)
			}
		default: // the rest has no value to compare, and was passed over
		}
	})
}

// onPurpose reports whether err is of the kind that encoding/json lets pass.
func onPurpose(err error) bool {
	for _, text := range []string{"comes twice", "invalid UTF-8", "no valid escape", "within each other", "members"} {
		if strings.Contains(err.Error(), text) {
			return true
		}
	}
	return false
}

func BenchmarkSkip(b *testing.B) {
	text := []byte("[" + strings.Repeat("0.12345679,", 150527) + "0.5]")
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if err := whole(text); err != nil {
			b.Fatal(err)
		}
	}
}
