//! Whom to call: an `http://` URL, and the addresses that its host name has.

use std::net::SocketAddr;

use hyper::Uri;
use hyper::http::uri::Scheme;

use super::BenchError;

/// A URL that can be called.
#[derive(Clone, Debug)]
pub struct Target {
    /// As it was given.
    pub url: String,
    /// Path and query, as the request line says them.
    pub path: Uri,
    /// The value of `Host`.
    pub authority: String,
    addresses: Vec<SocketAddr>,
}

// === impl Target ===

impl Target {
    /// Reads a URL and looks its host up.
    ///
    /// # Errors
    /// [`BenchError::Url`] for anything but an absolute `http://` URL whose host has an address.
    pub async fn new(url: &str) -> Result<Target, BenchError> {
        let wrong = |reason: String| BenchError::Url { url: url.to_owned(), reason };
        if !url.contains("://") {
            return Err(wrong("a URL begins with http://".to_owned()));
        }
        let uri: Uri = url.parse().map_err(|error| wrong(format!("not a URL: {error}")))?;
        match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTP => {}
            Some(scheme) if *scheme == Scheme::HTTPS => {
                return Err(wrong(
                    "https is not supported; measure the server's plain http listener".to_owned(),
                ));
            }
            Some(scheme) => return Err(wrong(format!("the scheme {scheme} is not http"))),
            None => return Err(wrong("a URL has a scheme and a host".to_owned())),
        }
        let authority = uri.authority().map(|authority| authority.as_str()).unwrap_or_default();
        if authority.contains('@') {
            return Err(wrong(
                "a name and password in a URL are not sent; use --header".to_owned(),
            ));
        }
        // A port that is no port is otherwise taken for none.
        let written = authority.strip_prefix(uri.host().unwrap_or_default()).unwrap_or_default();
        if !written.is_empty() && uri.port_u16().is_none() {
            return Err(wrong(format!("{written:?} is no port")));
        }
        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let port = uri.port_u16().unwrap_or(80);
        let looked_up = tokio::net::lookup_host((host, port)).await;
        let addresses: Vec<SocketAddr> = looked_up
            .map_err(|error| wrong(format!("the host has no address: {error}")))?
            .collect();
        if addresses.is_empty() {
            return Err(wrong("the host has no address".to_owned()));
        }
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let path: Uri = path.parse().map_err(|error| wrong(format!("not a path: {error}")))?;
        Ok(Target { url: url.to_owned(), path, authority: authority.to_owned(), addresses })
    }

    /// Where to connect, in order.
    pub(super) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_url_gives_path_host_and_address() {
        let target = Target::new("http://127.0.0.1:8080/predictions/mlp?a=b").await.unwrap();
        assert_eq!(target.path.to_string(), "/predictions/mlp?a=b");
        assert_eq!(target.authority, "127.0.0.1:8080");
        assert_eq!(target.addresses(), ["127.0.0.1:8080".parse().unwrap()]);
        let target = Target::new("http://[::1]").await.unwrap();
        assert_eq!((target.path.path(), &*target.authority), ("/", "[::1]"));
        assert_eq!(target.addresses(), ["[::1]:80".parse().unwrap()]);
    }

    #[tokio::test]
    async fn what_cannot_be_called_is_refused_with_the_reason() {
        for (url, reason) in [
            ("127.0.0.1:8080/ping", "http://"),
            ("/ping", "begins with http://"),
            ("https://127.0.0.1/", "https is not supported"),
            ("ftp://127.0.0.1/", "not http"),
            ("http://user:secret@127.0.0.1/", "--header"),
            ("http://127.0.0.1:99999/", "no port"),
            ("http://127.0.0.1:/", "no port"),
            ("http://a b/", "not a URL"),
            ("", "begins with http://"),
            ("://x", "not http"),
        ] {
            let error = Target::new(url).await.unwrap_err().to_string();
            assert!(error.contains(reason), "{url}: {error}");
        }
    }
}
