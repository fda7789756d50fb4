//! 0.1 to 0.30: CORS through `config.properties`.

use std::fs;
use std::net::TcpListener;

use super::*;
use crate::cors_commands::{Running, free_port, torchfront};

#[test]
fn seed_0_01_by_default_no_cross_origin_request_is_permitted() {
    let server = serving(OFF);
    let answer = ping(server.inference, APP);
    is(&answer, 200, None);
    assert_eq!(answer.header("vary"), None);
    let description = preflight(server.inference, "/", APP, "POST", "");
    is(&description, 200, None);
    assert_eq!(description.json()["openapi"], "3.0.1", "OPTIONS is the router's");
}

#[test]
fn seed_0_02_allow_origin_is_decided_per_request() {
    let server = serving(TWO);
    for (origin, reader) in [(APP, Some(APP)), (OTHER, Some(OTHER)), (EVIL, None)] {
        is(&ping(server.inference, origin), 200, reader);
    }
}

#[test]
fn seed_0_03_allow_methods_is_on_preflights_only() {
    let server = serving(TWO);
    let asked = preflight(server.inference, PREDICT, APP, "POST", "");
    assert_eq!(asked.header("access-control-allow-methods").as_deref(), Some("GET, POST"));
    assert_eq!(predict(server.inference, APP, &[]).header("access-control-allow-methods"), None);
}

#[test]
fn seed_0_04_allow_headers_always_has_content_type() {
    let server = serving(ONE);
    let asked = preflight(server.inference, PREDICT, APP, "POST", "content-type");
    is(&asked, 204, Some(APP));
    assert_eq!(asked.header("access-control-allow-headers").as_deref(), Some("Content-Type"));
    is(&preflight(server.inference, PREDICT, APP, "POST", "x-custom-token"), 403, None);
}

#[test]
fn seed_0_05_allow_credentials_is_true_or_absent() {
    let name = "access-control-allow-credentials";
    let server = serving(COOKIES);
    assert_eq!(ping(server.inference, APP).header(name).as_deref(), Some("true"));
    assert_eq!(ping(server.inference, EVIL).header(name), None);
    assert_eq!(ping(serving(ONE).inference, APP).header(name), None, "never `false`");
}

#[test]
fn seed_0_06_any_origin_works_and_is_warned_of_at_every_start() {
    is(&ping(serving(ANY).inference, EVIL), 200, Some("*"));
    assert!(warned(ANY, "CORS-W101"));
    assert!(!warned(ONE, "CORS-W101"));
}

#[test]
fn seed_0_07_config_properties_is_searched_for_as_torchserve_does() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, key: &str| {
        let file = folder.path().join(name);
        fs::write(&file, format!("cors.{key}=1\n")).unwrap();
        file
    };
    write("config.properties", "from.start.directory");
    let named = write("named.properties", "from.flag");
    let variable = write("variable.properties", "from.variable");
    let found = |flag: bool, set: bool| {
        let mut command = torchfront(folder.path());
        if flag {
            command.arg("--ts-config").arg(&named);
        }
        if set {
            command.env("TS_CONFIG_FILE", &variable);
        }
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(78));
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(found(false, false).contains("cors.from.start.directory"));
    assert!(found(true, false).contains("cors.from.flag"));
    assert!(found(true, true).contains("cors.from.variable"));
}

#[test]
fn seed_0_08_an_unknown_cors_key_is_an_error() {
    refused(&["cors.allowed.origins=https://a.example"], &["CORS-E001", "`cors.allowed.origin`?"]);
}

#[test]
fn seed_0_09_it_is_no_on_off_switch() {
    let server = serving(COOKIES);
    let asked = preflight(server.inference, PREDICT, OTHER, "PATCH", "x-request-id");
    assert_eq!(
        cors_lines(&asked),
        [
            "allow-credentials: true",
            "allow-headers: Authorization, Content-Type, X-Request-Id",
            "allow-methods: GET, POST, PUT, PATCH, DELETE, OPTIONS",
            "allow-origin: https://anotherapp.net",
            "max-age: 600",
        ]
    );
}

#[test]
fn seed_0_10_inference_and_management_are_set_apart() {
    let server = serving(BOTH);
    let models = |origin| request(server.management, "GET", "/models", &[("Origin", origin)], b"");
    is(&ping(server.inference, APP), 200, Some(APP));
    is(&ping(server.inference, ADMIN), 200, None);
    is(&models(ADMIN), 200, Some(ADMIN));
    is(&models(APP), 200, None);
}

#[test]
fn seed_0_11_scenario_one_origin() {
    let server = serving(ONE);
    is(&preflight(server.inference, PREDICT, APP, "POST", "content-type"), 204, Some(APP));
    is(&predict(server.inference, APP, &[]), 200, Some(APP));
    is(&preflight(server.inference, PREDICT, EVIL, "POST", "content-type"), 403, None);
    for near in [
        "https://mywebapp.com.evil.example",
        "https://evilmywebapp.com",
        "https://sub.mywebapp.com",
        "http://mywebapp.com",
        "https://mywebapp.com:8443",
        "https://mywebapp.com:443",
        "https://mywebapp.com/",
        "HTTPS://mywebapp.com",
        "null",
        "",
    ] {
        is(&ping(server.inference, near), 200, None);
    }
}

#[test]
fn seed_0_12_both_addresses_are_read_and_one_for_both_keeps_two_policies() {
    let port = free_port();
    let address = format!("http://0.0.0.0:{port}");
    let lines = [
        format!("inference_address={address}"),
        format!("management_address={address}"),
        "allow_open_management=true".to_owned(),
        BOTH.join("\n"),
    ];
    let server = Running::start(&lines.join("\n"));
    let at = SocketAddr::from(([127, 0, 0, 1], port));
    let models = |origin| request(at, "GET", "/models", &[("Origin", origin)], b"");
    is(&ping(at, APP), 200, Some(APP));
    is(&ping(at, ADMIN), 200, None);
    is(&models(ADMIN), 200, Some(ADMIN));
    is(&models(APP), 200, None);
    drop(server);
    refused(&["inference_address=8080"], &["inference_address"]);
}

#[test]
fn seed_0_13_other_domains_get_no_header_and_may_be_refused() {
    is(&predict(serving(ONE).inference, EVIL, &[]), 200, None);
    let blocking =
        serving(&["cors.allowed.origin=https://mywebapp.com", "cors.block.disallowed=all"]);
    is(&predict(blocking.inference, EVIL, &[]), 403, None);
    is(&ping(blocking.inference, EVIL), 403, None);
    is(&predict(blocking.inference, APP, &[]), 200, Some(APP));
}

#[test]
fn seed_0_14_the_inference_key_does_not_open_management() {
    let server = serving(ONE);
    let answer = request(server.management, "GET", "/models", &[("Origin", APP)], b"");
    is(&answer, 200, None);
    let asked = preflight(server.management, "/models", APP, "GET", "");
    assert_eq!((asked.status == 204, cors_lines(&asked)), (false, vec![]));
}

#[test]
fn seed_0_15_scenario_two_origins_are_echoed_one_at_a_time() {
    let server = serving(TWO);
    for origin in [APP, OTHER] {
        is(&preflight(server.inference, PREDICT, origin, "POST", ""), 204, Some(origin));
        is(&predict(server.inference, origin, &[]), 200, Some(origin));
    }
    is(&predict(server.inference, "https://mywebapp.com, https://anotherapp.net", &[]), 200, None);
}

#[test]
fn seed_0_16_allowed_methods_are_get_and_post() {
    let server = serving(TWO);
    for (method, status) in [("GET", 204), ("HEAD", 204), ("POST", 204), ("PUT", 403), ("get", 403)]
    {
        let asked = preflight(server.inference, PREDICT, APP, method, "");
        assert_eq!(asked.status, status, "{method}");
    }
    let put = request(server.inference, "PUT", PREDICT, &[("Origin", APP)], BODY);
    is(&put, 200, None);
}

#[test]
fn seed_0_17_allowed_headers_extend_content_type() {
    let listed = serving(TWO);
    for names in ["content-type,x-custom-token", "X-Custom-Token", "x-custom-token, ,"] {
        is(&preflight(listed.inference, PREDICT, APP, "POST", names), 204, Some(APP));
    }
    let alone = serving(&[
        "cors.allowed.origin=https://mywebapp.com",
        "cors.allowed.headers=X-Custom-Token",
    ]);
    let asked = preflight(alone.inference, PREDICT, APP, "POST", "content-type,x-custom-token");
    let names = asked.header("access-control-allow-headers").unwrap_or_default();
    assert_eq!((asked.status, names.contains("Content-Type")), (204, true), "{names}");
}

#[test]
fn seed_0_18_cookies_need_credentials_and_bearer_tokens_only_their_header() {
    let bearer = serving(&[
        "cors.allowed.origin=https://mywebapp.com",
        "cors.allowed.headers=Authorization",
    ]);
    let asked = preflight(bearer.inference, PREDICT, APP, "POST", "authorization,content-type");
    is(&asked, 204, Some(APP));
    assert_eq!(asked.header("access-control-allow-credentials"), None);
    is(&predict(bearer.inference, APP, &[("Authorization", "Bearer x")]), 200, Some(APP));
    let cookies = predict(serving(COOKIES).inference, APP, &[("Cookie", "sid=1")]);
    assert_eq!(cookies.header("access-control-allow-credentials").as_deref(), Some("true"));
    let tokens = "disable_token_authorization=false";
    assert!(warned(&[ONE[0], tokens], "CORS-W106"));
    assert!(!warned(&[ONE[0], "cors.allowed.headers=Authorization", tokens], "CORS-W106"));
}

#[test]
fn seed_0_19_scenario_any_origin_is_a_star_without_credentials() {
    let server = serving(ANY);
    for origin in [APP, EVIL, "null", "http://localhost:3000"] {
        let asked = preflight(server.inference, PREDICT, origin, "POST", "content-type");
        is(&asked, 204, Some("*"));
        let answer = predict(server.inference, origin, &[]);
        assert_eq!(cors_lines(&answer), ["allow-origin: *"]);
        assert_eq!(answer.header("vary"), None);
    }
}

#[test]
fn seed_0_20_any_origin_with_credentials_does_not_start() {
    refused(
        &["cors.allowed.origin=*", "cors.allow.credentials=true"],
        &["CORS-E010", "list the origins", "(`cors.allow.credentials=true`, line 3)"],
    );
}

#[test]
fn seed_0_21_production_refuses_any_origin() {
    refused(&["cors.allowed.origin=*", "cors.strict=true"], &["CORS-E099", "development"]);
    let sound = ["cors.exposed.headers=X-Request-Id", "cors.strict=true"];
    assert!(start(&[ONE, &sound[..]].concat()).is_ok());
}

#[test]
fn seed_0_22_everything_is_checked_before_a_port_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let lines = format!(
        "inference_address=http://{}\ncors.allowed.origin=mywebapp.com\ncors.max.age=10m\n",
        taken.local_addr().unwrap()
    );
    fs::write(folder.path().join("config.properties"), lines).unwrap();
    let output = torchfront(folder.path()).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    // A taken port would end it with 1.
    assert_eq!(output.status.code(), Some(78), "{said}");
    assert!(said.contains("config.properties:2: cors.allowed.origin: "), "{said}");
    assert!(said.contains("CORS-E013") && said.contains("`https://mywebapp.com`"), "{said}");
    assert!(said.contains("config.properties:3: cors.max.age: ") && said.contains("CORS-E060"));
}

#[test]
fn seed_0_23_a_restart_applies_a_changed_file() {
    let port = free_port();
    let at = SocketAddr::from(([127, 0, 0, 1], port));
    let lines = |origin| format!("inference_address=http://{at}\ncors.allowed.origin={origin}");
    let first = Running::start(&lines(APP));
    is(&ping(at, APP), 200, Some(APP));
    fs::write(first.file(), lines(OTHER)).unwrap();
    is(&ping(at, APP), 200, Some(APP));
    drop(first);
    let _second = Running::start(&lines(OTHER));
    is(&ping(at, APP), 200, None);
    is(&ping(at, OTHER), 200, Some(OTHER));
}

#[test]
fn seed_0_24_explain_tells_what_a_client_domain_will_get() {
    let server = serving(TWO);
    for (origin, status) in [(APP, 0), (EVIL, 3)] {
        let output = torchfront(server.folder.path())
            .args(["cors", "explain", "--ts-config", "config.properties", "--method", "POST"])
            .args(["--headers", "X-Custom-Token", "--path", PREDICT, "--origin", origin])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(status), "{origin}");
        let asked = preflight(server.inference, PREDICT, origin, "POST", "x-custom-token");
        assert_eq!(asked.status == 204, status == 0, "{origin}");
    }
}

#[test]
fn seed_0_25_debug_lets_the_browser_console_name_the_reason() {
    let server = serving(&["cors.allowed.origin=https://mywebapp.com", "cors.debug=true"]);
    let asked = preflight(server.inference, PREDICT, APP, "POST", "x-custom-token");
    is(&asked, 204, Some(APP));
    assert_eq!(asked.header("access-control-allow-headers").as_deref(), Some("Content-Type"));
    assert_eq!(asked.header("x-cors-reason").as_deref(), Some("headers_not_listed"));
    let foreign = ping(server.inference, EVIL);
    assert_eq!(foreign.header("x-cors-reason").as_deref(), Some("origin_not_listed"));
    assert!(warned(&["cors.allowed.origin=https://a.example", "cors.debug=true"], "CORS-W115"));
}

#[test]
fn seed_0_26_management_needs_its_own_settings_and_refuses_foreign_writes() {
    let server = serving(BOTH);
    let write = |headers: &[(&str, &str)]| {
        request(server.management, "POST", "/models?url=x.mar", headers, b"").status
    };
    assert_eq!(write(&[("Origin", EVIL)]), 403);
    assert_eq!(write(&[("Origin", APP)]), 403, "inference's origin");
    assert_eq!(write(&[("Origin", ADMIN)]), 403, "POST is not among management's methods");
    assert_eq!(write(&[("Sec-Fetch-Site", "same-site")]), 403);
    assert_ne!(write(&[]), 403, "curl is no browser");
    let own = format!("http://{}", server.management);
    assert_ne!(write(&[("Origin", &own)]), 403, "a page of our own");
}

#[test]
fn seed_0_27_the_management_key_is_spelt_with_an_underscore() {
    let models = request(serving(BOTH).management, "GET", "/models", &[("Origin", ADMIN)], b"");
    is(&models, 200, Some(ADMIN));
    for wrong in ["management.cors.allowed.origin", "managment_cors.allowed.origin"] {
        let line = format!("{wrong}=https://admin.mywebapp.com");
        refused(&[&line], &["CORS-E001", "did you mean `management_cors.allowed.origin`?"]);
    }
}

#[test]
fn seed_0_28_what_is_not_listed_is_not_allowed() {
    let server = serving(BOTH);
    let status =
        |to, path, origin, method, headers| preflight(to, path, origin, method, headers).status;
    assert_eq!(status(server.inference, PREDICT, APP, "DELETE", ""), 403);
    assert_eq!(status(server.inference, PREDICT, APP, "POST", "authorization"), 403);
    assert_eq!(status(server.management, "/models", ADMIN, "GET", ""), 204);
    for method in ["POST", "PUT", "DELETE"] {
        assert_eq!(status(server.management, "/models/mlp", ADMIN, method, ""), 403, "{method}");
    }
}

#[test]
fn seed_0_29_torchserves_own_names_are_read_for_inference() {
    const LINES: Lines = &[
        "cors_allowed_origin=https://mywebapp.com",
        "cors_allowed_methods=GET, POST, PUT, OPTIONS",
        "cors_allowed_headers=X-Custom-Header",
    ];
    let server = serving(LINES);
    let asked = preflight(server.inference, PREDICT, APP, "PUT", "x-custom-header");
    is(&asked, 204, Some(APP));
    let methods = asked.header("access-control-allow-methods");
    assert_eq!(methods.as_deref(), Some("GET, POST, PUT, OPTIONS"));
    is(&request(server.management, "GET", "/models", &[("Origin", APP)], b""), 200, None);
    assert!(warned(LINES, "CORS-W108"));
    let both = ["cors_allowed_origin=https://a.example", "cors.allowed.origin=https://b.example"];
    refused(&both, &["CORS-E003"]);
}

#[test]
fn seed_0_30_torchserves_react_example_works() {
    let server =
        serving(&["cors_allowed_origin=*", "cors_allowed_methods=GET, POST, PUT, OPTIONS"]);
    let page = "http://localhost:3000";
    is(&preflight(server.inference, PREDICT, page, "POST", "content-type"), 204, Some("*"));
    is(&predict(server.inference, page, &[]), 200, Some("*"));
    let headers = [("Origin", page), ("Content-Type", "image/png")];
    let image = request(server.inference, "POST", PREDICT, &headers, b"\x89PNG\r\n\x1a\n");
    is(&image, 400, Some("*"));
}
