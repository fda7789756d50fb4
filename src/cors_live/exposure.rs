//! Headers that a page of an allowed origin is sent and cannot read, by name (M4).
//!
//! Told apart are those that scripts ask for, as seed documents and browsers' consoles have them; a
//! label is one of [`WATCHED`], never the name of a header.

use crate::cors::ExposedHeaders;

/// The labels.
pub(super) const WATCHED: [&str; 9] = [
    "ETag",
    "Link",
    "Location",
    "Retry-After",
    "X-Request-Id",
    "X-RateLimit-*",
    "Deprecation",
    "Sunset",
    "_other",
];
/// The place of `X-Request-Id`, which every answer gets after CORS has finished it.
pub(super) const REQUEST_ID: usize = 4;
const OTHER: usize = 8;

/// Calls `each` with the place of every header that is hidden. `names` are in lower case, as the
/// server has them.
pub(super) fn hidden<'a>(
    names: impl Iterator<Item = &'a str>,
    exposed: &ExposedHeaders,
    mut each: impl FnMut(usize),
) {
    if exposed.is_any() {
        return;
    }
    for name in names {
        if let Some(place) = place(name)
            && place != REQUEST_ID
            && !exposed.names(name)
        {
            each(place);
        }
    }
    if !exposed.names(WATCHED[REQUEST_ID]) {
        each(REQUEST_ID);
    }
}

/// None for what scripts may always read, and for what is between browser and server.
fn place(name: &str) -> Option<usize> {
    Some(match name {
        // Fetch: CORS-safelisted.
        "cache-control" | "content-language" | "content-length" | "content-type" | "expires"
        | "last-modified" | "pragma" => return None,
        "connection"
        | "content-encoding"
        | "content-security-policy"
        | "date"
        | "keep-alive"
        | "server"
        | "server-timing"
        | "set-cookie"
        | "timing-allow-origin"
        | "transfer-encoding"
        | "vary"
        | "x-content-type-options"
        | "x-cors-reason" => return None,
        "etag" => 0,
        "link" => 1,
        "location" => 2,
        "retry-after" => 3,
        "x-request-id" => REQUEST_ID,
        "deprecation" => 6,
        "sunset" => 7,
        _ if name.starts_with("x-ratelimit-") => 5,
        _ if name.starts_with("access-control-") => return None,
        _ => OTHER,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn watched_headers_have_their_places_and_others_share_one() {
        let names = ["etag", "x-ratelimit-limit", "x-own", "content-type", "vary", "date"];
        let mut found = Vec::new();
        hidden(names.into_iter(), &ExposedHeaders::parse("Link").value, |at| found.push(at));
        assert_eq!(found.map_names(), ["ETag", "X-RateLimit-*", "_other", "X-Request-Id"]);
        for exposed in ["*", "ETag, X-RateLimit-Limit, X-Own, x-request-id"] {
            hidden(names.into_iter(), &ExposedHeaders::parse(exposed).value, |at| {
                panic!("{exposed}: {}", WATCHED[at])
            });
        }
    }

    trait Names {
        fn map_names(&self) -> Vec<&'static str>;
    }

    impl Names for Vec<usize> {
        fn map_names(&self) -> Vec<&'static str> {
            self.iter().map(|at| WATCHED[*at]).collect()
        }
    }
}
