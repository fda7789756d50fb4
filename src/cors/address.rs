//! IP literals of origins: which spellings a browser would send, and what to write instead. PURE.
//!
//! Used by `pattern.rs` when a configured host looks like an address. Browsers serialise addresses
//! canonically (URL standard), so that any other spelling would never match.

use std::net::{Ipv4Addr, Ipv6Addr};

/// What a host is by the URL standard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostKind {
    /// A name.
    Name,
    /// An address as browsers write it; `true` when it is loopback.
    Address {
        /// 127.0.0.0/8 or `::1`.
        loopback: bool,
    },
    /// An address in another spelling, with the canonical one where it can be read.
    NotCanonical(Option<String>),
}

/// Classifies a host without port; IPv6 with its brackets.
pub fn classify(host: &str) -> HostKind {
    if let Some(inner) = host.strip_prefix('[') {
        return classify_ipv6(inner.strip_suffix(']').unwrap_or(inner), true);
    }
    if host.contains(':') {
        return classify_ipv6(host, false);
    }
    if !ends_in_number(host) {
        return HostKind::Name;
    }
    match host.parse::<Ipv4Addr>() {
        Ok(address) => HostKind::Address { loopback: address.is_loopback() },
        Err(_) => HostKind::NotCanonical(read_ipv4(host).map(|address| address.to_string())),
    }
}

/// `localhost`, a name below it, or a loopback address.
pub fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host.ends_with(".localhost")
        || matches!(classify(host), HostKind::Address { loopback: true })
}

fn classify_ipv6(inner: &str, bracketed: bool) -> HostKind {
    // A zone never reaches an origin; the address itself may still be right.
    let address = inner.split('%').next().unwrap_or(inner);
    let Ok(address) = address.parse::<Ipv6Addr>() else { return HostKind::NotCanonical(None) };
    if let Some(mapped) = address.to_ipv4_mapped() {
        return HostKind::NotCanonical(Some(mapped.to_string()));
    }
    let canonical = address.to_string();
    if bracketed && canonical == inner {
        HostKind::Address { loopback: address.is_loopback() }
    } else {
        HostKind::NotCanonical(Some(format!("[{canonical}]")))
    }
}

/// The URL standard's "ends in a number" check: such a host is an IPv4 address or invalid.
fn ends_in_number(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let last = host.rsplit('.').next().unwrap_or_default();
    !last.is_empty() && (last.bytes().all(|b| b.is_ascii_digit()) || read_number(last).is_some())
}

/// The URL standard's IPv4 parser: one to four numbers, decimal, octal or hexadecimal, of which the
/// last fills what is left.
fn read_ipv4(host: &str) -> Option<Ipv4Addr> {
    let numbers = host
        .strip_suffix('.')
        .unwrap_or(host)
        .split('.')
        .map(read_number)
        .collect::<Option<Vec<u64>>>()?;
    let (last, firsts) = numbers.split_last()?;
    let room = 4u32.checked_sub(u32::try_from(firsts.len()).ok()?).filter(|&left| left > 0)?;
    if firsts.iter().any(|&number| number > 255) || *last >= 1u64 << (8 * room) {
        return None;
    }
    let high =
        firsts.iter().zip([24u32, 16, 8]).map(|(number, shift)| number << shift).sum::<u64>();
    Some(Ipv4Addr::from(u32::try_from(high + last).ok()?))
}

fn read_number(text: &str) -> Option<u64> {
    if let Some(hex) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        return if hex.is_empty() { Some(0) } else { u64::from_str_radix(hex, 16).ok() };
    }
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    match text.strip_prefix('0') {
        Some(octal) if !octal.is_empty() => u64::from_str_radix(octal, 8).ok(),
        _ => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_addresses_are_recognised() {
        assert_eq!(classify("127.0.0.1"), HostKind::Address { loopback: true });
        assert_eq!(classify("[::1]"), HostKind::Address { loopback: true });
        assert_eq!(classify("10.0.0.7"), HostKind::Address { loopback: false });
        assert_eq!(classify("a.example"), HostKind::Name);
        assert_eq!(classify("1.example"), HostKind::Name);
    }

    #[test]
    fn e020_other_spellings_are_told_the_canonical_one() {
        for (host, canonical) in [
            ("127.1", "127.0.0.1"),
            ("0x7f000001", "127.0.0.1"),
            ("0177.0.0.1", "127.0.0.1"),
            ("2130706433", "127.0.0.1"),
            ("127.0.0.1.", "127.0.0.1"),
            ("[0:0:0:0:0:0:0:1]", "[::1]"),
            ("::1", "[::1]"),
            ("[fe80::1%eth0]", "[fe80::1]"),
            ("[::ffff:1.2.3.4]", "1.2.3.4"),
        ] {
            assert_eq!(classify(host), HostKind::NotCanonical(Some(canonical.into())), "{host}");
        }
    }

    #[test]
    fn e020_what_is_no_address_has_no_proposal() {
        for host in ["1.2.3.4.5", "256.1.1.1", "1.2.3.999", "a.0x", "4294967296", "[zz]", "1:2"] {
            assert_eq!(classify(host), HostKind::NotCanonical(None), "{host}");
        }
    }

    #[test]
    fn loopback_is_localhost_its_subdomains_and_the_loopback_nets() {
        for host in ["localhost", "app.localhost", "127.0.0.1", "127.9.9.9", "[::1]"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["localhost.evil.example", "notlocalhost", "128.0.0.1", "[::2]", "127.1"] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
