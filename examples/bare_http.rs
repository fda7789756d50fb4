//! The floor of `make compare`: an actix-http service that reads a request head and answers 204,
//! without router, application or middleware.
//!
//! `bare_http ADDRESS THREADS [headers]`; with `headers` it also sends the headers of a granted
//! preflight, always the same, so that what they cost can be told apart.

use std::convert::Infallible;

use actix_http::{HttpService, Request, Response};
use actix_web::dev::Server;
use actix_web::http::StatusCode;
use actix_web::http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE, HeaderName, HeaderValue, VARY,
};

/// As the server itself.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[actix_web::main]
async fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:9000".to_owned());
    let threads = arguments.next().and_then(|count| count.parse().ok()).unwrap_or(2);
    let with_headers = arguments.next().is_some();
    let fixed: &'static [(HeaderName, &str)] = if with_headers { &GRANTED } else { &[] };
    Server::build()
        .workers(threads)
        .backlog(2048)
        .bind("bare", address, move || {
            let answer = move |_: Request| async move {
                let mut response = Response::new(StatusCode::NO_CONTENT);
                for (name, value) in fixed {
                    response.headers_mut().insert(name.clone(), HeaderValue::from_static(value));
                }
                Ok::<_, Infallible>(response)
            };
            HttpService::build().finish(answer).tcp()
        })?
        .run()
        .await
}

const GRANTED: [(HeaderName, &str); 6] = [
    (ACCESS_CONTROL_ALLOW_ORIGIN, "https://mywebapp.com"),
    (ACCESS_CONTROL_ALLOW_CREDENTIALS, "true"),
    (ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, PUT, PATCH, DELETE, OPTIONS"),
    (ACCESS_CONTROL_ALLOW_HEADERS, "Authorization, Content-Type"),
    (ACCESS_CONTROL_MAX_AGE, "600"),
    (VARY, "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"),
];
