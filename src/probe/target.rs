//! A URL to probe: what to connect to, and how it is shown.

use url::{Host, Url};

use super::plan::PlanError;

/// Where requests go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    url: Url,
}

// === impl Target ===

impl Target {
    /// Reads `http://` and `https://` URLs.
    ///
    /// # Errors
    /// [`PlanError::Url`].
    pub fn parse(text: &str) -> Result<Target, PlanError> {
        let wrong = |reason: String| PlanError::Url { url: shown(text), reason };
        let url = Url::parse(text).map_err(|error| wrong(error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(wrong("want http:// or https://".to_owned()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("a name and password in a URL are not sent; use --token".to_owned()));
        }
        Ok(Target { url })
    }

    /// Without the query, which may be a secret.
    pub fn shown(&self) -> String {
        shown(self.url.as_str())
    }

    /// Path and query, as they are sent.
    pub fn path_and_query(&self) -> String {
        match self.url.query() {
            Some(query) => format!("{}?{query}", self.url.path()),
            None => self.url.path().to_owned(),
        }
    }

    /// `host[:port]`, the value of `Host`.
    pub fn authority(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        match self.url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        }
    }

    pub(super) fn host(&self) -> Option<Host<&str>> {
        self.url.host()
    }

    pub(super) fn port(&self) -> u16 {
        self.url.port_or_known_default().unwrap_or(80)
    }

    pub(super) fn is_tls(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// What is sent can be read on the way.
    pub(super) fn is_open(&self) -> bool {
        let here = match self.url.host() {
            Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        };
        !self.is_tls() && !here
    }
}

/// A URL without what may be secret.
fn shown(text: &str) -> String {
    let text = text.split(['?', '#']).next().unwrap_or_default();
    match (text.split_once("://"), text.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://{host}"),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_gives_host_port_and_path_and_is_shown_without_its_query() {
        let target = Target::parse("https://api.example/ping?key=secret").unwrap();
        assert_eq!((target.authority().as_str(), target.port()), ("api.example", 443));
        assert_eq!(target.path_and_query(), "/ping?key=secret");
        assert_eq!(target.shown(), "https://api.example/ping");
        assert!(!target.is_open());
        let target = Target::parse("http://[::1]:8080").unwrap();
        assert_eq!(
            (target.authority().as_str(), target.path_and_query().as_str()),
            ("[::1]:8080", "/")
        );
        assert!(!target.is_open() && Target::parse("http://10.0.0.1/").unwrap().is_open());
    }

    #[test]
    fn what_cannot_be_probed_is_refused_without_showing_secrets() {
        for url in
            ["api.example", "ftp://api.example/", "https://", "https://me:secret@api.example/"]
        {
            let said = Target::parse(url).unwrap_err().to_string();
            assert!(!said.contains("secret"), "{said}");
        }
    }
}
