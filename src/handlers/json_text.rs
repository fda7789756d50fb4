//! Writes JSON the way Python's `json.dumps` does, because TorchServe's answers are that text.
//!
//! Called by `answer.rs` and `image/classifier.rs` with one buffer per answer. Numbers are Python's
//! `repr`: the shortest text that reads back as the same `float`, where a narrower float is widened
//! first; `NaN`, `Infinity` and `-Infinity` are bare words. Strings are ASCII-escaped. There is no
//! trailing newline.

use super::json_layout::lay_out;
use crate::engine::Elements;

/// How items are set apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// `json.dumps(value, indent=2)`: every item on a line of its own.
    Indented,
    /// `json.dumps(value, separators=(",", ":"))`: no white space.
    Compact,
    /// `json.dumps(value)`: one line, with a space behind commas and colons.
    Spaced,
}

/// The kind of brackets around items.
#[derive(Clone, Copy, Debug)]
pub(super) enum Brackets {
    /// `[...]`
    Array,
    /// `{...}`
    Object,
}

/// One JSON text under construction.
pub(super) struct JsonText {
    out: Vec<u8>,
    layout: Layout,
    depth: usize,
    /// Nothing was written yet between the innermost open bracket and here.
    empty: bool,
    /// No more numbers are written behind so many bytes: nobody gets such a text.
    limit: usize,
}

/// So many numbers are written before the limit is looked at again.
const AT_ONCE: usize = 1024;

/// Python indents by two columns a level.
const INDENT: usize = 2;

/// The longest `repr` of a float is 24 bytes (`-1.2345678901234567e-308`).
const FLOAT_BYTES: usize = 24;

// === impl JsonText ===

impl JsonText {
    /// An empty text with room for `capacity` bytes.
    pub(super) fn with_capacity(layout: Layout, capacity: usize) -> JsonText {
        JsonText {
            out: Vec::with_capacity(capacity),
            layout,
            depth: 0,
            empty: true,
            limit: usize::MAX,
        }
    }

    /// A text that goes on inside of an array which another text opened, behind an item of it.
    pub(super) fn continued(layout: Layout, capacity: usize) -> JsonText {
        JsonText { depth: 1, empty: false, ..JsonText::with_capacity(layout, capacity) }
    }

    /// A text that is refused when it has more than `limit` bytes: it is cut somewhere behind them.
    /// Ten bytes of nested brackets around a million numbers would else be indented a million times.
    pub(super) fn cut_behind(self, limit: usize) -> JsonText {
        JsonText { limit, ..self }
    }

    /// The text.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    /// Opens an array or object.
    pub(super) fn open(&mut self, brackets: Brackets) {
        self.out.push(match brackets {
            Brackets::Array => b'[',
            Brackets::Object => b'{',
        });
        self.depth += 1;
        self.empty = true;
    }

    /// Closes what [`JsonText::open`] opened.
    pub(super) fn close(&mut self, brackets: Brackets) {
        self.depth = self.depth.saturating_sub(1);
        if !self.empty {
            self.line();
        }
        self.out.push(match brackets {
            Brackets::Array => b']',
            Brackets::Object => b'}',
        });
        self.empty = false;
    }

    /// Sets the next item apart from the one before; call it before each item of an array.
    pub(super) fn item(&mut self) {
        if !self.empty {
            self.out.push(b',');
            if self.layout == Layout::Spaced {
                self.out.push(b' ');
            }
        }
        self.line();
        self.empty = false;
    }

    /// Starts the member `name` of an object; its value is written next.
    pub(super) fn member(&mut self, name: &str) {
        self.item();
        self.string(name);
        self.colon();
    }

    /// What stands between a member's name and its value.
    pub(super) fn colon(&mut self) {
        self.out.extend_from_slice(match self.layout {
            Layout::Indented | Layout::Spaced => b": ",
            Layout::Compact => b":",
        });
    }

    /// A string, number or word that is JSON already.
    pub(super) fn token(&mut self, token: &[u8]) {
        self.out.extend_from_slice(token);
    }

    /// A value that is JSON already, in the layout of this text.
    pub(super) fn json(&mut self, json: &[u8]) {
        lay_out(self, json);
        self.empty = false;
    }

    /// A string.
    pub(super) fn string(&mut self, text: &str) {
        string(&mut self.out, text);
    }

    /// A number as Python's `repr(float)`.
    pub(super) fn float(&mut self, value: f64) {
        float(&mut self.out, value);
    }

    /// A whole number.
    pub(super) fn int(&mut self, value: i64) {
        int(&mut self.out, value);
    }

    /// `true` or `false`.
    pub(super) fn bool(&mut self, value: bool) {
        self.out.extend_from_slice(if value { b"true" } else { b"false" });
    }

    /// `null`.
    pub(super) fn null(&mut self) {
        self.out.extend_from_slice(b"null");
    }

    /// The elements `range` of a tensor as lists nested to `shape`; a number alone when `shape` is
    /// empty. The range must hold the product of `shape`; what is missing is left out.
    pub(super) fn elements(
        &mut self,
        elements: &Elements,
        range: std::ops::Range<usize>,
        shape: &[usize],
    ) {
        match elements {
            Elements::Bool(v) => self.nested(&v[range], shape, |out, x| {
                out.extend_from_slice(if x != 0 { b"true" } else { b"false" })
            }),
            Elements::Uint8(v) => self.nested(&v[range], shape, |out, x| int(out, x.into())),
            Elements::Int8(v) => self.nested(&v[range], shape, |out, x| int(out, x.into())),
            Elements::Int16(v) => self.nested(&v[range], shape, |out, x| int(out, x.into())),
            Elements::Int32(v) => self.nested(&v[range], shape, |out, x| int(out, x.into())),
            Elements::Int64(v) => self.nested(&v[range], shape, int),
            Elements::Float16(v) => self.nested(&v[range], shape, |out, x| float(out, x.into())),
            Elements::Bfloat16(v) => self.nested(&v[range], shape, |out, x| float(out, x.into())),
            Elements::Float32(v) => self.nested(&v[range], shape, |out, x| float(out, x.into())),
            Elements::Float64(v) => self.nested(&v[range], shape, float),
        }
    }

    fn nested<T: Copy>(&mut self, values: &[T], shape: &[usize], write: fn(&mut Vec<u8>, T)) {
        let Some((&size, inner)) = shape.split_first() else {
            values.iter().take(1).for_each(|value| write(&mut self.out, *value));
            self.empty = false;
            return;
        };
        self.open(Brackets::Array);
        if inner.is_empty() {
            self.leaves(values, write);
        } else {
            // A dimension of size 0 further in still shows the lists around it: `[[], []]`.
            let stride = values.len().checked_div(size).unwrap_or(0);
            for index in 0..size {
                if self.out.len() > self.limit {
                    return;
                }
                self.item();
                self.nested(&values[index * stride..(index + 1) * stride], inner, write);
            }
        }
        self.close(Brackets::Array);
    }

    /// The innermost list, where the time goes: one separator, made once.
    fn leaves<T: Copy>(&mut self, values: &[T], write: fn(&mut Vec<u8>, T)) {
        let Some((first, rest)) = values.split_first() else { return };
        self.item();
        write(&mut self.out, *first);
        let mut separator = vec![b','];
        match self.layout {
            Layout::Indented => {
                separator.push(b'\n');
                separator.resize(2 + self.depth * INDENT, b' ');
            }
            Layout::Spaced => separator.push(b' '),
            Layout::Compact => {}
        }
        for some in rest.chunks(AT_ONCE) {
            for value in some {
                self.out.extend_from_slice(&separator);
                write(&mut self.out, *value);
            }
            if self.out.len() > self.limit {
                return;
            }
        }
    }

    fn line(&mut self) {
        if self.layout == Layout::Indented {
            self.out.push(b'\n');
            self.out.resize(self.out.len() + self.depth * INDENT, b' ');
        }
    }
}

/// A bound on the bytes that `count` elements take at `depth`, so that an answer allocates once.
pub(super) fn text_size(elements: &Elements, count: usize, depth: usize) -> usize {
    let widest = match elements {
        Elements::Bool(_) | Elements::Int8(_) | Elements::Uint8(_) => 5,
        Elements::Int16(_) => 6,
        Elements::Int32(_) => 11,
        Elements::Int64(_) => 20,
        // Few values need all 24 bytes; a wrong guess costs a second allocation, no more.
        _ => FLOAT_BYTES - 2,
    };
    count.saturating_mul(widest + 2 + depth * INDENT)
}

/// Appends `value` as Python's `repr(float)` and `json.dumps` write it.
pub(super) fn float(out: &mut Vec<u8>, value: f64) {
    if value.is_nan() {
        return out.extend_from_slice(b"NaN");
    }
    if value.is_infinite() {
        return out.extend_from_slice(if value > 0.0 { b"Infinity" } else { b"-Infinity" });
    }
    let mut buffer = zmij::Buffer::new();
    let text = buffer.format_finite(value).as_bytes();
    if let Some(e) = text.iter().position(|byte| *byte == b'e') {
        let (mantissa, exponent) = (&text[..e], &text[e + 1..]);
        exponential(out, mantissa, exponent);
    } else {
        // Python leaves the decimal form below 1e-4: `0.00001234` is `1.234e-05`.
        let sign = usize::from(text.first() == Some(&b'-'));
        match text[sign..].strip_prefix(b"0.0000") {
            Some(digits) => {
                let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
                out.extend_from_slice(&text[..sign]);
                small(out, &digits[zeros..], 5 + zeros);
            }
            None => out.extend_from_slice(text),
        }
    }
}

/// Rewrites `1e-7`, `1.5e+16` to Python's form: no `.0` before the exponent, its sign always there,
/// at least two digits.
fn exponential(out: &mut Vec<u8>, mantissa: &[u8], exponent: &[u8]) {
    out.extend_from_slice(mantissa.strip_suffix(b".0").unwrap_or(mantissa));
    let (sign, digits) = match exponent {
        [b'-', digits @ ..] => (b'-', digits),
        [b'+', digits @ ..] => (b'+', digits),
        digits => (b'+', digits),
    };
    out.extend_from_slice(&[b'e', sign]);
    if digits.len() < 2 {
        out.push(b'0');
    }
    out.extend_from_slice(digits);
}

/// `digits` (without leading zeros) as `d.ddde-0exponent`.
fn small(out: &mut Vec<u8>, digits: &[u8], exponent: usize) {
    let Some((first, rest)) = digits.split_first() else { return };
    out.push(*first);
    if !rest.is_empty() {
        out.push(b'.');
        out.extend_from_slice(rest);
    }
    out.extend_from_slice(b"e-");
    if exponent < 10 {
        out.push(b'0');
    }
    out.extend_from_slice(itoa::Buffer::new().format(exponent).as_bytes());
}

fn int(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    for character in text.chars() {
        match character {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            '\u{8}' => out.extend_from_slice(b"\\b"),
            '\u{c}' => out.extend_from_slice(b"\\f"),
            ' '..='~' => out.push(character as u8),
            _ => {
                let mut units = [0; 2];
                for unit in character.encode_utf16(&mut units) {
                    const HEX: &[u8; 16] = b"0123456789abcdef";
                    out.extend_from_slice(b"\\u");
                    for shift in [12, 8, 4, 0] {
                        out.push(HEX[usize::from(*unit >> shift & 15)]);
                    }
                }
            }
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repr(value: f64) -> String {
        let mut out = Vec::new();
        float(&mut out, value);
        String::from_utf8(out).unwrap()
    }

    fn dumps(layout: Layout, elements: &Elements, shape: &[usize]) -> String {
        let mut text = JsonText::with_capacity(layout, 0);
        text.elements(elements, 0..elements.len(), shape);
        String::from_utf8(text.into_bytes()).unwrap()
    }

    // Right-hand sides printed by CPython 3.11: `print(repr(x))`.
    #[test]
    fn floats_are_written_as_python_writes_them() {
        for (value, expected) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (-1.5, "-1.5"),
            (0.1, "0.1"),
            (1e-3, "0.001"),
            (1e-4, "0.0001"),
            (-1.234e-4, "-0.0001234"),
            (1e-5, "1e-05"),
            (-1.234e-5, "-1.234e-05"),
            (9.999e-5, "9.999e-05"),
            (2.3e-5, "2.3e-05"),
            (1.5e-7, "1.5e-07"),
            (1e-10, "1e-10"),
            (1e15, "1000000000000000.0"),
            (9999999999999998.0, "9999999999999998.0"),
            (1e16, "1e+16"),
            (1.5e16, "1.5e+16"),
            (123456789012345680.0, "1.2345678901234568e+17"),
            (1e22, "1e+22"),
            (1e100, "1e+100"),
            (5e-324, "5e-324"),
            (2.2250738585072014e-308, "2.2250738585072014e-308"),
            (f64::MAX, "1.7976931348623157e+308"),
            (f64::from(0.1f32), "0.10000000149011612"),
            (f64::from(1e-8f32), "9.99999993922529e-09"),
            (f64::from(123456789.125f32), "123456792.0"),
            (f64::from(3e-39f32), "3.000000645916e-39"),
            (f64::from(f32::MAX), "3.4028234663852886e+38"),
            (1.0 / 3.0, "0.3333333333333333"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "Infinity"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(repr(value), expected);
        }
    }

    #[test]
    fn narrow_floats_are_widened_before_they_are_written() {
        use half::{bf16, f16};
        let half = Elements::Float16(vec![f16::from_f32(0.1), f16::MAX]);
        assert_eq!(dumps(Layout::Compact, &half, &[2]), "[0.0999755859375,65504.0]");
        let brain = Elements::Bfloat16(vec![bf16::from_f32(0.1)]);
        assert_eq!(dumps(Layout::Compact, &brain, &[1]), "[0.10009765625]");
    }

    // `json.dumps(x, indent=2)` in CPython 3.11.
    #[test]
    fn lists_are_indented_by_two_columns() {
        let elements = Elements::Float32(vec![1.0, 2.5, -3.0, 4.0]);
        assert_eq!(
            dumps(Layout::Indented, &elements, &[2, 2]),
            "[\n  [\n    1.0,\n    2.5\n  ],\n  [\n    -3.0,\n    4.0\n  ]\n]"
        );
        assert_eq!(dumps(Layout::Compact, &elements, &[2, 2]), "[[1.0,2.5],[-3.0,4.0]]");
        assert_eq!(dumps(Layout::Indented, &elements, &[4, 1])[..8], *"[\n  [\n  ");
    }

    #[test]
    fn empty_lists_stay_on_one_line() {
        let none = Elements::Float32(vec![]);
        assert_eq!(dumps(Layout::Indented, &none, &[0]), "[]");
        assert_eq!(dumps(Layout::Indented, &none, &[0, 4]), "[]");
        assert_eq!(dumps(Layout::Indented, &none, &[2, 0]), "[\n  [],\n  []\n]");
    }

    #[test]
    fn a_tensor_without_dimensions_is_a_number() {
        assert_eq!(
            dumps(Layout::Indented, &Elements::Int64(vec![i64::MIN]), &[]),
            i64::MIN.to_string()
        );
        assert_eq!(dumps(Layout::Indented, &Elements::Bool(vec![1]), &[]), "true");
    }

    // `json.dumps('a"\\\n\r\t\b\f\x01\x7fé東🦀/')` in CPython 3.11.
    #[test]
    fn strings_are_escaped_to_ascii() {
        let mut out = Vec::new();
        string(&mut out, "a\"\\\n\r\t\u{8}\u{c}\u{1}\u{7f}é東🦀/");
        assert_eq!(
            String::from_utf8(out).unwrap(),
            r#""a\"\\\n\r\t\b\f\u0001\u007f\u00e9\u6771\ud83e\udd80/""#
        );
    }

    #[test]
    fn objects_nest_in_arrays() {
        let mut text = JsonText::with_capacity(Layout::Indented, 0);
        text.open(Brackets::Object);
        text.member("a");
        text.open(Brackets::Array);
        text.item();
        text.null();
        text.item();
        text.open(Brackets::Object);
        text.close(Brackets::Object);
        text.close(Brackets::Array);
        text.member("b");
        text.bool(false);
        text.close(Brackets::Object);
        let text = String::from_utf8(text.into_bytes()).unwrap();
        assert_eq!(text, "{\n  \"a\": [\n    null,\n    {}\n  ],\n  \"b\": false\n}");
    }

    #[test]
    fn every_float_reads_back_as_itself() {
        // A fixed walk over the bit patterns: each exponent, varied fractions.
        let mut bits: u64 = 0x9E37_79B9_7F4A_7C15;
        for _ in 0..20_000 {
            bits ^= bits << 13;
            bits ^= bits >> 7;
            bits ^= bits << 17;
            let value = f64::from_bits(bits);
            if value.is_finite() {
                assert_eq!(repr(value).parse::<f64>().unwrap().to_bits(), value.to_bits());
            }
        }
    }
}
