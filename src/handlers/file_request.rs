//! What requests for a file have in common: its base64 text, and JSON with such a text in it. PURE.
//!
//! Called by `image/request.rs` and `audio/request.rs`.

use std::borrow::Cow;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;

use super::json::{JsonError, Scanner};
use super::open_inference_request::{Members, Request};

/// What a JSON object holds.
pub(super) enum Object<'a> {
    /// A request of the Open Inference Protocol.
    Request(Request<'a>),
    /// The value of `data`, else of `body`: the scanner is before it.
    Value(Scanner<'a>),
    /// Neither.
    Nothing,
}

/// Clients differ in whether they pad.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Reads the object that is the whole of the JSON; `raw` is what follows it.
pub(super) fn object<'a>(
    scanner: &mut Scanner<'a>,
    raw: Option<Bytes>,
) -> Result<Object<'a>, JsonError> {
    let (mut data, mut body, mut request) = (None, None, Members::default());
    let mut more = scanner.open(b'{', b'}')?;
    while more {
        let name = scanner.name()?;
        scanner.peek();
        let here = scanner.clone();
        let read = match &*name {
            "data" => scanner.skip().map(|()| data = Some(here)),
            "body" => scanner.skip().map(|()| body = Some(here)),
            _ => match request.take(&name, scanner) {
                Ok(false) => scanner.skip(),
                taken => taken.map(|_| ()),
            },
        };
        read.map_err(|error| error.within(&name))?;
        more = scanner.more(b'}')?;
    }
    scanner.end()?;
    Ok(match (request.finish(raw)?, data.or(body)) {
        (Some(request), _) => Object::Request(request),
        (None, Some(value)) => Object::Value(value),
        (None, None) => Object::Nothing,
    })
}

/// The bytes of a base64 text; of a `data:` URL, as `canvas.toDataURL()` makes it in a page, too.
///
/// # Errors
/// That it is none, and why.
pub(super) fn from_base64(text: &[u8]) -> Result<Vec<u8>, String> {
    let text = match text.strip_prefix(b"data:") {
        Some(url) => match memchr::memmem::find(url, b";base64,") {
            Some(at) => &url[at + b";base64,".len()..],
            None => text,
        },
        None => text,
    };
    let text = match text.iter().any(u8::is_ascii_whitespace) {
        true => Cow::Owned(text.iter().copied().filter(|b| !b.is_ascii_whitespace()).collect()),
        false => Cow::Borrowed(text),
    };
    BASE64.decode(&*text).map_err(|error| format!("the text is not base64: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_read_with_and_without_padding_blanks_and_the_head_of_an_url() {
        for text in ["aGFsbG8=", "aGFsbG8", "aGFs\n bG8=", "data:audio/wav;base64,aGFsbG8="] {
            assert_eq!(from_base64(text.as_bytes()).as_deref(), Ok(&b"hallo"[..]), "{text}");
        }
        assert!(from_base64(b"data:audio/wav,hallo").is_err());
        assert!(from_base64(b"hal*").unwrap_err().starts_with("the text is not base64: "));
    }

    #[test]
    fn data_comes_before_body_and_a_request_before_both() {
        let found = |json: &'static str| {
            object(&mut Scanner::new(json.as_bytes()), None).map(|found| match found {
                Object::Request(_) => "request".to_owned(),
                Object::Value(mut value) => value.string().unwrap().to_string(),
                Object::Nothing => "nothing".to_owned(),
            })
        };
        let text = |json| found(json).unwrap();
        assert_eq!(text(r#"{"body": "b", "data": "d"}"#), "d");
        assert_eq!(text(r#"{"body": "b", "more": [1]}"#), "b");
        assert_eq!(text("{}"), "nothing");
        assert_eq!(text(r#"{"data": "d", "inputs": []}"#), "request");
        assert!(found(r#"{"data": "d"} x"#).is_err());
    }
}
