//! The id of a request: in TorchServe's header on the answer, in every log line about it.

use std::fmt;

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_web::{HttpMessage, HttpRequest};
use uuid::Uuid;

/// TorchServe's header, and the one that clients may send.
pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Characters of a client's own request id.
const MAX_REQUEST_ID: usize = 128;

/// The id of a request: the client's own if it is sound, else a new UUID.
#[derive(Clone, Debug)]
pub(super) struct RequestId(HeaderValue);

// === impl RequestId ===

impl RequestId {
    /// The id that the outermost layer gave to this request.
    pub(super) fn of(request: &HttpRequest) -> RequestId {
        let given = request.extensions().get::<RequestId>().cloned();
        given.unwrap_or_else(RequestId::random)
    }

    /// The id of a request that has just come in.
    pub(super) fn choose(headers: &HeaderMap) -> RequestId {
        RequestId::said(headers.get_all(X_REQUEST_ID).as_slice())
    }

    /// The id of a request with these lines of the header.
    pub(super) fn said(lines: &[HeaderValue]) -> RequestId {
        RequestId::from_client(lines).unwrap_or_else(RequestId::random)
    }

    /// As it is sent.
    pub(super) fn value(&self) -> HeaderValue {
        self.0.clone()
    }

    /// As it is logged.
    pub(super) fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }

    fn random() -> RequestId {
        let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
        let text: &str = Uuid::new_v4().hyphenated().encode_lower(&mut text);
        RequestId(HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("none")))
    }

    /// The client's id when it is 1 to 128 of `A-Z a-z 0-9 - _ .`, so that it cannot break a log
    /// line or a header.
    fn from_client(lines: &[HeaderValue]) -> Option<RequestId> {
        let [value] = lines else { return None };
        let sound = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
        let length_fits = (1..=MAX_REQUEST_ID).contains(&value.len());
        (length_fits && value.as_bytes().iter().all(sound)).then(|| RequestId(value.clone()))
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn from_client(values: &[&str]) -> Option<String> {
        let mut request = TestRequest::default();
        for value in values {
            request = request.append_header((X_REQUEST_ID, *value));
        }
        let request = request.to_http_request();
        let lines = request.headers().get_all(X_REQUEST_ID).as_slice();
        RequestId::from_client(lines).map(|id| id.to_string())
    }

    #[test]
    fn keeps_a_sound_request_id_and_no_other() {
        assert_eq!(from_client(&["abc-1_2.3"]).as_deref(), Some("abc-1_2.3"));
        for unsound in [&["a b"][..], &["a;b"], &[""], &["a", "b"], &[&"x".repeat(129)], &[]] {
            assert_eq!(from_client(unsound), None, "{unsound:?}");
        }
        assert_eq!(RequestId::random().as_str().len(), 36);
    }
}
