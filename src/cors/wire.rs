//! The HTTP words that the decision core uses: names, values and methods, no server.
//!
//! Values are reference counted, so that echoing an origin copies no bytes. This file and
//! `middleware.rs` are the places of this room that name the web framework; `actix.rs` translates a
//! policy for its CORS middleware.

pub use actix_web::http::{
    Method, StatusCode,
    header::{self, HeaderMap, HeaderName, HeaderValue},
};

/// Headers that the framework has no constant for.
pub mod name {
    use super::HeaderName;

    /// What a Private Network Access preflight asks with.
    pub const ACCESS_CONTROL_REQUEST_PRIVATE_NETWORK: HeaderName =
        HeaderName::from_static("access-control-request-private-network");
    /// How it is granted.
    pub const ACCESS_CONTROL_ALLOW_PRIVATE_NETWORK: HeaderName =
        HeaderName::from_static("access-control-allow-private-network");
    /// Where the page that made the request stands to this server, told by the browser.
    pub const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
    /// Who may see the timings of an answer.
    pub const TIMING_ALLOW_ORIGIN: HeaderName = HeaderName::from_static("timing-allow-origin");
    /// The reason of a decision, sent in debug mode only.
    pub const X_CORS_REASON: HeaderName = HeaderName::from_static("x-cors-reason");
}
