//! From a request's body to a handler's input: bounded reading, then TorchServe's rules for what a
//! body means.
//!
//! A multipart or form body gives one parameter a field; any other body is the parameter `body`.
//! Every size that a client controls has a bound here.

use std::borrow::Cow;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use actix_http::Payload;
use actix_http::error::PayloadError;
use actix_web::http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE};
use actix_web::{HttpMessage, HttpRequest};
use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use futures_util::future::poll_immediate;
use futures_util::stream;

use super::connection::patient_now;
use super::inflate::{Coding, Inflater};
use super::request_bounds::{NoMemory, Pace, RequestBounds, Reservation};
use crate::error::ServeError;
use crate::handlers::{Accept, Parameter, RequestInput};

/// What the body of a request may be at most.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    /// Bytes; of a compressed body those that come in, and those that come out.
    pub size: usize,
    /// Bytes that come out of a compressed body for each that comes in, beyond the first mebibyte.
    pub ratio: usize,
}

/// Memory that is set aside before the body has come, however large it says it is.
const FIRST_ALLOCATION: usize = 1 << 20;
/// What is read of a body that is not wanted, for the sake of the connection.
const MAX_DRAINED: usize = 64 << 10;
/// A client that has not sent such a body by then loses the connection.
const DRAIN_TIME: Duration = Duration::from_millis(500);
/// A body of so many bytes is not counted: the number of connections bounds those.
const UNCOUNTED: usize = 16 << 10;
/// Bytes of a compressed body that are inflated at a time.
const PACKED_PIECE: usize = 4 << 10;
/// Inflated bytes after which other requests have their turn.
const TURN: usize = 256 << 10;
/// A client has this long to send a short body.
const SHORT_TIME: Duration = Duration::from_secs(5);

/// Reads the body and takes it apart.
///
/// # Errors
/// As [`collect`], and 400 for a body that cannot be taken apart.
pub(super) async fn read(
    request: &HttpRequest,
    payload: &mut Payload,
    limits: BodyLimits,
    bounds: &RequestBounds,
) -> Result<RequestInput, ServeError> {
    let body = collect(request, payload, limits, bounds).await?;
    apart(header(request, CONTENT_TYPE), body, bounds.parts_max).await
}

/// What a handler is given of a whole body that came with this `Content-Type`.
///
/// # Errors
/// 400 for a body that cannot be taken apart, or that has more parts than `parts_max` is by default.
pub async fn take_apart(
    content_type: Option<&str>,
    body: Bytes,
) -> Result<RequestInput, ServeError> {
    apart(content_type, body, RequestBounds::default().parts_max).await
}

async fn apart(
    content_type: Option<&str>,
    body: Bytes,
    most: usize,
) -> Result<RequestInput, ServeError> {
    let Some(content_type) = content_type else { return Ok(RequestInput::body(None, body)) };
    let essence = essence(content_type);
    match essence.as_str() {
        "multipart/form-data" => multipart(content_type, body, most).await,
        "application/x-www-form-urlencoded" => form(essence, body, most),
        _ => Ok(RequestInput::body(Some(essence), body)),
    }
}

/// Reads a body of at most `limit` bytes; none for a longer one.
///
/// # Errors
/// 408 for a client that takes longer than [`SHORT_TIME`], 400 for a body that cannot be read.
pub(super) async fn read_short(
    payload: &mut Payload,
    limit: usize,
) -> Result<Option<BytesMut>, ServeError> {
    // The time of a piece is never over before that of the whole.
    let bounds = RequestBounds::default();
    let whole = async {
        let mut body = BytesMut::new();
        while let Some(bytes) = next(payload, &bounds).await? {
            if body.len() + bytes.len() > limit {
                return Ok(None);
            }
            body.extend_from_slice(&bytes);
        }
        Ok(Some(body))
    };
    let whole = tokio::time::timeout(SHORT_TIME, whole).await;
    whole.unwrap_or_else(|_| Err(ServeError::body_too_slow()))
}

/// Reads what is left of a body that nobody wants, so that the connection can be used again. Stops
/// at [`MAX_DRAINED`] bytes or after [`DRAIN_TIME`]: actix then closes the connection, after the
/// client had time to read the answer.
pub(super) async fn drain(payload: &mut Payload) {
    let rest = async {
        let mut drained = 0;
        while drained <= MAX_DRAINED {
            match poll_fn(|context| Pin::new(&mut *payload).poll_next(context)).await {
                Some(Ok(bytes)) => drained += bytes.len(),
                None | Some(Err(_)) => return,
            }
        }
    };
    let mut rest = std::pin::pin!(rest);
    // Mostly nothing is left, which takes no timer to find out.
    if poll_immediate(rest.as_mut()).await.is_none() {
        // One deadline for all of it: a client that trickles bytes must not hold the request.
        let _late = tokio::time::timeout(DRAIN_TIME, rest).await;
    }
}

/// The pairs of the query.
pub(super) fn query(request: &HttpRequest) -> form_urlencoded::Parse<'_> {
    form_urlencoded::parse(request.query_string().as_bytes())
}

/// Adds the pairs of the query as parameters, in front of those of the body; as in TorchServe the
/// first `most` of them.
pub(super) fn add_query(request: &HttpRequest, input: &mut RequestInput, most: usize) {
    let pair = |(name, value): (Cow<'_, str>, Cow<'_, str>)| Parameter {
        name: name.into_owned(),
        content_type: None,
        value: Bytes::from(value.into_owned()),
    };
    let mut parameters: Vec<Parameter> = query(request).take(most).map(pair).collect();
    if parameters.is_empty() {
        return;
    }
    // A body that is not there does not hide a parameter of the query.
    input.parameters.retain(|own| own.name != "body" || !own.value.is_empty());
    parameters.append(&mut input.parameters);
    input.parameters = parameters;
}

/// `Inference-Header-Content-Length`: bytes of JSON in front of raw tensors.
///
/// # Errors
/// 400 when it is no number, or there are two.
pub(super) fn json_length(request: &HttpRequest) -> Result<Option<usize>, ServeError> {
    const NAME: &str = "inference-header-content-length";
    let mut lines = request.headers().get_all(NAME);
    let Some(first) = lines.next() else { return Ok(None) };
    // `parse` would take a sign.
    let digits = first.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    match (digits.and_then(|digits| digits.parse().ok()), lines.next()) {
        (Some(length), None) => Ok(Some(length)),
        _ => Err(ServeError::bad_request(
            "Inference-Header-Content-Length must be one number: the bytes of JSON in the body",
        )),
    }
}

/// What the request's `Accept` says; a request may have several. The answer may come in pieces.
pub(super) fn accept(request: &HttpRequest) -> Accept {
    let lines: Vec<&str> =
        request.headers().get_all(ACCEPT).filter_map(|value| value.to_str().ok()).collect();
    let mut accept = match lines.as_slice() {
        [one] => Accept::parse(one),
        several => Accept::parse(&several.join(",")),
    };
    accept.pieces = true;
    accept
}

/// True when the body says that it is JSON.
pub(super) fn is_json(request: &HttpRequest) -> bool {
    header(request, CONTENT_TYPE).is_some_and(|value| essence(value) == "application/json")
}

fn header(request: &HttpRequest, name: actix_web::http::header::HeaderName) -> Option<&str> {
    request.headers().get(name).and_then(|value| value.to_str().ok())
}

/// `type/subtype` without parameters, lower-case.
fn essence(content_type: &str) -> String {
    let essence = content_type.split(';').next().unwrap_or_default();
    essence.trim().to_ascii_lowercase()
}

/// The whole body, inflated where it is compressed. One that arrives in one piece is not copied. What it
/// takes of the memory of bodies it takes until the request is answered.
///
/// # Errors
/// 413 above `limits`, 408 for a client that stops sending or trickles, 415 for a coding that is not
/// known, 503 when there is no memory for it, 400 for a body that cannot be read.
pub(super) async fn collect(
    request: &HttpRequest,
    payload: &mut Payload,
    limits: BodyLimits,
    bounds: &RequestBounds,
) -> Result<Bytes, ServeError> {
    let limit = limits.size;
    let declared = header(request, CONTENT_LENGTH).and_then(|length| length.parse::<usize>().ok());
    if declared.is_some_and(|length| length > limit) {
        return Err(ServeError::body_too_large(limit));
    }
    let mut reserved = bounds.memory.reserve();
    let no_memory = |_: NoMemory| ServeError::no_body_memory();
    if let Some(coding) = Coding::of(request.headers())? {
        let body = inflated(coding, payload, limits, bounds, &mut reserved).await?;
        request.extensions_mut().insert(reserved);
        return Ok(body);
    }
    let Some(first) = first(payload, bounds).await? else { return Ok(Bytes::new()) };
    if first.len() > limit {
        return Err(ServeError::body_too_large(limit));
    }
    if declared == Some(first.len()) && first.len() <= UNCOUNTED {
        return Ok(first);
    }
    reserved.grow(first.len()).map_err(no_memory)?;
    let mut pace = Pace::new(bounds, patient_now());
    let Some(second) = next(payload, bounds).await? else {
        request.extensions_mut().insert(reserved);
        return Ok(first);
    };
    let room = declared.unwrap_or(0).min(FIRST_ALLOCATION).max(first.len() + second.len());
    let mut body = BytesMut::with_capacity(room);
    body.extend_from_slice(&first);
    let mut chunk = Some(second);
    while let Some(bytes) = chunk {
        if body.len() + bytes.len() > limit {
            return Err(ServeError::body_too_large(limit));
        }
        if !pace.came(bytes.len(), patient_now()) {
            return Err(ServeError::body_too_slow());
        }
        reserved.grow(bytes.len()).map_err(no_memory)?;
        body.extend_from_slice(&bytes);
        chunk = next(payload, bounds).await?;
    }
    request.extensions_mut().insert(reserved);
    Ok(body.freeze())
}

/// The whole of a compressed body. It is inflated here, on the thread that serves others as well: in
/// small pieces, between which they have their turn.
async fn inflated(
    coding: Coding,
    payload: &mut Payload,
    limits: BodyLimits,
    bounds: &RequestBounds,
    reserved: &mut Reservation,
) -> Result<Bytes, ServeError> {
    let mut inflater = Inflater::new(coding, limits);
    let (mut packed, mut turn, mut counted) = (0, TURN, 0);
    let mut pace = Pace::new(bounds, patient_now());
    while let Some(bytes) = next(payload, bounds).await? {
        packed += bytes.len();
        if packed > limits.size {
            return Err(ServeError::body_too_large(limits.size));
        }
        if !pace.came(bytes.len(), patient_now()) {
            return Err(ServeError::body_too_slow());
        }
        for piece in bytes.chunks(PACKED_PIECE) {
            let inflated = inflater.take(piece)?;
            let more = inflated.saturating_sub(counted);
            reserved.grow(more).map_err(|NoMemory| ServeError::no_body_memory())?;
            counted += more;
            if inflated > turn {
                turn = inflated + TURN;
                tokio::task::yield_now().await;
            }
        }
    }
    inflater.finish().map(Bytes::from)
}

/// The first piece of the body. actix asks for the answer before it hands over what came with the head:
/// that is there at the second look, and takes no timer.
async fn first(payload: &mut Payload, bounds: &RequestBounds) -> Result<Option<Bytes>, ServeError> {
    let mut has_looked = false;
    let there = poll_fn(|context| match Pin::new(&mut *payload).poll_next(context) {
        Poll::Ready(piece) => Poll::Ready(Some(piece)),
        Poll::Pending if has_looked => Poll::Ready(None),
        Poll::Pending => {
            has_looked = true;
            context.waker().wake_by_ref();
            Poll::Pending
        }
    });
    match there.await {
        Some(piece) => piece.transpose().map_err(|error| unreadable(&error)),
        None => next(payload, bounds).await,
    }
}

/// The next piece of the body.
async fn next(payload: &mut Payload, bounds: &RequestBounds) -> Result<Option<Bytes>, ServeError> {
    let piece = poll_fn(|context| Pin::new(&mut *payload).poll_next(context));
    let mut piece = std::pin::pin!(piece);
    let (began, mut left) = (patient_now(), bounds.body_timeout);
    loop {
        if let Ok(piece) = tokio::time::timeout(left, piece.as_mut()).await {
            return piece.transpose().map_err(|error| unreadable(&error));
        }
        // More than nothing when it was this thread that did not run.
        left = (began + bounds.body_timeout).saturating_duration_since(patient_now());
        if left.is_zero() {
            return Err(ServeError::body_too_slow());
        }
    }
}

fn unreadable(error: &PayloadError) -> ServeError {
    ServeError::bad_request(format!("The request body could not be read: {error}"))
}

/// One parameter for each part, named after its field; file names are never used.
async fn multipart(
    content_type: &str,
    body: Bytes,
    most: usize,
) -> Result<RequestInput, ServeError> {
    let broken = |error: multer::Error| {
        ServeError::bad_request(format!("The multipart body could not be read: {error}"))
    };
    let boundary = multer::parse_boundary(content_type).map_err(broken)?;
    let whole = stream::iter([Ok::<_, std::convert::Infallible>(body)]);
    let mut parts = multer::Multipart::new(whole, boundary);
    let mut parameters = Vec::new();
    while let Some(part) = parts.next_field().await.map_err(broken)? {
        if parameters.len() == most {
            let message = format!("The multipart body has more than {most} parts (parts_max)");
            return Err(ServeError::bad_request(message));
        }
        let name = part.name().unwrap_or_default().to_owned();
        let is_file = part.file_name().is_some();
        let declared = part.content_type().map(|media| media.essence_str().to_ascii_lowercase());
        // A plain field has no content type in TorchServe, whatever it says.
        let content_type = declared.filter(|media| is_file || media != "text/plain");
        let value = part.bytes().await.map_err(broken)?;
        parameters.push(Parameter { name, content_type, value });
    }
    Ok(RequestInput { parameters, ..RequestInput::default() })
}

/// One parameter a pair. What `curl -d '[1, 2]'` sends is no form: it is the body.
fn form(essence: String, body: Bytes, most: usize) -> Result<RequestInput, ServeError> {
    let start = body.iter().find(|byte| !byte.is_ascii_whitespace());
    if matches!(start, None | Some(b'[' | b'{')) {
        return Ok(RequestInput::body(Some(essence), body));
    }
    let mut parameters = Vec::new();
    for (name, value) in form_urlencoded::parse(&body) {
        if parameters.len() == most {
            let message = format!("The form has more than {most} fields (parts_max)");
            return Err(ServeError::bad_request(message));
        }
        let value = Bytes::from(value.into_owned());
        parameters.push(Parameter { name: name.into_owned(), content_type: None, value });
    }
    Ok(RequestInput { parameters, ..RequestInput::default() })
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;
    use crate::http::BodyMemory;

    const LIMITS: BodyLimits = BodyLimits { size: 1000, ratio: 100 };
    const LARGE: BodyLimits = BodyLimits { size: 1 << 20, ratio: 100 };

    async fn input(content_type: &str, body: &'static [u8]) -> Result<RequestInput, ServeError> {
        let request = TestRequest::default().insert_header((CONTENT_TYPE, content_type));
        let (request, mut payload) = request.set_payload(body).to_http_parts();
        read(&request, &mut payload, LIMITS, &RequestBounds::default()).await
    }

    fn values(input: &RequestInput) -> Vec<(&str, Option<&str>, &[u8])> {
        input
            .parameters
            .iter()
            .map(|p| (p.name.as_str(), p.content_type.as_deref(), p.value.as_ref()))
            .collect()
    }

    #[actix_web::test]
    async fn a_raw_body_is_the_parameter_body_with_its_media_type() {
        let input = input("Image/PNG; q=1", b"abc").await.unwrap();
        assert_eq!(values(&input), [("body", Some("image/png"), &b"abc"[..])]);
    }

    #[actix_web::test]
    async fn a_form_gives_its_fields_and_curls_json_stays_a_body() {
        let form = "application/x-www-form-urlencoded";
        let fields = input(form, b"data=1%2C2&name=x").await.unwrap();
        assert_eq!(values(&fields), [("data", None, &b"1,2"[..]), ("name", None, b"x")]);
        let json = input(form, b"[1, 2]").await.unwrap();
        assert_eq!(values(&json), [("body", Some(form), &b"[1, 2]"[..])]);
    }

    #[actix_web::test]
    async fn multipart_parts_keep_their_names_their_order_and_their_media_types() {
        let body = b"--b\r\nContent-Disposition: form-data; name=\"data\"; filename=\"a.png\"\r\n\
            Content-Type: image/png\r\n\r\nPNG\r\n--b\r\n\
            Content-Disposition: form-data; name=\"target\"\r\n\r\n3\r\n--b\r\n\
            Content-Disposition: form-data; name=\"data\"\r\n\r\nagain\r\n--b--\r\n";
        let input = input("multipart/form-data; boundary=b", body).await.unwrap();
        assert_eq!(
            values(&input),
            [
                ("data", Some("image/png"), &b"PNG"[..]),
                ("target", None, b"3"),
                ("data", None, b"again")
            ]
        );
        assert_eq!(input.payload().unwrap().value, "again");
    }

    #[actix_web::test]
    async fn what_cannot_be_taken_apart_is_a_bad_request() {
        for (content_type, body) in [
            ("multipart/form-data", &b"x"[..]),
            ("multipart/form-data; boundary=b", b"--b\r\nContent-Disposition: form-data"),
        ] {
            assert_eq!(input(content_type, body).await.unwrap_err().status, 400, "{content_type}");
        }
    }

    #[actix_web::test]
    async fn a_body_that_has_no_memory_is_refused_and_a_small_one_needs_none() {
        let bounds = RequestBounds { memory: BodyMemory::new(20_000), ..RequestBounds::default() };
        let large = vec![b'x'; UNCOUNTED + 1];
        let (request, mut payload) = TestRequest::default().set_payload(large).to_http_parts();
        assert!(read(&request, &mut payload, LARGE, &bounds).await.is_ok());
        let again = vec![b'x'; UNCOUNTED + 1];
        let (other, mut payload) = TestRequest::default().set_payload(again).to_http_parts();
        let refused = read(&other, &mut payload, LARGE, &bounds).await;
        assert_eq!(refused.unwrap_err().status, 503);
        let (small, mut payload) = TestRequest::default().set_payload("x").to_http_parts();
        assert!(read(&small, &mut payload, LARGE, &bounds).await.is_ok());
        drop(request);
        let again = vec![b'x'; UNCOUNTED + 1];
        let (other, mut payload) = TestRequest::default().set_payload(again).to_http_parts();
        assert!(read(&other, &mut payload, LARGE, &bounds).await.is_ok());
    }

    #[actix_web::test]
    async fn a_body_above_the_limit_is_refused() {
        let body = vec![b'x'; 1001];
        let (request, mut payload) = TestRequest::default().set_payload(body).to_http_parts();
        let refused = read(&request, &mut payload, LIMITS, &RequestBounds::default()).await;
        assert_eq!(refused.unwrap_err().status, 413);
    }
}
