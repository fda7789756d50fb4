//! 1.1 to 1.51: front ends that call services.

use super::*;
use crate::cors_commands::{Running, text, torchfront};

/// The origins need cookies, one model is for everybody.
const PUBLIC_AND_PRIVATE: Lines = &[
    "cors.allowed.origin=https://mywebapp.com",
    "cors.allow.credentials=true",
    "cors.model.mlp.allowed.origin=*",
    "cors.model.mlp.allow.credentials=false",
    "cors.model.mlp.exposed.headers=X-Request-Id",
];
/// A proxy in front of the server says who may read.
const EDGE: Lines = &["cors.allowed.origin=https://mywebapp.com", "cors.mode=off"];

#[test]
fn seed_1_01_programs_that_are_no_browser_are_not_concerned() {
    for lines in [OFF, ONE, ANY, COOKIES] {
        let answer = request(serving(lines).inference, "POST", PREDICT, &[], BODY);
        assert_eq!(answer.status, 200);
    }
}

#[test]
fn seed_1_02_behind_a_gateway_it_can_be_silent() {
    let server = serving(EDGE);
    is(&predict(server.inference, APP, &[]), 200, None);
    assert_eq!(ping(server.inference, APP).header("vary"), None);
}

#[test]
fn seed_1_03_services_called_directly_have_policies_by_listener_and_model() {
    let server = serving(PUBLIC_AND_PRIVATE);
    is(&predict(server.inference, EVIL, &[]), 200, Some("*"));
    is(&ping(server.inference, EVIL), 200, None);
    is(&ping(server.inference, APP), 200, Some(APP));
    is(&request(server.management, "GET", "/models", &[("Origin", APP)], b""), 200, None);
}

#[test]
fn seed_1_04_a_route_that_is_called_directly_has_a_policy_of_its_own() {
    let server = serving(&[
        "cors.allowed.origin=https://mywebapp.com",
        "cors.route.uploads.path=/predictions/*",
        "cors.route.uploads.allowed.origin=https://anotherapp.net",
    ]);
    is(&predict(server.inference, OTHER, &[]), 200, Some(OTHER));
    is(&predict(server.inference, APP, &[]), 200, None);
    is(&ping(server.inference, APP), 200, Some(APP));
}

#[test]
fn seed_1_05_third_parties_call_a_public_model_without_credentials() {
    let answer = predict(serving(PUBLIC_AND_PRIVATE).inference, "https://third.example", &[]);
    assert_eq!(cors_lines(&answer), ["allow-origin: *", "expose-headers: X-Request-Id"]);
}

#[test]
fn seed_1_06_the_core_headers_of_an_answer() {
    let answer = predict(serving(COOKIES).inference, APP, &[("Cookie", "sid=1")]);
    assert_eq!(
        cors_lines(&answer),
        [
            "allow-credentials: true",
            "allow-origin: https://mywebapp.com",
            "expose-headers: ETag, X-Request-Id"
        ]
    );
    assert_eq!(answer.header("vary").as_deref(), Some("Origin"));
}

#[test]
fn seed_1_07_the_core_headers_of_a_preflight() {
    let asked =
        preflight(serving(COOKIES).inference, PREDICT, APP, "POST", "authorization,content-type");
    assert_eq!(
        cors_lines(&asked),
        [
            "allow-credentials: true",
            "allow-headers: Authorization, Content-Type, X-Request-Id",
            "allow-methods: GET, POST, PUT, PATCH, DELETE, OPTIONS",
            "allow-origin: https://mywebapp.com",
            "max-age: 600"
        ]
    );
    assert_eq!((asked.status, asked.header("vary").as_deref()), (204, Some(PREFLIGHT_VARY)));
}

#[test]
fn seed_1_08_any_origin_and_credentials_never_meet() {
    refused(&["cors.allowed.origin=*", "cors.allow.credentials=true"], &["CORS-E010"]);
    let answer = predict(serving(ANY).inference, APP, &[("Cookie", "sid=1")]);
    assert_eq!(cors_lines(&answer), ["allow-origin: *"]);
}

#[test]
fn seed_1_09_an_exact_origin_credentials_and_vary_come_together() {
    let answer = ping(serving(COOKIES).inference, OTHER);
    is(&answer, 200, Some(OTHER));
    assert_eq!(answer.header("access-control-allow-credentials").as_deref(), Some("true"));
    assert_eq!(answer.header("vary").as_deref(), Some("Origin"));
}

#[test]
fn seed_1_10_a_gateway_can_own_the_policy() {
    let server = serving(EDGE);
    let asked = preflight(server.inference, "/", APP, "POST", "");
    is(&asked, 200, None);
    assert_eq!(asked.json()["openapi"], "3.0.1", "the preflight is the gateway's");
}

#[test]
fn seed_1_11_services_share_a_file_of_origins_and_are_checked_in_ci() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("origins.txt", "# partners\nhttps://mywebapp.com\nhttps://anotherapp.net\n");
    let own = "cors.allowed.origin.file=origins.txt\ncors.exposed.headers=X-Request-Id\n";
    write("config.properties", own);
    let check = || {
        let mut command = torchfront(folder.path());
        command.args(["cors", "check", "--strict", "config.properties"]).output().unwrap()
    };
    let sound = check();
    assert_eq!(sound.status.code(), Some(0), "{}", text(&sound));
    assert!(text(&sound).contains("https://anotherapp.net"));
    write("origins.txt", "anotherapp.net\n");
    let unsound = check();
    assert_eq!(unsound.status.code(), Some(78));
    assert!(text(&unsound).contains("CORS-E091"), "{}", text(&unsound));
}

#[test]
fn seed_1_12_it_does_not_have_the_defects_of_the_proxy_example() {
    let server = serving(COOKIES);
    is(&ping(server.inference, EVIL), 200, None);
    let plain = request(server.inference, "OPTIONS", "/", &[("Origin", APP)], b"");
    assert_eq!((plain.status, &plain.json()["openapi"]), (200, &"3.0.1".into()));
    for path in ["/ping", "/nope", "/predictions/nope"] {
        let answer = request(server.inference, "GET", path, &[("Origin", APP)], b"");
        assert_eq!(allowed(&answer).as_deref(), Some(APP), "errors too: {path}");
    }
}

#[test]
fn seed_1_13_nothing_is_reflected_but_an_allowed_origin() {
    let server = serving(COOKIES);
    for (origin, method, headers) in [
        (EVIL, "POST", "content-type"),
        (APP, "X-EVIL", "content-type"),
        (APP, "POST", "x-evil"),
        ("https://evil.example\\", "POST", ""),
    ] {
        let asked = preflight(server.inference, PREDICT, origin, method, headers);
        is(&asked, 403, None);
        let all = format!("{asked:?} {}", asked.text()).to_lowercase();
        assert!(!all.contains("evil"), "{all}");
    }
    let asked = preflight(server.inference, PREDICT, APP, "POST", "CONTENT-type");
    let names = asked.header("access-control-allow-headers").unwrap();
    assert_eq!(names, "Authorization, Content-Type, X-Request-Id", "the policy's own spelling");
}

#[test]
fn seed_1_14_caches_are_told_that_answers_depend_on_the_origin() {
    let server = serving(ONE);
    for origin in [APP, EVIL] {
        assert_eq!(ping(server.inference, origin).header("vary").as_deref(), Some("Origin"));
    }
    for path in ["/ping", "/nope", "/predictions/nope"] {
        let answer = request(server.inference, "GET", path, &[], b"");
        assert_eq!(answer.header("vary").as_deref(), Some("Origin"), "{path}");
    }
}

#[test]
fn seed_1_15_a_preflight_is_204_and_empty() {
    let asked = preflight(serving(ONE).inference, PREDICT, APP, "POST", "content-type");
    assert_eq!((asked.status, asked.body.len()), (204, 0));
    for name in ["content-type", "content-length", "transfer-encoding", "cache-control"] {
        assert_eq!(asked.header(name), None, "{name}");
    }
}

#[test]
fn seed_1_16_without_origin_a_request_passes_without_headers() {
    let answer = request(serving(COOKIES).inference, "GET", "/ping", &[], b"");
    is(&answer, 200, None);
    let folder = tempfile::tempdir().unwrap();
    let many: Vec<String> = (0..10_000).map(|n| format!("https://tenant-{n}.example")).collect();
    std::fs::write(folder.path().join("origins.txt"), many.join("\n")).unwrap();
    let store = folder.path().to_owned();
    let file = format!("cors.allowed.origin.file={}", store.join("origins.txt").display());
    let server = TestServer::start_in(folder, &store, &[&file]);
    for (n, found) in [(0, true), (9_999, true), (10_000, false)] {
        let origin = format!("https://tenant-{n}.example");
        assert_eq!(allowed(&ping(server.inference, &origin)).is_some(), found, "{origin}");
    }
}

#[test]
fn seed_1_17_a_disallowed_origin_is_never_a_500() {
    is(&ping(serving(ONE).inference, EVIL), 200, None);
    let blocking =
        serving(&["cors.allowed.origin=https://mywebapp.com", "cors.block.disallowed=unsafe"]);
    is(&ping(blocking.inference, EVIL), 200, None);
    let refused = predict(blocking.inference, EVIL, &[]);
    let (status, kind, message) = refused.error();
    assert_eq!((status, kind.as_str()), (403, "CorsDeniedException"));
    assert!(message.contains("cors.allowed.origin"), "{message}");
}

#[test]
fn seed_1_18_every_setting_of_the_express_example_exists() {
    let server = serving(COOKIES);
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        is(&preflight(server.inference, PREDICT, APP, method, ""), 204, Some(APP));
    }
}

#[test]
fn seed_1_19_every_answer_has_a_request_id_that_pages_can_read() {
    let server = serving(COOKIES);
    let answer = predict(server.inference, APP, &[]);
    assert_eq!(answer.header("x-request-id").unwrap().len(), 36);
    let exposed = answer.header("access-control-expose-headers").unwrap();
    assert!(exposed.contains("X-Request-Id"), "{exposed}");
    assert!(warned(ONE, "CORS-W111"));
    assert!(!warned(COOKIES, "CORS-W111"));
}

#[test]
fn seed_1_20_public_and_private_parts_are_checked_after_they_are_merged() {
    let server = serving(PUBLIC_AND_PRIVATE);
    let public = predict(server.inference, EVIL, &[]);
    assert_eq!(public.header("access-control-allow-credentials"), None);
    let private = ping(server.inference, APP);
    assert_eq!(private.header("access-control-allow-credentials").as_deref(), Some("true"));
    // The model inherits `allow.credentials=true`.
    refused(&PUBLIC_AND_PRIVATE[..3], &["CORS-E010", "cors.model.mlp.allowed.origin"]);
}

#[test]
fn seed_1_21_the_spring_example_holds_for_every_path() {
    let server = serving(TWO);
    for path in ["/", "/ping", PREDICT, "/predictions/nope", "/any/other/path"] {
        let asked = preflight(server.inference, path, OTHER, "GET", "content-type");
        is(&asked, 204, Some(OTHER));
        assert_eq!(asked.header("access-control-max-age").as_deref(), Some("600"), "{path}");
    }
}

#[test]
fn seed_1_22_a_preflight_needs_no_token() {
    let server = TestServer::start(
        &["mlp"],
        &[
            "disable_token_authorization=false",
            "cors.allowed.origin=https://mywebapp.com",
            "cors.allowed.headers=Authorization",
        ],
    );
    let asked = preflight(server.inference, PREDICT, APP, "POST", "authorization");
    is(&asked, 204, Some(APP));
    let without = predict(server.inference, APP, &[]);
    assert_eq!(allowed(&without).as_deref(), Some(APP), "whatever it is, the page can read it");
}

#[test]
fn seed_1_23_an_ingress_s_annotations_are_properties_and_its_defaults_are_refused() {
    refused(&["cors.allowed.origin=*", "cors.allow.credentials=true"], &["CORS-E010"]);
    let server = serving(&[
        "cors.allowed.origin=https://mywebapp.com",
        "cors.allowed.methods=GET, POST, PUT, OPTIONS",
        "cors.allowed.headers=Authorization, Content-Type",
        "cors.allow.credentials=true",
        "cors.max.age=600",
    ]);
    let asked = preflight(server.inference, PREDICT, APP, "PUT", "authorization");
    assert_eq!(
        cors_lines(&asked),
        [
            "allow-credentials: true",
            "allow-headers: Authorization, Content-Type",
            "allow-methods: GET, POST, PUT, OPTIONS",
            "allow-origin: https://mywebapp.com",
            "max-age: 600"
        ]
    );
}

#[test]
fn seed_1_24_the_exact_behaviour_can_be_read_before_it_is_deployed() {
    let server = serving(COOKIES);
    let output = torchfront(server.folder.path())
        .args(["cors", "explain", "--ts-config", "config.properties", "--json"])
        .args(["--origin", APP, "--method", "PUT", "--headers", "Authorization", "--path", PREDICT])
        .output()
        .unwrap();
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let told = told["preflight"]["answer"].as_str().unwrap();
    let asked = preflight(server.inference, PREDICT, APP, "PUT", "authorization");
    for line in told.lines().filter(|line| line.starts_with("access-control-")) {
        let (name, value) = line.split_once(": ").unwrap();
        assert_eq!(asked.header(name).as_deref(), Some(value), "{name}");
    }
    assert!(told.starts_with("HTTP/1.1 204"), "{told}");
    assert_eq!(told.matches("access-control-").count(), cors_lines(&asked).len());
}

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
    let server = Running::start("cors.allowed.origin=https://mywebapp.com");
    is(&preflight(server.inference, PREDICT, APP, "POST", ""), 204, Some(APP));
    let log = server.stop();
    let line = log.iter().find(|line| line.contains("access_log")).unwrap();
    assert!(line.contains("OPTIONS") && line.contains("status=204"), "{line}");
    assert!(line.contains("preflight/allowed/ok"), "{line}");
    let counted = TestServer::start(&[], ONE);
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
