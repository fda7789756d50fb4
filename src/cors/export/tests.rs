//! The regular expressions of the exports against the matching that serves, and what is refused.

use proptest::prelude::*;
use regex::Regex;

use super::*;
use crate::cors::{
    AllowedHeaders, AllowedMethods, AllowedOrigins, ListenerFacts, OriginPattern, OriginSet,
    Setting, compile,
};

fn place() -> Place {
    let address = |port: u16| format!("127.0.0.1:{port}");
    Place { listen: address(8000), upstream: address(8080), path: "/ping".to_owned() }
}

fn written(lines: &[(&str, &str)], target: ExportTarget) -> Result<String, Vec<String>> {
    let settings: Vec<Setting> = (1..)
        .zip(lines)
        .map(|(line, (key, value))| Setting::in_file(key, value, "config.properties", line))
        .collect();
    let compiled = compile(&settings, &ListenerFacts::default());
    let policies = compiled.policies.unwrap_or_else(|| panic!("{:?}", compiled.problems));
    export(&policies.inference, target, &place())
        .map(|export| export.text)
        .map_err(|refusal| refusal.reasons)
}

const SOUND: (&str, &str) = ("cors.allowed.origin", "https://a.example");

fn whole(regex: &str) -> Regex {
    Regex::new(&format!("^(?:{regex})$")).unwrap()
}

#[test]
fn what_a_target_cannot_say_is_refused_with_the_reason() {
    use ExportTarget::{Curl, Envoy, IngressNginx, Nginx};
    let all = [Nginx, IngressNginx, Envoy];
    for (lines, targets, reason) in [
        (&[][..], &[Nginx, IngressNginx, Envoy, Curl][..], "no origin is allowed"),
        (&[SOUND, ("cors.model.m.allowed.origin", "*")], &all, "model:m"),
        (&[SOUND, ("cors.debug", "true")], &all, "debug"),
        (&[("cors.allowed.origin", "https://*.a.example")], &[IngressNginx], "one label"),
        (&[("cors.allowed.origin", "http://localhost:*")], &[IngressNginx], "every port"),
        (&[SOUND, ("cors.allowed.methods", "GET")], &[IngressNginx], "POST is not allowed"),
        (&[SOUND, ("cors.allowed.headers", "*")], &[IngressNginx], "names only"),
        (&[SOUND, ("cors.preflight.status", "200")], &[IngressNginx], "preflight.status"),
        (&[SOUND, ("cors.allow.timing", "true")], &[IngressNginx], "allow.timing"),
        (&[SOUND, ("cors.exposed.headers", "X$Y")], &[Nginx], "`$`"),
    ] {
        for target in targets {
            let reasons = match written(lines, *target) {
                Err(reasons) => reasons.join("\n"),
                Ok(text) => panic!("{target:?} wrote {text}"),
            };
            let off = *target == Curl && reasons.contains("is off");
            assert!(off || reasons.contains(reason), "{target:?}: {reasons}");
        }
    }
}

#[test]
fn a_policy_that_is_off_because_the_edge_owns_it_is_exported() {
    let lines = [SOUND, ("cors.mode", "off")];
    assert!(written(&lines, ExportTarget::Nginx).unwrap().contains("https://a[.]example"));
}

#[test]
fn timings_are_for_the_pages_that_may_read_the_answer() {
    for target in [ExportTarget::Nginx, ExportTarget::Envoy] {
        let sends = |lines: &[(&str, &str)]| {
            let text = written(lines, target).unwrap().to_ascii_lowercase();
            text.contains("add_header timing-allow-origin")
                || text.contains("\"key\": \"timing-allow-origin\"")
        };
        assert!(sends(&[SOUND, ("cors.allow.timing", "true")]), "{target:?}");
        assert!(!sends(&[SOUND]), "{target:?}");
    }
}

#[test]
fn long_lists_are_a_hash_table_of_nginx_and_refused_for_envoy() {
    let origins: Vec<String> = (0..600).map(|n| format!("https://t{n}.example")).collect();
    let lines = [("cors.allowed.origin", origins.join(","))];
    let lines = lines.each_ref().map(|(key, value)| (*key, value.as_str()));
    let nginx = written(&lines, ExportTarget::Nginx).unwrap();
    assert!(
        nginx.contains("map_hash_max_size 2048;") && nginx.contains("\"1 https://t599.example\"")
    );
    assert!(written(&lines, ExportTarget::Envoy).unwrap_err()[0].contains("500"));
}

#[test]
fn a_listed_name_with_a_percent_sign_is_no_command_of_envoy() {
    let text = written(&[SOUND, ("cors.exposed.headers", "X%Y")], ExportTarget::Envoy).unwrap();
    assert!(text.contains("\"X%%Y\""), "{text}");
}

#[test]
fn curl_quotes_what_the_shell_would_read() {
    let lines = [SOUND, ("cors.allowed.headers", "X-It's`id`"), ("cors.max.age", "5")];
    let text = written(&lines, ExportTarget::Curl).unwrap();
    assert!(text.contains(r"x-it'\''s`id`'"), "{text}");
    assert!(text.contains("# expect: access-control-max-age: 5\n"), "{text}");
}

proptest! {
    #[test]
    fn the_expression_of_an_entry_matches_what_the_entry_covers(
        entry in prop_oneof![
            Just("https://*.example.com"), Just("http://localhost:*"), Just("https://a.example"),
            Just("https://*.example.com:*"), Just("http://[::1]:3000"), Just("https://a-b.example:8443"),
        ],
        origin in "(https?|ftp)://(a|b-c|x_y|\\.|-)?\\.?(example\\.com|exampleXcom|localhost|a\\.example|\\[::1\\]|a-b\\.example)(:(0|80|443|0?[0-9]{1,6}|65535|65536|8443|3000))?/?",
    ) {
        let pattern = OriginPattern::parse(entry).unwrap();
        let set = OriginSet::new(&AllowedOrigins::from_patterns(vec![pattern.clone()]));
        let covered = matches!(set.find(origin.as_bytes()), Ok(Some(_)));
        prop_assert_eq!(whole(&expression::origin(&pattern)).is_match(&origin), covered, "{}", origin);
    }

    #[test]
    fn the_expression_of_the_headers_matches_what_is_granted(
        list in prop_oneof![Just("X-A, X-B.c"), Just("*"), Just("*, Authorization"), Just("")],
        value in "([xX]-[aA]|x-b\\.c|x-bxc|content-type|Authorization|[*]|x y|;|[ \t]{0,3}|,){0,8}",
    ) {
        let headers = AllowedHeaders::parse(list).value;
        let line = crate::cors::wire::HeaderValue::from_str(value.trim_matches([' ', '\t'])).unwrap();
        let granted = headers.check(&[line]).is_ok();
        let value = value.trim_matches([' ', '\t']);
        let matches = |regex: &str| whole(&format!("(?i){regex}")).is_match(value);
        let refused = expression::uncovered_headers(&headers).is_some_and(|regex| matches(&regex));
        prop_assert_eq!(matches(&expression::request_headers(&headers)) && !refused, granted, "{:?}", value);
    }

    #[test]
    fn the_expression_of_the_methods_matches_what_is_allowed(
        list in prop_oneof![Just("GET"), Just("POST, M-SEARCH"), Just("*"), Just("HEAD")],
        method in "(GET|HEAD|POST|M-SEARCH|MxSEARCH|PUT|TRACE|CONNECT|[*]|get)",
    ) {
        let methods = AllowedMethods::parse(list).value;
        let matches = |regex: &str| whole(regex).is_match(&method);
        let refused = methods.is_any() && matches(expression::FORBIDDEN_METHODS);
        let allowed = matches(&expression::methods(&methods)) && !refused;
        prop_assert_eq!(allowed, methods.allows(method.as_bytes()) , "{}", method);
    }
}
