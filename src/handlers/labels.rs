//! `index_to_name.json`: the names of a model's classes.
//!
//! Read once by `image/classifier.rs`. TorchServe's three forms: `{"0": "tabby"}`,
//! `{"0": ["n02123045", "tabby"]}` (the last item counts) and `{"object_type_names": ["tabby"]}`.
//! A class that the file does not name, or any class without the file, is called by its number.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::Value as Json;

use super::HandlerError;

/// Names of classes by their number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Labels {
    names: HashMap<usize, String>,
}

// === impl Labels ===

impl Labels {
    /// Reads the file, if the archive has it.
    ///
    /// # Errors
    /// [`HandlerError::Model`] that names what is wrong with it.
    pub(super) fn read(file: Option<&[u8]>) -> Result<Labels, HandlerError> {
        let Some(file) = file else { return Ok(Labels::default()) };
        let mut mapping: Json = serde_json::from_slice(file)
            .map_err(|error| wrong(&format!("is not JSON: {error}")))?;
        if let Some(Json::Array(list)) = mapping.get_mut("object_type_names") {
            let numbered = std::mem::take(list).into_iter().enumerate();
            mapping = numbered.map(|(class, name)| (class.to_string(), name)).collect();
        }
        let Json::Object(members) = mapping else {
            return Err(wrong("must be an object of class numbers and names"));
        };
        let mut names = HashMap::with_capacity(members.len());
        for (class, name) in members {
            let last = match name {
                Json::Array(mut list) => list.pop(),
                other => Some(other),
            };
            let Some(Json::String(name)) = last else {
                return Err(wrong(&format!("must name class {class:?} by a string or [string]")));
            };
            // TorchServe looks a class up as `str(number)`: other keys are never found.
            if let Some(number) = class.parse().ok().filter(|n: &usize| n.to_string() == class) {
                names.insert(number, name);
            }
        }
        Ok(Labels { names })
    }

    /// The name of a class.
    pub(super) fn name(&self, class: usize) -> Cow<'_, str> {
        match self.names.get(&class) {
            Some(name) => Cow::Borrowed(name),
            None => Cow::Owned(class.to_string()),
        }
    }
}

fn wrong(what: &str) -> HandlerError {
    HandlerError::Model(format!("index_to_name.json {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(file: &str) -> Result<Labels, String> {
        Labels::read(Some(file.as_bytes())).map_err(|error| error.to_string())
    }

    #[test]
    fn the_three_forms_are_read() {
        for file in [
            r#"{"0": "cat", "1": "dog", "01": "?", "x": "?"}"#,
            r#"{"0": ["n1", "cat"], "1": ["dog"]}"#,
            r#"{"object_type_names": ["cat", "dog"]}"#,
        ] {
            let labels = read(file).unwrap();
            let names: Vec<_> = (0..3).map(|class| labels.name(class).into_owned()).collect();
            assert_eq!(names, ["cat", "dog", "2"], "{file}");
        }
        assert_eq!(Labels::read(None).unwrap().name(7), "7");
    }

    #[test]
    fn other_files_are_refused() {
        for (file, part) in [
            ("", "index_to_name.json is not JSON"),
            ("[]", "must be an object"),
            (r#"{"0": 1}"#, "must name class \"0\" by a string"),
            (r#"{"0": []}"#, "must name class \"0\""),
            (r#"{"0": ["a", 2]}"#, "must name class \"0\""),
            (r#"{"object_type_names": [1]}"#, "must name class \"0\""),
            (r#"{"object_type_names": "cat"}"#, ""),
        ] {
            match read(file) {
                Err(error) => assert!(error.contains(part), "{error}"),
                Ok(labels) => assert!(part.is_empty() && labels.name(0) == "0", "{file}"),
            }
        }
    }
}
