//! `/console` and `/docs`: the files of `pages`, and who may ask for what the console shows.

use actix_web::http::header::{CONTENT_TYPE, HOST, HeaderName, HeaderValue, LOCATION, ORIGIN};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse};

use crate::error::ServeError;
use crate::pages::{self, File};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Sends a file to GET and HEAD.
///
/// # Errors
/// 405 for any other method.
pub(super) fn answer(request: &HttpRequest, file: File) -> Result<HttpResponse, ServeError> {
    expect_get(request)?;
    // The links of a page are relative, so that it works below a path of a proxy: `/console/` is one
    // too deep.
    if file.is_page() && request.path().ends_with('/') {
        let up = if file == File::Console { "../console" } else { "../docs" };
        let location = (LOCATION, HeaderValue::from_static(up));
        return Ok(HttpResponse::build(StatusCode::PERMANENT_REDIRECT)
            .insert_header(location)
            .finish());
    }
    let mut response = HttpResponse::Ok();
    response.insert_header((CONTENT_TYPE, HeaderValue::from_static(file.content_type())));
    for (name, value) in pages::HEADERS {
        response.insert_header((HeaderName::from_static(name), HeaderValue::from_static(value)));
    }
    Ok(response.body(file.bytes()))
}

/// GET or HEAD.
///
/// # Errors
/// 405 for any other method.
pub(super) fn expect_get(request: &HttpRequest) -> Result<(), ServeError> {
    match *request.method() {
        Method::GET | Method::HEAD => Ok(()),
        _ => Err(ServeError::method_not_allowed()),
    }
}

/// What the console asks for is for the console alone, whatever the CORS policy of the listener lets
/// other pages read: who operates the server is not who wrote a page that may call it.
///
/// # Errors
/// 403 for a page of another origin.
pub(super) fn expect_own_page(request: &HttpRequest) -> Result<(), ServeError> {
    let headers = request.headers();
    let own_site = headers
        .get_all(SEC_FETCH_SITE)
        .all(|site| matches!(site.as_bytes(), b"same-origin" | b"none"));
    // HTTP/2 has the host in its target.
    let authority = request.uri().authority().map(|authority| authority.as_str().as_bytes());
    let host = headers.get(HOST).map(HeaderValue::as_bytes).or(authority);
    let own_origin = headers.get_all(ORIGIN).all(|origin| {
        let origin = origin.as_bytes();
        let named = origin.strip_prefix(b"http://").or_else(|| origin.strip_prefix(b"https://"));
        named.is_some() && named == host
    });
    if own_site && own_origin { Ok(()) } else { Err(ServeError::foreign_page()) }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn only_the_own_page_and_tools_without_a_page_pass() {
        let asks = |headers: &[(&str, &str)]| {
            let mut request = TestRequest::default().insert_header(("host", "m.example:8081"));
            for header in headers {
                request = request.append_header(*header);
            }
            expect_own_page(&request.to_http_request()).is_ok()
        };
        assert!(asks(&[]));
        assert!(asks(&[("sec-fetch-site", "same-origin")]));
        assert!(asks(&[("origin", "https://m.example:8081"), ("sec-fetch-site", "same-origin")]));
        for foreign in [
            &[("sec-fetch-site", "same-site")][..],
            &[("sec-fetch-site", "cross-site")],
            &[("origin", "http://m.example:8080")],
            &[("origin", "http://evil.example")],
            &[("origin", "null")],
            &[("origin", "http://m.example:8081"), ("origin", "http://evil.example")],
            &[("origin", "http://m.example:8081"), ("sec-fetch-site", "cross-site")],
        ] {
            assert!(!asks(foreign), "{foreign:?}");
        }
    }
}
