//! 1.25 to 1.51: preflights, exposed headers, cookies, the checklist, recipes, what to avoid.

use super::*;
use crate::cors_commands::{Running, text, torchfront};

#[test]
fn seed_1_25_everything_that_causes_a_preflight_is_answered() {
    let server = serving(COOKIES);
    for (method, headers) in [
        ("GET", "authorization"),
        ("POST", "content-type"),
        ("PUT", ""),
        ("PATCH", ""),
        ("DELETE", ""),
        ("GET", "x-request-id"),
    ] {
        is(&preflight(server.inference, PREDICT, APP, method, headers), 204, Some(APP));
    }
}

#[test]
fn seed_1_26_simple_posts_need_no_preflight() {
    let server = serving(ONE);
    for (content_type, body) in [
        ("text/plain", String::from_utf8_lossy(BODY).into_owned()),
        (
            "multipart/form-data; boundary=x",
            "--x\r\nContent-Disposition: form-data; name=\"data\"\r\n\r\n[0.1, -0.2, 0.3, 0.4]\r\n\
             --x--\r\n"
                .to_owned(),
        ),
    ] {
        let headers = [("Origin", APP), ("Content-Type", content_type)];
        let answer = request(server.inference, "POST", PREDICT, &headers, body.as_bytes());
        is(&answer, 200, Some(APP));
    }
}

#[test]
fn seed_1_27_preflights_are_remembered_for_ten_minutes_unless_told_otherwise() {
    let asked = preflight(serving(ONE).inference, PREDICT, APP, "POST", "");
    assert_eq!(asked.header("access-control-max-age").as_deref(), Some("600"));
    let never = serving(&["cors.allowed.origin=https://mywebapp.com", "cors.max.age=0"]);
    let asked = preflight(never.inference, PREDICT, APP, "POST", "");
    assert_eq!(asked.header("access-control-max-age").as_deref(), Some("0"));
    refused(&[ONE[0], "cors.max.age=86401"], &["CORS-E061"]);
    assert!(warned(&[ONE[0], "cors.max.age=86400"], "CORS-W102"));
    assert!(!warned(&[ONE[0], "cors.max.age=7200"], "CORS-W102"));
}

#[test]
fn seed_1_28_any_list_can_be_exposed_to_those_who_are_allowed() {
    const GITHUB: &str = "ETag, Link, Location, Retry-After, X-GitHub-OTP, X-RateLimit-Limit, \
                          X-RateLimit-Remaining, X-RateLimit-Reset, Deprecation, Sunset";
    let server = serving(&[
        "cors.allowed.origin=https://mywebapp.com",
        "cors.exposed.headers=ETag, Link, Location, Retry-After, X-GitHub-OTP, X-RateLimit-Limit, \
         X-RateLimit-Remaining, X-RateLimit-Reset, Deprecation, Sunset",
    ]);
    let exposed = ping(server.inference, APP).header("access-control-expose-headers");
    assert_eq!(exposed.as_deref(), Some(GITHUB));
    is(&ping(server.inference, EVIL), 200, None);
}

#[test]
fn seed_1_29_exposed_headers_keep_their_order() {
    let server = serving(&[
        "cors.allowed.origin=https://mywebapp.com",
        "cors.exposed.headers=ETag, Link, X-Request-Id, X-RateLimit-Remaining",
    ]);
    assert_eq!(
        cors_lines(&ping(server.inference, APP)),
        [
            "allow-origin: https://mywebapp.com",
            "expose-headers: ETag, Link, X-Request-Id, X-RateLimit-Remaining"
        ]
    );
}

#[test]
fn seed_1_30_cookies_need_allow_credentials_on_every_answer() {
    let server = serving(COOKIES);
    for path in [PREDICT, "/predictions/nope", "/nope"] {
        let headers = [("Origin", APP), ("Cookie", "sid=1")];
        let answer = request(server.inference, "POST", path, &headers, BODY);
        let credentials = answer.header("access-control-allow-credentials");
        assert_eq!(credentials.as_deref(), Some("true"), "{path}");
    }
}

#[test]
fn seed_1_31_explain_judges_requests_with_credentials_as_browsers_do() {
    let server = serving(TWO);
    let explain = |more: &[&str]| {
        torchfront(server.folder.path())
            .args(["cors", "explain", "--ts-config", "config.properties", "--origin", APP])
            .args(more)
            .output()
            .unwrap()
    };
    assert_eq!(explain(&[]).status.code(), Some(0));
    let included = explain(&["--credentials"]);
    assert_eq!(included.status.code(), Some(3));
    let said = text(&included);
    assert!(said.contains("Access-Control-Allow-Credentials is not `true`"), "{said}");
}

#[test]
fn seed_1_32_the_server_sets_no_cookie() {
    let server = serving(COOKIES);
    for answer in [
        ping(server.inference, APP),
        predict(server.inference, APP, &[("Cookie", "sid=1")]),
        preflight(server.inference, PREDICT, APP, "POST", ""),
        request(server.management, "GET", "/models", &[], b""),
    ] {
        assert_eq!(answer.header("set-cookie"), None);
    }
}

#[test]
fn seed_1_33_a_request_with_a_cookie_gets_the_exact_origin() {
    let answer = predict(serving(COOKIES).inference, OTHER, &[("Cookie", "sid=1")]);
    is(&answer, 200, Some(OTHER));
    assert_eq!(answer.header("access-control-allow-credentials").as_deref(), Some("true"));
}

#[test]
fn seed_1_34_the_access_log_tells_the_origin_and_the_verdict() {
    let server = Running::start("cors.allowed.origin=https://mywebapp.com");
    is(&ping(server.inference, EVIL), 200, None);
    let line = server.stop().into_iter().find(|line| line.contains("access_log")).unwrap();
    assert!(line.contains("https://evil.example"), "{line}");
    assert!(line.contains("actual/denied/origin_not_listed"), "{line}");
}

#[test]
fn seed_1_35_headers_of_this_hop_can_be_switched_off_to_find_another_s() {
    is(&ping(serving(ONE).inference, APP), 200, Some(APP));
    is(&ping(serving(EDGE).inference, APP), 200, None);
}

#[test]
fn seed_1_36_options_requests_are_logged_and_counted() {
    let server = Running::start("cors.allowed.origin=https://mywebapp.com\ncors.selftest=off");
    is(&preflight(server.inference, PREDICT, APP, "POST", ""), 204, Some(APP));
    let log = server.stop();
    let line = log.iter().find(|line| line.contains("access_log")).unwrap();
    assert!(line.contains("OPTIONS") && line.contains("status=204"), "{line}");
    assert!(line.contains("preflight/allowed/ok"), "{line}");
    // Without the server's questions to itself.
    let counted = TestServer::start(&[], &[ONE, &["cors.selftest=off"]].concat());
    let before = counted.metric("Requests2XX");
    preflight(counted.inference, PREDICT, APP, "POST", "");
    assert_eq!(counted.metric("Requests2XX") - before, 2.0, "the preflight and the question");
}

#[test]
fn seed_1_37_no_header_comes_twice() {
    let server = serving(COOKIES);
    for answer in [
        ping(server.inference, APP),
        preflight(server.inference, PREDICT, APP, "PUT", "authorization"),
        request(server.inference, "GET", "/nope", &[("Origin", APP)], b""),
    ] {
        for name in ["access-control-allow-origin", "access-control-allow-credentials", "vary"] {
            let lines = answer.headers.iter().filter(|(header, _)| header == name).count();
            assert_eq!(lines, 1, "{name}: {answer:?}");
        }
    }
    let twice = [("Origin", APP), ("Origin", EVIL)];
    is(&request(server.inference, "GET", "/ping", &twice, b""), 200, None);
}

#[test]
fn seed_1_38_vary_is_on_errors_and_refusals_too() {
    let server = serving(TWO);
    let refused = preflight(server.inference, PREDICT, EVIL, "POST", "");
    assert_eq!((refused.status, refused.header("vary").as_deref()), (403, Some(PREFLIGHT_VARY)));
    let large = vec![b'x'; 7_000_000];
    let answer = request(server.inference, "POST", PREDICT, &[("Origin", EVIL)], &large);
    assert_eq!((answer.status, answer.header("vary").as_deref()), (413, Some("Origin")));
}

#[test]
fn seed_1_39_explain_says_whether_credentials_are_the_reason() {
    let server = serving(ANY);
    let output = torchfront(server.folder.path())
        .args(["cors", "explain", "--ts-config", "config.properties", "--origin", APP])
        .args(["--credentials", "--json"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3));
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let conclusion = told["conclusion"].as_str().unwrap();
    assert!(conclusion.contains("`*`") && conclusion.contains("credentials"), "{conclusion}");
    assert_eq!(told["allowed"], false);
}

#[test]
fn seed_1_40_a_header_that_pages_cannot_read_is_warned_of() {
    let answer = ping(serving(ONE).inference, APP);
    assert!(answer.header("x-request-id").is_some());
    assert_eq!(answer.header("access-control-expose-headers"), None);
    assert!(warned(ONE, "CORS-W111"));
}

#[test]
fn seed_1_41_the_curl_preflight() {
    let headers = [
        ("Origin", APP),
        ("Access-Control-Request-Method", "PUT"),
        ("Access-Control-Request-Headers", "Authorization, Content-Type"),
    ];
    let answer = request(serving(COOKIES).inference, "OPTIONS", PREDICT, &headers, b"");
    is(&answer, 204, Some(APP));
}

#[test]
fn seed_1_42_the_curl_request() {
    let answer = predict(serving(COOKIES).inference, APP, &[("Authorization", "Bearer x")]);
    is(&answer, 200, Some(APP));
}

#[test]
fn seed_1_43_recipe_a_public_read_only_api() {
    let server = serving(&[
        "cors.allowed.origin=*",
        "cors.allowed.methods=GET",
        "cors.exposed.headers=ETag, X-Request-Id",
    ]);
    let answer = ping(server.inference, EVIL);
    assert_eq!(cors_lines(&answer), ["allow-origin: *", "expose-headers: ETag, X-Request-Id"]);
    assert_eq!(answer.header("vary"), None);
    is(&preflight(server.inference, PREDICT, EVIL, "POST", ""), 403, None);
    is(&predict(server.inference, EVIL, &[]), 200, None);
}

#[test]
fn seed_1_44_recipe_one_front_end_with_cookies() {
    let server =
        serving(&["cors.allowed.origin=https://mywebapp.com", "cors.allow.credentials=true"]);
    let answer = predict(server.inference, APP, &[("Cookie", "sid=1")]);
    let expected = ["allow-credentials: true", "allow-origin: https://mywebapp.com"];
    assert_eq!(cors_lines(&answer), expected);
    is(&ping(server.inference, OTHER), 200, None);
}

#[test]
fn seed_1_45_recipe_several_trusted_front_ends() {
    let server = serving(COOKIES);
    for (origin, reader) in [(APP, Some(APP)), (OTHER, Some(OTHER)), (EVIL, None)] {
        is(&predict(server.inference, origin, &[]), 200, reader);
    }
}

#[test]
fn seed_1_46_cors_has_one_owner() {
    let answer = predict(serving(EDGE).inference, APP, &[]);
    is(&answer, 200, None);
    let answer = predict(serving(ONE).inference, APP, &[]);
    assert_eq!(cors_lines(&answer), ["allow-origin: https://mywebapp.com"]);
}

#[test]
fn seed_1_47_internal_apis_are_not_opened_by_accident() {
    refused(&["management_cors.allowed.origin=*"], &["CORS-E080", "allow.any.origin=true"]);
    assert!(warned(ANY, "CORS-W114"));
    let accepted = ["management_cors.allowed.origin=*", "management_cors.allow.any.origin=true"];
    assert!(warned(&accepted, "CORS-W110"));
}

#[test]
fn seed_1_48_vary_cannot_be_switched_off() {
    refused(&[ONE[0], "cors.vary=false"], &["CORS-E001"]);
    let answer = request(serving(ONE).inference, "GET", "/nope", &[("Origin", EVIL)], b"");
    assert_eq!((answer.status, answer.header("vary").as_deref()), (404, Some("Origin")));
}

#[test]
fn seed_1_49_a_forgotten_exposed_header_is_an_error_where_warnings_are() {
    refused(&[ONE[0], "cors.strict=true"], &["CORS-E099", "X-Request-Id"]);
}

#[test]
fn seed_1_50_an_allowed_origin_is_no_authorisation() {
    let server = serving(BOTH);
    let models = |headers: &[(&str, &str)]| {
        let answer = request(server.management, "GET", "/models", headers, b"");
        (answer.status, answer.text())
    };
    assert_eq!(models(&[("Origin", ADMIN)]), models(&[]));
    assert_eq!(models(&[("Origin", EVIL)]), models(&[]));
    let server = serving(TOKENS);
    is(&predict(server.inference, APP, &[]), 400, Some(APP));
    // The page is not allowed, the client is: it is served, and the page reads nothing.
    let bearer = inference_bearer(&server);
    is(&predict(server.inference, EVIL, &[("Authorization", &bearer)]), 200, None);
}

#[test]
fn seed_1_51_one_line_is_a_policy() {
    let server = serving(ONE);
    is(&preflight(server.inference, PREDICT, APP, "POST", "content-type"), 204, Some(APP));
    is(&predict(server.inference, APP, &[]), 200, Some(APP));
    let report = torchfront(server.folder.path())
        .args(["cors", "check", "--json", "config.properties"])
        .output()
        .unwrap();
    assert_eq!(report.status.code(), Some(0));
    let report: serde_json::Value = serde_json::from_slice(&report.stdout).unwrap();
    assert_eq!(report["policies"].as_array().unwrap().len(), 3, "one a listener, no exception");
}
