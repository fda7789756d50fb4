//! Compressed answers: gzip for clients that accept it, where it pays.
//!
//! What the server says of itself (API descriptions, lists, metrics) is compressed by default: it is
//! long, repeats itself and is asked for seldom. Predictions are compressed with
//! `response_compression=all` only: every browser and many a client accept gzip without wanting it
//! over a fast network. Inside the CORS layer, which merges `Vary`.

use std::io::{self, Write};

use actix_web::body::{BoxBody, MessageBody};
use actix_web::http::header::{
    AcceptEncoding, CONTENT_ENCODING, CONTENT_TYPE, Encoding, Header, HeaderValue, VARY,
};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use flate2::Compression as Level;
use flate2::write::GzEncoder;

/// Which answers are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// None.
    Off,
    /// What the server says of itself.
    #[default]
    Descriptions,
    /// Predictions, too.
    All,
}

/// Marks the answer of a model, in the extensions of a response.
pub(super) struct OfAModel;

/// Shorter answers gain nothing.
const WORTH_IT: usize = 1024;
/// Longer ones are compressed by a thread that may be busy.
const AT_ONCE: usize = 16 << 10;

// === impl Compression ===

impl Compression {
    /// The answer, compressed where client and operator want that.
    pub(super) async fn apply(self, request: &HttpRequest, response: HttpResponse) -> HttpResponse {
        if !self.concerns(&response) || request.method() == Method::HEAD {
            return response;
        }
        let (head, body) = response.into_parts();
        let mut head = head;
        let body = match body.try_into_bytes() {
            Ok(body) => body,
            // It comes in pieces, which are sent as they come.
            Err(body) => return head.set_body(body),
        };
        if body.len() < WORTH_IT {
            return head.set_body(BoxBody::new(body));
        }
        // Also where this client takes it as it is: a cache must not give its copy to others.
        head.headers_mut().append(VARY, HeaderValue::from_static("Accept-Encoding"));
        if !accepts_gzip(request) {
            return head.set_body(BoxBody::new(body));
        }
        let packed = match body.len() {
            ..=AT_ONCE => pack(&body),
            _ => {
                let body = body.clone();
                let packing = tokio::task::spawn_blocking(move || pack(&body));
                packing.await.unwrap_or_else(|gone| Err(io::Error::other(gone)))
            }
        };
        match packed {
            Ok(packed) => {
                head.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
                head.set_body(BoxBody::new(packed))
            }
            Err(error) => {
                tracing::warn!(%error, "an answer could not be compressed");
                head.set_body(BoxBody::new(body))
            }
        }
    }

    /// True for an answer that may be compressed: text, and of the kind that the operator named.
    fn concerns(self, response: &HttpResponse) -> bool {
        let wanted = match self {
            Compression::Off => false,
            Compression::Descriptions => response.extensions().get::<OfAModel>().is_none(),
            Compression::All => true,
        };
        let headers = response.headers();
        let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        wanted
            && response.status() != StatusCode::PARTIAL_CONTENT
            && !headers.contains_key(CONTENT_ENCODING)
            && kind.is_some_and(|kind| {
                kind.starts_with("application/json") || kind.starts_with("text/")
            })
    }
}

/// True for a client that likes gzip no less than the plain answer.
fn accepts_gzip(request: &HttpRequest) -> bool {
    let known = [Encoding::gzip(), Encoding::identity()];
    AcceptEncoding::parse(request)
        .is_ok_and(|accepted| accepted.negotiate(known.iter()) == Some(Encoding::gzip()))
}

/// The fastest level: it takes three quarters of JSON away as well.
fn pack(body: &[u8]) -> io::Result<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Level::fast());
    encoder.write_all(body)?;
    encoder.finish().map(Bytes::from)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use actix_web::body::to_bytes;
    use actix_web::http::header::ACCEPT_ENCODING;
    use actix_web::test::TestRequest;

    use super::*;

    const GZIP: &str = "gzip, deflate, br";

    /// Its coding, its `Vary`, and its body unpacked.
    async fn applied(
        mode: Compression,
        accepts: &str,
        response: HttpResponse,
    ) -> (Option<String>, Option<String>, Vec<u8>) {
        let request = TestRequest::default().insert_header((ACCEPT_ENCODING, accepts));
        let response = mode.apply(&request.to_http_request(), response).await;
        let header =
            |name| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        let (coding, vary) = (header(CONTENT_ENCODING), header(VARY));
        let body = to_bytes(response.into_body()).await.unwrap();
        let mut plain = Vec::new();
        if coding.is_some() {
            flate2::read::GzDecoder::new(&*body).read_to_end(&mut plain).unwrap();
        } else {
            plain.extend_from_slice(&body);
        }
        (coding, vary, plain)
    }

    fn text(length: usize) -> HttpResponse {
        HttpResponse::Ok().content_type("application/json").body("x".repeat(length))
    }

    fn of_a_model(length: usize) -> HttpResponse {
        let mut response = text(length);
        response.extensions_mut().insert(OfAModel);
        response
    }

    #[actix_web::test]
    async fn a_long_answer_is_compressed_for_who_accepts_it_and_varies_for_all() {
        for length in [WORTH_IT, 100_000] {
            let (coding, vary, body) = applied(Compression::Descriptions, GZIP, text(length)).await;
            assert_eq!(
                (coding.as_deref(), vary.as_deref()),
                (Some("gzip"), Some("Accept-Encoding"))
            );
            assert_eq!(body, "x".repeat(length).into_bytes());
        }
        for accepts in ["", "identity", "br", "gzip;q=0", "gzip;q=0.5, identity"] {
            let (coding, vary, body) =
                applied(Compression::Descriptions, accepts, text(2000)).await;
            assert_eq!((coding, vary.as_deref()), (None, Some("Accept-Encoding")), "{accepts}");
            assert_eq!(body.len(), 2000);
        }
        let short = applied(Compression::Descriptions, GZIP, text(WORTH_IT - 1)).await;
        assert_eq!((short.0, short.1), (None, None));
    }

    #[actix_web::test]
    async fn predictions_are_compressed_only_with_all() {
        for (mode, response, compressed) in [
            (Compression::Off, text(2000), false),
            (Compression::Descriptions, of_a_model(2000), false),
            (Compression::All, of_a_model(2000), true),
            (Compression::All, text(2000), true),
        ] {
            let (coding, vary, _) = applied(mode, GZIP, response).await;
            assert_eq!((coding.is_some(), vary.is_some()), (compressed, compressed), "{mode:?}");
        }
        let bytes =
            HttpResponse::Ok().content_type("application/octet-stream").body("x".repeat(2000));
        assert_eq!(applied(Compression::All, GZIP, bytes).await.0, None);
    }

    #[actix_web::test]
    async fn the_answer_to_head_is_left_alone() {
        let request = TestRequest::default().method(Method::HEAD);
        let request = request.insert_header((ACCEPT_ENCODING, GZIP)).to_http_request();
        let response = Compression::All.apply(&request, text(2000)).await;
        assert!(!response.headers().contains_key(CONTENT_ENCODING));
    }
}
