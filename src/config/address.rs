//! Where a listener listens: `http(s)://host[:port]` or `unix:/path`, and who may share an address.
//!
//! Called by `typed.rs` for the three address keys and by `mod.rs` for the rules between them.
//! Host names are resolved when the listener binds, not here.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

/// Which of the three APIs a listener serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// `/ping`, `/predictions/...`.
    Inference,
    /// `/models/...`.
    Management,
    /// `/metrics`.
    Metrics,
}

/// `http` or `https`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Plain HTTP.
    Http,
    /// HTTP over TLS.
    Https,
}

/// One listening address, as the key gives it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ListenAddress {
    /// A TCP socket.
    Tcp {
        /// Plain or TLS.
        scheme: Scheme,
        /// An IP address without brackets, or a lower-case name.
        host: String,
        /// The port; 0 lets the system choose one.
        port: u16,
    },
    /// A Unix domain socket at this absolute path.
    Unix(PathBuf),
}

/// What an address key must look like.
pub(super) const EXPECTED: &str = "http://HOST[:PORT], https://HOST[:PORT] or unix:/PATH, for \
    example http://127.0.0.1:8080 or http://[::1]:8080";

// === impl Role ===

impl Role {
    /// The three roles, in the order in which their listeners start.
    pub const ALL: [Role; 3] = [Role::Inference, Role::Management, Role::Metrics];

    /// The key that sets the address.
    pub fn key(self) -> &'static str {
        match self {
            Role::Inference => "inference_address",
            Role::Management => "management_address",
            Role::Metrics => "metrics_address",
        }
    }

    /// The port of an address that names none (TorchServe's numbers).
    fn default_port(self, scheme: Scheme) -> u16 {
        match (self, scheme) {
            (Role::Inference, Scheme::Http) => 80,
            (Role::Inference, Scheme::Https) => 443,
            (Role::Management, Scheme::Http) => 8081,
            (Role::Management, Scheme::Https) => 8444,
            (Role::Metrics, Scheme::Http) => 8082,
            (Role::Metrics, Scheme::Https) => 8445,
        }
    }
}

// === impl ListenAddress ===

impl ListenAddress {
    /// Plain HTTP on 127.0.0.1; port 0 lets the system choose one.
    pub fn loopback(port: u16) -> ListenAddress {
        ListenAddress::Tcp { scheme: Scheme::Http, host: "127.0.0.1".to_string(), port }
    }

    /// Reads the value of an address key.
    ///
    /// # Errors
    /// What was expected instead.
    pub fn parse(value: &str, role: Role) -> Result<ListenAddress, String> {
        if let Some(path) = strip_prefix_ignore_case(value, "unix:") {
            if !path.starts_with('/') || path.ends_with('/') {
                return Err("unix:/PATH with the absolute path of a socket file".to_string());
            }
            return Ok(ListenAddress::Unix(PathBuf::from(path)));
        }
        let (scheme, authority) = if let Some(rest) = strip_prefix_ignore_case(value, "http://") {
            (Scheme::Http, rest)
        } else if let Some(rest) = strip_prefix_ignore_case(value, "https://") {
            (Scheme::Https, rest)
        } else {
            return Err(EXPECTED.to_string());
        };
        if let Some((authority, _)) = authority.split_once('/') {
            let scheme = if scheme == Scheme::Http { "http" } else { "https" };
            return Err(format!("an address without a path: {scheme}://{authority}"));
        }
        let (host, port) = split_port(authority)?;
        let port = match port {
            None => role.default_port(scheme),
            Some(port) => parse_port(port)?,
        };
        Ok(ListenAddress::Tcp { scheme, host, port })
    }

    /// True for `https://`.
    pub fn is_tls(&self) -> bool {
        matches!(self, ListenAddress::Tcp { scheme: Scheme::Https, .. })
    }

    /// True when only this machine can connect: a loopback IP address, `localhost`, a Unix socket.
    pub fn is_loopback(&self) -> bool {
        match self {
            ListenAddress::Unix(_) => true,
            ListenAddress::Tcp { host, .. } => {
                host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
            }
        }
    }

    /// True when both would bind the same socket, so that the second could not start. Port 0 never
    /// collides: the system gives each listener a port of its own.
    pub fn collides(&self, other: &ListenAddress) -> bool {
        match (self, other) {
            (ListenAddress::Unix(a), ListenAddress::Unix(b)) => a == b,
            (
                ListenAddress::Tcp { host: a, port: port_a, .. },
                ListenAddress::Tcp { host: b, port: port_b, .. },
            ) => port_a == port_b && *port_a != 0 && hosts_overlap(a, b),
            _ => false,
        }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListenAddress::Unix(path) => write!(f, "unix:{}", path.display()),
            ListenAddress::Tcp { scheme, host, port } => {
                let scheme = match scheme {
                    Scheme::Http => "http",
                    Scheme::Https => "https",
                };
                if host.contains(':') {
                    write!(f, "{scheme}://[{host}]:{port}")
                } else {
                    write!(f, "{scheme}://{host}:{port}")
                }
            }
        }
    }
}

/// `host`, `host:port`, `[v6]`, `[v6]:port`; the host comes back checked and in one spelling.
fn split_port(authority: &str) -> Result<(String, Option<&str>), String> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, after) = rest.split_once(']').ok_or("a `]` after the IPv6 address")?;
        let ip: Ipv6Addr =
            host.parse().map_err(|_| "an IPv6 address between `[` and `]`".to_string())?;
        return match after.strip_prefix(':') {
            Some(port) => Ok((ip.to_string(), Some(port))),
            None if after.is_empty() => Ok((ip.to_string(), None)),
            None => Err("`:PORT` or nothing after `]`".to_string()),
        };
    }
    let (host, port) = match authority.split_once(':') {
        Some((_, rest)) if rest.contains(':') => {
            return Err("an IPv6 address in brackets, for example http://[::1]:8080".to_string());
        }
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    };
    let plausible = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    if host.is_empty() || host.len() > 253 || !host.chars().all(plausible) {
        return Err(format!("a host name or an IP address; {EXPECTED}"));
    }
    // Digits and dots that are no address would otherwise go to the resolver as a name.
    if host.chars().all(|c| c.is_ascii_digit() || c == '.') && host.parse::<Ipv4Addr>().is_err() {
        return Err("an IPv4 address of four numbers from 0 to 255".to_string());
    }
    Ok((host.to_ascii_lowercase(), port))
}

fn parse_port(port: &str) -> Result<u16, String> {
    let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    port.parse()
        .ok()
        .filter(|_| digits)
        .ok_or_else(|| "a port from 1 to 65535, or 0 for one that is free".to_string())
}

/// Equal hosts overlap; so does a wildcard with every host, and `localhost` with loopback.
fn hosts_overlap(a: &str, b: &str) -> bool {
    let unspecified = |host: &str| host.parse().is_ok_and(|ip: IpAddr| ip.is_unspecified());
    let loopback = |host: &str| matches!(host, "localhost" | "127.0.0.1" | "::1");
    a == b
        || unspecified(a)
        || unspecified(b)
        || (a == "localhost" && loopback(b))
        || (b == "localhost" && loopback(a))
}

fn strip_prefix_ignore_case<'a>(value: &'a str, prefix: &str) -> Option<&'a str> {
    let head = value.get(..prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then(|| &value[prefix.len()..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(value: &str) -> Result<String, String> {
        ListenAddress::parse(value, Role::Inference).map(|address| address.to_string())
    }

    #[test]
    fn addresses_are_read_in_every_form() {
        for (value, expected) in [
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("HTTP://Example.COM:1", "http://example.com:1"),
            ("https://0.0.0.0:8443", "https://0.0.0.0:8443"),
            ("http://[::]:8080", "http://[::]:8080"),
            ("http://[0:0:0:0:0:0:0:1]:8080", "http://[::1]:8080"),
            ("http://my_host-1", "http://my_host-1:80"),
            ("http://127.0.0.1:65535", "http://127.0.0.1:65535"),
            ("http://127.0.0.1:0", "http://127.0.0.1:0"),
            ("unix:/run/torchfront.sock", "unix:/run/torchfront.sock"),
        ] {
            assert_eq!(parse(value).as_deref(), Ok(expected), "{value}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_the_right_form() {
        for (value, part) in [
            ("", "http://HOST[:PORT]"),
            ("127.0.0.1:8080", "http://HOST[:PORT]"),
            ("ftp://x", "http://HOST[:PORT]"),
            ("http://", "a host name"),
            ("http://:8080", "a host name"),
            ("http://a b", "a host name"),
            ("http://user@host", "a host name"),
            ("http://127.0.0.1:8080/", "without a path: http://127.0.0.1:8080"),
            ("http://h:1/x/y", "without a path: http://h:1"),
            ("http://h:65536", "a port from 1 to 65535"),
            ("http://h:+80", "a port from 1 to 65535"),
            ("http://h:", "a port from 1 to 65535"),
            ("http://::1:8080", "in brackets"),
            ("http://[::1", "a `]`"),
            ("http://[x]:80", "an IPv6 address"),
            ("http://[::1]80", "`:PORT` or nothing"),
            ("http://256.0.0.1:80", "an IPv4 address"),
            ("http://127.1:80", "an IPv4 address"),
            ("unix:relative", "absolute path"),
            ("unix:/dir/", "absolute path"),
            ("é", "http://HOST[:PORT]"),
        ] {
            let error = parse(value).unwrap_err();
            assert!(error.contains(part), "{value}: {error}");
        }
    }

    #[test]
    fn a_missing_port_depends_on_role_and_scheme() {
        for (role, scheme, port) in [
            (Role::Inference, "http", 80),
            (Role::Inference, "https", 443),
            (Role::Management, "http", 8081),
            (Role::Management, "https", 8444),
            (Role::Metrics, "http", 8082),
            (Role::Metrics, "https", 8445),
        ] {
            let address = ListenAddress::parse(&format!("{scheme}://h"), role).unwrap();
            assert_eq!(address.to_string(), format!("{scheme}://h:{port}"));
        }
    }

    #[test]
    fn sockets_that_could_not_both_bind_collide() {
        for (a, b, collides) in [
            ("http://127.0.0.1:1", "http://127.0.0.1:1", true),
            ("http://127.0.0.1:1", "https://127.0.0.1:1", true),
            ("http://0.0.0.0:1", "http://127.0.0.1:1", true),
            ("http://h:1", "http://[::]:1", true),
            ("http://localhost:1", "http://127.0.0.1:1", true),
            ("http://[::1]:1", "http://localhost:1", true),
            ("http://127.0.0.1:1", "http://127.0.0.1:2", false),
            ("http://127.0.0.1:1", "http://127.0.0.2:1", false),
            ("http://127.0.0.1:0", "http://127.0.0.1:0", false),
            ("unix:/a", "unix:/a", true),
            ("unix:/a", "unix:/b", false),
            ("unix:/a", "http://h:1", false),
        ] {
            let parse = |value| ListenAddress::parse(value, Role::Inference).unwrap();
            assert_eq!(parse(a).collides(&parse(b)), collides, "{a} {b}");
        }
    }

    #[test]
    fn loopback_is_known_without_a_resolver() {
        let loopback = |value| ListenAddress::parse(value, Role::Metrics).unwrap().is_loopback();
        assert!(loopback("http://127.9.9.9:1") && loopback("http://[::1]:1"));
        assert!(loopback("http://LOCALHOST:1") && loopback("unix:/s"));
        assert!(!loopback("http://0.0.0.0:1") && !loopback("http://example.com:1"));
    }
}
