//! Typed scalars: one function per kind of value, `&str` to the value or to what was expected.
//!
//! Called by `typed.rs`, `models.rs` and `cors.rs`. Blanks around a value are ignored, because they
//! cannot be seen in an editor; Java would keep those at the end.

/// Longest part of a wrong value that a message repeats, in characters.
const SHOWN: usize = 60;

/// Reads `true` or `false` in any case.
///
/// TorchServe reads everything but `true` as false (`Boolean.parseBoolean`), so that `yes`, `1` or a
/// typing error silently switch a feature off. Here it is an error.
pub(super) fn boolean(value: &str) -> Result<bool, String> {
    match value.trim().to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("true or false (TorchServe would take anything but true as false)".to_string()),
    }
}

/// The name of an HTTP header: a token of RFC 9110, in lower case.
pub(super) fn header(value: &str) -> Result<String, String> {
    let name = value.trim();
    let is_of_a_token =
        |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if !(1..=128).contains(&name.len()) || !name.bytes().all(is_of_a_token) {
        return Err("the name of a header, of letters, digits, - and _".to_string());
    }
    Ok(name.to_ascii_lowercase())
}

/// A whole number in decimal, without sign or separators, in `min..=max`.
pub(super) fn integer(value: &str, min: u64, max: u64) -> Result<u64, String> {
    let value = value.trim();
    let digits = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
    value
        .parse()
        .ok()
        .filter(|number| digits && (min..=max).contains(number))
        .ok_or_else(|| format!("a whole number from {min} to {max}"))
}

/// A number of bytes: digits, with `KiB`, `MiB` or `GiB` after them if wanted.
pub(super) fn bytes(value: &str, min: u64, max: u64) -> Result<u64, String> {
    let value = value.trim();
    let end = value.find(|c: char| !c.is_ascii_digit()).unwrap_or(value.len());
    let (digits, unit) = value.split_at(end);
    let factor = match unit.trim_start().to_ascii_lowercase().as_str() {
        "" => Some(1),
        "kib" => Some(1 << 10),
        "mib" => Some(1 << 20),
        "gib" => Some(1 << 30),
        _ => None,
    };
    let number: Option<u64> = digits.parse().ok();
    number
        .zip(factor)
        .and_then(|(number, factor)| number.checked_mul(factor))
        .filter(|bytes| (min..=max).contains(bytes))
        .ok_or_else(|| format!("bytes from {min} to {max}, for example 6553500 or 16 MiB"))
}

/// A finite number, at least 0.
pub(super) fn decimal(value: &str) -> Result<f64, String> {
    value
        .trim()
        .parse()
        .ok()
        .filter(|number: &f64| number.is_finite() && *number >= 0.0)
        .ok_or_else(|| "a number, at least 0".to_string())
}

/// One of the given words, in any case; the word comes back as listed.
pub(super) fn choice(value: &str, words: &[&'static str]) -> Result<&'static str, String> {
    words.iter().find(|word| word.eq_ignore_ascii_case(value.trim())).copied().ok_or_else(|| {
        let words: Vec<&str> = words.iter().copied().filter(|word| !word.is_empty()).collect();
        words.join(" or ")
    })
}

/// The parts between commas, trimmed, empty ones left out.
pub(super) fn list(value: &str) -> Vec<String> {
    value.split(',').map(str::trim).filter(|part| !part.is_empty()).map(String::from).collect()
}

/// JSON of any shape.
pub(super) fn json(value: &str) -> Result<serde_json::Value, String> {
    serde_json::from_str(value).map_err(|error| format!("JSON ({error})"))
}

/// The sentence of every wrong value.
pub(super) fn got_expected(got: &str, expected: &str) -> String {
    format!("got {}, expected {expected}", quoted(got))
}

/// A value as a message shows it: escaped and cut.
pub(super) fn quoted(value: &str) -> String {
    let mut shown: String = value.chars().take(SHOWN).collect();
    if shown.len() < value.len() {
        shown.push('…');
    }
    format!("{shown:?}")
}

/// The name that a misspelt one probably means, if any is near.
pub(super) fn nearest<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Past this length nothing is near, and the distance of two long texts is dear to compute.
    if name.len() > 64 {
        return None;
    }
    let lower = name.to_ascii_lowercase();
    let (distance, nearest) = names
        .into_iter()
        .map(|known| (edit_distance(&lower, &known.to_ascii_lowercase()), known))
        .min_by_key(|(distance, _)| *distance)?;
    (distance <= (name.chars().count() / 3).min(4)).then_some(nearest)
}

/// How many characters must be inserted, removed, replaced or swapped with their neighbour.
fn edit_distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().collect();
    let b: Vec<char> = b.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replace = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replace.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn booleans_are_only_true_and_false() {
        for (value, expected) in [("true", true), ("TRUE", true), (" false ", false)] {
            assert_eq!(boolean(value), Ok(expected), "{value}");
        }
        for value in ["", "yes", "1", "on", "tru", "truefalse"] {
            assert!(boolean(value).is_err(), "{value}");
        }
    }

    #[test]
    fn integers_have_bounds_and_no_decoration() {
        assert_eq!(integer(" 100 ", 1, 100), Ok(100));
        for value in ["", "0", "101", "-1", "+5", "1.0", "1_0", "0x1", "99999999999999999999"] {
            assert_eq!(
                integer(value, 1, 100),
                Err("a whole number from 1 to 100".to_string()),
                "{value}"
            );
        }
    }

    #[test]
    fn bytes_take_binary_units() {
        for (value, expected) in
            [("6553500", 6_553_500), ("8GiB", 8 << 30), ("16 mib", 16 << 20), ("1KiB", 1024)]
        {
            assert_eq!(bytes(value, 0, u64::MAX), Ok(expected), "{value}");
        }
        for value in
            ["", "GiB", "1 MB", "1.5GiB", "-1", "99999999999999999999", "18446744073709551615KiB"]
        {
            assert!(bytes(value, 0, u64::MAX).is_err(), "{value}");
        }
        assert!(bytes("5", 6, 7).is_err());
    }

    #[test]
    fn decimals_are_finite_and_not_negative() {
        assert_eq!(decimal("0.5"), Ok(0.5));
        for value in ["", "NaN", "inf", "-1", "x"] {
            assert!(decimal(value).is_err(), "{value}");
        }
    }

    #[test]
    fn a_wrong_value_is_shown_escaped_and_short() {
        assert_eq!(got_expected("a\nb", "x"), "got \"a\\nb\", expected x");
        assert!(quoted(&"é".repeat(5000)).chars().count() < 70);
    }

    #[test]
    fn distance_counts_a_swap_as_one() {
        for (a, b, distance) in [
            ("", "", 0),
            ("", "ab", 2),
            ("ab", "ba", 1),
            ("model_store", "model_stor", 1),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(edit_distance(a, b), distance, "{a} {b}");
        }
    }

    #[test]
    fn the_nearest_name_is_found_only_when_it_is_near() {
        let names = ["job_queue_size", "model_store", "models"];
        for (name, expected) in [
            ("job_queue_sise", Some("job_queue_size")),
            ("JobQueueSize", Some("job_queue_size")),
            ("model-store", Some("model_store")),
            ("mdoels", Some("models")),
            ("x", None),
            ("something_else", None),
        ] {
            assert_eq!(nearest(name, names), expected, "{name}");
        }
        assert_eq!(nearest(&"m".repeat(100_000), names), None);
    }

    proptest! {
        #[test]
        fn no_value_makes_a_parser_panic(value in any::<String>(), words in "[0-9a-zA-Z ,]{0,30}") {
            for value in [&value, &words] {
                let _ = (boolean(value), integer(value, 0, 9), bytes(value, 0, 9), decimal(value));
                let _ = (list(value), json(value), quoted(value), nearest(value, ["ab", "é"]));
            }
        }
    }
}
