//! The goldens that Python made, and how close is close enough.

use std::path::{Path, PathBuf};

use serde_json::Value;

/// A path in the checkout.
pub fn checkout(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// `tests/goldens/archives.json`: what each small archive must answer.
pub fn golden_archives() -> Value {
    let text = std::fs::read_to_string(checkout("tests/goldens/archives.json")).unwrap();
    serde_json::from_str::<Value>(&text).unwrap()["archives"].take()
}

/// Asserts that two JSON values are equal, numbers within a tolerance (absolute plus the same
/// fraction of the expected value).
#[track_caller]
pub fn close(got: &Value, expected: &Value, tolerance: f64) {
    if let Err(difference) = differ(got, expected, tolerance, "") {
        panic!("{difference}\n got: {got}\nwant: {expected}");
    }
}

fn differ(got: &Value, expected: &Value, tolerance: f64, at: &str) -> Result<(), String> {
    match (got, expected) {
        (Value::Number(a), Value::Number(b)) => {
            let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
            let near = (a - b).abs() <= tolerance + tolerance * b.abs();
            if near { Ok(()) } else { Err(format!("{at}: {a} is not {b}")) }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            (0..a.len()).try_for_each(|i| differ(&a[i], &b[i], tolerance, &format!("{at}/{i}")))
        }
        (Value::Object(a), Value::Object(b)) if a.len() == b.len() => {
            b.iter().try_for_each(|(key, expected)| match a.get(key) {
                Some(got) => differ(got, expected, tolerance, &format!("{at}/{key}")),
                None => Err(format!("{at}/{key} is missing")),
            })
        }
        _ if got == expected => Ok(()),
        _ => Err(format!("{at}: {got} is not {expected}")),
    }
}
