//! `GET /console/explain?listener=&origin=&method=&path=&header=&credentials=`: the pure explanation
//! of `torchfront cors explain`, under the policy that is in force now.

use actix_web::http::StatusCode;
use actix_web::http::header::HOST;
use actix_web::{HttpRequest, HttpResponse};

use crate::cors::{Listener, PageHeader, PageRequest, explain};
use crate::error::ServeError;
use crate::http::page::{expect_get, expect_own_page};
use crate::http::response;
use crate::http::state::State;

/// Headers that one question may have.
const MAX_HEADERS: usize = 32;
/// Bytes of a query: what is explained is no longer than what browsers send.
const MAX_QUERY: usize = 8 << 10;

/// Answers one request.
///
/// # Errors
/// 400 that says what is missing; 403 for another page, 405 for another method.
pub(in crate::http) fn answer(
    request: &HttpRequest,
    state: &State,
) -> Result<HttpResponse, ServeError> {
    expect_get(request)?;
    expect_own_page(request)?;
    let (listener, path, page) = read(request.query_string()).map_err(ServeError::bad_request)?;
    // The host of the listener that is asked about is not known here; of management it is.
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    let host = host.filter(|_| listener == Listener::Management).unwrap_or("127.0.0.1");
    let policy = state.cors.handle(listener).current();
    Ok(response::json(StatusCode::OK, &explain(&policy, &page, host, &path)))
}

fn read(query: &str) -> Result<(Listener, String, PageRequest), &'static str> {
    if query.len() > MAX_QUERY {
        return Err("The query is longer than 8 KiB.");
    }
    let mut listener = Listener::Inference;
    let (mut origin, mut path) = (String::new(), String::new());
    let mut method = "GET".to_owned();
    let (mut headers, mut credentials) = (Vec::new(), false);
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            "listener" => {
                let named = Listener::ALL.into_iter().find(|listener| listener.as_str() == value);
                listener = named.ok_or("listener is inference, management or metrics.")?;
            }
            "origin" => origin = value.into_owned(),
            "path" => path = value.into_owned(),
            "method" => method = value.into_owned(),
            "header" => headers.push(header(&value)),
            "credentials" => credentials = value == "true",
            _ => {}
        }
    }
    if origin.is_empty() {
        return Err("origin is missing: the page's, such as https://app.example.com.");
    }
    if !path.starts_with('/') {
        return Err("path is missing: such as /predictions/model.");
    }
    if method.is_empty() || headers.len() > MAX_HEADERS {
        return Err("method is empty, or there are more than 32 headers.");
    }
    Ok((listener, path, PageRequest { origin, method, headers, credentials }))
}

/// `Name` or `Name: value`.
fn header(text: &str) -> PageHeader {
    let (name, value) = match text.split_once(':') {
        Some((name, value)) => (name, Some(value.trim().to_owned())),
        None => (text, None),
    };
    PageHeader { name: name.trim().to_owned(), value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_read_whole() {
        let query = "listener=metrics&origin=https%3A%2F%2Fa.example&method=PUT&path=/x%3Fy\
                     &header=X-A:%20b&header=X-C&credentials=true&other=1";
        let (listener, path, page) = read(query).unwrap();
        assert_eq!((listener, &*path), (Listener::Metrics, "/x?y"));
        assert_eq!(
            (&*page.origin, &*page.method, page.credentials),
            ("https://a.example", "PUT", true)
        );
        let headers: Vec<_> =
            page.headers.iter().map(|header| (&*header.name, header.value.as_deref())).collect();
        assert_eq!(headers, [("X-A", Some("b")), ("X-C", None)]);
    }

    #[test]
    fn what_is_missing_or_too_much_is_said() {
        let long = format!("origin=https://a.example&path=/{}", "x".repeat(9000));
        let many = format!("origin=https://a.example&path=/{}", "&header=X".repeat(33));
        for (query, expected) in [
            ("", "origin is missing"),
            ("origin=https://a.example", "path is missing"),
            ("origin=https://a.example&path=x", "path is missing"),
            ("listener=x&origin=https://a.example&path=/", "listener is"),
            ("origin=https://a.example&path=/&method=", "method is empty"),
            (&many, "32 headers"),
            (&long, "8 KiB"),
        ] {
            let told = read(query).unwrap_err();
            assert!(told.contains(expected), "{query}: {told}");
        }
    }
}
