//! The embedded pages and what they ask for, as a client meets them; `tests/browsers/console.mjs` looks
//! at them as an operator does.

use crate::support::{TestServer, request};

const MLP_ONE: &str = "[0.1, -0.2, 0.3, 0.4]";

#[test]
fn the_pages_have_a_strict_policy_and_are_where_they_should_be() {
    let server = TestServer::start(&["mlp"], &[]);
    let own = [
        (server.management, "/console"),
        (server.management, "/console/console.js"),
        (server.management, "/console/style.css"),
        (server.management, "/docs"),
        (server.inference, "/docs"),
        (server.inference, "/docs/docs.js"),
        (server.inference, "/docs/dom.js"),
    ];
    for (address, path) in own {
        let answer = request(address, "GET", path, &[], b"");
        assert_eq!(answer.status, 200, "{path}");
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"));
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.header("x-content-type-options").as_deref(), Some("nosniff"));
        assert_eq!(answer.header("x-frame-options").as_deref(), Some("DENY"));
        assert_eq!(request(address, "HEAD", path, &[], b"").status, 200, "{path}");
        assert_eq!(request(address, "POST", path, &[], b"").status, 405, "{path}");
    }
    for (address, path) in [(server.management, "/console/"), (server.inference, "/docs/")] {
        let answer = request(address, "GET", path, &[], b"");
        assert_eq!(answer.status, 308, "{path}");
        assert_eq!(answer.header("location").unwrap(), format!("..{}", path.trim_end_matches('/')));
    }
    for (address, path) in [
        (server.inference, "/console"),
        (server.metrics, "/console"),
        (server.metrics, "/docs"),
        (server.management, "/console/../state"),
        (server.management, "/console/none.js"),
    ] {
        assert_eq!(request(address, "GET", path, &[], b"").status, 404, "{path}");
    }
}

#[test]
fn the_state_is_what_the_server_has_counted() {
    let server = TestServer::start(&["mlp"], &["default_workers_per_model=2", "job_queue_size=7"]);
    for _ in 0..3 {
        assert_eq!(server.predict("mlp", MLP_ONE).status, 200);
    }
    assert_eq!(server.predict("mlp", "[]").status, 400);
    let state = server.manage("/console/state").json();
    assert_eq!(state["healthy"], true);
    assert_eq!(state["more"], 0);
    let model = &state["models"][0];
    assert_eq!((&model["name"], &model["version"]), (&"mlp".into(), &"1.0".into()));
    assert_eq!(model["default"], true);
    assert_eq!(model["workers"]["ready"], 2);
    assert_eq!((&model["queue"]["pending"], &model["queue"]["capacity"]), (&0.into(), &7.into()));
    assert_eq!((&model["outcomes"]["ok"], &model["outcomes"]["bad_input"]), (&3.into(), &1.into()));
    let counts = model["steps"]["request"]["counts"].as_array().unwrap();
    assert_eq!(counts.len(), state["bounds"].as_array().unwrap().len() + 1);
    assert_eq!(counts.iter().map(|count| count.as_u64().unwrap()).sum::<u64>(), 3);
    assert!(model["steps"]["forward"]["sum"].as_f64().unwrap() > 0.0);
}

#[test]
fn a_request_is_explained_under_the_policy_in_force() {
    let server = TestServer::start(&[], &["cors.allowed.origin=https://app.example.com"]);
    let explain = |origin: &str, method: &str| {
        let query = format!("origin={origin}&path=/predictions/a&method={method}");
        server.manage(&format!("/console/explain?{query}&header=Content-Type:%20application/json"))
    };
    let allowed = explain("https://app.example.com", "POST").json();
    assert_eq!(allowed["allowed"], true, "{allowed}");
    assert!(allowed["preflight"]["answer"].as_str().unwrap().contains("204"));
    let denied = explain("https://evil.example", "POST").json();
    assert_eq!(
        (&denied["allowed"], &denied["preflight"]["reason"]),
        (&false.into(), &"origin_not_listed".into())
    );
    let (status, _, message) = server.manage("/console/explain?path=/").error();
    assert!(status == 400 && message.starts_with("origin is missing"), "{message}");
}

#[test]
fn no_page_of_another_origin_gets_anything_whatever_the_policy_says() {
    let app = "https://app.example.com";
    let server = TestServer::start(&["mlp"], &[&format!("management_cors.allowed.origin={app}")]);
    let from = |path: &str, headers: &[(&str, &str)]| {
        request(server.management, "GET", path, headers, b"")
    };
    let models = from("/models", &[("Origin", app)]);
    assert_eq!(models.header("access-control-allow-origin").as_deref(), Some(app));
    for path in ["/console/state", "/console/explain?origin=https://a.example&path=/"] {
        for headers in [
            &[("Origin", app)][..],
            &[("Origin", "null")],
            &[("Sec-Fetch-Site", "cross-site")],
            &[("Sec-Fetch-Site", "same-site")],
        ] {
            assert_eq!(from(path, headers).status, 403, "{path} {headers:?}");
        }
        assert_eq!(from(path, &[("Sec-Fetch-Site", "same-origin")]).status, 200, "{path}");
        assert_eq!(from(path, &[]).status, 200, "{path}");
    }
}

#[test]
fn with_tokens_the_pages_are_open_and_what_they_show_is_not() {
    let server = TestServer::start(&["mlp"], &["disable_token_authorization=false"]);
    for path in ["/console", "/console/console.js", "/docs"] {
        assert_eq!(server.manage(path).status, 200, "{path}");
    }
    for path in ["/console/state", "/console/explain?origin=https://a.example&path=/"] {
        let refused = server.manage(path);
        assert_eq!(refused.status, 400, "{path}");
        assert_eq!(refused.header("www-authenticate").as_deref(), Some("Bearer"));
        assert!(!refused.text().contains("mlp"));
    }
    let keys = std::fs::read_to_string(server.folder.path().join("key_file.json")).unwrap();
    let keys: serde_json::Value = serde_json::from_str(&keys).unwrap();
    let bearer = |which: &str| format!("Bearer {}", keys[which]["key"].as_str().unwrap());
    let ask = |which| {
        let headers = [("Authorization", &*bearer(which))];
        request(server.management, "GET", "/console/state", &headers, b"").status
    };
    assert_eq!((ask("management"), ask("inference")), (200, 400));
}

#[test]
fn on_one_address_for_both_apis_each_page_is_found() {
    for (path, api) in [
        ("/console", "management"),
        ("/console/state", "management"),
        ("/console/predict", "inference"),
        ("/docs", "inference"),
    ] {
        assert_eq!(torchfront::cors::api_of_path(path).as_str(), api, "{path}");
    }
}
