//! 1.1 to 1.24: front ends that call services, and what gateways, proxies and frameworks do.

use super::*;
use crate::cors_commands::{text, torchfront};

/// The origins need cookies, one model is for everybody.
const PUBLIC_AND_PRIVATE: Lines = &[
    "cors.allowed.origin=https://mywebapp.com",
    "cors.allow.credentials=true",
    "cors.model.mlp.allowed.origin=*",
    "cors.model.mlp.allow.credentials=false",
    "cors.model.mlp.exposed.headers=X-Request-Id",
];

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
    let own = "disable_token_authorization=true\ncors.allowed.origin.file=origins.txt\n\
               cors.exposed.headers=X-Request-Id\n";
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
fn seed_1_22_a_preflight_needs_no_token_and_a_refusal_can_be_read() {
    let server = serving(TOKENS);
    let asked = preflight(server.inference, PREDICT, APP, "POST", "authorization");
    is(&asked, 204, Some(APP));
    let without = predict(server.inference, APP, &[]);
    is(&without, 400, Some(APP));
    assert_eq!(without.error().1, "InvalidKeyException");
    let bearer = inference_bearer(&server);
    is(&predict(server.inference, APP, &[("Authorization", &bearer)]), 200, Some(APP));
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
