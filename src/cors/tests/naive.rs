//! The core against a naive reading of its rules, over generated policies and requests.
//!
//! The naive side works on strings, splits and compares, and shares no code with the core but the
//! names of verdicts and reasons.

use proptest::prelude::*;

use super::*;

/// Entries that differ by a little from each other, so that near misses are common.
const ENTRIES: [&str; 10] = [
    "https://a.example",
    "http://a.example",
    "https://b.a.example",
    "https://a.example:8443",
    "https://*.a.example",
    "https://*.a.example:8443",
    "https://*.b.a.example",
    "http://localhost:*",
    "https://*.a.example:*",
    "http://[::1]:3000",
];
const NAMES: [&str; 6] = ["content-type", "Authorization", "x-a", "X-AB", "x-b", "*"];
const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "NEW"];

#[derive(Clone, Debug)]
struct Config {
    origins: Vec<&'static str>,
    methods: Vec<&'static str>,
    headers: Vec<&'static str>,
    block: &'static str,
}

fn config() -> impl Strategy<Value = Config> {
    use proptest::sample::{select, subsequence};
    let any = |list: Vec<&'static str>| prop_oneof![4 => Just(list), 1 => Just(vec!["*"])];
    (
        subsequence(ENTRIES.to_vec(), 0..=8).prop_flat_map(any),
        subsequence(METHODS.to_vec(), 1..=8).prop_flat_map(any),
        subsequence(NAMES.to_vec(), 0..=6),
        select(vec!["off", "unsafe", "all"]),
    )
        .prop_map(|(origins, methods, headers, block)| Config {
            origins,
            methods,
            headers,
            block,
        })
}

fn origin() -> impl Strategy<Value = String> {
    let whole =
        proptest::sample::select(ENTRIES.to_vec()).prop_map(|entry| entry.replace('*', "3"));
    let parts = (
        "(https?|HTTPS|file|)",
        "(://|:|//)",
        "(([abx*_-]|xn--1)\\.){0,3}(a\\.example|example|localhost|A\\.example|\\[::1\\])\\.?",
        "(:(0|80|443|8443|3000|65536|x|))?",
        "[/, ?]?",
    )
        .prop_map(|(scheme, colon, host, port, tail)| format!("{scheme}{colon}{host}{port}{tail}"));
    let long = "(a\\.){0,180}".prop_map(|labels| format!("https://{labels}a.example"));
    let null = Just("null".to_owned());
    prop_oneof![2 => whole, 4 => parts, 1 => null, 1 => "[ -~]{0,12}", 1 => long]
}

/// Usually one, sometimes none or two.
fn origins() -> impl Strategy<Value = Vec<String>> {
    prop_oneof![
        8 => proptest::collection::vec(origin(), 1),
        1 => Just(Vec::new()),
        1 => proptest::collection::vec(origin(), 2),
    ]
}

fn sent_method() -> impl Strategy<Value = &'static str> {
    proptest::sample::select([&METHODS[..], &["TRACE", "OPTIONS", "OPTIONS", "OPTIONS"]].concat())
}

fn asked() -> impl Strategy<Value = Vec<String>> {
    let method = prop_oneof![
        8 => proptest::sample::select(METHODS.to_vec()).prop_map(str::to_owned),
        1 => "(\\*|get|TRACE|P T|,|)",
    ];
    proptest::collection::vec(method, 0..=2)
}

fn config_of(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

fn requested_headers() -> impl Strategy<Value = Vec<String>> {
    let name = prop_oneof![
        6 => proptest::sample::select(NAMES.to_vec()).prop_map(str::to_owned),
        1 => Just("X-A".to_owned()),
        1 => Just("AUTHORIZATION".to_owned()),
        1 => "[ -~]{0,4}",
    ];
    let line = prop_oneof![
        20 => proptest::collection::vec(name, 0..5).prop_map(|names| names.join(" ,\t")),
        1 => (60usize..70).prop_map(|count| "x-a,".repeat(count)),
        1 => (60usize..70).prop_map(|count| ",".repeat(count)),
        1 => (4090usize..4100).prop_map(|count| "a".repeat(count)),
    ];
    proptest::collection::vec(line, 0..3)
}

fn naive_grammar(origin: &str) -> Result<(String, String, Option<u32>), Reason> {
    if origin.len() > 326 {
        return Err(Reason::OriginTooLong);
    }
    if origin == "null" {
        return Err(Reason::OriginNull);
    }
    if origin.contains([',', ' ', '\t']) {
        return Err(Reason::OriginMultiple);
    }
    let bad = Reason::OriginMalformed;
    let (scheme, rest) = origin.split_once("://").ok_or(bad)?;
    let scheme_ok = scheme.starts_with(|c: char| c.is_ascii_lowercase())
        && scheme
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "+-.".contains(c));
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (rest, None),
    };
    let label_ok = |label: &str| {
        !label.is_empty()
            && label
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-".contains(c))
    };
    let host_ok = host == "[::1]" || (host.len() <= 253 && host.split('.').all(label_ok));
    let port = match port {
        None => None,
        Some(text) => {
            let number: u32 = text.parse().map_err(|_| bad)?;
            let canonical = number.to_string() == text && (1..=65535).contains(&number);
            let default = matches!((scheme, number), ("http", 80) | ("https", 443));
            if !canonical || default {
                return Err(bad);
            }
            Some(number)
        }
    };
    if !scheme_ok || !host_ok {
        return Err(bad);
    }
    Ok((scheme.to_owned(), host.to_owned(), port))
}

fn naive_origin(config: &Config, origin: &str) -> Result<(), Reason> {
    if config.origins == ["*"] {
        return Ok(());
    }
    let (scheme, host, port) = naive_grammar(origin)?;
    let covered = config.origins.iter().any(|entry| {
        let (entry_scheme, rest) = entry.split_once("://").unwrap();
        let (entry_host, entry_port) = match rest.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, Some(port)),
            _ => (rest, None),
        };
        let host_ok = match entry_host.strip_prefix('*') {
            Some(suffix) => host.ends_with(suffix) && host.len() > suffix.len(),
            None => host == entry_host,
        };
        let port_ok = match entry_port {
            Some("*") => true,
            Some(number) => port.map(|p| p.to_string()).as_deref() == Some(number),
            None => port.is_none(),
        };
        scheme == entry_scheme && host_ok && port_ok
    });
    if covered { Ok(()) } else { Err(Reason::OriginNotListed) }
}

fn naive_method(config: &Config, method: &str) -> bool {
    let listed = |wanted| config.methods.contains(&wanted);
    (listed(method) && method != "*")
        || (method == "HEAD" && listed("GET"))
        || (listed("*") && !["*", "TRACE", "TRACK", "CONNECT"].contains(&method))
}

fn naive_headers(config: &Config, lines: &[String]) -> Result<(), Reason> {
    let joined = lines.join(",");
    if joined.len() > 4096 {
        return Err(Reason::HeadersTooLarge);
    }
    let elements: Vec<&str> = match lines {
        [] => vec![],
        _ => joined.split(',').map(|e| e.trim_matches([' ', '\t'])).collect(),
    };
    let token = |name: &&str| {
        name.chars().all(|c| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c))
    };
    // The first fault counts, as in a reader that goes from left to right.
    for end in 1..=elements.len() {
        let seen = &elements[..end];
        if !token(&seen[end - 1]) {
            return Err(Reason::HeadersMalformed);
        }
        let empty = seen.iter().filter(|name| name.is_empty()).count();
        if empty > 64 || end - empty > 64 {
            return Err(Reason::HeadersTooLarge);
        }
    }
    let listed = |name: &str| {
        config.headers.iter().any(|known| *known != "*" && known.eq_ignore_ascii_case(name))
    };
    let all = elements.iter().filter(|name| !name.is_empty()).all(|name| {
        let lower = name.to_ascii_lowercase();
        let any = config.headers.contains(&"*");
        listed(name)
            || (lower == "content-type" && !any)
            || (any && lower != "authorization" && lower != "*")
    });
    if all { Ok(()) } else { Err(Reason::HeadersNotListed) }
}

fn naive(
    config: &Config,
    method: &str,
    origins: &[String],
    asked: &[String],
    headers: &[String],
) -> (Kind, Verdict, Reason) {
    let off = config.origins.is_empty();
    let unsafe_method = !matches!(method, "GET" | "HEAD" | "OPTIONS");
    let guarded = config.block == "all" || (config.block == "unsafe" && unsafe_method);
    let blocked = if unsafe_method { Reason::CrossSiteWrite } else { Reason::ForeignBlocked };
    let preflight = method == "OPTIONS" && !asked.is_empty();
    if origins.is_empty() {
        return match off {
            true => (Kind::None, Verdict::Off, Reason::PolicyOff),
            false => (Kind::None, Verdict::NotCors, Reason::NoOrigin),
        };
    }
    let kind = if preflight { Kind::Preflight } else { Kind::Actual };
    let allowed = match origins {
        _ if config.origins == ["*"] => Ok(()),
        [origin] => naive_origin(config, origin),
        _ => Err(Reason::OriginMultiple),
    };
    if off {
        return match guarded {
            true => (kind, Verdict::Blocked, blocked),
            false => (kind, Verdict::Off, Reason::PolicyOff),
        };
    }
    if preflight {
        let reason = allowed
            .and_then(|()| match asked {
                [one] => {
                    let one = one.trim_matches([' ', '\t']);
                    let token = !one.is_empty()
                        && one.chars().all(|c| c.is_ascii_alphanumeric() || c == '*');
                    if !token {
                        Err(Reason::MethodMalformed)
                    } else if naive_method(config, one) {
                        Ok(())
                    } else {
                        Err(Reason::MethodNotListed)
                    }
                }
                _ => Err(Reason::MethodMalformed),
            })
            .and_then(|()| naive_headers(config, headers));
        return match reason {
            Ok(()) => (kind, Verdict::Allowed, Reason::Ok),
            Err(reason) => (kind, Verdict::Denied, reason),
        };
    }
    let listed = method == "OPTIONS" || naive_method(config, method);
    match (allowed, listed) {
        (Ok(()), true) => (kind, Verdict::Allowed, Reason::Ok),
        _ if guarded => (kind, Verdict::Blocked, blocked),
        (Ok(()), false) => (kind, Verdict::Denied, Reason::MethodNotListed),
        (Err(reason), _) => (kind, Verdict::Denied, reason),
    }
}

proptest! {
    #![proptest_config(config_of(1500))]

    #[test]
    fn the_core_decides_as_the_naive_model(
        config in config(),
        method in sent_method(),
        origins in origins(),
        asked in asked(),
        headers in requested_headers(),
    ) {
        let lines = [
            format!("cors.allowed.origin={}", config.origins.join(",")),
            format!("cors.allowed.methods={}", config.methods.join(",")),
            format!("cors.allowed.headers={}", config.headers.join(",")),
            format!("cors.block.disallowed={}", config.block),
        ];
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        // An empty list with other settings is refused at start; the policy is then the default.
        let policies = match config.origins.is_empty() {
            true => policies(&lines[3..]),
            false => policies(&lines),
        };
        let mut sent: Vec<(&str, &str)> = origins.iter().map(|o| (ORIGIN, o.as_str())).collect();
        sent.extend(asked.iter().map(|m| (ACRM, m.as_str())));
        sent.extend(headers.iter().map(|h| (ACRH, h.as_str())));
        let found = decision(&policies.inference, &format!("{method} /x"), &sent);
        let expected = naive(&config, method, &origins, &asked, &headers);
        prop_assert_eq!((found.kind, found.verdict, found.reason), expected);
        let shared = found.verdict == Verdict::Allowed;
        let star = config.origins == ["*"];
        match &found.allow_origin {
            AllowOrigin::Absent => prop_assert!(!shared),
            AllowOrigin::Any => prop_assert!(star),
            AllowOrigin::Echo(value) => prop_assert!(shared && value == origins[0].as_str()),
        }
    }

    #[test]
    fn a_browser_agrees_with_every_decision(
        config in config().prop_filter("on", |c| !c.origins.is_empty() && c.block == "off"),
        origin in origin().prop_filter("a browser's", |origin| naive_grammar(origin).is_ok()),
        method in proptest::sample::select(METHODS.to_vec()),
        names in proptest::collection::vec(proptest::sample::select(NAMES[..5].to_vec()), 0..4),
    ) {
        let lines = [
            format!("cors.allowed.origin={}", config.origins.join(",")),
            format!("cors.allowed.methods={}", config.methods.join(",")),
            format!("cors.allowed.headers={}", config.headers.join(",")),
        ];
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let policy = policies(&lines).inference;
        let headers = names.iter().map(|name| PageHeader::parse(name)).collect();
        let (asking, method_text) = (origin.clone(), method.to_owned());
        let page =
            PageRequest { origin: asking, method: method_text, headers, credentials: false };
        let explained = explain(&policy, &page, "127.0.0.1:8080", "/predictions/m");
        let allowed = naive_origin(&config, &origin).is_ok()
            && naive_method(&config, method)
            && naive_headers(&config, &page.unsafe_header_names()).is_ok();
        prop_assert_eq!(explained.allowed, allowed, "{}", explained);
    }
}
