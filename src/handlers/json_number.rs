//! Numbers in JSON: whole ones exactly, others to the nearest `f64`.
//!
//! The hot part of reading a request: most numbers are finished here in one pass over their digits;
//! long ones go through the standard library's algorithm. Besides RFC 8259, the words `NaN`,
//! `Infinity` and `-Infinity` are numbers, as in Python.

use super::json::{JsonError, Scanner};

/// A number as it was written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number {
    /// Without fraction and exponent, and fits `i64`.
    Int(i64),
    /// Without fraction and exponent, but does not fit `i64`: its nearest float.
    WideInt(f64),
    /// With a fraction or an exponent, or one of Python's words.
    Float(f64),
}

// === impl Scanner ===

impl Scanner<'_> {
    /// Reads a number.
    pub(super) fn number(&mut self) -> Result<Number, JsonError> {
        self.peek();
        let start = self.at;
        let negative = self.bytes.get(self.at) == Some(&b'-');
        let mut at = self.at + usize::from(negative);
        let digit = |at: usize| match self.bytes.get(at) {
            Some(byte @ b'0'..=b'9') => Some(u64::from(byte - b'0')),
            _ => None,
        };
        // The significand as far as 19 digits go, which always fit a `u64`.
        let (mut significand, mut digits, mut exponent) = (0u64, 0u32, 0i64);
        let first = at;
        while let Some(value) = digit(at) {
            significand = significand.wrapping_mul(10).wrapping_add(value);
            digits += u32::from(significand != 0 || digits != 0);
            at += 1;
        }
        if at == first {
            return self.python_word(negative);
        }
        if at > first + 1 && self.bytes[first] == b'0' {
            return Err(self.expected("a number without leading zeros"));
        }
        let mut whole = true;
        if self.bytes.get(at) == Some(&b'.') {
            whole = false;
            at += 1;
            let fraction = at;
            while let Some(value) = digit(at) {
                significand = significand.wrapping_mul(10).wrapping_add(value);
                digits += u32::from(significand != 0 || digits != 0);
                at += 1;
            }
            if at == fraction {
                return Err(self.expected("a number with digits behind the point"));
            }
            exponent = -i64::try_from(at - fraction).unwrap_or(i64::MAX);
        }
        if let Some(b'e' | b'E') = self.bytes.get(at) {
            whole = false;
            at += 1;
            let down = self.bytes.get(at) == Some(&b'-');
            at += usize::from(matches!(self.bytes.get(at), Some(b'-' | b'+')));
            let power = at;
            let mut written = 0i64;
            while let Some(value) = digit(at) {
                written = (written * 10 + value as i64).min(1 << 40);
                at += 1;
            }
            if at == power {
                return Err(self.expected("a number with digits behind the exponent's `e`"));
            }
            exponent = exponent.saturating_add(if down { -written } else { written });
        }
        self.at = at;
        if whole && digits <= 19 {
            let value = if negative { -i128::from(significand) } else { i128::from(significand) };
            if let Ok(value) = i64::try_from(value) {
                return Ok(Number::Int(value));
            }
        }
        let value = match exact(significand, digits, exponent) {
            Some(value) if negative => -value,
            Some(value) => value,
            // The slow path reads the text again, with the standard library's exact algorithm.
            None => self.parse(start)?,
        };
        Ok(if whole { Number::WideInt(value) } else { Number::Float(value) })
    }

    fn parse(&mut self, start: usize) -> Result<f64, JsonError> {
        let token = &self.bytes[start..self.at];
        let value = std::str::from_utf8(token).ok().and_then(|text| text.parse::<f64>().ok());
        match value {
            Some(value) if value.is_finite() => Ok(value),
            _ => {
                self.at = start;
                Err(self.error(format!("{} is out of range of a 64-bit float", self.excerpt())))
            }
        }
    }

    fn python_word(&mut self, negative: bool) -> Result<Number, JsonError> {
        if negative && self.word(b"-Infinity") {
            return Ok(Number::Float(f64::NEG_INFINITY));
        }
        if !negative && self.word(b"Infinity") {
            return Ok(Number::Float(f64::INFINITY));
        }
        if !negative && self.word(b"NaN") {
            return Ok(Number::Float(f64::NAN));
        }
        Err(self.expected("a number"))
    }
}

/// `significand * 10^exponent` when that is exact in one rounding: both factors are `f64`s
/// themselves (Clinger's fast path).
fn exact(significand: u64, digits: u32, exponent: i64) -> Option<f64> {
    const POWERS: [f64; 23] = [
        1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
        1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
    ];
    if digits > 19 || significand > 1 << 53 {
        return None;
    }
    let power = *POWERS.get(usize::try_from(exponent.unsigned_abs()).ok()?)?;
    Some(if exponent < 0 { significand as f64 / power } else { significand as f64 * power })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Result<Number, String> {
        let mut scanner = Scanner::new(text.as_bytes());
        let number = scanner.number().map_err(|error| error.to_string())?;
        scanner.end().map_err(|error| error.to_string())?;
        Ok(number)
    }

    #[test]
    fn whole_numbers_are_exact() {
        for value in [0, -1, 42, 9007199254740993, i64::MAX, i64::MIN] {
            assert_eq!(number(&value.to_string()), Ok(Number::Int(value)));
        }
        assert_eq!(number("-0"), Ok(Number::Int(0)));
        assert_eq!(number("9223372036854775808"), Ok(Number::WideInt(9223372036854775808.0)));
        assert_eq!(number("-9223372036854775809"), Ok(Number::WideInt(-9223372036854775809.0)));
        assert_eq!(number("100000000000000000000"), Ok(Number::WideInt(1e20)));
        // 20 digits that wrap a `u64` to a small number.
        assert_eq!(number("18446744073709551617"), Ok(Number::WideInt(18446744073709551617.0)));
        assert_eq!(number("36893488147419103233"), Ok(Number::WideInt(36893488147419103233.0)));
    }

    #[test]
    fn fractions_read_as_the_standard_library_reads_them() {
        for text in [
            "0.0",
            "-0.0",
            "0.1",
            "1.5",
            "1e0",
            "1E+2",
            "1e-7",
            "123456789.125",
            "0.10000000149011612",
            "0.000000000000000000000000000001",
            "2.2250738585072011e-308",
            "5e-324",
            "1e-400",
            "1.7976931348623157e308",
            "9007199254740993.0",
            "9007199254740992.5",
            "1e22",
            "1e23",
            "0e999999999999999999999",
            "0.00000000000000000000123456789012345678901234567890e20",
            "123456789012345678901234567890.5",
            "10000000000000000000000000000000000000000e-40",
        ] {
            let expected: f64 = text.parse().unwrap();
            match number(text) {
                Ok(Number::Float(value)) => {
                    assert_eq!(value.to_bits(), expected.to_bits(), "{text}")
                }
                other => panic!("{text}: {other:?}"),
            }
        }
    }

    #[test]
    fn python_words_are_numbers() {
        assert_eq!(number("Infinity"), Ok(Number::Float(f64::INFINITY)));
        assert_eq!(number("-Infinity"), Ok(Number::Float(f64::NEG_INFINITY)));
        assert!(matches!(number("NaN"), Ok(Number::Float(value)) if value.is_nan()));
        for text in ["nan", "-NaN", "inf", "+Infinity", "Inf"] {
            assert!(number(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_no_json_number_is_refused() {
        for text in
            ["", "-", "01", "-01", "00", ".5", "1.", "1.e5", "1e", "1e+", "+1", "0x10", "1_0"]
        {
            assert!(number(text).is_err(), "{text}");
        }
        assert_eq!(number("1e400"), Err("1e400 is out of range of a 64-bit float (byte 0)".into()));
        assert!(number(&"9".repeat(400)).is_err());
    }
}
