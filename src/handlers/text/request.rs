//! What a request for texts may be. PURE.
//!
//! Called by `words.rs` and `tokens.rs`. A request is a text (raw bytes, `text/plain`, a form's field
//! `data` or `body`, or a JSON string), or JSON: an object with the text under `data`, `body`, `text` or
//! `inputs`; two texts that belong together (`text` and `text_pair`, or `question` and `context`); a
//! list of any of these, answered by a list; or a request of the Open Inference Protocol with BYTES
//! inputs, whose second input has the second text of each pair.

use serde_json::Value as Json;

use crate::handlers::json::{Kind, Scanner};
use crate::handlers::open_inference_request::{Members, Request, Wanted, split};
use crate::handlers::{Form, HandlerError, Parameter, RequestInput};

/// The texts of one request.
#[derive(Debug, PartialEq)]
pub(super) struct Texts {
    /// At least one.
    pub(super) texts: Vec<Text>,
    /// The form of the answer.
    pub(super) form: Form,
    /// A list is answered by a list.
    pub(super) is_list: bool,
}

/// A text, or two that belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Text {
    /// The text; a question.
    pub(super) first: String,
    /// The second text; a context.
    pub(super) second: Option<String>,
}

/// The most texts of one request: they are prepared one after the other.
const MAX_TEXTS: usize = 1024;

/// What a request may be; the end of every error about something else.
const FORMS: &str = "send a text as text/plain, as a JSON string, or in a JSON object under `data`; \
two texts that belong together under `text` and `text_pair`, or `question` and `context`; or a list of \
these";

/// The names of both texts of a pair.
const PAIRS: [(&str, &str); 2] = [("question", "context"), ("text", "text_pair")];

/// The names under which an object has its text.
const NAMES: [&str; 5] = ["data", "body", "text", "inputs", "instances"];

/// Reads a request. `torchserves_outputs`: answers have the form of the envelope `kservev2`.
///
/// # Errors
/// [`HandlerError::BadInput`], and what the reason is.
pub(super) fn read(input: &RequestInput, torchserves_outputs: bool) -> Result<Texts, HandlerError> {
    if let Some(pair) = fields(input)? {
        return Ok(Texts { texts: vec![pair], form: Form::Plain, is_list: false });
    }
    let Some(payload) = input.payload() else {
        return Err(bad(format!("{}; {FORMS}", input.no_payload())));
    };
    let (json, raw) = split(input.protocol, payload).map_err(HandlerError::BadInput)?;
    if raw.is_some() || is_json(payload) {
        if let Some(request) = open_inference(json, raw)? {
            return inputs(request, torchserves_outputs);
        }
        let value: Json = serde_json::from_slice(json)
            .map_err(|error| bad(format!("the body is not JSON: {error}; {FORMS}")))?;
        let (texts, is_list) = texts(&value)?;
        return Ok(Texts { texts, form: Form::Plain, is_list });
    }
    let first = utf8(&payload.value)?.to_owned();
    let texts = vec![Text { first, second: None }];
    Ok(Texts { texts, form: Form::Plain, is_list: false })
}

/// A pair in the fields of a form.
fn fields(input: &RequestInput) -> Result<Option<Text>, HandlerError> {
    for (first, second) in PAIRS {
        if let (Some(first), Some(second)) = (input.get(first), input.get(second)) {
            let (first, second) = (utf8(&first.value)?, utf8(&second.value)?);
            return Ok(Some(Text { first: first.to_owned(), second: Some(second.to_owned()) }));
        }
    }
    Ok(None)
}

/// Is the payload JSON? What the client says counts; where it says nothing, an object is one, because
/// hardly a text starts so.
fn is_json(payload: &Parameter) -> bool {
    match payload.content_type.as_deref() {
        Some("application/json") => true,
        Some(media) if media.starts_with("text") => false,
        _ => {
            payload.value.first() == Some(&b'{')
                && serde_json::from_slice::<&serde_json::value::RawValue>(&payload.value).is_ok()
        }
    }
}

/// The request, if the JSON is an object whose `inputs` are tensors.
fn open_inference(
    json: &[u8],
    raw: Option<bytes::Bytes>,
) -> Result<Option<Request<'_>>, HandlerError> {
    let mut scanner = Scanner::new(json);
    if raw.is_none() && !matches!(scanner.kind(), Ok(Kind::Object)) {
        return Ok(None);
    }
    let mut members = Members::default();
    let wrong = |error: crate::handlers::json::JsonError| bad(error.to_string());
    let mut more = scanner.open(b'{', b'}').map_err(wrong)?;
    while more {
        let name = scanner.name().map_err(wrong)?;
        scanner.peek();
        let tensors = name != "inputs" || {
            let mut inside = scanner.clone();
            inside.take(b'[') && matches!(inside.kind(), Ok(Kind::Object)) && has_datatype(&inside)
        };
        let read = match tensors {
            true => members.take(&name, &mut scanner).and_then(|taken| match taken {
                true => Ok(()),
                false => scanner.skip(),
            }),
            false => scanner.skip(),
        };
        read.map_err(|error| wrong(error.within(&name)))?;
        more = scanner.more(b'}').map_err(wrong)?;
    }
    scanner.end().map_err(wrong)?;
    members.finish(raw).map_err(wrong)
}

/// Has the object at which the scanner stands a member that only a tensor has?
fn has_datatype(object: &Scanner<'_>) -> bool {
    let mut scanner = object.clone();
    let mut more = scanner.open(b'{', b'}').unwrap_or(false);
    while more {
        match scanner.name() {
            Ok(name) if name == "datatype" || name == "list" => return true,
            Ok(_) => {}
            Err(_) => return false,
        }
        scanner.peek();
        if scanner.skip().is_err() {
            return false;
        }
        more = scanner.more(b'}').unwrap_or(false);
    }
    false
}

fn inputs(request: Request<'_>, torchserves_outputs: bool) -> Result<Texts, HandlerError> {
    let mut columns: Vec<Vec<String>> = Vec::new();
    for (index, input) in request.inputs.iter().enumerate() {
        let wrong = |reason: String| bad(format!("/inputs/{index}: {reason}"));
        let strings = input.strings().map_err(|error| wrong(error.to_string()))?;
        let strings = strings.ok_or_else(|| wrong("expected the datatype BYTES".to_owned()))?;
        let column = strings.iter().map(|text| utf8(text).map(str::to_owned));
        columns.push(column.collect::<Result<_, _>>()?);
    }
    let names: Vec<_> = request.inputs.iter().map(|input| input.name().to_owned()).collect();
    let mut columns = columns.into_iter();
    let (firsts, seconds) = match (columns.next(), columns.next(), columns.next()) {
        (Some(firsts), seconds, None) if !firsts.is_empty() => (firsts, seconds),
        _ => return Err(bad(format!("expected one input, or two of pairs, with texts; {FORMS}"))),
    };
    if firsts.len() > MAX_TEXTS {
        return Err(too_many(firsts.len()));
    }
    let count = firsts.len();
    let mut texts: Vec<_> = firsts.into_iter().map(|first| Text { first, second: None }).collect();
    if let Some(seconds) = seconds {
        if seconds.len() != count {
            let reason = format!("{count} texts, and {} that belong to them", seconds.len());
            return Err(bad(reason));
        }
        let pairs = texts.iter_mut().zip(seconds);
        pairs.for_each(|(text, second)| text.second = Some(second));
    }
    let named_after =
        torchserves_outputs.then(|| vec![(names.into_iter().next().unwrap_or_default(), count)]);
    let wanted = Wanted { named_after, ..request.wanted };
    Ok(Texts { texts, form: Form::OpenInference(Box::new(wanted)), is_list: true })
}

/// The texts of a JSON value, and whether it is a list of them.
fn texts(value: &Json) -> Result<(Vec<Text>, bool), HandlerError> {
    match value {
        Json::Array(items) if items.is_empty() => Err(bad(format!("the list is empty; {FORMS}"))),
        Json::Array(items) if items.len() > MAX_TEXTS => Err(too_many(items.len())),
        Json::Array(items) => {
            let one = |(index, item)| {
                text(item).ok_or_else(|| bad(format!("/{index}: {}; {FORMS}", kind(item))))
            };
            Ok((items.iter().enumerate().map(one).collect::<Result<_, _>>()?, true))
        }
        Json::Object(members) => {
            if let Some(one) = text(value) {
                return Ok((vec![one], false));
            }
            let inner = NAMES.iter().find_map(|name| members.get(*name));
            match inner {
                Some(inner @ (Json::Array(_) | Json::Object(_))) if depth_is_one(inner) => {
                    texts(inner)
                }
                _ => Err(bad(format!("the JSON object has no text; {FORMS}"))),
            }
        }
        _ => match text(value) {
            Some(one) => Ok((vec![one], false)),
            None => Err(bad(format!("the body is {}; {FORMS}", kind(value)))),
        },
    }
}

/// No object in an object in an object.
fn depth_is_one(inner: &Json) -> bool {
    match inner {
        Json::Object(_) => text(inner).is_some(),
        _ => true,
    }
}

/// One text or pair.
fn text(value: &Json) -> Option<Text> {
    let string = |value: &Json| value.as_str().map(str::to_owned);
    match value {
        Json::String(text) => Some(Text { first: text.clone(), second: None }),
        Json::Object(members) => {
            for (first, second) in PAIRS {
                if let (Some(first), Some(second)) = (members.get(first), members.get(second)) {
                    return Some(Text { first: string(first)?, second: Some(string(second)?) });
                }
            }
            let first = NAMES.iter().find_map(|name| members.get(*name)).and_then(string)?;
            Some(Text { first, second: None })
        }
        _ => None,
    }
}

fn kind(value: &Json) -> &'static str {
    match value {
        Json::Null => "null",
        Json::Bool(_) => "a boolean",
        Json::Number(_) => "a number",
        Json::String(_) => "a string",
        Json::Array(_) => "a list",
        Json::Object(_) => "an object without a text",
    }
}

fn too_many(count: usize) -> HandlerError {
    bad(format!("{count} texts are too many for one request; at most {MAX_TEXTS}"))
}

fn utf8(bytes: &[u8]) -> Result<&str, HandlerError> {
    std::str::from_utf8(bytes).map_err(|error| {
        bad(format!("the text is not UTF-8 (byte {}); {FORMS}", error.valid_up_to()))
    })
}

fn bad(reason: String) -> HandlerError {
    HandlerError::BadInput(reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_as(media: Option<&str>, body: &str) -> Result<Texts, String> {
        let input = RequestInput::body(media.map(str::to_owned), body.as_bytes().to_vec().into());
        read(&input, false).map_err(|error| error.to_string())
    }

    fn json(body: &str) -> (Vec<(String, Option<String>)>, bool) {
        let texts = read_as(Some("application/json"), body).unwrap();
        let pairs = texts.texts.into_iter().map(|text| (text.first, text.second));
        (pairs.collect(), texts.is_list)
    }

    fn single(text: &str) -> Vec<(String, Option<String>)> {
        vec![(text.to_owned(), None)]
    }

    fn pair(first: &str, second: &str) -> (String, Option<String>) {
        (first.to_owned(), Some(second.to_owned()))
    }

    #[test]
    fn a_text_comes_as_text_or_in_json() {
        for body in [
            r#""a text""#,
            r#"{"data": "a text"}"#,
            r#"{"body": "a text"}"#,
            r#"{"text": "a text"}"#,
            r#"{"inputs": "a text", "parameters": {}}"#,
        ] {
            assert_eq!(json(body), (single("a text"), false), "{body}");
        }
        let raw = read_as(None, "{ not JSON").unwrap();
        assert_eq!(raw.texts[0].first, "{ not JSON");
        assert_eq!(
            read_as(Some("text/plain"), "{\"data\": 1}").unwrap().texts[0].first,
            "{\"data\": 1}"
        );
        assert_eq!(read_as(None, r#"{"data": "a text"}"#).unwrap().texts[0].first, "a text");
    }

    #[test]
    fn pairs_and_lists_are_read() {
        assert_eq!(json(r#"{"question": "q", "context": "c"}"#), (vec![pair("q", "c")], false));
        assert_eq!(
            json(r#"{"inputs": {"question": "q", "context": "c"}}"#),
            (vec![pair("q", "c")], false)
        );
        let two = vec![("a".to_owned(), None), pair("b", "c")];
        assert_eq!(json(r#"["a", {"text": "b", "text_pair": "c"}]"#), (two.clone(), true));
        assert_eq!(json(r#"{"data": ["a", {"text": "b", "text_pair": "c"}]}"#), (two, true));
    }

    #[test]
    fn open_inference_inputs_are_texts() {
        let body = r#"{"id": "7", "inputs": [
            {"name": "q", "datatype": "BYTES", "shape": [2], "data": ["a", "b"]},
            {"name": "c", "datatype": "BYTES", "shape": [2], "data": ["c", "d"]}]}"#;
        let texts = read_as(Some("application/json"), body).unwrap();
        assert_eq!(texts.texts[1], Text { first: "b".into(), second: Some("d".into()) });
        assert!(
            matches!(&texts.form, Form::OpenInference(wanted) if wanted.id.as_deref() == Some("7"))
        );
        let numbers =
            r#"{"inputs": [{"name": "q", "datatype": "FP32", "shape": [1], "data": [1]}]}"#;
        let error = read_as(Some("application/json"), numbers).unwrap_err();
        assert!(error.starts_with("/inputs/0: expected the datatype BYTES"), "{error}");
    }

    #[test]
    fn what_is_no_text_is_told() {
        for (body, says) in [
            ("5", "the body is a number"),
            ("[]", "the list is empty"),
            ("[\"a\", 5]", "/1: a number"),
            ("{\"data\": 5}", "the JSON object has no text"),
            ("{\"data\": {\"data\": {\"data\": \"a\"}}}", "the JSON object has no text"),
            ("{", "byte"),
        ] {
            let error = read_as(Some("application/json"), body).unwrap_err();
            assert!(error.contains(says), "{body}: {error}");
        }
        let input = RequestInput::body(None, vec![b'a', 0xff].into());
        assert!(read(&input, false).unwrap_err().to_string().contains("not UTF-8 (byte 1)"));
        let many = format!("[{}\"a\"]", "\"a\",".repeat(MAX_TEXTS));
        assert!(read_as(Some("application/json"), &many).unwrap_err().contains("1025 texts"));
    }
}
