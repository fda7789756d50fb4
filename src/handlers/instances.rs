//! Reads KServe v1's `{"instances": [...]}` into one request for each instance. PURE.
//!
//! Called by `envelope.rs`. An instance that is an object becomes the parameters of its members, any
//! other value the parameter `body`; `{"b64": "..."}` in place of a value is the bytes that it says.
//! Values are slices of the body.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;

use super::json::{JsonError, Kind, Scanner};
use super::{HandlerError, Parameter, RequestInput};

/// Most instances of one request.
const MAX_INSTANCES: usize = 65_536;
/// Most members of one instance.
const MAX_MEMBERS: usize = 256;

/// The instances, or none when the payload is no JSON object with `instances`.
///
/// # Errors
/// [`HandlerError::BadInput`]: it is one, and not a right one.
pub(super) fn read(input: &RequestInput) -> Result<Option<Vec<RequestInput>>, HandlerError> {
    let Some(payload) = input.payload() else { return Ok(None) };
    let Some(mut scanner) = member(&payload.value, "instances") else { return Ok(None) };
    let mut requests = Vec::new();
    let mut more = scanner.open(b'[', b']').map_err(bad)?;
    while more {
        let index = requests.len();
        if index == MAX_INSTANCES {
            let reason = format!("at most {MAX_INSTANCES} instances are read");
            return Err(HandlerError::BadInput(reason));
        }
        let parameters = instance(&payload.value, &mut scanner)
            .map_err(|error| bad(error.within(index).within("instances")))?;
        requests.push(RequestInput {
            parameters,
            explain: input.explain,
            request_id: input.request_id.clone(),
            ..RequestInput::default()
        });
        more = scanner.more(b']').map_err(bad)?;
    }
    Ok(Some(requests))
}

/// The output that an explanation is asked for: the parameter `target`, or the payload's member.
///
/// # Errors
/// [`HandlerError::BadInput`]: it is no number.
pub(super) fn target(input: &RequestInput) -> Result<Option<usize>, HandlerError> {
    let text = match (input.get("target"), input.payload()) {
        (Some(parameter), _) => String::from_utf8_lossy(&parameter.value).trim().to_owned(),
        (None, Some(payload)) => match member(&payload.value, "target") {
            Some(scanner) => {
                let mut end = scanner.clone();
                end.skip().map_err(bad)?;
                let rest = scanner.rest();
                String::from_utf8_lossy(&rest[..rest.len() - end.rest().len()]).into_owned()
            }
            None => return Ok(None),
        },
        (None, None) => return Ok(None),
    };
    if text == "null" {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| {
        HandlerError::BadInput("target must be the number of an output, counted from 0".to_owned())
    })
}

/// The value of a member of the object that `json` is; none when it is no object, or has none.
fn member<'a>(json: &'a [u8], name: &str) -> Option<Scanner<'a>> {
    let mut scanner = Scanner::new(json);
    let mut found = None;
    let mut more = scanner.peek() == Some(b'{') && scanner.open(b'{', b'}').ok()?;
    while more {
        let key = scanner.name().ok()?;
        scanner.peek();
        if *key == *name {
            found = Some(scanner.clone());
        }
        scanner.skip().ok()?;
        more = scanner.more(b'}').ok()?;
    }
    found
}

fn instance(body: &Bytes, scanner: &mut Scanner<'_>) -> Result<Vec<Parameter>, JsonError> {
    let parameter = |name: String, value: (Option<&str>, Bytes)| Parameter {
        name,
        content_type: value.0.map(str::to_owned),
        value: value.1,
    };
    if scanner.kind()? != Kind::Object {
        return Ok(vec![parameter("body".to_owned(), value(body, scanner)?)]);
    }
    if let Some(bytes) = base64(&mut scanner.clone())? {
        scanner.skip()?;
        return Ok(vec![parameter("body".to_owned(), (None, bytes))]);
    }
    let mut parameters = Vec::new();
    let mut more = scanner.open(b'{', b'}')?;
    while more {
        if parameters.len() == MAX_MEMBERS {
            return Err(scanner.error(format!("at most {MAX_MEMBERS} members are read")));
        }
        let name = scanner.name()?.into_owned();
        let read = value(body, scanner).map_err(|error| error.within(&name))?;
        parameters.push(parameter(name, read));
        more = scanner.more(b'}')?;
    }
    Ok(parameters)
}

/// The media type and the bytes of one value.
fn value(
    body: &Bytes,
    scanner: &mut Scanner<'_>,
) -> Result<(Option<&'static str>, Bytes), JsonError> {
    scanner.peek();
    let start = scanner.position();
    let decoded = base64(&mut scanner.clone())?;
    scanner.skip()?;
    Ok(match decoded {
        Some(bytes) => (None, bytes),
        None => (Some("application/json"), body.slice(start..scanner.position())),
    })
}

/// The bytes of `{"b64": "..."}`; none for any other value.
fn base64(scanner: &mut Scanner<'_>) -> Result<Option<Bytes>, JsonError> {
    if scanner.peek() != Some(b'{') || !scanner.open(b'{', b'}')? || scanner.name()? != "b64" {
        return Ok(None);
    }
    scanner.peek();
    let start = scanner.clone();
    let text = scanner.string().map_err(|error| error.within("b64"))?;
    if scanner.more(b'}')? {
        return Ok(None);
    }
    let bytes = BASE64_STANDARD.decode(text.as_bytes());
    let bytes = bytes.map_err(|error| start.error(format!("no base64: {error}")).within("b64"))?;
    Ok(Some(bytes.into()))
}

fn bad(error: JsonError) -> HandlerError {
    HandlerError::BadInput(error.to_string())
}
