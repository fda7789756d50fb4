//! One entry of an allow-list: an origin, or a pattern `scheme://*.domain`, `scheme://host:*`.
//!
//! The whole grammar of rule B12 and its refusals (CORS-E012 to E022, E025, E026), each with the
//! spelling that was probably meant. An entry that exists can match some browser's `Origin`.

use std::fmt;

use super::{
    address::{self, HostKind},
    diagnostic::Finding,
    origin::{self, MAX_HOST_BYTES, MAX_ORIGIN_BYTES},
};

/// A validated entry of an allow-list.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OriginPattern {
    text: String,
    scheme: String,
    host: HostPattern,
    port: PortPattern,
}

/// Which hosts an entry covers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// This host and no other.
    Exact(String),
    /// Every host below this domain, at any depth, without the domain itself (B13).
    Subdomains(String),
}

/// Which ports an entry covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PortPattern {
    /// The default port of the scheme, which origins do not spell.
    Default,
    /// This port.
    Number(u16),
    /// `:*`, the default port included.
    Any,
}

// === impl OriginPattern ===

impl OriginPattern {
    /// Reads one entry.
    ///
    /// # Errors
    /// The first refusal that applies, with the corrected spelling where there is one.
    pub fn parse(entry: &str) -> Result<Self, Finding> {
        refuse_other_languages(entry)?;
        let (scheme, rest) = split_scheme(entry)?;
        let authority = authority_only(entry, scheme, rest)?;
        refuse_other_spellings(entry, scheme, authority)?;
        let (host, port) = split_port(scheme, authority)?;
        let (host, port) = (read_host(scheme, host, port)?, read_port(scheme, host, port)?);
        if entry.len() > MAX_ORIGIN_BYTES {
            return Err(not_an_origin(entry, "it is longer than any origin"));
        }
        Ok(Self { text: entry.to_owned(), scheme: scheme.to_owned(), host, port })
    }

    /// As written in the configuration.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// `https`, `http`, `chrome-extension`, ...
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// Which hosts it covers.
    pub fn host(&self) -> &HostPattern {
        &self.host
    }

    /// Which ports it covers.
    pub fn port(&self) -> PortPattern {
        self.port
    }

    /// One origin, no pattern.
    pub fn is_exact(&self) -> bool {
        matches!(self.host, HostPattern::Exact(_)) && self.port != PortPattern::Any
    }

    /// An origin that it covers.
    pub fn example(&self) -> String {
        let host = match &self.host {
            HostPattern::Exact(host) => host.clone(),
            HostPattern::Subdomains(base) => format!("sub.{base}"),
        };
        match self.port {
            PortPattern::Default => format!("{}://{host}", self.scheme),
            PortPattern::Number(port) => format!("{}://{host}:{port}", self.scheme),
            PortPattern::Any => format!("{}://{host}:3000", self.scheme),
        }
    }

    /// The pages behind it come from this machine.
    pub fn is_loopback(&self) -> bool {
        match &self.host {
            HostPattern::Exact(host) => address::is_loopback(host),
            HostPattern::Subdomains(base) => address::is_loopback(base),
        }
    }

    /// Whoever sits between the page and its server can speak for it.
    pub fn is_forgeable(&self) -> bool {
        self.scheme == "http" && !self.is_loopback()
    }

    /// Strangers can register names below the domain (`*.com`, `*.github.io`). A domain of one
    /// label that is in no list counts, as in the list's own default rule.
    pub fn public_suffix(&self) -> Option<&str> {
        let HostPattern::Subdomains(base) = &self.host else { return None };
        let suffix = psl::suffix(base.as_bytes())?;
        (suffix.as_bytes() == base.as_bytes() && !self.is_loopback()).then_some(base)
    }

    /// Whether it covers this origin. For diagnostics; requests go through
    /// [`OriginSet`](super::OriginSet).
    pub fn covers(&self, origin: &origin::SerializedOrigin<'_>) -> bool {
        let host = match &self.host {
            HostPattern::Exact(host) => host.as_bytes() == origin.host,
            HostPattern::Subdomains(base) => {
                origin.host.strip_suffix(base.as_bytes()).is_some_and(|labels| {
                    labels.strip_suffix(b".").is_some_and(origin::is_dotted_labels)
                })
            }
        };
        let port = match self.port {
            PortPattern::Default => origin.port.is_none(),
            PortPattern::Number(number) => origin.port == Some(number),
            PortPattern::Any => true,
        };
        host && port && self.scheme.as_bytes() == origin.scheme
    }

    /// Whether every origin of `other` is covered by this entry.
    pub fn covers_pattern(&self, other: &Self) -> bool {
        let host = match (&self.host, &other.host) {
            (HostPattern::Exact(a), HostPattern::Exact(b)) => a == b,
            (HostPattern::Exact(_), HostPattern::Subdomains(_)) => false,
            (HostPattern::Subdomains(base), HostPattern::Exact(host)) => {
                host.strip_suffix(base.as_str()).is_some_and(|labels| labels.ends_with('.'))
            }
            (HostPattern::Subdomains(a), HostPattern::Subdomains(b)) => {
                a == b || b.strip_suffix(a.as_str()).is_some_and(|labels| labels.ends_with('.'))
            }
        };
        host && (self.port == PortPattern::Any || self.port == other.port)
            && self.scheme == other.scheme
    }
}

impl fmt::Display for OriginPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn refuse_other_languages(entry: &str) -> Result<(), Finding> {
    let (scheme, rest) = entry.split_once("://").unwrap_or(("", entry));
    let regular = entry.starts_with('^')
        || entry.ends_with('$')
        || entry.contains(['\\', '(', ')', '|', '{', '}'])
        || entry.contains("[^")
        || entry.contains("[a-")
        || scheme.ends_with('?')
        || rest.contains('+');
    if regular {
        return Err(Finding::new(
            "CORS-E026",
            format!("`{entry}` looks like a regular expression, which is not supported"),
        )
        .fix("patterns are written like `https://*.example.com` or `http://localhost:*`"));
    }
    if entry.eq_ignore_ascii_case("null") {
        return Err(Finding::new(
            "CORS-E012",
            "`null` is sent by sandboxed frames and files, anyone can produce it",
        )
        .fix("remove it, and serve the page from an origin of its own"));
    }
    if entry.contains(['"', '\'', ';', '`']) || entry.contains(char::is_whitespace) {
        return Err(Finding::new(
            "CORS-E021",
            format!("`{entry}` has a blank, a quote or a semicolon inside"),
        )
        .fix("separate origins with commas, without quotes"));
    }
    Ok(())
}

fn split_scheme(entry: &str) -> Result<(&str, &str), Finding> {
    if entry.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("file:")) {
        return Err(Finding::new("CORS-E025", "`file:` pages have the origin `null`")
            .fix("serve the page over HTTP, for example from `http://localhost:3000`"));
    }
    let Some((scheme, rest)) = entry.split_once("://") else {
        let host = entry.trim_start_matches('/');
        let host = host.strip_prefix("https:").or(host.strip_prefix("http:")).unwrap_or(host);
        return Err(not_an_origin(entry, "it has no scheme")
            .fix(format!("write e.g. `{}`", guess_origin(host))));
    };
    if scheme.contains('*') {
        return Err(misplaced_asterisk(entry));
    }
    let lower = scheme.to_ascii_lowercase();
    if !origin::is_scheme(lower.as_bytes()) {
        return Err(not_an_origin(entry, "its scheme is invalid")
            .fix(format!("write e.g. `{}`", guess_origin(rest))));
    }
    Ok((scheme, rest))
}

fn authority_only<'a>(entry: &str, scheme: &str, rest: &'a str) -> Result<&'a str, Finding> {
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    if let Some((_, host)) = authority.rsplit_once('@') {
        return Err(Finding::new("CORS-E015", "an origin has no user part")
            .fix(format!("write `{scheme}://{host}`")));
    }
    if authority.is_empty() {
        return Err(
            not_an_origin(entry, "its host is empty").fix("write e.g. `https://www.example.com`")
        );
    }
    if !tail.is_empty() {
        let what = if tail == "/" { "path, not even a trailing slash" } else { "path" };
        return Err(Finding::new("CORS-E014", format!("an origin has no {what}: `{entry}`"))
            .fix(format!("write `{}://{}`", scheme.to_ascii_lowercase(), authority)));
    }
    Ok(authority)
}

fn refuse_other_spellings(entry: &str, scheme: &str, authority: &str) -> Result<(), Finding> {
    if !authority.is_ascii() {
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) => (host, format!(":{port}")),
            None => (authority, String::new()),
        };
        let (star, name) = match host.strip_prefix("*.") {
            Some(name) => ("*.", name),
            None => ("", host),
        };
        let finding = Finding::new(
            "CORS-E019",
            format!("`{entry}` has a host with letters that browsers never send as such"),
        );
        return Err(match idna::domain_to_ascii(name) {
            Ok(name) if !name.is_empty() => {
                finding.fix(format!("write the punycode form `{scheme}://{star}{name}{port}`"))
            }
            _ => finding.fix("write the punycode form (`xn--...`)"),
        });
    }
    if entry.contains(|letter: char| letter.is_ascii_uppercase()) {
        return Err(Finding::new(
            "CORS-E016",
            format!("`{entry}` has upper case, browsers send lower case"),
        )
        .fix(format!("write `{}`", entry.to_ascii_lowercase())));
    }
    Ok(())
}

fn split_port<'a>(scheme: &str, authority: &'a str) -> Result<(&'a str, Option<&'a str>), Finding> {
    if authority.starts_with('[') {
        let Some((_, after)) = authority.split_once(']') else {
            return Err(not_canonical(scheme, authority, None, ""));
        };
        let host = &authority[..authority.len() - after.len()];
        return match after.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if after.is_empty() => Ok((host, None)),
            None => Err(not_an_origin(&format!("{scheme}://{authority}"), "`]` ends the host")),
        };
    }
    if authority.matches(':').count() > 1
        && let HostKind::NotCanonical(Some(canonical)) = address::classify(authority)
    {
        return Err(not_canonical(scheme, authority, Some(canonical), ""));
    }
    Ok(match authority.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    })
}

fn read_host(scheme: &str, host: &str, port: Option<&str>) -> Result<HostPattern, Finding> {
    let entry = || match port {
        Some(port) => format!("{scheme}://{host}:{port}"),
        None => format!("{scheme}://{host}"),
    };
    if host.is_empty() {
        return Err(not_an_origin(&entry(), "its host is empty"));
    }
    let base = match host.strip_prefix("*.") {
        Some(base) => base,
        None => host,
    };
    let is_pattern = base.len() != host.len();
    if base.contains('*') || base.is_empty() {
        return Err(misplaced_asterisk(&entry()));
    }
    match address::classify(base) {
        HostKind::Name if origin::is_dotted_labels(base.as_bytes()) => {}
        HostKind::Name => {
            let finding = not_an_origin(&entry(), "its host is not a host name");
            let clean = base.trim_end_matches('.');
            return Err(match origin::is_dotted_labels(clean.as_bytes()) {
                true => finding.fix(format!("write `{}`", entry().replace(base, clean))),
                false => finding,
            });
        }
        HostKind::Address { .. } | HostKind::NotCanonical(_) if is_pattern => {
            return Err(Finding::new(
                "CORS-E022",
                format!("`{}` has `*` in front of an address, which has no subdomains", entry()),
            )
            .fix(format!("write the address alone: `{}`", entry().replacen("*.", "", 1))));
        }
        HostKind::Address { .. } => {}
        HostKind::NotCanonical(canonical) => {
            let port = port.map(|port| format!(":{port}")).unwrap_or_default();
            return Err(not_canonical(scheme, host, canonical, &port));
        }
    }
    // A pattern needs room for one label and its dot.
    if host.len() > MAX_HOST_BYTES {
        return Err(not_an_origin(&entry(), "its host is longer than 253 characters"));
    }
    Ok(match is_pattern {
        true => HostPattern::Subdomains(base.to_owned()),
        false => HostPattern::Exact(host.to_owned()),
    })
}

fn read_port(scheme: &str, host: &str, port: Option<&str>) -> Result<PortPattern, Finding> {
    let Some(port) = port else { return Ok(PortPattern::Default) };
    if port == "*" {
        return Ok(PortPattern::Any);
    }
    let Some(number) = origin::parse_port(port.as_bytes()) else {
        let finding = Finding::new(
            "CORS-E018",
            format!(
                "`{port}` in `{scheme}://{host}:{port}` is no port: it must be 1-65535, without \
                 leading zero, or `*`"
            ),
        );
        let clean = port.trim_start_matches('0');
        return Err(match origin::parse_port(clean.as_bytes()) {
            Some(_) => finding.fix(format!("write `{scheme}://{host}:{clean}`")),
            None => finding,
        });
    };
    if origin::default_port(scheme.as_bytes()) == Some(number) {
        return Err(Finding::new(
            "CORS-E017",
            format!("browsers omit the default port `:{number}` of `{scheme}`"),
        )
        .fix(format!("write `{scheme}://{host}`")));
    }
    Ok(PortPattern::Number(number))
}

fn not_an_origin(entry: &str, why: &str) -> Finding {
    Finding::new("CORS-E013", format!("`{entry}` is not an origin: {why}"))
}

fn misplaced_asterisk(entry: &str) -> Finding {
    Finding::new(
        "CORS-E022",
        format!(
            "`{entry}`: `*` stands only for whole labels at the start of the host or for a port"
        ),
    )
    .fix("only `scheme://*.domain` and `:*` are supported")
}

fn not_canonical(scheme: &str, host: &str, canonical: Option<String>, port: &str) -> Finding {
    let message = format!("`{host}` is not an address as browsers write it");
    let finding = Finding::new("CORS-E020", message);
    match canonical {
        Some(canonical) => finding.fix(format!("write `{scheme}://{canonical}{port}`")),
        None => finding.fix("write four decimal numbers, or an IPv6 address in brackets"),
    }
}

/// A scheme for a host that was given without one: local pages seldom have certificates.
fn guess_origin(host: &str) -> String {
    let host = host.trim_matches('/').to_ascii_lowercase();
    let host = host.split(['/', '?', '#']).next().unwrap_or_default();
    let name = host.split(':').next().unwrap_or_default();
    match (host.is_empty(), address::is_loopback(name)) {
        (true, _) => "https://www.example.com".to_owned(),
        (false, true) => format!("http://{host}"),
        (false, false) => format!("https://{host}"),
    }
}
