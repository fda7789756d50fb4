//! The parameters of a management call: of the query, or of a JSON body. PURE.
//!
//! As in TorchServe the first value of a query counts, and one that cannot be read counts as absent:
//! a query is never an error. A JSON body is one: it was written by a program.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::lenient_json;
use crate::error::ServeError;

/// Parameters by name, each as text.
pub(super) struct Parameters {
    values: BTreeMap<String, String>,
    source: Source,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Query,
    Json,
}

// === impl Parameters ===

impl Parameters {
    /// Those of a query string.
    pub(super) fn of_query(query: &str) -> Parameters {
        let mut values = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            values.entry(name.into_owned()).or_insert_with(|| value.into_owned());
        }
        Parameters { values, source: Source::Query }
    }

    /// Those of a JSON object, of which only the `known` ones are looked at. Numbers may be written
    /// as strings, strings in single quotes or bare, as Gson takes them; an empty body has none.
    ///
    /// # Errors
    /// 400 for a body that is no JSON object, and for a parameter that is a list or an object.
    pub(super) fn of_json(body: &[u8], known: &[&str]) -> Result<Parameters, ServeError> {
        let mut values = BTreeMap::new();
        if !body.trim_ascii().is_empty() {
            let object = object(body)?;
            for (name, value) in object {
                if !known.contains(&name.as_str()) {
                    continue;
                }
                let text = match value {
                    Value::Null => continue,
                    Value::String(text) => text,
                    Value::Bool(_) | Value::Number(_) => value.to_string(),
                    Value::Array(_) | Value::Object(_) => {
                        let text = format!("Parameter {name} must be a string or a number");
                        return Err(ServeError::bad_request(text));
                    }
                };
                values.insert(name, text);
            }
        }
        Ok(Parameters { values, source: Source::Json })
    }

    /// A parameter as it was given.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// A whole number that fits Java's `int`; anything else counts as absent.
    pub(super) fn number(&self, name: &str) -> Option<i32> {
        let text = self.text(name)?;
        text.parse().ok()
    }

    /// [`Parameters::number`], but in a JSON body anything else is an error.
    ///
    /// # Errors
    /// 400 that names the parameter.
    pub(super) fn checked_number(&self, name: &str) -> Result<Option<i32>, ServeError> {
        let number = self.number(name).or_else(|| self.whole_float(name));
        if number.is_none() && self.source == Source::Json && self.text(name).is_some() {
            let text = format!("Parameter {name} must be a whole number within 32 bits");
            return Err(ServeError::bad_request(text));
        }
        Ok(number)
    }

    /// `4.0` in JSON is the number 4.
    fn whole_float(&self, name: &str) -> Option<i32> {
        let number: f64 = self.text(name)?.parse().ok()?;
        let fits = (f64::from(i32::MIN)..=f64::from(i32::MAX)).contains(&number);
        (self.source == Source::Json && fits && number.fract() == 0.0).then_some(number as i32)
    }

    /// True for `true` in any case, and for nothing else.
    pub(super) fn flag(&self, name: &str) -> bool {
        self.flag_or(name, false)
    }

    /// [`Parameters::flag`] for one that has another default.
    pub(super) fn flag_or(&self, name: &str, absent: bool) -> bool {
        self.text(name).map_or(absent, |text| text.eq_ignore_ascii_case("true"))
    }
}

fn object(body: &[u8]) -> Result<Map<String, Value>, ServeError> {
    let error = match serde_json::from_slice(body) {
        Ok(object) => return Ok(object),
        Err(error) => error,
    };
    let lenient = std::str::from_utf8(body).ok().map(lenient_json::to_strict);
    if let Some(object) = lenient.and_then(|text| serde_json::from_str(&text).ok()) {
        return Ok(object);
    }
    let text = format!("The request body is not a JSON object: {error}");
    Err(ServeError::bad_request(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 4] = ["url", "initial_workers", "synchronous", "batch_size"];

    fn json(body: &str) -> Result<Parameters, ServeError> {
        Parameters::of_json(body.as_bytes(), &KNOWN)
    }

    #[test]
    fn the_first_value_of_a_query_counts_and_a_bad_one_is_absent() {
        let query = Parameters::of_query("a=1&a=2&b=x&c=99999999999&d=-1&e=TRUE&f=1&g=a%2Fb+c");
        assert_eq!(query.number("a"), Some(1));
        assert_eq!(query.checked_number("b").unwrap(), None);
        assert_eq!((query.number("c"), query.number("d")), (None, Some(-1)));
        assert!(query.flag("e") && !query.flag("f") && !query.flag("none"));
        assert!(query.flag_or("none", true) && !query.flag_or("f", true));
        assert_eq!(query.text("g"), Some("a/b c"));
    }

    #[test]
    fn a_json_body_is_taken_as_gson_takes_it() {
        for body in [
            r#"{"url": "noop.mar", "initial_workers": 1, "synchronous": true, "x": [1, {}]}"#,
            r#"{'url':'noop.mar','initial_workers':'1','synchronous':'true'}"#,
            r#"{url: noop.mar, initial_workers: 1.0, synchronous: TRUE, batch_size: null}"#,
        ] {
            let parameters = json(body).unwrap();
            assert_eq!(parameters.text("url"), Some("noop.mar"), "{body}");
            assert_eq!(parameters.checked_number("initial_workers").unwrap(), Some(1), "{body}");
            assert!(parameters.flag("synchronous"), "{body}");
            assert_eq!(parameters.text("batch_size"), None, "{body}");
            assert_eq!(parameters.text("x"), None, "{body}");
        }
        assert_eq!(json(" \n").unwrap().text("url"), None);
    }

    #[test]
    fn a_json_body_that_cannot_be_meant_is_refused_with_its_reason() {
        for (body, reason) in [
            ("[1]", "not a JSON object"),
            ("{", "not a JSON object"),
            ("'noop.mar'", "not a JSON object"),
            (r#"{"url": ["a"]}"#, "Parameter url must be"),
        ] {
            let error = json(body).err().unwrap_or_else(|| panic!("{body} was taken"));
            assert_eq!(error.status, 400);
            assert!(error.message.contains(reason), "{body}: {}", error.message);
        }
        for number in [r#""abc""#, "1.5", "3000000000", "true", "1e300"] {
            let parameters = json(&format!(r#"{{"batch_size": {number}}}"#)).unwrap();
            let error = parameters.checked_number("batch_size").unwrap_err();
            assert!(error.message.contains("batch_size"), "{number}");
        }
        let deep = "[".repeat(100_000);
        assert!(json(&format!(r#"{{"x": {deep}"#)).is_err());
        assert!(Parameters::of_json(b"{'url': '\xff'}", &KNOWN).is_err());
    }
}
