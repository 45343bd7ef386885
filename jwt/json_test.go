package jwt_test

import (
	"encoding/json"
	"strings"
	"testing"
)

// values are JSON values that stand as an unknown claim, named as JSONTestSuite
// names its files: y_ must be read, n_ is no JSON, and i_ is where readers of
// JSON differ, which makes us refuse.
var values = []struct{ name, text string }{
	{"y_number", `123`},
	{"y_number_0", `0`},
	{"y_number_minus_0", `-0`},
	{"y_number_minus_0_fraction", `-0.0`},
	{"y_number_0e", `0e99999`},
	{"y_number_0e_minus", `0.000e-99999999999999999999`},
	{"y_number_negative", `-123`},
	{"y_number_fraction", `123.456`},
	{"y_number_fraction_zeros", `1.000`},
	{"y_number_exponent", `1e2`},
	{"y_number_exponent_capital", `1E22`},
	{"y_number_exponent_plus", `1e+2`},
	{"y_number_exponent_minus", `123.5e-10`},
	{"y_number_exponent_zeros", `1e0000000000000000000000002`},
	{"y_number_close_to_zero", `-0.000000000000000000000000000000000000000000000000000000000000000000000000000001`},
	{"y_number_int64_max", `9223372036854775807`},
	{"y_number_int64_min", `-9223372036854775808`},
	{"y_number_over_int64", `9223372036854775808`},
	{"y_number_uint64_max", `18446744073709551615`},
	{"y_number_float64_max", `1.7976931348623157e308`},
	{"y_number_float64_max_negative", `-179.76931348623157e306`},
	{"y_number_float64_min", `5e-324`},
	{"y_number_float64_min_rounded_up", `2.5e-324`},
	{"y_number_1e308", `1e308`},
	{"y_number_small_mantissa_large_exponent", `0.` + strings.Repeat("0", 1100) + `1e1101`},
	{"y_number_large_mantissa_small_exponent", `1` + strings.Repeat("0", 1100) + `e-1101`},
	{"y_number_17_digits", `0.12345678901234567`},
	{"y_number_long_fraction", `3.` + strings.Repeat("14", 300)},

	{"i_number_over_uint64", `18446744073709551616`},
	{"i_number_under_int64", `-9223372036854775809`},
	{"i_number_30_digits", `123456789012345678901234567890`},
	{"i_number_30_digits_negative", `-123456789012345678901234567890`},
	{"i_number_20_nines", `99999999999999999999`},
	{"i_number_over_float64", `1.7976931348623159e308`},
	{"i_number_over_float64_by_17_digits", `1.7976931348623158e308`},
	{"i_number_over_float64_negative", `-1.7976931348623159e308`},
	{"i_number_1e309", `1e309`},
	{"i_number_1e400", `1e400`},
	{"i_number_minus_1e400", `-1e400`},
	{"i_number_0.4e_huge", `0.4e00669999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999969999999006`},
	{"i_number_1.5e9999", `1.5e+9999`},
	{"i_number_huge_exponent_of_int64", `1e9223372036854775808`},
	{"i_number_under_float64", `2.4703282292062327e-324`},
	{"i_number_2e-324", `2e-324`},
	{"i_number_1e-400", `1e-400`},
	{"i_number_123.456e-789", `-123.456e-789`},
	{"i_number_huge_negative_exponent", `123e-10000000`},

	{"n_number_plus", `+1`},
	{"n_number_plus_plus", `++1234`},
	{"n_number_minus", `-`},
	{"n_number_minus_space", `- 1`},
	{"n_number_minus_minus", `--1`},
	{"n_number_leading_zero", `012`},
	{"n_number_leading_zero_negative", `-012`},
	{"n_number_two_zeros", `00`},
	{"n_number_dot_first", `.5`},
	{"n_number_minus_dot", `-.5`},
	{"n_number_dot_last", `1.`},
	{"n_number_dot_exponent", `1.e1`},
	{"n_number_dot_alone", `.`},
	{"n_number_two_dots", `1.2.3`},
	{"n_number_dot_minus", `0.-1`},
	{"n_number_exponent_empty", `1e`},
	{"n_number_exponent_plus_empty", `1e+`},
	{"n_number_exponent_minus_empty", `1.5E-`},
	{"n_number_exponent_twice", `1e1e1`},
	{"n_number_exponent_sign_twice", `1e+-1`},
	{"n_number_exponent_fraction", `1e0.5`},
	{"n_number_hex", `0x1`},
	{"n_number_underscore", `1_000`},
	{"n_number_space", `1 000`},
	{"n_number_comma", `1,000`},
	{"n_number_letter", `1a`},
	{"n_number_nan", `NaN`},
	{"n_number_minus_nan", `-NaN`},
	{"n_number_infinity", `Infinity`},
	{"n_number_minus_infinity", `-Infinity`},
	{"n_number_inf", `Inf`},
	{"n_number_full_width", `１`},
	{"n_number_expression", `1+2`},
	{"n_number_invalid_utf8_after", "1\xe5"},

	{"y_string_empty", `""`},
	{"y_string_ascii", `"asd"`},
	{"y_string_escapes", `"\"\\\/\b\f\n\r\t"`},
	{"y_string_hex_escape", `"\u0041\u00e9\uABCD\uabcd"`},
	{"y_string_nul_escape", `"\u0000"`},
	{"y_string_control_escape", `"\u0012"`},
	{"y_string_surrogate_pair", `"\uD801\uDC37"`},
	{"y_string_surrogate_pairs", `"\ud83d\ude39\ud83d\udc8d"`},
	{"y_string_last_character", `"\uDBFF\uDFFF"`},
	{"y_string_last_surrogate_pair_raw", "\"\xf4\x8f\xbf\xbf\""},
	{"y_string_noncharacter", `"\uFFFF\uFDD0\uDBFF\uDFFE"`},
	{"y_string_noncharacter_raw", "\"\uffff\ufffe\""},
	{"y_string_replacement_character", "\"\ufffd\""},
	{"y_string_replacement_character_escape", `"\uFFFD"`},
	{"y_string_bom_inside", "\"\ufeff\""},
	{"y_string_raw_utf8", `"é€𝄞"`},
	{"y_string_delete", "\"\x7f\""},
	{"y_string_u2028", "\"\u2028\u2029\""},
	{"y_string_escaped_then_utf8", `"\u0041é\n𝄞\\"`},
	{"y_string_comment", `"a/*b*/c//d"`},
	{"y_string_percent", `"%00"`},

	{"n_string_unclosed", `"abc`},
	{"n_string_backslash_last", `"\`},
	{"n_string_escaped_quote_last", `"\"`},
	{"n_string_single_quote", `'a'`},
	{"n_string_no_quotes", `abc`},
	{"n_string_two", `"a" "b"`},
	{"n_string_raw_newline", "\"a\nb\""},
	{"n_string_raw_tab", "\"a\tb\""},
	{"n_string_raw_nul", "\"a\x00b\""},
	{"n_string_raw_control", "\"a\x1fb\""},
	{"n_string_raw_newline_after_escape", "\"\\n\n\""},
	{"n_string_escape_x", `"\x00"`},
	{"n_string_escape_a", `"\a"`},
	{"n_string_escape_0", `"\0"`},
	{"n_string_escape_single_quote", `"\'"`},
	{"n_string_escape_capital_u", `"\U0041"`},
	{"n_string_escape_nul", "\"\\\x00\""},
	{"n_string_escape_utf8", `"\é"`},
	{"n_string_escape_newline", "\"\\\n\""},
	{"n_string_hex_empty", `"\u"`},
	{"n_string_hex_3_digits", `"\u00A"`},
	{"n_string_hex_letter", `"\u00G0"`},
	{"n_string_hex_space", `"\u 041"`},
	{"n_string_hex_minus", `"\u-041"`},
	{"n_string_hex_unclosed", `"\u00`},

	{"i_string_lone_high_surrogate", `"\uD800"`},
	{"i_string_lone_low_surrogate", `"\uDC00"`},
	{"i_string_high_surrogate_then_letter", `"\uD800abc"`},
	{"i_string_high_surrogate_twice", `"\uD800\uD800"`},
	{"i_string_surrogates_swapped", `"\uDd1e\uD834"`},
	{"i_string_high_surrogate_then_escape", `"\uD800\n"`},
	{"i_string_high_surrogate_then_character", `"\uD800\u0041"`},
	{"i_string_high_surrogate_then_replacement", `"\uD800\uFFFD"`},
	{"i_string_high_surrogate_then_half_escape", `"\uD800\u"`},
	{"i_string_high_surrogate_then_3_digits", `"\uD800\uDC0"`},
	{"i_string_surrogate_raw", "\"\xed\xa0\x80\""},
	{"i_string_surrogate_pair_raw", "\"\xed\xa0\x81\xed\xb0\xb7\""},
	{"i_string_overlong_2", "\"\xc0\xaf\""},
	{"i_string_overlong_3", "\"\xe0\x80\xaf\""},
	{"i_string_overlong_4", "\"\xf0\x80\x80\xaf\""},
	{"i_string_overlong_6", "\"\xfc\x83\xbf\xbf\xbf\xbf\""},
	{"i_string_overlong_quote", "\"\xc0\xa2\""},
	{"i_string_overlong_nul", "\"\xc0\x80\""},
	{"i_string_over_unicode", "\"\xf4\x90\x80\x80\""},
	{"i_string_latin_1", "\"\xe9\""},
	{"i_string_ff", "\"\xff\""},
	{"i_string_lone_continuation", "\"\x81\""},
	{"i_string_cut_character", "\"\xe0\xff\""},
	{"i_string_cut_before_quote", "\"\xe2\x82\""},
	{"i_string_invalid_after_escape", "\"\\n\xff\""},
	{"i_string_utf16_inside", "\"\x00a\x00b\""},

	{"y_literal_true", `true`},
	{"y_literal_false", `false`},
	{"y_literal_null", `null`},
	{"n_literal_True", `True`},
	{"n_literal_NULL", `NULL`},
	{"n_literal_nul", `nul`},
	{"n_literal_truer", `truer`},
	{"n_literal_fals", `fals`},
	{"n_literal_undefined", `undefined`},
	{"n_literal_nothing", ``},
	{"n_literal_star", `*`},

	{"y_array_empty", `[]`},
	{"y_array_nested_empty", `[[]   ]`},
	{"y_array_of_everything", `[null, 1, "1", {}, true, [false]]`},
	{"y_array_space", " [ 1\n,\r2\t] "},
	{"y_array_16_levels", strings.Repeat("[", 15) + strings.Repeat("]", 15)},
	{"n_array_17_levels", strings.Repeat("[", 16) + strings.Repeat("]", 16)},
	{"n_array_1000_levels", strings.Repeat("[", 1000) + strings.Repeat("]", 1000)},
	{"n_array_comma_last", `[1,]`},
	{"n_array_comma_first", `[,1]`},
	{"n_array_comma_alone", `[,]`},
	{"n_array_comma_twice", `[1,,2]`},
	{"n_array_no_comma", `[1 2]`},
	{"n_array_colon", `["a":1]`},
	{"n_array_semicolon", `[1;2]`},
	{"n_array_unclosed", `[1`},
	{"n_array_unclosed_after_comma", `[1,`},
	{"n_array_unclosed_nested", `[[1]`},
	{"n_array_closed_by_brace", `[1}`},
	{"n_array_closed_twice", `[1]]`},
	{"n_array_form_feed", "[\f]"},
	{"n_array_vertical_tab", "[\v]"},
	{"n_array_word_joiner", "[\u2060]"},
	{"n_array_bom_inside", "[\ufeff]"},
	{"n_array_ellipsis", `[1,...]`},

	{"y_object_empty", `{}`},
	{"y_object_empty_name", `{"":0}`},
	{"y_object_escaped_name", `{"\u0061\n":0}`},
	{"y_object_nul_in_name", `{"a\u0000b":0}`},
	{"y_object_names_differ_in_case", `{"a":1,"A":2}`},
	{"y_object_names_differ_in_length", `{"a":1,"aa":2,"aaa":3,"":4}`},
	{"y_object_names_differ_in_normal_form", `{"é":1,"e\u0301":2}`},
	{"y_object_same_name_in_siblings", `[{"a":1},{"a":1}]`},
	{"y_object_same_name_in_child", `{"a":{"a":{"a":1}},"b":{"a":1}}`},
	{"y_object_same_name_as_outside", `{"iss":1,"iat":2,"exp":[],"nbf":null}`},
	{"y_object_16_levels", strings.Repeat(`{"":`, 15) + `1` + strings.Repeat("}", 15)},
	{"n_object_17_levels", strings.Repeat(`{"":`, 16) + `1` + strings.Repeat("}", 16)},
	{"n_object_17_levels_mixed", strings.Repeat(`[{"":`, 8) + strings.Repeat("}]", 8)},
	{"i_object_name_twice", `{"a":1,"a":1}`},
	{"i_object_name_twice_apart", `{"a":1,"b":{"c":[{}]},"a":2}`},
	{"i_object_name_twice_escaped", `{"a":1,"\u0061":1}`},
	{"i_object_name_twice_escaped_pair", `{"😀":1,"\uD83D\uDE00":1}`},
	{"i_object_name_twice_escaped_slash", `{"/":1,"\/":1}`},
	{"i_object_name_twice_empty", `{"":1,"":2}`},
	{"i_object_name_twice_deep", `[[{"x":[{"a":1,"a":2}]}]]`},
	{"i_object_name_twice_after_child", `{"a":{"a":1},"a":2}`},
	{"i_object_name_twice_long", `{"` + strings.Repeat("n", 300) + `":1,"` + strings.Repeat("n", 300) + `":2}`},
	{"i_object_name_lone_surrogate", `{"\uD800":1}`},
	{"i_object_name_invalid_utf8", "{\"\xff\":1}"},
	{"n_object_no_colon", `{"a" 1}`},
	{"n_object_two_colons", `{"a"::1}`},
	{"n_object_comma_for_colon", `{"a",1}`},
	{"n_object_equals", `{"a"=1}`},
	{"n_object_no_value", `{"a":}`},
	{"n_object_no_name", `{:1}`},
	{"n_object_name_only", `{"a"}`},
	{"n_object_number_as_name", `{1:1}`},
	{"n_object_null_as_name", `{null:1}`},
	{"n_object_name_without_quotes", `{a:1}`},
	{"n_object_name_in_single_quotes", `{'a':1}`},
	{"n_object_comma_last", `{"a":1,}`},
	{"n_object_comma_first", `{,"a":1}`},
	{"n_object_comma_twice", `{"a":1,,"b":2}`},
	{"n_object_no_comma", `{"a":1 "b":2}`},
	{"n_object_unclosed", `{"a":1`},
	{"n_object_unclosed_name", `{"a`},
	{"n_object_unclosed_after_colon", `{"a":`},
	{"n_object_unclosed_after_comma", `{"a":1,`},
	{"n_object_closed_by_bracket", `{"a":1]`},
	{"n_object_comment", `{"a":1/* */}`},
	{"n_object_line_comment", "{\"a\":1// \n}"},
	{"n_object_raw_newline_in_name", "{\"a\n\":1}"},
}

// documents are whole payloads. They have no claims, so a payload that is read
// as JSON is refused for its claims, and not for its form.
var documents = []struct{ name, text string }{
	{"y_empty_object", `{}`},
	{"y_white_space", " \t\r\n{ \t\r\n} \t\r\n"},
	{"y_one_member", `{"a":1}`},
	{"n_nothing", ` `},
	{"n_null", `null`},
	{"n_true", `true`},
	{"n_number", `1`},
	{"n_string", `"x"`},
	{"n_array", `[]`},
	{"n_array_of_object", `[{}]`},
	{"n_open_brace", `{`},
	{"n_open_brace_space", `{ `},
	{"n_close_brace", `}`},
	{"n_two_objects", `{}{}`},
	{"n_two_objects_space", `{} {}`},
	{"n_trailing_comma", `{},`},
	{"n_trailing_hash", `{}#`},
	{"n_trailing_comment", `{}/**/`},
	{"n_trailing_nul", "{}\x00"},
	{"n_trailing_bom", "{}\ufeff"},
	{"n_leading_bom", "\ufeff{}"},
	{"n_leading_two_boms", "\ufeff\ufeff{}"},
	{"n_bom_alone", "\ufeff"},
	{"n_half_bom", "\xef\xbb{}"},
	{"n_leading_nul", "\x00{}"},
	{"n_leading_form_feed", "\f{}"},
	{"n_leading_no_break_space", "\u00a0{}"},
	{"n_utf16_big_endian", "\x00{\x00}"},
	{"n_utf16_little_endian", "{\x00}\x00"},
	{"n_utf16_bom_big_endian", "\xfe\xff\x00{\x00}"},
	{"n_utf16_bom_little_endian", "\xff\xfe{\x00}\x00"},
	{"n_utf32", "\x00\x00\x00{\x00\x00\x00}"},
	{"n_angle_brackets", `<a/>`},
	{"n_100_open_brackets", strings.Repeat("[", 100)},
}

// Group C24: strict JSON, wherever in the payload it stands.
func TestJSONValues(t *testing.T) {
	for _, c := range values {
		t.Run(c.name, func(t *testing.T) {
			want := "form"
			if c.name[0] == 'y' {
				want = "accepted"
			}
			for _, place := range []struct{ where, text string }{
				{"last in the payload", claims(`,"x":` + c.text)},
				{"first in the payload", `{"x":` + c.text + `,` + payload[1:]},
				{"in an array", claims(`,"y":[0,` + c.text + `]`)},
			} {
				if strings.Contains(c.name, "16_levels") && place.where == "in an array" {
					continue
				}
				if got, detail := judge(t, token(header, place.text), now); got != want {
					t.Errorf("rule broken: %s, %s, must be %s: the verdict is %s (%s)", c.name, place.where, want, got, detail)
				}
			}
			if got, _ := judge(t, token(`{"x":`+c.text+`,`+header[1:], payload), now); got != want {
				t.Errorf("rule broken: %s, in the header, must be %s: the verdict is %s", c.name, want, got)
			}
			// The table itself, against a reader that has been tested longer.
			if valid := json.Valid([]byte(c.text)); c.name[0] != 'i' && !strings.HasSuffix(c.name, "_levels") && !strings.HasSuffix(c.name, "mixed") && valid != (c.name[0] == 'y') {
				t.Errorf("the table is wrong: encoding/json says %v", valid)
			}
		})
	}
	if len(values) < 230 {
		t.Errorf("the table has only %d values", len(values))
	}
}

func TestJSONDocuments(t *testing.T) {
	for _, c := range documents {
		t.Run(c.name, func(t *testing.T) {
			want := "form"
			if c.name[0] == 'y' {
				want = "claim"
			}
			if got, detail := judge(t, token(header, c.text), now); got != want {
				t.Errorf("rule broken: a payload that is %s must be refused for its %s: it is for its %s (%s)", c.name, want, got, detail)
			}
			want = strings.Replace(want, "claim", "algorithm", 1)
			if got, detail := judge(t, token(c.text, payload), now); got != want {
				t.Errorf("rule broken: a header that is %s must be refused for its %s: it is for its %s (%s)", c.name, want, got, detail)
			}
		})
	}
}

// Every way of cutting a good payload short is no JSON.
func TestJSONCutShort(t *testing.T) {
	whole := claims(`,"x":[{"a":"\ud83d\ude39é\n"},-1.5e+3,true,false,null],"exp":1713225900`)
	if got, detail := judge(t, token(header, whole), now); got != "accepted" {
		t.Fatalf("the whole payload is %s (%s)", got, detail)
	}
	for n := 1; n < len(whole); n++ {
		if got, _ := judge(t, token(header, whole[:n]), now); got != "form" {
			t.Errorf("rule broken: %s, cut short, is no JSON: the verdict is %s", whole[:n], got)
		}
	}
}

// The densest payloads that a token can hold are read without running out of
// places for names.
func TestJSONManyNames(t *testing.T) {
	for _, c := range []struct{ name, more string }{
		{"short names in one object", shortNames(2860)},
		{"names alike in one object", alikeNames(2860)},
		{"short names at every level", nestedNames(2860)},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := token(header, claims(c.more))
			if got, detail := judge(t, text, now); got != "accepted" {
				t.Errorf("rule broken: a token of %d bytes with many names is read: the verdict is %s (%s)", len(text), got, detail)
			}
		})
	}
	if got, _ := judge(t, token(header, claims(shortNames(2800)+`,"a":1`)), now); got != "form" {
		t.Errorf("rule broken: a name twice is refused among hundreds too: the verdict is %s", got)
	}
}

// nestedNames are the names of fifteen objects, all open at once, in n bytes at
// most: each has an empty name and as many of one character as its share allows.
func nestedNames(n int) string {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	level := `"":0`
	for i := 0; len(level)+12 <= n/16; i++ {
		level += `,"` + letters[i:i+1] + `":0`
	}
	const deep = 15
	return `,"x":{` + strings.Repeat(level+`,"-":{`, deep-1) + level + strings.Repeat("}", deep)
}
