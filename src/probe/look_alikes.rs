//! Origins that resemble an allowed one and belong to somebody else. PURE.
//!
//! Each is let in by a mistake that allow-lists really have: matching a prefix, a suffix or a substring,
//! a dot of a regular expression that matches anything, another scheme or port taken for the same, a
//! list or a user part read as one origin. Names end in `.invalid` or could be registered by anybody;
//! nothing is ever looked up.

/// What resembles `origin`.
pub(super) fn look_alikes(origin: &str) -> Vec<String> {
    let Some((scheme, authority)) = origin.split_once("://") else { return Vec::new() };
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => {
            (host, format!(":{port}"))
        }
        _ => (authority, String::new()),
    };
    let other_scheme = if scheme == "https" { "http" } else { "https" };
    let other_port = if port == ":8443" { ":9443" } else { ":8443" };
    let mut found = vec![
        format!("{other_scheme}://{authority}"),
        format!("{scheme}://{host}{other_port}"),
        format!("{scheme}://cors-probe.invalid@{authority}"),
        format!("{scheme}://{authority}, {scheme}://cors-probe.invalid"),
        format!("{scheme}://{authority}/"),
    ];
    if !host.starts_with('[') && !is_address(host) {
        found.extend([
            format!("{scheme}://{host}.cors-probe.invalid{port}"),
            format!("{scheme}://{host}_.cors-probe.invalid{port}"),
            format!("{scheme}://cors-probe-{host}{port}"),
            format!("{scheme}://cors-probe{host}{port}"),
        ]);
        if let Some((first, rest)) = host.split_once('.') {
            found.push(format!("{scheme}://{first}x{rest}{port}"));
        }
    }
    found
}

fn is_address(host: &str) -> bool {
    host.parse::<std::net::Ipv4Addr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn look_alikes_are_never_the_origin_and_cover_every_mistake() {
        let found = look_alikes("https://app.example.com");
        for one in [
            "http://app.example.com",
            "https://app.example.com:8443",
            "https://app.example.com.cors-probe.invalid",
            "https://cors-probeapp.example.com",
            "https://appxexample.com",
            "https://cors-probe.invalid@app.example.com",
            "https://app.example.com, https://cors-probe.invalid",
        ] {
            assert!(found.iter().any(|origin| origin == one), "{one} is not in {found:?}");
        }
        for origin in
            ["https://a.example", "http://localhost:3000", "http://[::1]:8443", "http://127.0.0.1"]
        {
            assert!(!look_alikes(origin).contains(&origin.to_owned()));
        }
        assert!(look_alikes("http://[::1]:3000").iter().all(|origin| !origin.contains("invalid]")));
        assert!(look_alikes("null").is_empty());
    }
}
