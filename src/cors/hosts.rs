//! `cors.same.origin.hosts` and `cors.allowed.hosts`: names under which this server is reached.
//!
//! The first list tells `cross_site.rs` that a page of such a host is our own, for proxies that
//! rewrite `Host` (B30). The second refuses every other `Host`, against DNS rebinding (B31).

use super::{
    address::{self, HostKind},
    diagnostic::{Finding, Parsed},
    origin::{self, SerializedOrigin},
    syntax,
};

/// A comma list of `host[:port]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostList {
    entries: Vec<HostEntry>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct HostEntry {
    text: String,
    host: String,
    port: Option<u16>,
}

// === impl HostList ===

impl HostList {
    /// Reads a comma list.
    pub fn parse(value: &str) -> Parsed<Self> {
        let mut parsed = Parsed { value: Self::default(), findings: Vec::new() };
        for text in syntax::config_list(value) {
            match HostEntry::parse(text) {
                Some(entry) => parsed.value.entries.push(entry),
                None => parsed.findings.push(
                    Finding::new("CORS-E013", format!("`{text}` is not a host"))
                        .fix("write `host` or `host:port`, without scheme, path or pattern"),
                ),
            }
        }
        parsed
    }

    /// Nothing is listed.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entries as written.
    pub fn listed(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| entry.text.as_str())
    }

    /// Whether pages of this origin are our own: host and port are equal, whatever the scheme.
    pub fn names_origin(&self, origin: &SerializedOrigin<'_>) -> bool {
        self.entries
            .iter()
            .any(|entry| entry.host.as_bytes() == origin.host && entry.port == origin.port)
    }

    /// Whether this `Host` value is ours. An entry without port stands for every port.
    pub fn names_host(&self, host: &[u8]) -> bool {
        let (name, port) = split_host(host);
        if port == Some(None) {
            return false;
        }
        self.entries.iter().any(|entry| {
            entry.host.as_bytes().eq_ignore_ascii_case(name)
                && (entry.port.is_none() || (port.is_some() && entry.port == port.flatten()))
        })
    }
}

/// Whether a page of `origin` was loaded from the host that this request names. The default port of
/// the page's scheme may be spelt in `Host` or not.
pub fn is_same_host(origin: &SerializedOrigin<'_>, host: &[u8]) -> bool {
    let (name, port) = split_host(host);
    let port = match port {
        None => None,
        Some(Some(port)) if Some(port) == origin::default_port(origin.scheme) => None,
        Some(Some(port)) => Some(port),
        Some(None) => return false,
    };
    origin.host.eq_ignore_ascii_case(name) && origin.port == port
}

/// `localhost`, a name below it, or a loopback address, with any port.
pub fn is_this_machine(host: &[u8]) -> bool {
    let (name, port) = split_host(host);
    let name = std::str::from_utf8(name).map(str::to_ascii_lowercase);
    port != Some(None) && name.is_ok_and(|name| address::is_loopback(&name))
}

// === impl HostEntry ===

impl HostEntry {
    fn parse(text: &str) -> Option<Self> {
        let lower = text.to_ascii_lowercase();
        let (host, port) = split_host(lower.as_bytes());
        let host = std::str::from_utf8(host).ok()?;
        let sound = match address::classify(host) {
            HostKind::Name => origin::is_dotted_labels(host.as_bytes()),
            HostKind::Address { .. } => true,
            HostKind::NotCanonical(_) => false,
        };
        let port = match port {
            None => None,
            Some(port) => Some(port?),
        };
        sound.then(|| Self { text: text.to_owned(), host: host.to_owned(), port })
    }
}

/// The host and, when there is a colon after it, the port, itself `None` when it is no port.
fn split_host(host: &[u8]) -> (&[u8], Option<Option<u16>>) {
    let end = match host {
        [b'[', ..] => host.iter().position(|&b| b == b']').map_or(host.len(), |at| at + 1),
        _ => host.iter().position(|&b| b == b':').unwrap_or(host.len()),
    };
    match host.split_at(end) {
        (name, []) => (name, None),
        (name, [b':', port @ ..]) => (name, Some(origin::parse_port(port))),
        (name, _) => (name, Some(None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(text: &str) -> SerializedOrigin<'_> {
        SerializedOrigin::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn b30_the_same_host_is_host_and_port_of_the_origin() {
        for (page, host) in [
            ("http://127.0.0.1:8081", "127.0.0.1:8081"),
            ("https://a.example", "a.example"),
            ("https://a.example", "a.example:443"),
            ("http://a.example", "A.Example:80"),
            ("http://[::1]:8081", "[::1]:8081"),
        ] {
            assert!(is_same_host(&origin(page), host.as_bytes()), "{page} {host}");
        }
        for (page, host) in [
            ("http://127.0.0.1:3000", "127.0.0.1:8081"),
            ("http://127.0.0.1", "127.0.0.1:8081"),
            ("http://a.example:8081", "a.example"),
            ("http://a.example", "a.example:443"),
            ("http://a.example", "a.example:x"),
            ("http://a.example", "a.example."),
            ("http://a.example", ""),
            ("http://a.example", "b.a.example"),
        ] {
            assert!(!is_same_host(&origin(page), host.as_bytes()), "{page} {host}");
        }
    }

    #[test]
    fn b31_an_entry_without_port_names_every_port() {
        let list = HostList::parse("localhost, 127.0.0.1:8081, [::1]").value;
        for host in ["localhost", "LOCALHOST:8081", "127.0.0.1:8081", "[::1]:1"] {
            assert!(list.names_host(host.as_bytes()), "{host}");
        }
        for host in ["127.0.0.1", "127.0.0.1:8080", "evil.example", "", "localhost.evil.example"] {
            assert!(!list.names_host(host.as_bytes()), "{host}");
        }
        for host in ["localhost:evil.example", "localhost:", "localhost:80:80", "[::1]x"] {
            assert!(!list.names_host(host.as_bytes()), "{host}");
            assert!(!is_this_machine(host.as_bytes()), "{host}");
        }
    }

    #[test]
    fn b30_a_listed_host_is_compared_with_the_origin_by_host_and_port() {
        let list = HostList::parse("mgmt.example.com, gw.example.com:8443").value;
        assert!(list.names_origin(&origin("https://mgmt.example.com")));
        assert!(list.names_origin(&origin("https://gw.example.com:8443")));
        assert!(!list.names_origin(&origin("https://mgmt.example.com:8443")));
        assert!(!list.names_origin(&origin("https://gw.example.com")));
    }

    #[test]
    fn e013_a_host_has_no_scheme_path_or_pattern() {
        for bad in ["https://a.example", "a.example/x", "*.a.example", "a.example:x", "a:", "127.1"]
        {
            assert_eq!(HostList::parse(bad).findings[0].code, "CORS-E013", "{bad}");
        }
    }
}
