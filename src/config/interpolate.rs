//! `$$NAME$$` inside a value: the environment variable NAME, as TorchServe replaces it.
//!
//! Called by `source.rs` for every value of the file. What a variable holds is not searched again.

use super::source::Environment;

/// Longest value after replacement in bytes; the file itself has the same limit.
const MAX_VALUE: usize = 1 << 20;

const MARK: &str = "$$";

/// Replaces every `$$NAME$$`. Two `$$` around anything but a variable's name stay as they are.
///
/// TorchServe replaces all of them with the value of the first; here each gets its own.
///
/// # Errors
/// The variable that is not set, and what to do.
pub(super) fn interpolate(value: &str, environment: &dyn Environment) -> Result<String, String> {
    let mut out = String::with_capacity(value.len());
    let mut rest = value;
    while let Some((before, after)) = rest.split_once(MARK) {
        out.push_str(before);
        match after.split_once(MARK).filter(|(name, _)| is_variable_name(name)) {
            Some((name, after)) => {
                out.push_str(&environment.get(name).ok_or_else(|| {
                    format!(
                        "the environment variable {name} is not set; set it, or write the value \
                         instead of $${name}$$"
                    )
                })?);
                rest = after;
            }
            None => {
                out.push_str(MARK);
                rest = after;
            }
        }
        if out.len() > MAX_VALUE {
            return Err(format!("is longer than {MAX_VALUE} bytes after replacing variables"));
        }
    }
    out.push_str(rest);
    Ok(out)
}

fn is_variable_name(name: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && name.chars().all(word)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn environment() -> BTreeMap<String, String> {
        [("HOST", "h"), ("PORT_1", "80"), ("EMPTY", ""), ("NESTED", "$$HOST$$")]
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .into()
    }

    #[test]
    fn each_variable_is_replaced_by_its_own_value() {
        for (value, expected) in [
            ("", ""),
            ("plain $HOST", "plain $HOST"),
            ("http://$$HOST$$:$$PORT_1$$", "http://h:80"),
            ("a$$EMPTY$$b", "ab"),
            ("$$NESTED$$", "$$HOST$$"),
            ("$$HOST", "$$HOST"),
            ("$$ HOST $$", "$$ HOST $$"),
            ("$$$$", "$$$$"),
            ("$$a b$$HOST$$", "$$a bh"),
        ] {
            assert_eq!(interpolate(value, &environment()).as_deref(), Ok(expected), "{value}");
        }
    }

    #[test]
    fn an_unset_variable_is_named() {
        let error = interpolate("x$$NO_SUCH$$", &environment()).unwrap_err();
        assert!(error.contains("variable NO_SUCH is not set"), "{error}");
        assert!(error.contains("$$NO_SUCH$$"), "{error}");
    }

    #[test]
    fn replacement_cannot_grow_without_bound() {
        let environment = BTreeMap::from([("A".to_string(), "x".repeat(100_000))]);
        let error = interpolate(&"$$A$$".repeat(20_000), &environment).unwrap_err();
        assert!(error.contains("longer than"), "{error}");
    }

    proptest! {
        #[test]
        fn no_value_makes_it_panic(value in "[$A-C é]{0,40}") {
            let _ = interpolate(&value, &environment());
        }
    }
}
