//! `explain` and `check`: what people and machines are told.

use super::*;

fn page(origin: &str, method: &str, headers: &[&str], credentials: bool) -> PageRequest {
    PageRequest {
        origin: origin.into(),
        method: method.into(),
        headers: headers.iter().map(|text| PageHeader::parse(text)).collect(),
        credentials,
    }
}

fn told(lines: &[&str], page: &PageRequest, target: &str) -> Explanation {
    explain(&policies(lines).inference, page, "127.0.0.1:8080", target)
}

const LINES: [&str; 2] =
    ["cors.allowed.origin=https://*.example.com", "cors.exposed.headers=X-Request-Id"];

#[test]
fn an_allowed_request_is_told_with_the_bytes_of_both_exchanges() {
    let page = page(APP, "post", &["Content-Type: application/json"], false);
    let told = told(&LINES, &page, "/predictions/m?x=1");
    assert!(told.allowed, "{told}");
    assert_eq!((told.policy.as_str(), told.steps.iter().all(|step| step.ok)), ("inference", true));
    let preflight = told.preflight.as_ref().unwrap();
    assert_eq!(
        preflight.request,
        "OPTIONS /predictions/m?x=1 HTTP/1.1\r\nhost: 127.0.0.1:8080\r\n\
         origin: https://app.example.com\r\naccess-control-request-method: POST\r\n\
         access-control-request-headers: content-type\r\n\r\n"
    );
    assert_eq!(
        preflight.answer,
        "HTTP/1.1 204 No Content\r\naccess-control-allow-headers: Content-Type\r\n\
         access-control-allow-methods: GET, POST, OPTIONS\r\n\
         access-control-allow-origin: https://app.example.com\r\naccess-control-max-age: 600\r\n\
         vary: Origin, Access-Control-Request-Method, Access-Control-Request-Headers\r\n\r\n"
    );
    assert_eq!(
        told.actual.as_ref().unwrap().answer,
        "HTTP/1.1 200 OK\r\naccess-control-allow-origin: https://app.example.com\r\n\
         access-control-expose-headers: X-Request-Id\r\nvary: Origin\r\n\r\n"
    );
    let text = told.to_string();
    assert!(text.contains("covered by `https://*.example.com`"), "{text}");
    let json = serde_json::to_value(&told).unwrap();
    assert_eq!((&json["allowed"], &json["preflight"]["reason"]), (&true.into(), &"ok".into()));
}

#[test]
fn a_simple_request_needs_no_preflight() {
    let told = told(&LINES, &page(APP, "GET", &["Accept: application/json"], false), "/ping");
    assert!(told.allowed && told.preflight.is_none() && told.actual.is_some());
}

#[test]
fn each_denial_names_its_property_and_what_the_browser_does() {
    for (page, target, text) in [
        (
            page(EVIL, "GET", &[], false),
            "/ping",
            "no entry of cors.allowed.origin covers the origin",
        ),
        (page(APP, "DELETE", &[], false), "/ping", "cors.allowed.methods (GET, POST, OPTIONS)"),
        (
            page(APP, "GET", &["Authorization"], false),
            "/ping",
            "cors.allowed.headers (Content-Type)",
        ),
        (page("null", "GET", &[], false), "/ping", "`null` is never allowed by a list"),
        (
            page("https://App.example.com", "GET", &[], false),
            "/ping",
            "no origin as browsers send it",
        ),
        (page(APP, "GET", &[], true), "/ping", "Access-Control-Allow-Credentials is not `true`"),
    ] {
        let told = told(&LINES, &page, target);
        assert!(!told.allowed);
        let whole = told.to_string();
        assert!(whole.contains(text), "{whole}");
        // A refused preflight is the end; a simple request is served all the same.
        assert_eq!(told.actual.is_none(), told.preflight.is_some(), "{whole}");
    }
}

#[test]
fn any_origin_and_credentials_is_the_browsers_refusal() {
    let told = told(&["cors.allowed.origin=*"], &page(APP, "GET", &[], true), "/ping");
    assert!(!told.allowed && told.conclusion.contains("`*`"), "{told}");
}

#[test]
fn the_override_that_applies_is_named_and_an_off_policy_too() {
    let lines = ["cors.allowed.origin=https://app.example.com", "cors.model.demo.allowed.origin=*"];
    let told_of = told(&lines, &page(EVIL, "GET", &[], false), "/predictions/d%65mo");
    assert_eq!((told_of.policy.as_str(), told_of.allowed), ("model:demo", true));
    let off = told(&[], &page(APP, "PUT", &[], false), "/ping");
    assert!(!off.allowed && off.to_string().contains("is off"), "{off}");
}

#[test]
fn a_blocked_write_is_told_as_refused_by_the_server() {
    let management = ListenerPolicies::default().management;
    let told = explain(&management, &page(EVIL, "POST", &[], false), "127.0.0.1:8081", "/models");
    assert_eq!(told.actual.as_ref().unwrap().reason, Reason::CrossSiteWrite);
    assert!(told.conclusion.starts_with("refused by the server"), "{told}");
    let answer = &told.actual.unwrap().answer;
    assert!(answer.starts_with("HTTP/1.1 403 Forbidden\r\n") && answer.contains("CorsDenied"));
}

#[test]
fn no_header_or_origin_of_a_question_can_break_the_telling() {
    for origin in ["", "\r\n", "\u{e9}", "a\0b"] {
        let odd = page(origin, "G T", &["X A: \r\n", "", ":", "Accept: \u{1}"], true);
        assert!(!told(&LINES, &odd, "no-slash?%zz").allowed);
    }
}

#[test]
fn check_reports_findings_policies_and_the_matrix() {
    let lines = ["cors.allowed.origin=https://*.example.com:*", "cors.allowed.methods=GET,PUT"];
    let report = CheckReport::new(&compile(&settings(&lines), &open()));
    let text = report.to_string();
    assert!(text.contains("warning: config.properties:2: cors.allowed.methods: "), "{text}");
    assert!(
        text.contains("policy inference: on") && text.contains("policy metrics: off"),
        "{text}"
    );
    let rows = &report.policies[0].matrix;
    assert_eq!(rows[0].origin, "https://sub.example.com:3000");
    let json = serde_json::to_value(&report).unwrap();
    let cells = &json["policies"][0]["matrix"];
    let reads = serde_json::json!(["reads", "reads", "hidden", "reads", "hidden", "hidden"]);
    assert_eq!(cells[0]["methods"], reads);
    assert_eq!(cells[1]["methods"], serde_json::json!(vec!["hidden"; 6]));
    let management = &json["policies"][1];
    let refused =
        serde_json::json!(["hidden", "hidden", "refused", "refused", "refused", "refused"]);
    assert_eq!(management["matrix"][0]["methods"], refused);
    assert_eq!(json["warnings"][0]["line"], 1);
}

#[test]
fn check_of_a_refused_configuration_has_no_policies() {
    let report = CheckReport::new(&compile(&settings(&["cors.allowed.origin=null"]), &open()));
    assert_eq!((report.problems.len(), report.policies.len()), (1, 0));
    assert!(report.to_string().starts_with("error: config.properties:1: cors.allowed.origin: "));
}
